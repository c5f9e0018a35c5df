"""Triples and scores of the paper "Disentangling Locality and Entropy in Ranking Distillation"."""

from __future__ import annotations

from collections.abc import Iterator

from rdtools.core.errors import BadLine
from rdtools.core.records import Record
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import (
    as_relevant,
    by_id,
    joined,
    negatives_of,
    positives_of,
    score_of,
    take_query,
)
from rdtools.formats.records import dump, parse_object, show


def read_paper_triples(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "doc_id_a", "doc_id_b"}`: positive and negative ids, each one or a list."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        sides = [fields.pop(key, None) for key in ("doc_id_a", "doc_id_b")]
        positives, negatives = (by_id(side if isinstance(side, list) else [side]) for side in sides)
        return joined(lines, take_query(fields, "query"), as_relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def write_paper_triples(record: Record) -> bytes:
    """One line per positive, with all negatives."""
    negatives = [doc["doc_id"] for doc in negatives_of(record)]
    return b"".join(
        dump({"query_id": record["query_id"], "doc_id_a": doc["doc_id"], "doc_id_b": negatives})
        for doc in positives_of(record)
    )


def write_paper_scores(record: Record) -> bytes:
    """`"query_id":{doc_id: score, …}`, a member of the one object that the file is."""
    scores = {doc["doc_id"]: score_of(doc) for doc in record["docs"]}
    return dump({record["query_id"]: scores}).strip()[1:-1]


def read_paper_scores(lines: Lines) -> Iterator[Record]:
    """`{query_id: {doc_id: score, …}, …}`, one object in a line: a record per query."""

    def parse(line: bytes) -> list[Record]:
        records = []
        for query_id, scores in parse_object(line).items():
            if not isinstance(scores, dict):
                raise BadLine(f'"{query_id}" must be an object of scores by doc_id, not {show(scores)}')
            docs = [{"doc_id": doc_id, "score": score} for doc_id, score in scores.items()]
            records.append(joined(lines, {"query_id": query_id}, docs))
        return records

    for queries in lines.parsed(parse):
        yield from queries
