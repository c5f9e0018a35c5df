from rdtools.cli.door import door
from rdtools.cli import options
def entropy(files: options.Files = None, on_error: options.OnError = "fail", dtype: options.Dtype = "float32", output: options.Output = None) -> None:
    """Test."""
    from rdtools.formats import read_records, Reading, writer
    from rdtools.streams import open_output
    from rdtools.cli.door import need_input
    with open_output(output) as out:
        for r in read_records(need_input(files), Reading(on_error=on_error)):
            out.write(writer("jsonl")(r))
main = door("rd-entropy", entropy)
