"""Name the format of an input by its first line."""

from __future__ import annotations

from typing import Any

from rdtools.core.errors import BadLine, InputError
from rdtools.core.streams import Lines
from rdtools.formats.table import FORMATS, READERS


def recognised(lines: Lines) -> str | None:
    """Name the format by the first line that has one: bad lines before it are dealt with as any are."""
    while (first := lines.first()) is not None:
        try:
            return recognise(first, lines)
        except BadLine as error:
            lines.bad(error.problem, error.hint)
            next(iter(lines))
    return None


def recognise(line: bytes, lines: Lines) -> str:
    """Name the format of a line, the first of its input.

    Raises:
        InputError: two formats would fit.
        BadLine: it is of none.
    """
    if line.lstrip().startswith(b"{"):
        return _recognise_object(line)
    if line.lstrip().startswith(b"["):
        return _recognise_array(line, lines)
    if line.startswith(b"\x80"):
        raise InputError(
            lines.source, lines.number, "a pickle, which is never opened", "write it as JSON lines or TSV"
        )
    words, columns = line.split(), line.split(b"\t")
    if len(words) == 6 and (words[1].upper() == b"Q0" or _is_trec(words, len(columns))):
        return "trec"
    if words[1:2] == [b"Q0"] and len(columns) in (1, len(words)):
        return "trec"  # whose reader says how many columns there should be
    if len(columns) == 3 and (name := _recognise_three(columns, lines)):
        return name
    if len(columns) == 4 and _is_fraction(columns[3]):
        return "gpl"
    if len(columns) == 5 and _is_fraction(columns[3]) and _is_fraction(columns[4]):
        return "splade"
    if len(columns) == 2:
        return "tsv-queries"
    known = ", ".join(READERS)
    raise BadLine("format not recognised", f"give --input-format: {known}")


def _is_trec(words: list[bytes], columns: int) -> bool:
    """Return whether six words are a line of a run with any second column: nobody reads that one."""
    return columns in (1, 6) and words[3].removeprefix(b"-").isdigit() and _is_number(words[4])


def _recognise_three(columns: list[bytes], lines: Lines) -> str | None:
    """Tell three columns apart: a score, a rank or an id may end them, and they may be texts."""
    last = columns[2]
    if _is_fraction(last):
        return "tsv"
    if _is_number(last):
        problem = f"the third column ({last.decode(errors='replace')}) may be a rank, a score or an id"
        hint = "give --input-format msmarco-run, tsv or msmarco-triples"
        raise InputError(lines.source, lines.number, problem, hint)
    if all(len(column.split()) == 1 and any(map(_is_digit, column)) for column in columns):
        return "msmarco-triples"  # ids such as D1234
    return "msmarco-text-triples" if all(b" " in column.strip() for column in columns[1:]) else None


def _is_digit(character: int) -> bool:
    return 48 <= character <= 57


def _recognise_object(line: bytes) -> str:
    from rdtools.formats.records import parse_object

    fields = parse_object(line)
    for name, each in FORMATS.items():
        if any(fields.keys() >= {*keys.split()} for keys in each.keys):
            return name
    if ("query_id" not in fields and "_id" in fields) or _is_query(fields):
        return "beir-queries"
    nested = fields and all(isinstance(value, dict) for value in fields.values())
    return "paper-scores" if nested else "records"


def _is_query(fields: dict[str, Any]) -> bool:
    """Return whether an object is an id and a text, under the names that datasets of the hub give them."""
    has_id = not fields.keys().isdisjoint(("query_id", "qid", "id"))
    return has_id and "text" in fields and "query" not in fields


def _recognise_array(line: bytes, lines: Lines) -> str:
    """Tell ColBERT's arrays apart: plain ids, [doc_id, score] pairs, [score, doc_id] pairs."""
    from rdtools.formats.records import parse_json

    if line.lstrip()[1:].lstrip()[:1] in (b"", b"{"):
        return "rank-llm"  # a file that is one array of objects
    rest = parse_json(line)[1:]
    if not any(isinstance(item, list) for item in rest):
        return "colbert-triples"
    if len(rest) == 1 and all(isinstance(pair, list) for pair in rest[0]):
        return "colbert-scores"
    pairs = [pair for pair in rest if isinstance(pair, list) and len(pair) == 2]
    if any(isinstance(first, float) or isinstance(second, str) for first, second in pairs):
        return "colbert-scores"
    if any(isinstance(second, float) or isinstance(first, str) for first, second in pairs):
        return "colbert-nway"
    problem = "the pairs may be [doc_id, score] or [score, doc_id]"
    raise InputError(
        lines.source, lines.number, problem, "give --input-format colbert-nway or colbert-scores"
    )


def _is_fraction(text: bytes) -> bool:
    return _is_number(text) and any(mark in text.lower() for mark in (b".", b"e"))


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
