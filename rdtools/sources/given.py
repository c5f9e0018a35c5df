"""Candidates that are there already: `run:FILE`, any ranking, and `records`, the docs of the input itself."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.errors import UsageError
from rdtools.formats.runs import ranking
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
        self._run = read_run(argument, setting)
        self.scale = self._run.scale

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [self._search(self._run.records.get(one.record["query_id"]), one) for one in wanted]

    def _search(self, record: Record | None, wanted: Wanted) -> Found:
        return Found([]) if record is None else found_in(record, wanted)


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
        return [found_in(one.record, one) for one in wanted]


def found_in(record: Record, wanted: Wanted) -> Found:
    """Answer with the docs of a record.

    A positive that was added is no candidate, yet its score is what margins are measured from.
    """
    scores = scores_of(record)
    ranked = ranking(record)[: wanted.depth]
    return Found(
        [doc_id for doc_id, _ in ranked],
        [score for _, score in ranked] if scores else None,
        {doc_id: scores[doc_id] for doc_id in wanted.judged if doc_id in scores},
    )
