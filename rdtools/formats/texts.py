"""Queries and corpora: an id and its text, as BEIR JSONL or as two tab-separated columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdtools.errors import BadLine
from rdtools.formats.jsonl import identifier, parse_object
from rdtools.records import Record
from rdtools.streams import Lines


def read_beir_queries(lines: Lines) -> Iterator[Record]:
    """`{"_id": …, "text": …}`. Other fields stay, but for BEIR's `metadata`, which may hold answers."""
    for line in lines:
        record = lines.parse(_beir_query, line)
        if record is not None:
            yield record


def read_tsv_queries(lines: Lines) -> Iterator[Record]:
    """`query_id⇥text`."""
    for line in lines:
        row = lines.parse(_two_columns, line)
        if row is not None:
            yield {"query_id": row[0], "query": row[1], "docs": []}


def read_corpus(lines: Lines) -> Iterator[tuple[str, str]]:
    """Yield (doc_id, text) of a corpus; the text is the title, if any, a space, and the text."""
    first = lines.first()
    parse = _beir_doc if first is not None and first.lstrip().startswith(b"{") else _two_columns
    for line in lines:
        row = lines.parse(parse, line)
        if row is not None:
            yield row


def _beir_query(line: bytes) -> Record:
    fields = parse_object(line)
    query_id = identifier(fields, "_id", "query_id")
    known = ("_id", "query_id", "text", "metadata", "docs")
    others: dict[str, Any] = {key: value for key, value in fields.items() if key not in known}
    return {"query_id": query_id, "query": _string(fields, "text"), **others, "docs": []}  # type: ignore[typeddict-item]


def _beir_doc(line: bytes) -> tuple[str, str]:
    fields = parse_object(line)
    title = _string(fields, "title") if "title" in fields else ""
    return identifier(fields, "_id", "doc_id"), f"{title} {_string(fields, 'text')}".strip()


def _string(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise BadLine(f'missing "{key}"' if value is None else f'"{key}" must be a string')
    return value


def _two_columns(line: bytes) -> tuple[str, str]:
    try:
        left, tab, right = line.decode().partition("\t")
    except UnicodeDecodeError:
        raise BadLine("not valid UTF-8") from None
    if not tab or not left:
        raise BadLine("2 columns expected (id, text, separated by a tab)")
    return left, right
