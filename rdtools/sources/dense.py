"""`dense:MODEL`: exact search over the embeddings of a bi-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import faiss
import numpy as np

from rdtools.dense import DenseIndex
from rdtools.errors import UsageError
from rdtools.scores import floats
from rdtools.setting import Setting
from rdtools.sources import Found, Wanted, query_text
from rdtools.sources.ranked import order

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLACK = 16


class DenseSource:
    """faiss finds a few more than are wanted, for batches of queries. Their scores are then computed
    again, one query at a time, so that neither the ranking nor a digit of a score depends on which
    queries were searched together.
    """

    name = "dense"
    batch = 64

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise UsageError("--from dense: it needs a model, dense:MODEL")
        self._dense = DenseIndex(argument, setting)
        self._corpus = self._dense.corpus
        self.scale = self._dense.encoder.scale
        self._flat = faiss.IndexFlatIP(self._dense.embeddings.shape[1])
        self._flat.add(np.ascontiguousarray(self._dense.embeddings))

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        queries = self._dense.encoder.encode_queries([query_text(one.record) for one in wanted])
        depth = min(max(one.depth for one in wanted) + _SLACK, self._flat.ntotal)
        if depth == 0:
            return [Found([], []) for _ in wanted]
        _, places = self._flat.search(queries, depth)
        return [self._answer(*one) for one in zip(wanted, queries, places, strict=True)]

    def _answer(self, wanted: Wanted, query: NDArray[np.float32], places: NDArray[np.int64]) -> Found:
        groups = [self._dense.rows_at(place) for place in places]
        rows = np.concatenate(groups)
        scores = np.repeat(self._dense.scores(query, places), [len(group) for group in groups])
        best = order(rows, scores)[: wanted.depth]
        judged = [doc_id for doc_id in wanted.judged if doc_id in self._corpus.row_of]
        judged_rows = [self._corpus.row_of[doc_id] for doc_id in judged]
        judged_scores = self._dense.scores(query, self._dense.place_of_row[judged_rows])
        return Found(
            [self._corpus.doc_ids[row] for row in rows[best].tolist()],
            floats(scores[best]),
            dict(zip(judged, floats(judged_scores), strict=True)),
        )
