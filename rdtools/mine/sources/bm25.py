"""`bm25`: exact BM25 over the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from rdtools.mine.sources import SearchRequest, SourceRanking, refuse_argument, search_index, texts_to_search
from rdtools.search.bm25 import Bm25, open_bm25
from rdtools.search.resources import Resources


class Bm25Source:
    name = "bm25"
    scale = "bm25"
    batch = 128

    def __init__(self, argument: str, resources: Resources) -> None:
        refuse_argument("bm25", argument, "--k1 and --b set it")
        self._corpus = resources.collection.corpus
        self._bm25 = shared_bm25(resources)

    def search(self, requests: Sequence[SearchRequest]) -> Iterator[SourceRanking]:
        return search_index(self._bm25, self._corpus, texts_to_search(requests), requests)


@lru_cache(maxsize=1)
def shared_bm25(resources: Resources) -> Bm25:
    """Open the index once for all sources of a command."""
    return open_bm25(resources)
