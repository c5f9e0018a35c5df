"""Lines <-> records, in the formats of `table.FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rdtools.core.errors import BadLine, InputError, RdError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.log import plural
from rdtools.core.records import Record
from rdtools.core.registry import resolve
from rdtools.core.streams import DEFAULT_MAX_LINE, STDIN, Lines, open_lines
from rdtools.formats.recognise import recognised
from rdtools.formats.table import FORMATS, READERS
from rdtools.formats.writing import Writing, encode, encode_runs, writer

if TYPE_CHECKING:
    from rdtools.formats.scored import ScoredRecord

T = TypeVar("T")
__all__ = [
    "Reading", "Writing", "check_count", "encode", "encode_runs", "expected", "read_each", "read_records",
    "read_scores", "writer",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reading(OptionGroup):
    """The format of the input (None: recognised), and the treatment of bad lines.

    The lines of a query in a run must be together, unless the caller merges records (`together`). Where a
    run is needed (`ranked`), queries without documents are refused.
    """

    heading: ClassVar[str] = "Input"

    input_format: str | None = flag(
        "--input-format", default=None, metavar="NAME", choices=READERS, kind="input format",
        help=f"Format of the input: {', '.join(READERS)} (recognised by its first line where unambiguous).",
    )  # fmt: skip
    max_line: int = flag(
        "--max-line",
        default=DEFAULT_MAX_LINE,
        metavar="BYTES",
        min=1,
        help="Longest input line in bytes; a longer line is an error.",
    )
    on_error: str = flag(
        "--on-error", default="fail", metavar="fail|skip", choices=("fail", "skip"),
        kind="way to treat errors",
        help="A bad record ends the command (fail) or is dropped and counted (skip).",
    )  # fmt: skip
    strict: bool = flag(
        "--strict", default=False,
        help="Refuse what a record or the output format cannot hold whole; else it is left out and counted.",
    )  # fmt: skip
    expect: int | None = flag(
        "--expect", default=None, metavar="N", min=0,
        help="Fail unless the input has N records (rd-entropy: each FILE; rd-eval: N queries in each run). "
        "What a killed command wrote has fewer, and looks complete.",
    )  # fmt: skip
    together: bool = True
    ranked: bool = False


def read_records(
    paths: Iterable[str], reading: Reading = Reading(), check: Callable[[Record], None] | None = None
) -> Iterator[Record]:
    """Yield the records of FILES in turn (no file: stdin); each may have a format of its own.

    `check` may complete a record; where it raises `BadLine`, the record is bad input.
    """
    for lines, name in _inputs(paths, reading):
        records = _read(lines, name, reading)
        yield from records if check is None else _checked(records, check, lines)


def read_scores(
    paths: Iterable[str], reading: Reading, check: Callable[[ScoredRecord], None]
) -> Iterator[ScoredRecord]:
    """Yield the same records, of their documents only the scores."""
    from rdtools.formats.scored import read_scored, scored

    for lines, name in _inputs(paths, reading):
        records = read_scored(lines) if name == "records" else map(scored, _read(lines, name, reading))
        yield from _checked(records, check, lines)


def read_each(paths: Iterable[str], reading: Reading, check: Callable[[Record], None]) -> Iterator[Record]:
    """Yield the records of FILES in turn; each must have as many as --expect states."""
    for path in paths:
        source = "the input" if path == STDIN else path
        yield from expected(read_records([path], reading, check), reading, source)


def expected(records: Iterable[T], reading: Reading, source: str = "the input") -> Iterable[T]:
    """Return the records; after the last one, it is an error if --expect states another number."""
    return records if reading.expect is None else _counted(records, reading, source)


def _counted(records: Iterable[T], reading: Reading, source: str) -> Iterator[T]:
    count = 0
    for record in records:
        yield record
        count += 1
    check_count(plural(count, "record"), count, reading, source)


def check_count(counted: str, count: int, reading: Reading, source: str) -> None:
    """Raise `RdError` if --expect states another number than `count`."""
    if reading.expect is not None and count != reading.expect:
        raise RdError(
            f"{source} has {counted}, not the {reading.expect:,} of --expect "
            "(was the command that wrote it killed?)"
        )


def _inputs(paths: Iterable[str], reading: Reading) -> Iterator[tuple[Lines, str]]:
    """Open FILES in turn and yield the lines and the format of each; skip empty ones."""
    for path in list(paths) or [STDIN]:
        with open_lines(
            path, max_line=reading.max_line, on_error=reading.on_error, strict=reading.strict
        ) as lines:
            name = reading.input_format or recognised(lines)
            if name is None:
                continue
            if FORMATS[name].is_queries and reading.ranked:
                problem = "a query without documents, where a run is needed"
                raise InputError(lines.source, lines.number, problem)
            yield lines, name


def _read(lines: Lines, name: str, reading: Reading) -> Iterator[Record]:
    read = resolve(READERS, name, "input format")
    records: Iterator[Record]
    records = read(lines, together=reading.together) if FORMATS[name].is_run else read(lines)
    return records


def _checked(records: Iterable[T], check: Callable[[T], None], lines: Lines) -> Iterator[T]:
    for record in records:
        try:
            check(record)
        except BadLine as error:
            lines.bad(error.problem, error.hint)
        else:
            yield record
