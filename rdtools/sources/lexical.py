"""`bm25`: exact BM25 over the corpus."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.bm25 import open_bm25
from rdtools.errors import UsageError
from rdtools.scores import floats
from rdtools.setting import Setting
from rdtools.sources import Found, Wanted, query_text
from rdtools.sources.ranked import best_rows


class Bm25Source:
    name = "bm25"
    scale = "bm25"
    batch = 1

    def __init__(self, argument: str, setting: Setting) -> None:
        if argument:
            raise UsageError(f"--from bm25:{argument}: bm25 takes no argument (--k1 and --b set it)")
        self._corpus = setting.collection.corpus
        self._bm25 = open_bm25(setting)

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [self._search(one) for one in wanted]

    def _search(self, wanted: Wanted) -> Found:
        scores = self._bm25.scores(query_text(wanted.record))
        rows = best_rows(scores, wanted.depth)
        rows = rows[scores[rows] > 0]  # a document without a term of the query is not found
        row_of = self._corpus.row_of
        judged = [doc_id for doc_id in wanted.judged if doc_id in row_of]
        return Found(
            [self._corpus.doc_ids[row] for row in rows.tolist()],
            floats(scores[rows]),
            dict(zip(judged, floats(scores[[row_of[doc_id] for doc_id in judged]]), strict=True)),
        )
