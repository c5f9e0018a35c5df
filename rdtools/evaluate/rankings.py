"""Runs: the ranks of the judged documents in each ranking."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import BinaryIO, NamedTuple

import numpy as np
import orjson

from rdtools.core.errors import BadLine
from rdtools.core.records import Qrels, Record
from rdtools.core.streams import open_bytes, open_lines
from rdtools.formats import Reading, read_records
from rdtools.formats.recognise import recognised
from rdtools.formats.records import MAX_SCORE
from rdtools.formats.runs import rank, run_scores, run_tag

BLOCK = 2**17
"""Bytes that the fast reader reads at a time."""
_SEPARATORS = (b"\x1c", b"\x1d", b"\x1e", b"\x1f")
"""White space for `str.split` but not for `bytes.split`."""


class Ranking(NamedTuple):
    """The ranking of one query: the ranks of the judged documents; unjudged ones are only counted."""

    ranks: dict[str, int]
    """doc_id -> rank from 1, of the judged documents that were retrieved, best first."""
    size: int
    """The number of retrieved documents, judged or not."""

    def truncate(self, depth: int) -> Ranking:
        """Return the first `depth` documents."""
        if self.size <= depth:
            return self
        return Ranking({doc_id: own for doc_id, own in self.ranks.items() if own <= depth}, depth)


EMPTY_RANKING = Ranking({}, 0)


def rank_scores(scores: Mapping[str, float | None], grades: Mapping[str, int]) -> Ranking:
    """Return the ranking of the documents of one query, given with their scores."""
    ranked = [doc_id for doc_id, _ in rank(scores)]
    ranks = {doc_id: place for place, doc_id in enumerate(ranked, start=1) if doc_id in grades}
    return Ranking(ranks, len(ranked))


@dataclass(frozen=True)
class Run:
    """The rankings of the judged queries.

    Attributes:
        rankings: query_id -> ranking; queries without documents are absent.
        tag: the name that the first record gives the run.
        unjudged: the number of queries without judgements, which are ignored.
        queries: the number of all queries.
    """

    rankings: dict[str, Ranking]
    tag: str
    unjudged: int
    queries: int = field(default=0, compare=False)

    def truncate(self, depth: int) -> Run:
        """Return the run with the first `depth` documents of each query."""
        return replace(self, rankings={query: one.truncate(depth) for query, one in self.rankings.items()})


def read_rankings(path: str, qrels: Qrels, reading: Reading, ignore_identical_ids: bool = False) -> Run:
    """Read a run, its lines in any order. Records of one query are merged; a repeated document is bad input.

    `ignore_identical_ids` ignores a document whose id is that of the query.
    """
    run = None if ignore_identical_ids else read_grouped_trec(path, qrels, reading)
    return run or read_any_rankings(path, qrels, reading, ignore_identical_ids)


def read_grouped_trec(path: str, qrels: Qrels, reading: Reading) -> Run | None:
    """Read a TREC run as `read_any_rankings` does, in a fifth of its time.

    Returns None, and reports nothing, if the file is not ASCII, has a bad line or a query's lines apart.
    """
    if reading.input_format not in (None, "trec") or not os.path.isfile(path):
        return None
    with suppress(Exception):
        with open_lines(path, max_line=reading.max_line) as lines:
            if (reading.input_format or recognised(lines)) != "trec":
                return None
            tag = (lines.first() or b"").split()[-1].decode()
        rankings: dict[str, Ranking] = {}
        queries: set[bytes] = set()
        for query, scores in _scores_by_query(path, reading.max_line):
            if query in queries:
                raise ValueError
            queries.add(query)
            if (query_id := query.decode()) in qrels:
                rankings[query_id] = _rank_judged(scores, qrels[query_id])
        return Run(rankings, tag, len(queries) - len(rankings), len(queries))
    return None


def _scores_by_query(path: str, max_line: int) -> Iterator[tuple[bytes, dict[bytes, float]]]:
    """Yield each query_id with doc_id -> score of the adjacent lines; any exception means an invalid line."""
    query = b""
    doc_ids: list[bytes] = []
    ranks: list[bytes] = []
    scores: list[bytes] = []
    with open_bytes(path) as stream:
        for line in chain.from_iterable(_blocks(stream, max_line)):
            query_id, _, doc_id, rank, score, _ = line.split()
            if query_id != query:
                if query:
                    yield query, _checked_scores(doc_ids, ranks, scores)
                query, doc_ids, ranks, scores = query_id, [], [], []
            doc_ids.append(doc_id)
            ranks.append(rank)
            scores.append(score)
    if query:
        yield query, _checked_scores(doc_ids, ranks, scores)


def _blocks(stream: BinaryIO, max_line: int) -> Iterator[list[bytes]]:
    """Yield the lines, a block at a time."""
    rest = b""
    while data := stream.read(max(BLOCK, len(rest))):
        if not data.isascii() or any(mark in data for mark in _SEPARATORS):
            raise ValueError
        whole, _, rest = (rest + data).rpartition(b"\n")
        if 2 * len(rest) + BLOCK > max_line:  # the next line may be too long
            raise ValueError
        if whole:
            yield whole.split(b"\n")
    if rest:
        yield [rest]


def _checked_scores(doc_ids: list[bytes], ranks: list[bytes], scores: list[bytes]) -> dict[bytes, float]:
    """Return doc_id -> score as float32."""
    text = b",".join(scores)
    if not b"".join(ranks).isdigit() or max(map(len, ranks)) > 9 or text.translate(None, b"0123456789+-.eE,"):
        raise ValueError
    values = np.array(orjson.loads(b"[%b]" % text), np.float64)  # faster than float() of each
    if not (abs(values) <= MAX_SCORE).all():
        raise ValueError
    by_doc = dict(zip(doc_ids, values.astype(np.float32).tolist(), strict=True))
    if len(by_doc) < len(doc_ids):
        raise ValueError
    return by_doc


def _rank_judged(scores: dict[bytes, float], grades: dict[str, int]) -> Ranking:
    ascending = sorted(zip(scores.values(), scores, strict=True))
    encoded = {doc_id.encode(): doc_id for doc_id in grades}
    judged = sorted(((scores[own], own) for own in encoded.keys() & scores.keys()), reverse=True)
    size = len(ascending)
    return Ranking({encoded[pair[1]]: size - bisect_left(ascending, pair) for pair in judged}, size)


def read_any_rankings(path: str, qrels: Qrels, reading: Reading, ignore_identical_ids: bool = False) -> Run:
    """Read a run of any format record by record, and report bad lines."""
    gathered = _GatheredScores(qrels, ignore_identical_ids)
    for _ in read_records([path], replace(reading, together=False, ranked=True), gathered.add):
        pass
    return gathered.run()


class _GatheredScores:
    """The scores of a run by query and document; None if a document has none."""

    def __init__(self, qrels: Qrels, ignore_identical_ids: bool) -> None:
        self._tag = ""
        self._unjudged: set[str] = set()
        self._scores: dict[str, dict[str, float | None]] = {}
        self._scales: dict[str, str] = {}
        self._qrels = qrels
        self._ignore_identical_ids = ignore_identical_ids

    def add(self, record: Record) -> None:
        """Add the documents that were retrieved, not those added from the qrels."""
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
                raise BadLine(problem, "give scores on one scale")
        known = self._scores.setdefault(query_id, {})
        for doc_id in scores:
            if doc_id in known:
                raise BadLine(f'document "{doc_id}" is repeated for query "{query_id}"')
        known.update(scores)

    def run(self) -> Run:
        rankings = {}
        for query_id, scores in self._scores.items():
            if self._ignore_identical_ids:
                scores.pop(query_id, None)
            if scores:
                rankings[query_id] = rank_scores(scores, self._qrels[query_id])
        return Run(rankings, self._tag, len(self._unjudged), len(self._scores) + len(self._unjudged))
