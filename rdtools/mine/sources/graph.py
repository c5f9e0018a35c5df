"""`graph`: the neighbours of a query's positives in the corpus (2505.21058), by BM25 or by embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rdtools.core.errors import UsageError
from rdtools.core.registry import split_spec
from rdtools.mine.sources import SearchRequest, SourceRanking
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Neighbours = Callable[[list[int], int], list["NDArray[np.int64]"]]
"""(rows, depth) -> the nearest rows of each row, best first, perhaps with the row itself."""


class GraphSource:
    """`graph` searches BM25 with the text of each positive; `graph:dense:MODEL` with its embedding.

    A document's rank is its best rank among the neighbours of any positive, not counting positives; of
    equal ranks the larger doc_id goes first. There is no score, because similarity to a positive does not
    tell how well a document answers the query. A query without a positive in the corpus gets no documents.
    """

    name = "graph"
    scale = None
    batch = 64

    def __init__(self, argument: str, resources: Resources) -> None:
        kind, model = split_spec(argument)
        if argument and not (kind == "dense" and model):
            raise UsageError(f"--from graph:{argument}: graph takes dense:MODEL, or nothing for BM25")
        self._corpus = resources.collection.corpus
        self._neighbours = _by_embedding(model, resources) if argument else _by_words(resources)

    def search(self, requests: Sequence[SearchRequest]) -> list[SourceRanking]:
        row_of = self._corpus.row_of
        starts = [[row_of[doc_id] for doc_id in one.positives if doc_id in row_of] for one in requests]
        depth = max(one.depth + len(rows) for one, rows in zip(requests, starts, strict=True))
        neighbours = iter(self._neighbours([row for rows in starts for row in rows], depth))
        return [
            self._merged(one.depth, set(rows), [next(neighbours).tolist() for _ in rows])
            for one, rows in zip(requests, starts, strict=True)
        ]

    def _merged(self, depth: int, positives: set[int], rankings: list[list[int]]) -> SourceRanking:
        best: dict[int, int] = {}
        for ranking in rankings:
            for rank, row in enumerate(row for row in ranking if row not in positives):
                best[row] = min(rank, best.get(row, rank))
        merged = sorted(best, key=lambda row: (best[row], row))[:depth]
        return SourceRanking([self._corpus.doc_ids[row] for row in merged])


def _by_words(resources: Resources) -> Neighbours:
    from rdtools.mine.sources.bm25 import shared_bm25

    bm25, texts = shared_bm25(resources), resources.collection.corpus.texts

    def neighbours(rows: list[int], depth: int) -> list[NDArray[np.int64]]:
        return [found for found, _ in bm25.search([texts[row] for row in rows], [depth] * len(rows))]

    return neighbours


def _by_embedding(model: str, resources: Resources) -> Neighbours:
    from rdtools.mine.sources.dense import shared_search  # imports torch, which BM25 does not need

    search = shared_search(model, resources)
    index = search.index

    def neighbours(rows: list[int], depth: int) -> list[NDArray[np.int64]]:
        vectors = index.rows_of(rows)
        return [found for found, _ in search.search(vectors, [depth] * len(rows))]

    return neighbours
