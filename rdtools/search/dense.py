"""The embeddings of a corpus by a bi-encoder, and exact search in them by faiss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import load_bi_encoder
from rdtools.models.options import ModelOptions
from rdtools.search.arrays import open_array, save_array
from rdtools.search.embeddings import EmbeddingIndex, EmbeddingSearch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FILE = "embeddings.npy"
_SLACK = 16  # more places than wanted, in which faiss may order scores otherwise than we do


class DenseIndex(EmbeddingIndex):
    """The embeddings of a bi-encoder, an array (places, dimension)."""

    kind = "dense"
    embeddings: NDArray[np.float32]

    @staticmethod
    def open_encoder(model: str, options: ModelOptions) -> BiEncoder:
        return BiEncoder(load_bi_encoder(model, options), options.batch_tokens)

    @staticmethod
    def is_finite(embeddings: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(embeddings).all())

    @staticmethod
    def _save(embeddings: NDArray[np.float32], folder: Path) -> None:
        save_array(folder / _FILE, embeddings)

    @staticmethod
    def _load(folder: Path, places: int) -> NDArray[np.float32]:
        embeddings = open_array(folder / _FILE)
        if embeddings.dtype != np.float32 or embeddings.ndim != 2 or len(embeddings) != places:
            raise ValueError(f"{_FILE} has not one float32 row for each of {places:,} texts")
        return embeddings


class DenseSearch(EmbeddingSearch):
    """faiss searches many vectors at once, for a few more texts than are wanted."""

    def __init__(self, index: DenseIndex) -> None:
        import faiss

        super().__init__(index)
        self._flat = faiss.IndexFlatIP(index.embeddings.shape[1])
        self._flat.add(np.ascontiguousarray(index.embeddings))

    def _candidates(self, queries: NDArray[np.float32], depths: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        count = min(max(depths, default=0) + _SLACK, self._flat.ntotal)
        if count == 0 or not len(queries):
            return [np.zeros(0, np.int64) for _ in queries]
        places: NDArray[np.int64] = self._flat.search(queries, count)[1]
        return list(places)
