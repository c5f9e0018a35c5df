"""`qrels`: the judgements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdtools.core.errors import UsageError
from rdtools.label.teachers import Scored, TextPair
from rdtools.search.resources import Resources


class QrelsTeacher:
    """Score by the grade in --qrels, --dataset or the record; unjudged documents get 0."""

    name = "qrels"
    key = None
    needs_text = False

    def __init__(self, argument: str, resources: Resources) -> None:
        if argument:
            raise UsageError(f"--teacher qrels:{argument}: qrels takes no argument (--qrels names the file)")
        self.scale = resources.score_scale or "unknown"
        self._qrels = resources.collection.qrels

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        grades = [self._qrels.get(pair.query_id, {}).get(pair.doc_id, pair.relevance or 0) for pair in pairs]
        yield range(len(pairs)), [float(grade) for grade in grades]
