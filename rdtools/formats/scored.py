"""Records of which only the scores are asked for: read without making an object of each document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from math import nan
from typing import NamedTuple, cast

from rdtools.core.errors import BadLine
from rdtools.core.provenance import Provenance, provenance_of
from rdtools.core.records import Doc, Record
from rdtools.core.scores import Scores, scores_of
from rdtools.core.streams import Lines, content
from rdtools.formats.records import parse_record

FEW = 40_000
"""So many records of 16 documents are parsed in the time that loading what is compiled takes: 0.6 s."""
_KINDS, _LONGEST = 1000, 1024
"""So many ends of lines are told apart, of so many bytes at most; usually all lines end alike."""
_ROWS = 1024


class ScoredRecord(NamedTuple):
    """The part of a record that its scores need; a score is NaN where a document has none."""

    query_id: str
    scores: list[float]
    provenance: Provenance


def scored(record: Record) -> ScoredRecord:
    """Return the scores of a record and their provenance."""
    scores = scores_of(record)
    missing = [nan] * (len(record["docs"]) - len(scores))
    return ScoredRecord(record["query_id"], [*scores, *missing], provenance_of(record))


Kinds = dict[bytes, "Record | None"]


def read(lines: Lines) -> Iterator[Record]:
    """Yield the records that `jsonl.read` yields, with `Scores` for `docs` once there are many of them."""
    kinds: Kinds = {}
    while True:
        found: Iterable[Record | bytes]
        if lines.number >= FEW and (block := lines.ahead()):
            found = _scanned(block, lines, kinds)
        elif (line := next(iter(lines), None)) is not None:
            found = [line]
        else:
            return
        for one in found:
            record = lines.parse(parse_record, one) if isinstance(one, bytes) else one
            if record is not None:
                yield record


def _scanned(block: bytes, lines: Lines, kinds: Kinds) -> Iterator[Record | bytes]:
    """Yield the records of a block, and the lines that were not taken.

    `kinds` has a record for what may follow the documents in a line.
    """
    from rdtools.formats.scanning import scan

    start = first = 0
    scores, ends = scan(block)
    values = scores.tolist()
    rows = (row for place in range(0, len(ends), _ROWS) for row in ends[place : place + _ROWS].tolist())
    for end, id_start, id_end, docs_end, docs, scored in rows:
        lines.number += 1
        kind = _kind(block[docs_end:end], kinds) if docs >= 0 and end - docs_end <= _LONGEST else None
        if kind is not None:
            record = kind.copy()
            record["query_id"] = block[id_start:id_end].decode()
            record["docs"] = cast("list[Doc]", Scores(values[first : first + scored], docs))
            yield record
        elif line := content(block[start:end]):
            yield line
        first += scored
        start = end


def _kind(rest: bytes, kinds: Kinds) -> Record | None:
    """Parse what follows the documents; None where that may change what stands before it, or is wrong."""
    if rest not in kinds:
        if len(kinds) == _KINDS:
            kinds.clear()
        kinds[rest] = None
        if not (b"\\" in rest or b'"docs"' in rest or b'"query_id"' in rest):
            with suppress(BadLine):
                kinds[rest] = parse_record(b'{"query_id":"-","docs":[]' + rest)
    return kinds[rest]
