"""Candidates that are there already: `run:FILE`, any ranking, and `records`, the docs of the input itself."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.errors import UsageError
from rdtools.formats.runs import found_docs, ranking
from rdtools.records import Record
from rdtools.runs import read_run, scores_of
from rdtools.setting import Setting
from rdtools.sources import Found, Wanted


class RunSource:
    """`run:FILE`: a run (TREC, TSV, records), held in memory. `run:msmarco-run:FILE` names its format."""

    name = "run"
    batch = 1

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise UsageError("--from run: it needs a file, run:FILE")
        run = read_run(argument, setting)
        self.scale = run.scale
        self._docs = {query_id: _Docs(record) for query_id, record in run.records.items()}
        self._none = _Docs({"query_id": "", "docs": []})

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [self._docs.get(one.record["query_id"], self._none).found(one) for one in wanted]


class RecordsSource:
    """The docs of the record, by score; without any score, in their order."""

    name = "records"
    batch = 1

    def __init__(self, argument: str, setting: Setting) -> None:
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
        self._scores = scores_of(record)
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
