"""MS MARCO's hard negatives, GPL, SPLADE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.records import Record
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import (
    Fields,
    as_relevant,
    by_id,
    columns_of,
    joined,
    negatives_of,
    pairs_of,
    positives_of,
    score_of,
    take_list,
    take_query,
    with_scores,
)
from rdtools.formats.records import dump, identifier, parse_object, show
from rdtools.formats.runs import number, run_cell


def read_hard_negatives(lines: Lines) -> Iterator[Record]:
    """`{"qid", "pos": [ids], "neg": {system: [ids], …}}`.

    The `source` of a negative is its system, the first of several, and `rank` its place there. An entry
    may be `{"pid": id, "ce-score": score}` as well.
    """

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        fields["query_id"] = fields.pop("qid", None)
        positives = [_entry(entry) for entry in take_list(fields, "pos")]
        systems = fields.pop("neg", None)
        if not isinstance(systems, dict) or not all(isinstance(ids, list) for ids in systems.values()):
            raise BadLine(f'"neg" must be an object of lists of ids by system, not {show(systems)}')
        negatives = [
            {**_entry(entry), "source": system, "rank": rank}
            for system, entries in systems.items()
            for rank, entry in enumerate(entries, start=1)
        ]
        return joined(lines, take_query(fields, "query"), as_relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def _entry(entry: Any) -> Fields:
    if not isinstance(entry, dict):
        return {"doc_id": entry}
    score = {"score": entry["ce-score"]} if entry.get("ce-score") is not None else {}
    return {"doc_id": identifier(entry, "pid"), **score}


def write_hard_negatives(record: Record) -> bytes:
    systems: dict[str, list[str]] = {}
    for doc in negatives_of(record):
        systems.setdefault(doc.get("source", "unknown"), []).append(doc["doc_id"])
    positives = [doc["doc_id"] for doc in positives_of(record)]
    return dump({"qid": record["query_id"], "pos": positives, "neg": systems})


def read_gpl(lines: Lines) -> Iterator[Record]:
    """`query_id⇥positive id⇥negative id⇥margin`.

    The positive gets the score 0 and the negative minus the margin, as only the difference is known.
    """

    def parse(line: bytes) -> Record:
        query_id, positive, negative, margin = columns_of(line, "query_id, positive id, negative id, margin")
        scores = [0.0, -number(margin, "margin")]
        docs = with_scores(by_id([positive, negative]), scores, "margin")
        return joined(lines, {"query_id": query_id}, as_relevant(docs[:1]) + docs[1:])

    return lines.parsed(parse)


def read_msmarco_triples(lines: Lines) -> Iterator[Record]:
    """`query_id⇥positive id⇥negative id`."""

    def parse(line: bytes) -> Record:
        query_id, positive, negative = columns_of(line, "query_id, positive id, negative id")
        return joined(lines, {"query_id": query_id}, as_relevant(by_id([positive])) + by_id([negative]))

    return lines.parsed(parse)


def write_msmarco_triples(record: Record) -> bytes:
    """One line per positive and negative."""
    return "".join(
        f"{run_cell(record['query_id'])}\t{run_cell(positive['doc_id'])}\t{run_cell(negative['doc_id'])}\n"
        for positive, negative in pairs_of(record)
    ).encode()


def write_gpl(record: Record) -> bytes:
    """One line per positive and negative, with the difference of their scores."""
    return "".join(
        f"{run_cell(record['query_id'])}\t{run_cell(positive['doc_id'])}\t{run_cell(negative['doc_id'])}\t"
        f"{float(score_of(positive) - score_of(negative))!r}\n"
        for positive, negative in pairs_of(record)
    ).encode()
