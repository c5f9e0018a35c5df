"""Records as JSON lines: the one place that parses, checks and writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson

from rdtools.errors import BadLine
from rdtools.records import SCORE_SCALES, Record
from rdtools.streams import Lines


def read(lines: Lines) -> Iterator[Record]:
    for line in lines:
        record = lines.parse(parse, line)
        if record is not None:
            yield record


def write(record: Record) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def parse(line: bytes) -> Record:
    """Parse and check one line. Integer ids become strings, `null` fields are absent fields."""
    fields = parse_object(line)
    fields["query_id"] = identifier(fields, "query_id")
    for key in ("query", "teacher", "score_scale"):
        if key in fields and not isinstance(fields[key], str):
            raise BadLine(f'"{key}" must be a string, not {_show(fields[key])}')
    if fields.get("score_scale", "unknown") not in SCORE_SCALES:
        raise BadLine(f'unknown "score_scale" {_show(fields["score_scale"])}', "one of " + ", ".join(SCORE_SCALES))
    docs = fields.setdefault("docs", [])
    if not isinstance(docs, list):
        raise BadLine(f'"docs" must be a list, not {_show(docs)}')
    seen = set()
    for doc in docs:
        _check_doc(doc)
        if doc["doc_id"] in seen:
            raise BadLine(f'doc_id "{doc["doc_id"]}" stands twice in one record')
        seen.add(doc["doc_id"])
    return fields  # type: ignore[return-value]


def parse_object(line: bytes) -> dict[str, Any]:
    """Parse one line that must be a JSON object, without its `null` fields."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine(f"not valid JSON: {str(error).split(': line')[0]}") from None
    if not isinstance(value, dict):
        raise BadLine(f"not a JSON object but {_show(value)}")
    return {key: field for key, field in value.items() if field is not None}


def identifier(fields: dict[str, Any], *keys: str) -> str:
    """Return the id under the first of `keys` that is present, as a string."""
    for key in keys:
        value = fields.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None:
            raise BadLine(f'"{key}" must be a string that is not empty, not {_show(value)}')
    raise BadLine(f'missing "{keys[0]}"')


def _check_doc(doc: Any) -> None:
    if not isinstance(doc, dict):
        raise BadLine(f"a document must be an object, not {_show(doc)}", 'such as {"doc_id": "d1"}')
    for key in [key for key, value in doc.items() if value is None]:
        del doc[key]
    doc["doc_id"] = identifier(doc, "doc_id")
    if "text" in doc and not isinstance(doc["text"], str):
        raise BadLine(f'"text" of document {doc["doc_id"]} must be a string, not {_show(doc["text"])}')
    if "score" in doc and not _finite(doc["score"]):
        raise BadLine(f'"score" of document {doc["doc_id"]} must be a finite number, not {_show(doc["score"])}')
    for key in ("relevance", "rank"):
        if key in doc:
            doc[key] = _integer(doc, key)


def _integer(doc: dict[str, Any], key: str) -> int:
    value = doc[key]
    if not _finite(value) or value != int(value) or abs(value) > 2**31:
        raise BadLine(f'"{key}" of document {doc["doc_id"]} must be a whole number, not {_show(value)}')
    return int(value)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _show(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 40 else text[:37] + "..."
