"""Runs beside judgements: at which places of each ranking the judged documents stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from rdtools.core.errors import BadLine
from rdtools.core.records import Qrels, Record
from rdtools.formats import Reading, read_records
from rdtools.formats.runs import rank, run_scores, run_tag


class Ranking(NamedTuple):
    """What is kept of the ranking of one query: no measure asks which documents the unjudged ones are."""

    places: dict[str, int]
    """doc_id -> place from 1, of the judged documents that were found, best first."""
    size: int
    """Documents that were found, judged or not."""

    def cut(self, depth: int) -> Ranking:
        """Return the first `depth` documents."""
        if self.size <= depth:
            return self
        return Ranking({doc_id: place for doc_id, place in self.places.items() if place <= depth}, depth)


NOTHING = Ranking({}, 0)


@dataclass(frozen=True)
class Run:
    """What a run says about the judged queries.

    Attributes:
        rankings: query_id -> ranking; a query without documents is not there.
        tag: what made the run, by its first record.
        unjudged: how many of its queries are not judged, and so left out.
    """

    rankings: dict[str, Ranking]
    tag: str
    unjudged: int

    def cut(self, depth: int) -> Run:
        """Return the run with the first `depth` documents of each query."""
        return replace(self, rankings={query_id: own.cut(depth) for query_id, own in self.rankings.items()})


def read_run(path: str, qrels: Qrels, reading: Reading, ignore_identical_ids: bool = False) -> Run:
    """Read a run, its lines in any order. Records of one query are merged; a document twice is bad input.

    `ignore_identical_ids` leaves out a document whose id is that of the query.
    """
    from rdtools.evaluate.blocks import read_plain_run

    plain = None if ignore_identical_ids else read_plain_run(path, qrels, reading)
    return plain or read_any_run(path, qrels, reading, ignore_identical_ids)


def read_any_run(path: str, qrels: Qrels, reading: Reading, ignore_identical_ids: bool = False) -> Run:
    """Read a run record by record, as `read_run` does where it is not a plain TREC run."""
    gathered = _Gathered(qrels, ignore_identical_ids)
    for _ in read_records([path], replace(reading, together=False, ranked=True), gathered.add):
        pass
    return gathered.run()


class _Gathered:
    """The scores of a run by query and document, None where a document has none."""

    def __init__(self, qrels: Qrels, ignore_identical_ids: bool) -> None:
        self._tag = ""
        self._unjudged: set[str] = set()
        self._scores: dict[str, dict[str, float | None]] = {}
        self._scales: dict[str, str] = {}
        self._qrels = qrels
        self._ignore_identical_ids = ignore_identical_ids

    def add(self, record: Record) -> None:
        """Add the documents that were found, not those that came from the qrels."""
        self._tag = self._tag or run_tag(record)
        query_id = record["query_id"]
        if query_id not in self._qrels:
            self._unjudged.add(query_id)
            return
        scores = run_scores(record)
        if any(score is not None for score in scores.values()):
            scale = record.get("score_scale", "unknown")
            if self._scales.setdefault(query_id, scale) != scale:
                problem = f'query "{query_id}" has scores on two scales: {self._scales[query_id]}, {scale}'
                raise BadLine(problem, "they make no one ranking")
        known = self._scores.setdefault(query_id, {})
        for doc_id in scores:
            if doc_id in known:
                raise BadLine(f'document "{doc_id}" stands twice for query "{query_id}"')
        known.update(scores)

    def run(self) -> Run:
        rankings = {}
        for query_id, scores in self._scores.items():
            if self._ignore_identical_ids:
                scores.pop(query_id, None)
            if scores:
                rankings[query_id] = _ranking(scores, self._qrels[query_id])
        return Run(rankings, self._tag, len(self._unjudged))


def _ranking(scores: dict[str, float | None], grades: dict[str, int]) -> Ranking:
    ranked = rank(scores)
    places = {doc_id: place for place, (doc_id, _) in enumerate(ranked, start=1) if doc_id in grades}
    return Ranking(places, len(ranked))
