"""The embeddings of a corpus by a sparse encoder, and exact search in them by an inverted index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rdtools.models.encoding import BiEncoder, SparseBiEncoder
from rdtools.models.loading import load_sparse_encoder
from rdtools.models.options import ModelOptions
from rdtools.search.arrays import open_array, save_array
from rdtools.search.embeddings import EmbeddingIndex, EmbeddingSearch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ARRAYS = ("data", "indices", "indptr", "shape")


class SparseIndex(EmbeddingIndex):
    """The embeddings of a sparse encoder, a csr_matrix (places, dimension)."""

    kind = "sparse"

    @staticmethod
    def open_encoder(model: str, options: ModelOptions) -> BiEncoder:
        return SparseBiEncoder(load_sparse_encoder(model, options), options.batch_tokens)

    @staticmethod
    def is_finite(embeddings: Any) -> bool:
        return bool(np.isfinite(embeddings.data).all())

    def _joined(self, blocks: Iterator[Any], places: int) -> Any:
        from scipy.sparse import vstack

        return vstack(list(blocks), "csr")

    def _save(self, blocks: Iterator[Any], places: int, folder: Path) -> None:
        embeddings = self._joined(blocks, places)
        for name in _ARRAYS:
            save_array(folder / f"{name}.npy", np.asarray(getattr(embeddings, name)))

    def _load(self, folder: Path, places: int) -> Any:
        from scipy.sparse import csr_matrix

        data, indices, indptr, shape = (open_array(folder / f"{name}.npy") for name in _ARRAYS)
        if data.dtype != np.float32 or indices.dtype.kind + indptr.dtype.kind != "ii" or shape.shape != (2,):
            raise ValueError("its arrays are not those of a sparse matrix")
        found = csr_matrix((data, indices, indptr), shape=tuple(shape.tolist()))
        found.check_format()
        if found.shape[0] != places:
            raise ValueError(f"it has not one row for each of {places:,} texts")
        return found


class SparseSearch(EmbeddingSearch):
    """Adds up the postings of each dimension of a query.

    A document without a dimension of the query is not found. Its score is 0.
    """

    def __init__(self, index: SparseIndex) -> None:
        super().__init__(index)
        self._postings = index.embeddings.tocsc()  # by dimension: the places, and their values

    def _candidates(self, queries: Any, depths: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        return [self._best(*one) for one in zip(queries, depths, strict=True)]

    def _best(self, query: Any, depth: int) -> NDArray[np.int64]:
        scores = self._postings[:, query.indices] @ query.data.astype(np.float64)
        scores = scores.astype(np.float32)
        found: NDArray[np.int64] = np.flatnonzero(scores)
        if depth == 0:
            return found[:0]
        if len(found) > depth:  # all that tie with the last one stay
            least = np.partition(scores[found], len(found) - depth)[len(found) - depth]
            found = found[scores[found] >= least]
        return found
