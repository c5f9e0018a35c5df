"""Records as JSON lines: the one place that parses, checks and writes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import nan
from typing import Annotated, Any

import orjson
from msgspec import UNSET, Meta, MsgspecError, Struct, UnsetType, ValidationError, convert
from msgspec.json import Decoder

from rdtools.core.errors import BadLine
from rdtools.core.records import SCORE_SCALES, Record, ScoreScale
from rdtools.core.streams import Lines

MAX_SCORE = 3.4028234663852886e38
"""The largest float32; what is beyond it, or no number, is no score."""


_DEEPEST = 5_000
"""Levels of recursion for values nested 1,024 deep; up to Python 3.12 no much deeper ones are read."""

_decode = Decoder().decode
"""Reads what orjson reads, but for orjson integers beyond 64 bits are floats."""


def read_jsonl(lines: Lines) -> Iterator[Record]:
    return lines.parsed(parse_record)


def write_jsonl(record: Record) -> bytes:
    return dump(record)


def dump(value: Any) -> bytes:
    """Write one JSON line."""
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return _dump_slowly(value)


def _dump_slowly(value: Any) -> bytes:
    """Write what orjson does not: integers beyond 64 bits, and values nested deeper than it writes.

    Raises:
        BadLine: it cannot be written.
    """
    try:
        with _deep_recursion():
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadLine(f"cannot be written as JSON: {error}") from None
    return text.encode() + b"\n"


@contextmanager
def _deep_recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def parse_record(line: bytes) -> Record:
    """Parse and check one line."""
    return check_record(parse_object(line))


def check_record(fields: dict[str, Any]) -> Record:
    """Return `fields` as a record. Integer ids become strings; a known field that is `null` is absent."""
    if not _plain(fields):
        _check(fields)
    return fields  # type: ignore[return-value]


def _check(fields: dict[str, Any]) -> None:
    """Correct what can be corrected, and complain of the rest."""
    _drop_nulls(fields, ("query", "docs", "teacher", "score_scale"))
    fields["query_id"] = identifier(fields, "query_id")
    for key in ("query", "teacher", "score_scale"):
        if key in fields and not isinstance(fields[key], str):
            raise BadLine(f'"{key}" must be a string, not {show(fields[key])}')
    if fields.get("score_scale", "unknown") not in SCORE_SCALES:
        raise BadLine(
            f'unknown "score_scale" {show(fields["score_scale"])}', "one of " + ", ".join(SCORE_SCALES)
        )
    docs = fields.setdefault("docs", [])
    if not isinstance(docs, list):
        raise BadLine(f'"docs" must be a list, not {show(docs)}')
    _check_docs(docs)


def parse_json(line: bytes) -> Any:
    try:
        return _decode(line)
    except (MsgspecError, ValueError, RecursionError):  # ValueError: invalid UTF-8
        return _parse_slowly(line)


def _parse_slowly(line: bytes) -> Any:
    """Parse a line that is nested too deep for the fast way, or say what is wrong with it."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine(f"not valid JSON: {str(error).split(': line')[0]}") from None
    with _deep_recursion():
        return _decode(line)


def parse_object(line: bytes) -> dict[str, Any]:
    """Parse one line that must be a JSON object."""
    value = parse_json(line)
    if not isinstance(value, dict):
        raise BadLine(f"not a JSON object but {show(value)}")
    return value


def identifier(fields: dict[str, Any], *keys: str) -> str:
    """Return the id under the first of `keys` that is present, as a string."""
    for key in keys:
        value = fields.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None:
            raise BadLine(f'"{key}" must be a string that is not empty, not {show(value)}')
    raise BadLine(f'missing "{keys[0]}"')


def is_score(value: Any) -> bool:
    """True if `value` is a number that a float32 can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_SCORE <= value <= MAX_SCORE


def show(value: Any) -> str:
    """Return `value` as JSON, cut to fit into a message."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        if not isinstance(value, int):
            return "a value nested too deep"
        text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


Id = Annotated[str, Meta(min_length=1)]
Score = Annotated[float, Meta(ge=-MAX_SCORE, le=MAX_SCORE)]
Whole = Annotated[int, Meta(ge=-(2**31), le=2**31)]


class PlainDoc(Struct, gc=False):
    """A document that is correct as it is; fields not named here may hold anything."""

    doc_id: Id
    text: str = ""
    relevance: Whole = 0
    score: Score = nan
    rank: Whole = 0
    source: str = ""
    scores: dict[str, Score] | UnsetType = UNSET


class PlainRecord(Struct, gc=False):
    """A record that is correct as it is; fields not named here may hold anything."""

    query_id: Id
    docs: list[PlainDoc]
    query: str = ""
    teacher: str = ""
    score_scale: ScoreScale | UnsetType = UNSET


def has_distinct_ids(docs: Sequence[PlainDoc]) -> bool:
    """Return whether no doc_id is repeated."""
    return len({doc.doc_id for doc in docs}) == len(docs)


def _plain(fields: dict[str, Any]) -> bool:
    """Return whether a record is correct as it is: several times as fast as looking for what is not."""
    try:
        return has_distinct_ids(convert(fields, PlainRecord).docs)
    except (ValidationError, SystemError):  # SystemError: msgspec before 0.22, of integers beyond floats
        return False


def _check_docs(docs: list[Any]) -> None:
    seen = set()
    for doc in docs:
        _check_doc(doc)
        if doc["doc_id"] in seen:
            raise BadLine(f'duplicate doc_id "{doc["doc_id"]}" in one record')
        seen.add(doc["doc_id"])


def _check_doc(doc: Any) -> None:
    if not isinstance(doc, dict):
        raise BadLine(f"a document must be an object, not {show(doc)}", 'such as {"doc_id": "d1"}')
    _drop_nulls(doc, ("text", "relevance", "score", "rank", "source", "scores"))
    doc["doc_id"] = identifier(doc, "doc_id")
    for key in ("text", "source"):
        if key in doc and not isinstance(doc[key], str):
            raise BadLine(f'"{key}" of document {doc["doc_id"]} must be a string, not {show(doc[key])}')
    if "score" in doc and not is_score(doc["score"]):
        raise BadLine(
            f'"score" of document {doc["doc_id"]} must be a finite float32, not {show(doc["score"])}'
        )
    for key in ("relevance", "rank"):
        if key in doc:
            doc[key] = _integer(doc, key)
    if "scores" in doc:
        scores = doc["scores"]
        if not isinstance(scores, dict) or not all(map(is_score, scores.values())):
            raise BadLine(
                f'"scores" of document {doc["doc_id"]} must be numbers by teacher, not {show(scores)}'
            )


def _integer(doc: dict[str, Any], key: str) -> int:
    value = doc[key]
    if not is_score(value) or value != int(value) or abs(value) > 2**31:
        raise BadLine(f'"{key}" of document {doc["doc_id"]} must be a whole number, not {show(value)}')
    return int(value)


def _drop_nulls(fields: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in fields and fields[key] is None:
            del fields[key]
