"""`random`: documents drawn from the whole corpus, each with the same probability."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.core.randomness import generator, sample_places
from rdtools.mine.sources import SearchRequest, SourceRanking, refuse_argument
from rdtools.search.resources import Resources


class RandomSource:
    """The first documents of a shuffled corpus: a deeper search starts with the same documents."""

    name = "random"
    scale = None
    batch = 1

    def __init__(self, argument: str, resources: Resources) -> None:
        refuse_argument("random", argument, "--seed sets it")
        self._doc_ids = resources.collection.corpus.doc_ids
        self._seed = resources.seed

    def search(self, requests: Sequence[SearchRequest]) -> list[SourceRanking]:
        return [SourceRanking(self._draw(one.record["query_id"], one.depth)) for one in requests]

    def _draw(self, query_id: str, depth: int) -> list[str]:
        return sample_places(self._doc_ids, depth, generator(self._seed, query_id, "random source"))
