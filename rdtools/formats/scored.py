"""Records of which only the scores are asked for: read without making an object of each document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from rdtools.errors import BadLine
from rdtools.formats import jsonl
from rdtools.records import Doc, Record
from rdtools.streams import Lines

_FEW = 2048
"""Records that are parsed in the time that it takes to load what is compiled."""
_KINDS = 1000
"""Records are told apart by so many lines' ends at most; usually all end alike."""


class Scores(Sequence[Doc]):
    """The documents of a record, of which only the scores are known: `values`, of those that have one."""

    def __init__(self, values: list[float], docs: int) -> None:
        self.values = values
        self._docs = docs

    def __len__(self) -> int:
        return self._docs

    def __getitem__(self, place: Any) -> Any:
        raise TypeError("of these documents only the scores were read")


def scores_of(record: Record) -> list[float]:
    """Return the scores of the documents that have one, in order."""
    docs: Sequence[Doc] = record["docs"]
    return docs.values if isinstance(docs, Scores) else [doc["score"] for doc in docs if "score" in doc]


def has_scores(record: Record) -> bool:
    docs: Sequence[Doc] = record["docs"]
    return bool(docs.values) if isinstance(docs, Scores) else any("score" in doc for doc in docs)


def read(lines: Lines) -> Iterator[Record]:
    """Yield the records that `jsonl.read` yields, with `Scores` for `docs` once there are many of them."""
    kinds: dict[bytes, Record | None] = {}
    while True:
        if lines.number >= _FEW and (block := lines.ahead()):
            yield from _scanned(block, lines, kinds)
        elif (line := next(iter(lines), None)) is None:
            return
        elif (record := lines.parse(jsonl.parse, line)) is not None:
            yield record


def _scanned(block: bytes, lines: Lines, kinds: dict[bytes, Record | None]) -> Iterator[Record]:
    """Yield the records of a block; `kinds` has one for what may follow the documents in a line."""
    from rdtools.scanning import scan

    start = first = 0
    scores, places = scan(block)
    values = scores.tolist()
    for end, id_start, id_end, docs_end, docs, scored in places.tolist():
        lines.number += 1
        record = None
        if docs >= 0:
            rest = block[docs_end:end]
            if rest not in kinds:
                if len(kinds) == _KINDS:
                    kinds.clear()
                kinds[rest] = _kind(rest)
            record = kinds[rest]
        if record is not None:
            record = record.copy()
            record["query_id"] = block[id_start:id_end].decode()
            record["docs"] = cast("list[Doc]", Scores(values[first : first + scored], docs))
            yield record
        elif (line := block[start:end].rstrip(b"\r\n")).strip():
            record = lines.parse(jsonl.parse, line)
            if record is not None:
                yield record
        first += scored
        start = end


def _kind(rest: bytes) -> Record | None:
    """Parse what follows the documents; None where that may change what stands before it, or is wrong."""
    if b"\\" in rest or b'"docs"' in rest or b'"query_id"' in rest:
        return None
    try:
        return jsonl.parse(b'{"query_id":"-","docs":[]' + rest)
    except BadLine:
        return None
