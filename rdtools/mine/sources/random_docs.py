"""`random`: documents drawn from the whole corpus, each as likely as any other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from rdtools.core.errors import UsageError
from rdtools.core.randomness import generator, shuffled
from rdtools.mine.sources import Found, Wanted
from rdtools.search.resources import Resources


class RandomSource:
    """The start of a shuffle of all ids: a deeper draw begins with the same documents."""

    name = "random"
    scale = None
    batch = 1

    def __init__(self, argument: str, resources: Resources) -> None:
        if argument:
            raise UsageError(f"--from random:{argument}: random takes no argument (--seed sets it)")
        self._doc_ids = resources.collection.corpus.doc_ids
        self._seed = resources.seed

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [Found(self._draw(one.record["query_id"], one.depth)) for one in wanted]

    def _draw(self, query_id: str, depth: int) -> list[str]:
        rng = generator(self._seed, query_id, "random source")
        return list(islice(shuffled(self._doc_ids, rng), depth))
