"""Tevatron: passages with texts, ids alone, and scores to distil."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.records import Doc, Record
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import (
    Fields,
    as_relevant,
    by_id,
    joined,
    negatives_of,
    positives_leading,
    positives_of,
    query_text,
    score_of,
    take_list,
    take_query,
    text_id,
    title_and_text,
    with_scores,
)
from rdtools.formats.records import dump, identifier, parse_object, show
from rdtools.formats.texts import titled_text


def read_tevatron(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "query", "positive_passages": [{"docid", "title", "text"}], "negative_passages"}`."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        positives = [_passage(passage) for passage in take_list(fields, "positive_passages")]
        negatives = [_passage(passage) for passage in take_list(fields, "negative_passages")]
        return joined(lines, take_query(fields, "query"), as_relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def _passage(passage: Any) -> Fields:
    if not isinstance(passage, dict):
        raise BadLine(f"a passage must be an object, not {show(passage)}")
    text = titled_text(passage)
    others = {key: value for key, value in passage.items() if key not in ("docid", "title", "text")}
    title = {"title": passage["title"]} if passage.get("title") else {}
    doc_id = identifier(passage, "docid") if passage.get("docid") is not None else text_id(text)
    return {"doc_id": doc_id, "text": text, **title, **others}


def write_tevatron(record: Record) -> bytes:
    """With a `score` in each passage that has one, as Tevatron's distillation reads it."""

    def passage(doc: Doc) -> Fields:
        score = {"score": doc["score"]} if "score" in doc else {}
        title, text = title_and_text(doc)
        return {"docid": doc["doc_id"], "title": title, "text": text, **score}

    return dump(
        {
            "query_id": record["query_id"],
            "query": query_text(record),
            "positive_passages": [passage(doc) for doc in positives_of(record)],
            "negative_passages": [passage(doc) for doc in negatives_of(record)],
        }
    )


def read_tevatron_ids(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "query_text", "positive_document_ids", "negative_document_ids"}`."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        positives = by_id(take_list(fields, "positive_document_ids"))
        negatives = by_id(take_list(fields, "negative_document_ids"))
        return joined(lines, take_query(fields, "query_text"), as_relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def write_tevatron_ids(record: Record) -> bytes:
    return dump(
        {
            "query_id": record["query_id"],
            "query_text": query_text(record),
            "positive_document_ids": [doc["doc_id"] for doc in positives_of(record)],
            "negative_document_ids": [doc["doc_id"] for doc in negatives_of(record)],
        }
    )


def read_tevatron_kd(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "query", "passages": [{"title", "text"}], "scores": [...]}`."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        passages = [_passage(passage) for passage in take_list(fields, "passages")]
        docs = with_scores(passages, fields.pop("scores", None), "scores")
        return joined(lines, take_query(fields, "query"), docs, fields)

    return lines.parsed(parse)


def write_tevatron_kd(record: Record) -> bytes:
    """Positives first."""
    query, docs = query_text(record), positives_leading(record)
    passages = [
        {"docid": doc["doc_id"], "title": title, "text": text}
        for doc, (title, text) in zip(docs, map(title_and_text, docs), strict=True)
    ]
    return dump(
        {
            "query_id": record["query_id"],
            "query": query,
            "passages": passages,
            "scores": [score_of(doc) for doc in docs],
        }
    )
