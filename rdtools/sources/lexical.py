"""`bm25`: exact BM25 over the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from rdtools.bm25 import Bm25, open_bm25
from rdtools.errors import UsageError
from rdtools.setting import Setting
from rdtools.sources import Found, Wanted, query_text
from rdtools.sources.ranked import answer, best_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Bm25Source:
    name = "bm25"
    scale = "bm25"
    batch = 1

    def __init__(self, argument: str, setting: Setting) -> None:
        if argument:
            raise UsageError(f"--from bm25:{argument}: bm25 takes no argument (--k1 and --b set it)")
        self._corpus = setting.collection.corpus
        self._bm25 = shared_bm25(setting)

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [self._search(one) for one in wanted]

    def _search(self, wanted: Wanted) -> Found:
        scores = self._bm25.scores(query_text(wanted.record))
        rows = found_rows(scores, wanted.depth)
        return answer(self._corpus, rows, scores[rows], wanted.positives, lambda rows: scores[rows])


@lru_cache(maxsize=1)
def shared_bm25(setting: Setting) -> Bm25:
    """Open the index once for all sources of a command."""
    return open_bm25(setting)


def found_rows(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """Return the best rows; a document without a term of the query, of score 0, is not found."""
    rows = best_rows(scores, depth)
    return rows[scores[rows] > 0]
