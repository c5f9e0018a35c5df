"""`dense:MODEL`: exact search over the embeddings of a bi-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import faiss
import numpy as np

from rdtools.core.errors import UsageError
from rdtools.mine.sources import Found, Wanted, text_to_search
from rdtools.mine.sources.answers import answer, order
from rdtools.search.dense import DenseIndex
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from numpy.typing import NDArray

RankedPlaces = tuple["NDArray[np.int64]", "NDArray[np.float32]"]
"""Rows of the corpus, best first, and their scores."""

_SLACK = 16


class DenseSource:
    name = "dense"
    batch = 64

    def __init__(self, argument: str, resources: Resources) -> None:
        if not argument:
            raise UsageError("--from dense: it needs a model, dense:MODEL")
        self._nearest = shared_nearest(argument, resources)
        self._dense = self._nearest.dense
        self.scale = self._dense.encoder.scale

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        queries = self._dense.encoder.encode_queries([text_to_search(one.record) for one in wanted])
        ranked = self._nearest.search(queries, [one.depth for one in wanted])
        return [self._answer(*one) for one in zip(wanted, queries, ranked, strict=True)]

    def _answer(self, wanted: Wanted, query: NDArray[np.float32], ranked: RankedPlaces) -> Found:
        def score_rows(rows: list[int]) -> NDArray[np.float32]:
            return self._dense.scores(query, self._dense.place_of_row[rows])

        return answer(self._dense.corpus, *ranked, wanted.positives, score_rows)


@lru_cache(maxsize=1)
def shared_nearest(model: str, resources: Resources) -> Nearest:
    """Encode the corpus once for all sources of a command that use the model."""
    return Nearest(DenseIndex(model, resources))


class Nearest:
    """Exact search for the texts nearest to a vector.

    faiss finds a few more than are wanted, for many vectors at once. Their scores are then computed
    again, one vector at a time, so that neither the ranking nor a digit of a score depends on which
    vectors were searched together.
    """

    def __init__(self, dense: DenseIndex) -> None:
        self.dense = dense
        self._flat = faiss.IndexFlatIP(dense.embeddings.shape[1])
        self._flat.add(np.ascontiguousarray(dense.embeddings))

    def search(self, vectors: NDArray[np.float32], depths: Sequence[int]) -> list[RankedPlaces]:
        """Return the ranking of each of (n, dimension) vectors, to its own depth."""
        found = min(max(depths, default=0) + _SLACK, self._flat.ntotal)
        if found == 0 or not len(vectors):
            return [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in vectors]
        _, places = self._flat.search(vectors, found)
        return [self._ranked(*one) for one in zip(vectors, places, depths, strict=True)]

    def _ranked(self, vector: NDArray[np.float32], places: NDArray[np.int64], depth: int) -> RankedPlaces:
        groups = [self.dense.rows_at(place) for place in places]
        rows = np.concatenate(groups)
        scores = np.repeat(self.dense.scores(vector, places), [len(group) for group in groups])
        best = order(rows, scores)[:depth]
        return rows[best], scores[best]
