"""`bm25`: exact BM25 over the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

from rdtools.core.errors import UsageError
from rdtools.mine.sources import Found, Wanted, text_to_search
from rdtools.mine.sources.answers import answer
from rdtools.search.bm25 import Bm25, open_bm25
from rdtools.search.resources import Resources


class Bm25Source:
    name = "bm25"
    scale = "bm25"
    batch = 128

    def __init__(self, argument: str, resources: Resources) -> None:
        if argument:
            raise UsageError(f"--from bm25:{argument}: bm25 takes no argument (--k1 and --b set it)")
        self._corpus = resources.collection.corpus
        self._bm25 = shared_bm25(resources)

    def search(self, wanted: Sequence[Wanted]) -> Iterator[Found]:
        queries = [text_to_search(one.record) for one in wanted]
        ranked = self._bm25.search(queries, [one.depth for one in wanted])
        return (
            answer(self._corpus, *found, one.positives, partial(self._bm25.score_rows, query))
            for one, query, found in zip(wanted, queries, ranked, strict=True)
        )


@lru_cache(maxsize=1)
def shared_bm25(resources: Resources) -> Bm25:
    """Open the index once for all sources of a command."""
    return open_bm25(resources)
