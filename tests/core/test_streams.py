"""Bytes in and out: line numbers, compression, damage, output that is whole or not there."""

from __future__ import annotations

import gzip
import os
import select
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pytest
import zstandard

from rdtools.core.errors import BadLine, InputError, RdError
from rdtools.core.output import Output, open_output
from rdtools.core.streams import DEFAULT_MAX_LINE, open_lines

COPY = """
from dataclasses import dataclass
from rdtools.cli.command import EntryPoint
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.output import Output, open_output
from rdtools.formats import Reading, Writing, read_records, writer

@dataclass(frozen=True)
class Files(OptionGroup):
    files: tuple[str, ...] = flag("[FILE]...", default=(), help="Records.")

def copy(files: Files, reading: Reading, writing: Writing) -> None:
    "Copy records."
    write = writer(writing.format)
    with open_output(writing.output) as out:
        for record in read_records(files.files, reading):
            out.write(write(record))

EntryPoint("rd-copy", copy)()
"""
"""The smallest command there can be: what every command shares, without what each one does."""

RECORD = b'{"query_id":"q1","docs":[]}\n'


def copy_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", COPY, *map(str, arguments)]


def lines_of(path: Path, **options: object) -> list[tuple[int, bytes]]:
    with open_lines(str(path), **options) as lines:  # type: ignore[arg-type]
        return [(lines.number, line) for line in lines]


def gz(data: bytes) -> bytes:
    return gzip.compress(data)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def same(data: bytes) -> bytes:
    return data


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes, name: str = "in.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


# --- lines


def test_lines_are_numbered_from_1_and_blank_ones_passed_over(file):
    assert lines_of(file(b"a\n\n  \t\nb\r\n\nc")) == [(1, b"a"), (4, b"b"), (6, b"c")]


