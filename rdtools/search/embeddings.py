"""The embeddings of a corpus, kept in the folder of `--index`, and search in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rdtools.core.errors import RdError
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import fingerprint
from rdtools.models.options import ModelOptions
from rdtools.search import RankedRows
from rdtools.search.index_folder import load_or_build
from rdtools.search.places import Places
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Encoded = tuple[Places, Iterator[Any]]
"""The places, and their embeddings block by block."""


class EmbeddingIndex(ABC):
    """The embeddings of a corpus. Each distinct text is encoded once: documents of equal text share a place.

    With a folder they are written there as they are made, and stay there.

    Attributes:
        kind: names its folder.
        model: its name.
        encoder: the model, for queries and further texts.
        embeddings: (places, dimension), normalised if the model scores by cosine.
        dtype: their type.
        places: the places of the corpus's documents.
        settings: what they depend on, besides the corpus.
    """

    kind: str
    embeddings: Any

    def __init__(
        self, model: str, resources: Resources, check: Callable[[BiEncoder], None] = lambda encoder: None
    ) -> None:
        """`check` may refuse the model before the corpus is encoded."""
        self.corpus = resources.collection.corpus
        self.model = model
        self.encoder = self.open_encoder(model, resources.model)
        check(self.encoder)
        self.dtype = resources.search.index_dtype
        self.settings = {
            "dtype": resources.model.dtype,
            "max_length": self.encoder.model.max_seq_length,
            "places": list(Places._fields),
            "embeddings": self.dtype,
        }
        if resources.search.index is not None:
            self.settings["model"] = self.fingerprint + self.encoder.mark
        self.places, self.embeddings = load_or_build(
            resources.search, self.kind, self.settings, self.corpus, self._encode,
            self._in_memory, self._write, self._open,
        )  # fmt: skip

    def _encode(self) -> _Encoded:
        """Find the places; their texts are read and encoded when the blocks are."""
        places = Places.of(self.corpus.texts)
        return places, self._blocks(places)

    def _blocks(self, places: Places) -> Iterator[Any]:
        is_first = np.zeros(len(self.corpus), bool)
        is_first[places.first_rows] = True
        texts = compress(self.corpus.texts, is_first)
        for block in self.encoder.encoded(texts, places.size, f"encoding with {self.model}"):
            if not self.is_finite(block):
                raise not_finite(self.model)
            yield block
        if not places.size:
            yield self.encoder.encode_documents([])

    def _in_memory(self, encoded: _Encoded) -> tuple[Places, Any]:
        places, blocks = encoded
        return places, self._joined(blocks, places.size)

    def _write(self, encoded: _Encoded, folder: Path) -> None:
        places, blocks = encoded
        places.save(folder)
        self._save(blocks, places.size, folder)

    def _open(self, folder: Path) -> tuple[Places, Any]:
        places = Places.load(folder, len(self.corpus))
        return places, self._load(folder, places.size)

    @staticmethod
    @abstractmethod
    def open_encoder(model: str, options: ModelOptions) -> BiEncoder:
        """Load the model."""

    @staticmethod
    @abstractmethod
    def is_finite(embeddings: Any) -> bool:
        """Return whether all values of embeddings are finite."""

    @abstractmethod
    def _joined(self, blocks: Iterator[Any], places: int) -> Any:
        """Return all embeddings; there is at least one block."""

    @abstractmethod
    def _save(self, blocks: Iterator[Any], places: int, folder: Path) -> None:
        """Write what `_load` reads."""

    @abstractmethod
    def _load(self, folder: Path, places: int) -> Any:
        """
        Raises:
            ValueError: the files hold no embeddings of so many places.
        """

    @cached_property
    def fingerprint(self) -> str:
        """The hash of the model's files."""
        return fingerprint(self.model)

    def undamaged(self) -> AbstractContextManager[None]:
        """Report numbers that are out of bounds."""
        return nullcontext()

    def embedding(self, place: int) -> Any:
        """Return an embedding as the encoder's `product` takes it."""
        return self.embeddings[place]

    def scores(self, query: Any, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the similarity of a query to the texts at `places`, (len(places),) float32.

        The products are summed in float64, so that a score does not depend on which others are computed
        with it.
        """
        wide = self.encoder.wide(query).reshape(-1)
        products: NDArray[np.float64] = self.embeddings[places].astype(np.float64) @ wide
        return products.astype(np.float32)


class EmbeddingSearch(ABC):
    """Search of an index for the texts nearest to a query.

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
        return self.index.scores(query, self.index.places.of_row[rows])

    @abstractmethod
    def _candidates(self, queries: Any, depths: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        """Return for each query places that include all that its ranking may need."""

    def _ranked(self, query: Any, places: NDArray[np.int64], depth: int) -> RankedRows:
        if not len(places):
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        groups = [self.index.places.rows_at(place) for place in places]
        rows = np.concatenate(groups)
        scores = np.repeat(self.index.scores(query, places), [len(group) for group in groups])
        best = np.lexsort((rows, -scores))[:depth]
        return rows[best], scores[best]


def not_finite(model: str) -> RdError:
    return RdError(f"model {model}: an embedding is not finite (try --dtype float32, or another model)")
