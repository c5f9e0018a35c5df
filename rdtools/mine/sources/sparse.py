"""`sparse:MODEL`: exact search over the embeddings of a sparse encoder, by an inverted index."""

from __future__ import annotations

from rdtools.mine.sources.dense import DenseSource
from rdtools.search.embeddings import EmbeddingSearch
from rdtools.search.resources import Resources
from rdtools.search.sparse import SparseIndex, SparseSearch


class SparseSource(DenseSource):
    name = "sparse"

    @staticmethod
    def open(model: str, resources: Resources) -> EmbeddingSearch:
        return SparseSearch(SparseIndex(model, resources))
