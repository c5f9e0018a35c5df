"""PyLate and ColBERT."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.records import Record
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import (
    Fields,
    as_relevant,
    by_id,
    joined,
    pairs_of,
    positives_leading,
    score_of,
    take_list,
    take_query,
    with_scores,
)
from rdtools.formats.records import dump, parse_json, parse_object, show


def read_pylate(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "document_ids", "scores"}`; the lists may be stored as strings, as its datasets do."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        for key in ("document_ids", "scores"):
            if isinstance(fields.get(key), str):
                fields[key] = _literal(fields[key], key)
        docs = with_scores(by_id(take_list(fields, "document_ids")), fields.pop("scores", None), "scores")
        return joined(lines, take_query(fields, "query"), docs, fields)

    return lines.parsed(parse)


def _literal(text: str, key: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise BadLine(f'"{key}" must be a list, or one written out in a string, not {show(text)}') from None


def write_pylate(record: Record) -> bytes:
    """Positives first: PyLate reads the first `n_ways` documents."""
    docs = positives_leading(record)
    return dump(
        {
            "query_id": record["query_id"],
            "document_ids": [doc["doc_id"] for doc in docs],
            "scores": [score_of(doc) for doc in docs],
        }
    )


def read_colbert_triples(lines: Lines) -> Iterator[Record]:
    """`[query_id, positive, negative, …]`: ids only."""

    def parse(line: bytes) -> Record:
        query, (positive, *negatives) = _array(line, "[query_id, positive id, negative id, …]")
        return joined(lines, query, as_relevant(by_id([positive])) + by_id(negatives))

    return lines.parsed(parse)


def read_colbert_nway(lines: Lines) -> Iterator[Record]:
    """`[query_id, [doc_id, score], …]`, what ColBERT is trained on. It does not say which are relevant."""
    shape = "[query_id, [doc_id, score], …]"

    def parse(line: bytes) -> Record:
        query, pairs = _array(line, shape)
        return joined(lines, query, [_pair(pair, "doc_id", "score", shape) for pair in pairs])

    return lines.parsed(parse)


def read_colbert_scores(lines: Lines) -> Iterator[Record]:
    """`[query_id, [[score, doc_id], …]]`, what ColBERT's scorers write; the inner list may be missing."""
    shape = "[query_id, [[score, doc_id], …]]"

    def parse(line: bytes) -> Record:
        query, pairs = _array(line, shape)
        if (
            len(pairs) == 1
            and isinstance(pairs[0], list)
            and all(isinstance(pair, list) for pair in pairs[0])
        ):
            pairs = pairs[0]
        return joined(lines, query, [_pair(pair, "score", "doc_id", shape) for pair in pairs])

    return lines.parsed(parse)


def _array(line: bytes, shape: str) -> tuple[Fields, list[Any]]:
    value = parse_json(line)
    if not isinstance(value, list) or len(value) < 2:
        raise BadLine(f"expected {shape}, not {show(value)}")
    return {"query_id": value[0]}, value[1:]


def _pair(pair: Any, first: str, second: str, shape: str) -> Fields:
    if not isinstance(pair, list) or len(pair) != 2:
        raise BadLine(f"expected {shape}; {show(pair)} is no pair")
    return {first: pair[0], second: pair[1]}


def write_colbert_triples(record: Record) -> bytes:
    """One line per positive and negative."""
    query_id = record["query_id"]
    return b"".join(
        dump([query_id, positive["doc_id"], negative["doc_id"]]) for positive, negative in pairs_of(record)
    )


def write_colbert_nway(record: Record) -> bytes:
    """Positives first, as ColBERT takes the first for the relevant one."""
    docs = positives_leading(record)
    return dump([record["query_id"], *([doc["doc_id"], score_of(doc)] for doc in docs)])


def write_colbert_scores(record: Record) -> bytes:
    return dump([record["query_id"], [[score_of(doc), doc["doc_id"]] for doc in positives_leading(record)]])
