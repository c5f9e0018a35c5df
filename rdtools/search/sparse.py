"""The embeddings of a corpus by a sparse encoder, and exact search in them by an inverted index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rdtools.core.checked_folder import DamagedIndexError
from rdtools.models.encoding import BiEncoder, SparseBiEncoder
from rdtools.models.loading import load_sparse_encoder
from rdtools.models.options import ModelOptions
from rdtools.search.embeddings import EmbeddingIndex, EmbeddingSearch
from rdtools.search.sparse_rows import SparseRow, SparseRows, write_rows, write_transpose

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS, _POSTINGS = "embeddings", "postings"


class SparseEmbeddings(NamedTuple):
    """Embeddings by place, and by dimension."""

    rows: SparseRows
    postings: SparseRows


class SparseIndex(EmbeddingIndex):
    """The embeddings of a sparse encoder."""

    kind = "sparse"
    embeddings: SparseEmbeddings

    @staticmethod
    def open_encoder(model: str, options: ModelOptions) -> BiEncoder:
        return SparseBiEncoder(load_sparse_encoder(model, options), options.batch_tokens)

    @staticmethod
    def is_finite(embeddings: Any) -> bool:
        return bool(np.isfinite(embeddings.data).all())

    def embedding(self, place: int) -> SparseRow:
        return self.embeddings.rows.row(place)

    def scores(self, query: Any, places: NDArray[np.int64]) -> NDArray[np.float32]:
        (wide,) = self.encoder.wide(query)
        with self.undamaged():
            found = [self.encoder.product(self.embedding(place), wide) for place in places.tolist()]
        self.embeddings.rows.release()
        return np.array(found, np.float32)

    @contextmanager
    def undamaged(self) -> Iterator[None]:
        try:
            yield
        except IndexError as error:
            raise DamagedIndexError(self._folder, "its arrays have numbers out of bounds") from error

    def _joined(self, blocks: Iterator[Any], places: int) -> SparseEmbeddings:
        from scipy.sparse import vstack

        joined = vstack(list(blocks), "csr")
        joined.sort_indices()
        return SparseEmbeddings(SparseRows.of(joined), SparseRows.of(joined.tocsc()))

    def _save(self, blocks: Iterator[Any], places: int, folder: Path) -> None:
        counts = write_rows(folder, _ROWS, blocks)
        write_transpose(folder, _POSTINGS, SparseRows.open(folder, _ROWS), counts)

    def _load(self, folder: Path, places: int) -> SparseEmbeddings:
        self._folder = folder
        found = SparseEmbeddings(SparseRows.open(folder, _ROWS), SparseRows.open(folder, _POSTINGS))
        if len(found.rows.starts) != places + 1:
            raise ValueError(f"it has not one row for each of {places:,} texts")
        return found


class SparseSearch(EmbeddingSearch):
    """Adds up the postings of each dimension of a query.

    A document without a dimension of the query is not found. Its score is 0.
    """

    index: SparseIndex

    def _candidates(self, queries: Any, depths: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        return [self._best(*one) for one in zip(queries, depths, strict=True)]

    def _best(self, query: Any, depth: int) -> NDArray[np.int64]:
        postings = self.index.embeddings.postings
        sums = np.zeros(self.index.places.size)
        rows = [postings.row(dimension) for dimension in query.indices.tolist()]
        places = np.concatenate([row.indices.astype(np.intp) for row in rows] or [np.zeros(0, np.intp)])
        weighted = zip(query.data.tolist(), rows, strict=True)
        values = np.concatenate(
            [weight * row.data.astype(np.float64) for weight, row in weighted] or [np.zeros(0)]
        )
        with self.index.undamaged():
            np.add.at(sums, places, values)
        postings.release()
        scores = sums.astype(np.float32)
        found: NDArray[np.int64] = np.flatnonzero(scores)
        if depth == 0:
            return found[:0]
        if len(found) > depth:  # all that tie with the last one stay
            least = np.partition(scores[found], len(found) - depth)[len(found) - depth]
            found = found[scores[found] >= least]
        return found
