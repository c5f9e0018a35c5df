"""The embeddings of a corpus, kept in the folder of `--index`, and exact search in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rdtools.core.errors import RdError
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import fingerprint
from rdtools.models.options import ModelOptions
from rdtools.search import RankedRows
from rdtools.search.index_folder import load_or_build
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EmbeddingIndex(ABC):
    """The embeddings of a corpus. Each distinct text is encoded once: documents of equal text share a place.

    Attributes:
        kind: names its folder.
        model: its name.
        encoder: the model, for queries and further texts.
        embeddings: (places, dimension) float32, normalised if the model scores by cosine.
        place_of_row: (rows,) the place of each document of the corpus.
    """

    kind: str
    embeddings: Any

    def __init__(self, model: str, resources: Resources) -> None:
        self.corpus = resources.collection.corpus
        self.model = model
        self.encoder = self.open_encoder(model, resources.model)
        places: dict[str, int] = {}
        of_row = [places.setdefault(text, len(places)) for text in self.corpus.texts]
        self.place_of_row: NDArray[np.int64] = np.array(of_row, np.int64)
        self._by_place = np.argsort(self.place_of_row, kind="stable")
        self._starts = np.searchsorted(self.place_of_row[self._by_place], np.arange(len(places) + 1))

        def encode() -> Any:
            embeddings = self.encoder.encode_documents(list(places), f"encoding with {model}")
            if not self.is_finite(embeddings):
                raise not_finite(model)
            return embeddings

        def load(folder: Path) -> Any:
            return self._load(folder, len(places))

        settings = {"dtype": resources.model.dtype, "max_length": self.encoder.model.max_seq_length}
        if resources.search.index is not None:
            settings["model"] = self.fingerprint + self.encoder.mark
        self.embeddings = load_or_build(  # all bytes are verified, because a search reads them all anyway
            replace(resources.search, verify=True),
            self.kind,
            settings,
            self.corpus,
            encode,
            lambda made: made,
            self._save,
            load,
        )  # fmt: skip

    @staticmethod
    @abstractmethod
    def open_encoder(model: str, options: ModelOptions) -> BiEncoder:
        """Load the model."""

    @staticmethod
    @abstractmethod
    def is_finite(embeddings: Any) -> bool:
        """Return whether all values of embeddings are finite."""

    @staticmethod
    @abstractmethod
    def _save(embeddings: Any, folder: Path) -> None: ...

    @staticmethod
    @abstractmethod
    def _load(folder: Path, places: int) -> Any:
        """
        Raises:
            ValueError: the files hold no embeddings of so many places.
        """

    @cached_property
    def fingerprint(self) -> str:
        """The hash of the model's files."""
        return fingerprint(self.model)

    def rows_at(self, place: int) -> NDArray[np.int64]:
        """Return the rows of the documents that share a place, ascending."""
        return self._by_place[self._starts[place] : self._starts[place + 1]]

    def scores(self, query: Any, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the similarity of a query to the texts at `places`, (len(places),) float32.

        The products are summed in float64, so that a score does not depend on which others are computed
        with it.
        """
        wide = self.encoder.wide(query).reshape(-1)
        products: NDArray[np.float64] = self.embeddings[places].astype(np.float64) @ wide
        return products.astype(np.float32)


class EmbeddingSearch(ABC):
    """Exact search of an index for the texts nearest to a query.

    Candidates are found first, perhaps by rounded scores. Their scores are then computed again, one query at
    a time, so that neither the ranking nor a digit of a score depends on which queries came together.
    """

    def __init__(self, index: EmbeddingIndex) -> None:
        self.index = index

    def search(self, queries: Any, depths: Sequence[int]) -> list[RankedRows]:
        """Return the ranking of each query, to its own depth; of equal scores the smaller row comes first.

        Raises:
            RdError: an embedding is not finite.
        """
        if not self.index.is_finite(queries):
            raise not_finite(self.index.model)
        found = self._candidates(queries, depths)
        return [self._ranked(*one) for one in zip(queries, found, depths, strict=True)]

    def score_rows(self, query: Any, rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the similarity of a query to the texts at `rows`."""
        return self.index.scores(query, self.index.place_of_row[rows])

    @abstractmethod
    def _candidates(self, queries: Any, depths: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        """Return for each query places that include all that its ranking may need."""

    def _ranked(self, query: Any, places: NDArray[np.int64], depth: int) -> RankedRows:
        if not len(places):
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        groups = [self.index.rows_at(place) for place in places]
        rows = np.concatenate(groups)
        scores = np.repeat(self.index.scores(query, places), [len(group) for group in groups])
        best = np.lexsort((rows, -scores))[:depth]
        return rows[best], scores[best]


def not_finite(model: str) -> RdError:
    return RdError(f"model {model}: an embedding is not finite (try --dtype float32, or another model)")
