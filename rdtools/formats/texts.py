"""Queries and corpora: an id and its text, as BEIR JSONL or as two tab-separated columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.records import Record
from rdtools.core.streams import Lines
from rdtools.formats.records import check_record, identifier, parse_object, show

_IDS = "id _id qid query_id query-id did pid doc_id doc-id docid docno".split()
_DOC_IDS = "_id doc_id document_id docid docno pid id".split()
_TEXTS = "text query title contents passage document".split()
_HEADERS = {f"{name}\t{text}".encode() for name in _IDS for text in _TEXTS}


def read_beir_queries(lines: Lines) -> Iterator[Record]:
    """`{"_id": …, "text": …}`. Other fields stay, except BEIR's `metadata`.

    It may hold answers and judgements (in SciFact those of the query), which must not travel with a query.
    """
    return lines.parsed(_beir_query)


def read_tsv_queries(lines: Lines) -> Iterator[Record]:
    """`query_id⇥text`."""
    _pass_over_header(lines)
    for query_id, text in lines.parsed(_two_columns):
        yield {"query_id": query_id, "query": text, "docs": []}


def read_corpus(lines: Lines) -> Iterator[tuple[str, str]]:
    """Yield (doc_id, text) of a corpus; the text is the title, if any, a space, and the text.

    A duplicate id is bad input.
    """
    first = lines.first()
    is_json = first is not None and first.lstrip().startswith(b"{")
    _pass_over_header(lines)
    seen: set[str] = set()
    for doc_id, text in lines.parsed(_beir_doc if is_json else _two_columns):
        if doc_id in seen:
            lines.bad(f'duplicate doc_id "{doc_id}"')
        else:
            seen.add(doc_id)
            yield doc_id, text


def _pass_over_header(lines: Lines) -> None:
    """Take away a first line that names two columns; no format here has one, but spreadsheets write it."""
    first = lines.first()
    if first is not None and first.lower() in _HEADERS:
        next(iter(lines))


def titled_text(fields: dict[str, Any]) -> str:
    """Return the text of a document: its title, if any, a space, and its text."""
    title = "" if fields.get("title") is None else string(fields, "title")
    return f"{title} {string(fields, 'text')}".strip()


def string(fields: dict[str, Any], key: str) -> str:
    """Return the string under `key`, which must be there."""
    value = fields.get(key)
    if not isinstance(value, str):
        raise BadLine(f'missing "{key}"' if value is None else f'"{key}" must be a string, not {show(value)}')
    return value


def decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise BadLine("not valid UTF-8") from None


def _beir_query(line: bytes) -> Record:
    fields = parse_object(line)
    query_id, text = identifier(fields, "_id", "query_id", "qid", "id"), string(fields, "text")
    known = ("_id", "query_id", "qid", "id", "query", "text", "metadata", "docs")
    others = {key: value for key, value in fields.items() if key not in known}
    return check_record({"query_id": query_id, "query": text, **others})


def _beir_doc(line: bytes) -> tuple[str, str]:
    fields = parse_object(line)
    return identifier(fields, *_DOC_IDS), titled_text(fields)


def _two_columns(line: bytes) -> tuple[str, str]:
    left, tab, right = decode(line).partition("\t")
    if not tab or not left:
        raise BadLine("2 columns expected (id, text, separated by a tab)")
    return left, right