def test_a_byte_order_mark_is_dropped_from_the_first_line_only(file):
    assert lines_of(file(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")) == [(1, b"a"), (2, b"\xef\xbb\xbfb")]


def test_spaces_inside_and_around_a_line_stay(file):
    assert lines_of(file(b" a \tb \n")) == [(1, b" a \tb ")]


def test_first_does_not_consume(file):
    with open_lines(str(file(b"\na\nb\n"))) as lines:
        assert (lines.first(), lines.number) == (b"a", 2)
        assert [(lines.number, line) for line in lines] == [(2, b"a"), (3, b"b")]
        assert lines.first() is None


@pytest.mark.parametrize("compress", [same, gz, zst])
def test_empty_input_has_no_lines(file, compress):
    assert lines_of(file(compress(b""))) == []


def test_a_line_of_max_line_bytes_passes_and_a_longer_one_is_named(file):
    path = file(b"12345\n123456\n7\n")
    with pytest.raises(InputError) as error:
        lines_of(path, max_line=5)
    assert str(error.value) == f"{path}:2: line is longer than 5 bytes (see --max-line)"


def test_by_default_a_line_may_have_64_mib(file):
    assert DEFAULT_MAX_LINE == 64 * 2**20
    line = b"x" * (3 * 2**20)
    with open_lines(str(file(line + b"\n"))) as lines:
        assert list(lines) == [line]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n7\n"])
def test_a_long_line_is_skipped_as_a_whole(file, end):
    path = file(b"1\n" + b"x" * 100 + end)
    with open_lines(str(path), max_line=5, on_error="skip") as lines:
        rest = [(lines.number, line) for line in lines]
        assert rest == [(1, b"1")] + ([(3, b"7")] if end == b"\n7\n" else [])
        assert lines.skipped == 1


def test_a_long_line_fails_before_the_rest_of_it_is_read():
    with (
        open_lines("/dev/zero", max_line=10) as lines,
        pytest.raises(InputError, match=r"^/dev/zero:1: line is longer than 10 bytes \(see --max-line\)$"),
    ):
        lines.first()


def test_parse_fails_with_file_and_line_or_counts(file):
    def parse(line: bytes) -> bytes:
        if line == b"bad":
            raise BadLine("no good", "do better")
        return line

    path = file(b"a\nbad\nb\nbad\n")
    with open_lines(str(path)) as lines, pytest.raises(InputError) as error:
        [lines.parse(parse, line) for line in lines]
    assert str(error.value) == f"{path}:2: no good (do better)"
    with open_lines(str(path), on_error="skip") as lines:
        assert [lines.parse(parse, line) for line in lines] == [b"a", None, b"b", None]
        assert lines.skipped == 2


def test_skipped_lines_are_counted_at_the_end_on_stderr(file):
    path = file(b"{}\n" + RECORD + b"x\n")
    done = subprocess.run(copy_command("--on-error", "skip", path), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, RECORD.decode())
    assert done.stderr == f"rd-copy: warning: {path}: 2 bad lines skipped\n"


def test_what_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(RdError, match=f"^{tmp_path}/none: cannot open: No such file or directory$"):
        lines_of(tmp_path / "none")
    with pytest.raises(RdError, match=f"^{tmp_path}: cannot open: Is a directory$"):
        lines_of(tmp_path)


# --- compression, recognised by content


@pytest.mark.parametrize("compress", [gz, zst])
@pytest.mark.parametrize("name", ["a.jsonl", "a.gz", "a.zst"])
def test_compression_is_recognised_whatever_the_name(file, compress, name):
    assert lines_of(file(compress(b"a\nb\n"), name)) == [(1, b"a"), (2, b"b")]


@pytest.mark.parametrize("compress", [gz, zst])
def test_concatenated_members_are_one_input(file, compress):
    content = compress(b"a\nb") + compress(b"") + compress(b"c\nd\n")
    assert lines_of(file(content)) == [(1, b"a"), (2, b"bc"), (3, b"d")]


def test_zstd_frames_to_skip_are_skipped(file):
    skippable = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"size"
    content = skippable + zst(b"a\n") + skippable + zst(b"b\n") + skippable
    assert lines_of(file(content)) == [(1, b"a"), (2, b"b")]


@pytest.mark.parametrize("compress", [gz, zst])
def test_large_compressed_input_is_read_to_its_end(file, compress):
    content = b"".join(b"%d %d\n" % (n, n * n) for n in range(100_000))
    lines = lines_of(file(compress(content)))
    assert (len(lines), lines[-1]) == (100_000, (100_000, b"99999 9999800001"))


@pytest.mark.parametrize("compress", [gz, zst])
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_compressed_input_that_is_cut_short_is_damaged(file, compress, cut):
    path = file(compress(b"".join(b"%d\n" % n for n in range(1000)))[:-cut])
    with pytest.raises(InputError, match=rf"^{path}:\d+: compressed data is damaged") as error:
        lines_of(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("compress", [gz, zst])
def test_a_member_that_is_cut_short_after_a_whole_one_is_damaged(file, compress):
    """Both give the second line before they see that the checksum is cut: the third cannot be read."""
    path = file(compress(b"a\n") + compress(b"b\n")[:-3])
    with pytest.raises(InputError, match=rf"^{path}:3: compressed data is damaged"):
        lines_of(path)


@pytest.mark.parametrize("compress", [gz, zst])
def test_garbage_within_or_after_compressed_data_is_damage(file, compress):
    whole = compress(bytes(range(33, 127)) * 50)
    for content in (whole + b"garbage", whole[:20] + b"\xff" * 20 + whole[40:]):
        path = file(content)
        with pytest.raises(InputError, match=rf"^{path}:\d+: compressed data is damaged"):
            lines_of(path)


def test_a_zstd_bomb_takes_little_memory(file):
    bomb = zst(b"\0" * 400_000_000)
    code = (
        "import resource, sys; from rdtools.core.streams import open_lines\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "with open_lines(sys.argv[1], max_line=2**20, on_error='skip') as lines:\n"
        "    print(list(lines), lines.skipped)"
    )
    done = subprocess.run([sys.executable, "-c", code, file(bomb)], capture_output=True, text=True)
    assert done.stdout == "[] 1\n", done.stderr


# --- streaming: what was written can be read, before more is


class Pipe:
    """A pipe whose reading end is opened by `Lines` through open_lines, like a named pipe."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path

    def read(self, feed: Callable[[int], Iterator[None]]) -> list[bytes]:
        """Run `feed(fd)` up to each yield, then expect one more line before it goes on."""
        ready = threading.Semaphore(0)
        stuck: list[bool] = []

        def write() -> None:
            fd = os.open(self.path, os.O_WRONLY)
            try:
                for _ in feed(fd):
                    if not ready.acquire(timeout=5):  # the reader did not get its line: let go
                        stuck.append(True)
                        return
            finally:
                os.close(fd)

        writer = threading.Thread(target=write)
        writer.start()
        got = []
        with open_lines(str(self.path)) as lines:
            for line in lines:
                got.append(line)
                ready.release()
        writer.join()
        assert not stuck, "a line was not readable before the next was written"
        return got


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_a_line_is_read_before_the_next_is_written(tmp_path, compress):
    def feed(fd: int) -> Iterator[None]:
        with os.fdopen(fd, "wb", buffering=0, closefd=False) as raw:
            streams: dict[str, Callable[[], Any]] = {
                "none": lambda: raw,
                "gzip": lambda: gzip.GzipFile(fileobj=raw, mode="wb"),
                "zstd": lambda: zstandard.ZstdCompressor().stream_writer(raw, closefd=False),
            }
            stream = streams[compress]()
            for text in (b"first\n", b"second\n", b"third\n"):
                stream.write(text)
                stream.flush()
                yield
            stream.close()

    assert Pipe(tmp_path / "pipe").read(feed) == [b"first", b"second", b"third"]


def piped(code: str) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
    """Start Python with `code`; return the process, its stdin and its stdout."""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    return child, child.stdin, child.stdout


@pytest.mark.parametrize("compress", [same, gz, zst])
@pytest.mark.parametrize("text", [RECORD, b"(\n"])
def test_stdin_is_recognised_though_its_bytes_come_one_by_one(compress, text):
    code = (
        "from rdtools.core.streams import open_lines\nimport zstandard\nprint('ready', flush=True)\n"
        "with open_lines('-') as lines: print([*lines], lines.source)"
    )
    child, stdin, stdout = piped(code)
    assert stdout.readline() == b"ready\n"
    for number, byte in enumerate(compress(text)):
        stdin.write(bytes([byte]))
        stdin.flush()
        threading.Event().wait(0.05 if number < 5 else 0.002)
    stdin.close()
    assert stdout.read().decode() == f"{[text.strip()]} <stdin>\n"
    child.wait()
    stdout.close()


def test_a_closed_stdin_is_one_line():
    done = subprocess.run(["bash", "-c", '"$@" <&-', "-", *copy_command()], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "rd-copy: <stdin>: it is closed (give a FILE)\n")


# --- output


def write_all(path: Path | str, *parts: bytes) -> None:
    with open_output(str(path)) as out:
        for part in parts:
            out.write(part)


def test_what_is_written_to_a_pipe_leaves_at_once():
    code = (
        "import sys\nfrom rdtools.core.output import open_output\n"
        "with open_output(None) as out:\n    out.write(b'line\\n')\n    sys.stdin.read()"
    )
    child, stdin, stdout = piped(code)
    assert select.select([stdout], [], [], 10)[0], "nothing came within 10 seconds"
    assert stdout.readline() == b"line\n"
    stdin.close()
    assert child.wait() == 0
    stdout.close()


@pytest.mark.parametrize("name", ["out", "+", "--"])
def test_output_appears_whole(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    target = tmp_path / name
    with open_output(name) as out:
        out.write(b"a\n")
        assert not target.exists()
    assert target.read_bytes() == b"a\n"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["out", "out.gz", "out.zst"])
@pytest.mark.parametrize("stop", [RdError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_an_error_inside_leaves_nothing_and_the_old_file_survives(tmp_path, name, stop):
    def fail() -> None:
        with open_output(str(tmp_path / name)) as out:
            out.write(b"new\n")
            raise stop

    with pytest.raises(type(stop)):
        fail()
    assert os.listdir(tmp_path) == []
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(type(stop)):
        fail()
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path):
    (tmp_path / f".out.{os.getpid()}.part").write_bytes(b"left")
    write_all(tmp_path / "out", b"new")
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_all(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_output_has_the_rights_that_new_files_have(tmp_path):
    write_all(tmp_path / "out", b"")
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


@pytest.mark.parametrize("name", ["out.gz", "out.zst"])
def test_compressed_output_is_deterministic_and_reads_back(tmp_path, name):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_all(tmp_path / folder / name, b"first\n", b"second\n")
    content = (tmp_path / "a" / name).read_bytes()
    assert content == (tmp_path / "b" / name).read_bytes()
    assert content.startswith(b"\x1f\x8b" if name.endswith("gz") else b"\x28\xb5\x2f\xfd")
    assert lines_of(tmp_path / "a" / name) == [(1, b"first"), (2, b"second")]


def test_gzip_output_holds_neither_name_nor_time(tmp_path):
    write_all(tmp_path / "out.gz", b"x")
    header = (tmp_path / "out.gz").read_bytes()[:10]
    assert header[3] == 0, "no optional fields, such as a name"
    assert header[4:8] == bytes(4), "no time"


@pytest.mark.parametrize("name", ["out.gz", "out.zst"])
def test_many_small_writes_compress_as_well_as_one(tmp_path, name):
    parts = [b'{"query_id":"q%d","docs":[]}\n' % n for n in range(2000)]
    write_all(tmp_path / name, *parts)
    many = (tmp_path / name).stat().st_size
    write_all(tmp_path / name, b"".join(parts))
    assert many < 1.1 * (tmp_path / name).stat().st_size


def test_an_empty_compressed_output_is_a_valid_file(tmp_path):
    for name in ("out.gz", "out.zst"):
        write_all(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 0
        assert lines_of(tmp_path / name) == []


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path, "it is a folder"),
        (tmp_path / "none" / "out", "No such file or directory"),
        (tmp_path / "file" / "out", "Not a directory"),
        ("/dev/full", "No space left on device"),
    ):
        with pytest.raises(RdError) as error:
            write_all(path, b"x" * 10)
        assert str(error.value) == f"{path}: cannot write: {reason}"


@pytest.mark.parametrize("name", ["out", "out.gz", "out.zst"])
def test_a_full_disk_is_one_line_and_leaves_no_file(file, tmp_path, name):
    path = file(b"".join(b'{"query_id":"%x","docs":[]}\n' % hash(n**9) for n in range(2000)))
    out = tmp_path / name
    script = 'ulimit -f 1; "$@"'  # 1 KiB, where the system says "too large" instead of "full"
    done = subprocess.run(
        ["bash", "-c", script, "-", *copy_command(path, "-o", out)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, f"rd-copy: {out}: cannot write: File too large\n")
    assert os.listdir(tmp_path) == [path.name]


def test_an_error_of_the_caller_is_not_taken_for_a_failed_write(tmp_path):
    for path in (tmp_path / "out", "/dev/null"):
        with pytest.raises(FileNotFoundError), open_output(str(path)):
            (tmp_path / "none").read_bytes()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_file_that_is_replaced_gives_its_mode_from_the_first_byte(tmp_path, mode):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    target.chmod(mode)
    with open_output(str(target)) as out:
        out.write(b"new")
        (part,) = (path for path in tmp_path.iterdir() if path != target)
        assert stat.S_IMODE(part.stat().st_mode) == mode
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", mode)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_all(tmp_path / "out", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_a_file_that_is_replaced_gives_its_owner_or_it_stays(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    given = []
    status = os.stat
    other = os.stat_result([0o100644, 1, 1, 1, 4321, 8765, 3, 0, 0, 0])
    monkeypatch.setattr(
        os, "stat", lambda path, **more: other if path == str(target) else status(path, **more)
    )
    monkeypatch.setattr(os, "fchown", lambda descriptor, *owner: given.append(owner))
    write_all(target, b"new")
    assert given == [(4321, 8765)]

    def refuse(descriptor, *owner):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(RdError) as error:
        write_all(target, b"newer")
    assert str(error.value) == (
        f"{target}: cannot keep its owner and mode: Operation not permitted (remove it first)"
    )
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write any file
    with pytest.raises(RdError, match=r"out: cannot write: Permission denied$"):
        write_all(target, b"new")
    assert target.read_bytes() == b"old"


def test_a_symbolic_link_stays_and_the_file_behind_it_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    for _ in range(2):  # also where the file does not exist yet
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        write_all(link, b"new")
        assert (link.is_symlink(), target.read_bytes()) == (True, b"new")


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    target = tmp_path / ("x" * 251 + ".zst")
    write_all(target, RECORD)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(target.read_bytes()) == RECORD
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ('"$@" -o /dev/stdout', RECORD),
        ('"$@" -o /dev/fd/1 | cat', RECORD),
        ('"$@" -o >(cat); wait', RECORD),
        ('"$@" -o /dev/fd/3 3>&1', RECORD),
        ('echo before > out; "$@" -o /dev/stdout >> out; cat out', b"before\n" + RECORD),
        ('echo before > out; "$@" -o /dev/fd/3 3>> out; cat out', b"before\n" + RECORD),
    ],
)
def test_an_open_file_can_be_the_output(file, tmp_path, shell, expected):
    words = ["bash", "-c", shell, "-", *copy_command(file(RECORD))]
    done = subprocess.run(words, capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_a_descriptor_that_is_not_open_is_one_line():
    with pytest.raises(RdError, match=r"^/dev/fd/987: cannot write: Bad file descriptor$"):
        write_all("/dev/fd/987", b"x")


def test_what_killed_processes_left_beside_the_output_goes(tmp_path):
    (tmp_path / ".out.1.part").write_bytes(b"half")
    (tmp_path / ".out.part").write_bytes(b"of somebody else")
    write_all(tmp_path / "out", b"x")
    assert sorted(os.listdir(tmp_path)) == [".out.part", "out"]


def test_a_device_is_written_in_place():
    write_all("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_full_and_closed_stdout_are_one_line_and_status_1(file):
    path = file(RECORD * 10)
    full = subprocess.run(
        ["bash", "-c", '"$@" > /dev/full', "-", *copy_command(path)], capture_output=True, text=True
    )
    assert (full.returncode, full.stderr) == (1, "rd-copy: <stdout>: cannot write: No space left on device\n")
    for option, where in (("--help", "system"), ("--version", "<stdout>: cannot write")):
        full = subprocess.run(
            ["bash", "-c", '"$@" > /dev/full', "-", *copy_command(option)], capture_output=True, text=True
        )
        said = f"rd-copy: {where}: No space left on device\n"
        assert (full.returncode, full.stderr) == (1, said)
    closed = subprocess.run(
        ["bash", "-c", '"$@" >&-', "-", *copy_command(path)], capture_output=True, text=True
    )
    assert (closed.returncode, closed.stderr) == (1, "rd-copy: <stdout>: it is closed\n")


def test_a_reader_that_leaves_ends_the_command_silently(file):
    path = file(RECORD * 100_000)
    script = 'set -o pipefail; "$@" | head -n 1'
    done = subprocess.run(["bash", "-c", script, "-", *copy_command(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (141, RECORD.decode(), "")


def test_a_failing_command_leaves_no_file(tmp_path, file):
    path = file(RECORD + b"bad\n")
    out = tmp_path / "out.jsonl"
    done = subprocess.run(copy_command(path, "-o", out), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"rd-copy: {path}:2: not valid JSON")
    assert not out.exists()


def test_a_writer_that_cannot_hold_a_record_says_so(file):
    path = file(b'{"query_id":"a b","docs":[{"doc_id":"d"}]}\n')
    done = subprocess.run(copy_command(path, "-f", "trec"), capture_output=True, text=True)
    message = "id 'a b' has white space, which a TREC run cannot hold (use -f tsv or jsonl)"
    assert (done.returncode, done.stderr) == (1, f'rd-copy: query "a b": {message}\n')


def test_lines_that_are_there_leave_in_blocks():
    class Sink:
        def __init__(self):
            self.lines = []

        def write(self, data):
            self.lines.append(data.count(b"\n"))

        def flush(self):
            pass

    sink = Sink()
    Output(cast(BinaryIO, sink), "sink").write_lines(b"x\n" for _ in range(2500))
    assert [count for count in sink.lines if count] == [1024, 1024, 452]


def test_a_read_that_fails_is_said_in_the_words_of_the_system():
    memory = "/proc/self/mem"  # its first page is nobody's
    if not os.path.exists(memory):
        pytest.skip("no /proc")
    with (
        pytest.raises(RdError, match=rf"^{memory}: cannot read: Input/output error$"),
        open_lines(memory) as lines,
    ):
        list(lines)
