"""`graph`: the neighbours of a query's positives in the corpus (2505.21058), by BM25 or by embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rdtools.core.errors import UsageError
from rdtools.core.registry import split_spec
from rdtools.mine.sources import Found, Wanted
from rdtools.mine.sources.bm25 import shared_bm25
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Neighbours = Callable[[list[int], int], list["NDArray[np.int64]"]]
"""(rows, depth) -> for each row the rows nearest to it, best first, itself perhaps among them."""


class GraphSource:
    """`graph`: what BM25 finds with the text of a positive as query; `graph:dense:MODEL`: by embedding.

    A document's rank is the best that it has among the neighbours of any positive, positives not counted;
    of equal ranks the larger doc_id goes first. There is no score: how near a document is to a positive is
    not how well it answers the query. A query without a positive in the corpus finds nothing.
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

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        row_of = self._corpus.row_of
        starts = [[row_of[doc_id] for doc_id in one.positives if doc_id in row_of] for one in wanted]
        depth = max(one.depth + len(rows) for one, rows in zip(wanted, starts, strict=True))
        neighbours = iter(self._neighbours([row for rows in starts for row in rows], depth))
        return [
            self._merged(one.depth, set(rows), [next(neighbours).tolist() for _ in rows])
            for one, rows in zip(wanted, starts, strict=True)
        ]

    def _merged(self, depth: int, positives: set[int], rankings: list[list[int]]) -> Found:
        best: dict[int, int] = {}
        for ranking in rankings:
            for rank, row in enumerate(row for row in ranking if row not in positives):
                best[row] = min(rank, best.get(row, rank))
        merged = sorted(best, key=lambda row: (best[row], row))[:depth]
        return Found([self._corpus.doc_ids[row] for row in merged])


def _by_words(resources: Resources) -> Neighbours:
    bm25, texts = shared_bm25(resources), resources.collection.corpus.texts

    def neighbours(rows: list[int], depth: int) -> list[NDArray[np.int64]]:
        return [rows for rows, _ in bm25.search([texts[row] for row in rows], [depth] * len(rows))]

    return neighbours


def _by_embedding(model: str, resources: Resources) -> Neighbours:
    from rdtools.mine.sources.dense import (
        shared_nearest,  # here, so that BM25's neighbours do not wait for torch
    )

    nearest = shared_nearest(model, resources)
    dense = nearest.dense

    def neighbours(rows: list[int], depth: int) -> list[NDArray[np.int64]]:
        vectors = dense.embeddings[dense.place_of_row[rows]]
        return [rows for rows, _ in nearest.search(vectors, [depth] * len(rows))]

    return neighbours
