"""FlagEmbedding, and ms-swift, which is written only."""

from __future__ import annotations

from collections.abc import Iterator

from rdtools.core.records import Record
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import (
    Fields,
    all_scored,
    as_relevant,
    by_text,
    joined,
    negatives_of,
    positives_of,
    query_text,
    take_list,
    take_query,
    text_of,
    with_scores,
)
from rdtools.formats.records import dump, parse_object


def read_flagembedding(lines: Lines) -> Iterator[Record]:
    """`{"query", "pos": [texts], "neg": [texts], "pos_scores", "neg_scores"}`; the scores may be missing."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        positives = by_text(take_list(fields, "pos"))
        negatives = by_text(take_list(fields, "neg")) if fields.get("neg") is not None else []
        scores = [fields.pop(key, None) or None for key in ("pos_scores", "neg_scores")]
        if scores != [None, None]:  # an empty list may stand for none
            positives = with_scores(positives, scores[0] or [], "pos_scores")
            negatives = with_scores(negatives, scores[1] or [], "neg_scores")
        return joined(lines, take_query(fields, "query"), as_relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def write_flagembedding(record: Record) -> bytes:
    """With `pos_scores` and `neg_scores` where all documents are scored; `prompt` and `type` stay."""
    positives, negatives = positives_of(record), negatives_of(record)
    row: Fields = {
        "query": query_text(record),
        "pos": [text_of(doc) for doc in positives],
        "neg": [text_of(doc) for doc in negatives],
    }
    if all_scored(record["docs"]):
        row["pos_scores"] = [doc["score"] for doc in positives]
        row["neg_scores"] = [doc["score"] for doc in negatives]
    row.update({key: value for key, value in record.items() if key in ("prompt", "type")})
    return dump(row)


def write_ms_swift(record: Record) -> bytes:
    """`{"messages", "positive_messages", "negative_messages"}`, for its rerankers and embedders."""

    def said(role: str, text: str) -> list[Fields]:
        return [{"role": role, "content": text}]

    return dump(
        {
            "messages": said("user", query_text(record)),
            "positive_messages": [said("assistant", text_of(doc)) for doc in positives_of(record)],
            "negative_messages": [said("assistant", text_of(doc)) for doc in negatives_of(record)],
        }
    )
