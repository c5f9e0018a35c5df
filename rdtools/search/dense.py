"""The embeddings of a corpus by a bi-encoder, kept in the folder of `--index`, and exact search in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rdtools.core.errors import RdError
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import fingerprint, load_bi_encoder
from rdtools.search import RankedRows
from rdtools.search.arrays import open_array, save_array
from rdtools.search.index_folder import load_or_build
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLACK = 16  # more places than wanted, in which faiss may order scores otherwise than we do


class DenseIndex:
    """The embeddings of a corpus. Each distinct text is encoded once: documents of equal text share a place.

    Attributes:
        model: its name.
        encoder: the model, for queries and further texts.
        embeddings: (places, dimension) float32, normalised if the model scores by cosine.
        place_of_row: (rows,) the place of each document of the corpus.
    """

    def __init__(self, model: str, resources: Resources) -> None:
        self.corpus = resources.collection.corpus
        self.model = model
        loaded = load_bi_encoder(model, resources.model)
        self.encoder = BiEncoder(loaded, resources.model.batch_tokens)
        places: dict[str, int] = {}
        of_row = [places.setdefault(text, len(places)) for text in self.corpus.texts]
        self.place_of_row: NDArray[np.int64] = np.array(of_row, np.int64)
        self._by_place = np.argsort(self.place_of_row, kind="stable")
        self._starts = np.searchsorted(self.place_of_row[self._by_place], np.arange(len(places) + 1))

        def encode() -> NDArray[np.float32]:
            embeddings = self.encoder.encode_documents(list(places), f"encoding with {model}")
            if not np.isfinite(embeddings).all():
                raise not_finite(model)
            return embeddings

        def load(folder: Path) -> NDArray[np.float32]:
            """All bytes were verified, because a search reads them all anyway."""
            file = folder / "embeddings.npy"
            embeddings = open_array(file)
            if embeddings.dtype != np.float32 or embeddings.ndim != 2 or len(embeddings) != len(places):
                raise ValueError(f"{file.name} has not one float32 row for each of {len(places):,} texts")
            return embeddings

        settings = {"dtype": resources.model.dtype, "max_length": loaded.max_seq_length}
        if resources.search.index is not None:
            settings["model"] = self.fingerprint + self.encoder.mark
        self.embeddings = load_or_build(
            replace(resources.search, verify=True), "dense", settings, self.corpus, encode, _save, load
        )

    @cached_property
    def fingerprint(self) -> str:
        """The hash of the model's files."""
        return fingerprint(self.model)

    def rows_at(self, place: int) -> NDArray[np.int64]:
        """Return the rows of the documents that share a place, ascending."""
        return self._by_place[self._starts[place] : self._starts[place + 1]]

    def scores(self, query: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the similarity of a query to the texts at `places`, (len(places),) float32.

        The products are summed in float64, so that a score does not depend on which others are computed
        with it.
        """
        products = self.embeddings[places].astype(np.float64) @ query.astype(np.float64)
        return products.astype(np.float32)


class DenseSearch:
    """Exact search of an index for the texts nearest to a vector.

    faiss searches many vectors at once, for a few more texts than are wanted. Their scores are then computed
    again, one vector at a time, so that neither the ranking nor a digit of a score depends on which vectors
    were searched together.
    """

    def __init__(self, index: DenseIndex) -> None:
        import faiss

        self.index = index
        self._flat = faiss.IndexFlatIP(index.embeddings.shape[1])
        self._flat.add(np.ascontiguousarray(index.embeddings))

    def search(self, vectors: NDArray[np.float32], depths: Sequence[int]) -> list[RankedRows]:
        """Return the ranking of each of (n, dimension) vectors, to its own depth.

        Raises:
            RdError: a vector is not finite; faiss would find nothing for it.
        """
        if not np.isfinite(vectors).all():
            raise not_finite(self.index.model)
        count = min(max(depths, default=0) + _SLACK, self._flat.ntotal)
        if count == 0 or not len(vectors):
            return [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in vectors]
        _, places = self._flat.search(vectors, count)
        return [self._ranked(*one) for one in zip(vectors, places, depths, strict=True)]

    def score_rows(self, query: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the similarity of a query to the texts at `rows`."""
        return self.index.scores(query, self.index.place_of_row[rows])

    def _ranked(self, vector: NDArray[np.float32], places: NDArray[np.int64], depth: int) -> RankedRows:
        groups = [self.index.rows_at(place) for place in places]
        rows = np.concatenate(groups)
        scores = np.repeat(self.index.scores(vector, places), [len(group) for group in groups])
        best = np.lexsort((rows, -scores))[:depth]
        return rows[best], scores[best]


def not_finite(model: str) -> RdError:
    return RdError(f"model {model}: an embedding is not finite (try --dtype float32, or another model)")


def _save(embeddings: NDArray[np.float32], folder: Path) -> None:
    save_array(folder / "embeddings.npy", embeddings)
