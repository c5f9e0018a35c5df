"""Tables of texts: SPLADE's training files with two scores per line, and MS MARCO's triples without."""

from __future__ import annotations

from collections.abc import Iterator

from rdtools.core.records import Record
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import (
    as_relevant,
    by_text,
    columns_of,
    joined,
    pairs_of,
    query_text,
    score_of,
    single_spaced,
    text_id,
    text_of,
    with_scores,
)
from rdtools.formats.runs import number


def read_splade(lines: Lines) -> Iterator[Record]:
    """`query⇥positive⇥negative⇥score⇥score`, all of them texts."""

    def parse(line: bytes) -> Record:
        query, positive, negative, *scores = columns_of(
            line, "query, positive, negative, its score, its score"
        )
        docs = with_scores(
            by_text([positive, negative]), [number(score, "score") for score in scores], "scores"
        )
        return joined(lines, {"query_id": text_id(query), "query": query}, as_relevant(docs[:1]) + docs[1:])

    return lines.parsed(parse)


def read_msmarco_text_triples(lines: Lines) -> Iterator[Record]:
    """`query⇥positive⇥negative`, all of them texts, as MS MARCO publishes them."""

    def parse(line: bytes) -> Record:
        query, positive, negative = columns_of(line, "query, positive, negative")
        docs = by_text([positive, negative])
        return joined(lines, {"query_id": text_id(query), "query": query}, as_relevant(docs[:1]) + docs[1:])

    return lines.parsed(parse)


def write_splade(record: Record) -> bytes:
    """One line per positive and negative; white space within a text becomes one space."""
    return "".join(
        f"{single_spaced(query_text(record))}\t{single_spaced(text_of(positive))}\t{single_spaced(text_of(negative))}\t"
        f"{float(score_of(positive))!r}\t{float(score_of(negative))!r}\n"
        for positive, negative in pairs_of(record)
    ).encode()
