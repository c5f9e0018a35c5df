"""`dense:MODEL`: exact or approximate search over the embeddings of a bi-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from rdtools.core.errors import UsageError
from rdtools.mine.sources import SearchRequest, SourceRanking, search_index, texts_to_search
from rdtools.search.dense import DenseIndex, DenseSearch
from rdtools.search.embeddings import EmbeddingSearch
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from rdtools.search.ann import AnnSearch


class DenseSource:
    name = "dense"
    batch = 64

    def __init__(self, argument: str, resources: Resources) -> None:
        if not argument:
            raise UsageError(f"--from {self.name} needs a model: {self.name}:MODEL")
        self._search = self.open(argument, resources)
        self._index = self._search.index
        self.scale = self._index.encoder.scale

    @staticmethod
    def open(model: str, resources: Resources) -> EmbeddingSearch:
        return shared_search(model, resources)

    def search(self, requests: Sequence[SearchRequest]) -> list[SourceRanking]:
        vectors = self._index.encoder.encode_queries(texts_to_search(requests))
        return list(search_index(self._search, self._index.corpus, vectors, requests))


@lru_cache(maxsize=1)
def shared_search(model: str, resources: Resources) -> DenseSearch | AnnSearch:
    """Encode the corpus once for all sources of a command that use the model."""
    if resources.ann.ann is None:
        return DenseSearch(DenseIndex(model, resources))
    from rdtools.search.ann import AnnSearch  # imports faiss, which exact search does not need

    return AnnSearch.open(model, resources)
