"""Lines <-> records. A format is a read and/or a write function and its line in a table here.

A reader is `read(lines: Lines) -> Iterator[Record]`; a writer is `write(record) -> bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rdtools.errors import InputError
from rdtools.records import Record
from rdtools.registry import check_name, resolve
from rdtools.streams import DEFAULT_MAX_LINE, STDIN, Lines, open_lines

READERS = {
    "records": "rdtools.formats.jsonl:read",
    "trec": "rdtools.formats.runs:read_trec",
    "tsv": "rdtools.formats.runs:read_tsv",
    "msmarco-run": "rdtools.formats.runs:read_msmarco",
    "beir-queries": "rdtools.formats.texts:read_beir_queries",
    "tsv-queries": "rdtools.formats.texts:read_tsv_queries",
}

RUNS = ("trec", "tsv", "msmarco-run")
"""The readers that gather lines into records: `read(lines, together)`."""

WRITERS = {
    "jsonl": "rdtools.formats.jsonl:write",
    "tsv": "rdtools.formats.runs:write_tsv",
    "trec": "rdtools.formats.runs:write_trec",
}


@dataclass(frozen=True)
class Reading:
    """How input is read: its format (recognised where None), and what happens to bad lines.

    The lines of a query in a run must stand together, unless told that the caller merges records.
    """

    input_format: str | None = None
    max_line: int = DEFAULT_MAX_LINE
    on_error: str = "fail"
    together: bool = True


def read_records(paths: Iterable[str], reading: Reading = Reading()) -> Iterator[Record]:
    """Yield the records of FILES in turn (no file: stdin); each may have a format of its own."""
    for path in list(paths) or [STDIN]:
        with open_lines(path, max_line=reading.max_line, on_error=reading.on_error) as lines:
            first = lines.first()
            if first is not None:
                name = reading.input_format or recognise(first, lines)
                read = resolve(READERS, name, "input format")
                yield from read(lines, together=reading.together) if name in RUNS else read(lines)


def writer(name: str) -> Callable[[Record], bytes]:
    """Return the function that turns a record into the bytes of format `name`."""
    write: Callable[[Record], bytes] = resolve(WRITERS, name, "format")
    return write


def check_input_format(name: str) -> str:
    return check_name(READERS, name, "input format")


def recognise(line: bytes, lines: Lines) -> str:
    """Name the format of an input by its first line; raise `InputError` where two would fit."""
    if line.lstrip().startswith(b"{"):
        return "beir-queries" if b'"_id"' in line and b'"query_id"' not in line else "records"
    words, columns = line.split(), line.split(b"\t")
    if len(words) == 6 and words[1].upper() == b"Q0":
        return "trec"
    if len(columns) == 3 and _is_number(columns[2]):
        if any(mark in columns[2].lower() for mark in (b".", b"e")):
            return "tsv"
        problem = f"the third column ({columns[2].decode()}) may be a rank or a score"
        raise InputError(lines.source, lines.number, problem, "say --input-format msmarco-run or tsv")
    if len(columns) == 2:
        return "tsv-queries"
    known = ", ".join(READERS)
    raise InputError(lines.source, lines.number, "format not recognised", f"say --input-format: {known}")


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
