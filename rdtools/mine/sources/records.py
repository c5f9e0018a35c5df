"""Candidates that are there already: `run:FILE`, any ranking, and `records`, the docs of the input itself."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.core.errors import UsageError
from rdtools.core.records import Record
from rdtools.data.run_file import scores_by_doc
from rdtools.formats.runs import found_docs, ranking
from rdtools.mine.sources import Found, Wanted
from rdtools.search.resources import Resources


class RecordsSource:
    """The docs of the record, by score; without any score, in their order."""

    name = "records"
    batch = 1

    def __init__(self, argument: str, resources: Resources) -> None:
        if argument:
            raise UsageError(
                f"--from records:{argument}: records takes no argument (for a file of records: run:FILE)"
            )
        self.scale = None  # that of the record itself, which stays as it is

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [_Docs(one.record).found(one) for one in wanted]


class _Docs:
    """The docs of a record, ranked once.

    A positive that was added is no candidate, yet its score is what margins are measured from.
    """

    def __init__(self, record: Record) -> None:
        ranked, found = ranking(record), found_docs(record)
        scored = any("score" in doc for doc in found)
        self._scores = scores_by_doc(record)
        self._doc_ids = [doc_id for doc_id, _ in ranked]
        self._ranked_scores = [score for _, score in ranked] if scored else None
        self._unscored = len(found) - len(ranked)

    def found(self, wanted: Wanted) -> Found:
        return Found(
            self._doc_ids[: wanted.depth],
            None if self._ranked_scores is None else self._ranked_scores[: wanted.depth],
            {doc_id: self._scores[doc_id] for doc_id in wanted.positives if doc_id in self._scores},
            unscored=self._unscored,
        )
