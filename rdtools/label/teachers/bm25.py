"""`bm25`: BM25 scores of the texts in the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdtools.core.errors import UsageError
from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TextPair
from rdtools.search.bm25 import open_bm25
from rdtools.search.resources import Resources


class Bm25Teacher:
    """Score by BM25 with the term statistics of --corpus, --dataset or --index."""

    name = "bm25"
    scale = "bm25"
    key = None
    needs_text = True

    def __init__(self, argument: str, resources: Resources) -> None:
        if argument:
            raise UsageError(f"--teacher bm25:{argument}: bm25 takes no argument (--k1 and --b set it)")
        self._bm25 = open_bm25(resources)

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        yield range(len(pairs)), floats([self._bm25.score_text(pair.query, pair.text) for pair in pairs])
