"""Candidates that are there already: `run:FILE`, any ranking, and `records`, the docs of the input itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rdtools.errors import RdError, UsageError
from rdtools.formats import read_records
from rdtools.formats.runs import ranking
from rdtools.log import track
from rdtools.records import Record
from rdtools.setting import Setting
from rdtools.sources import Found, Wanted


class RunSource:
    """A run file (TREC, TSV, MS MARCO or records), held in memory."""

    name = "run"
    batch = 1

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise UsageError("--from run: it needs a file, run:FILE")
        self.scale: str | None = None
        self._found: dict[str, Found] = {}
        for record in track(
            read_records([argument], replace(setting.reading, input_format=None)), "reading run", "query"
        ):
            if record["query_id"] in self._found:
                raise RdError(f'{argument}: query "{record["query_id"]}" stands twice')
            scored = any("score" in doc for doc in record["docs"])
            if scored:
                self.scale = setting.score_scale or record.get("score_scale", "unknown")
            self._found[record["query_id"]] = _found(record, scored)

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [_cut(self._found.get(one.record["query_id"], Found([])), one) for one in wanted]


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
        return [self._search(one.record, one) for one in wanted]

    def _search(self, record: Record, wanted: Wanted) -> Found:
        # A positive that was added is no candidate, yet its score is what margins are measured from.
        scores = {doc["doc_id"]: doc["score"] for doc in record["docs"] if "score" in doc}
        judged = {doc_id: scores[doc_id] for doc_id in wanted.judged if doc_id in scores}
        return replace(_cut(_found(record, bool(scores)), wanted), judged=judged)


def _found(record: Record, scored: bool) -> Found:
    ranked = ranking(record)
    return Found([doc_id for doc_id, _ in ranked], [score for _, score in ranked] if scored else None)


def _cut(found: Found, wanted: Wanted) -> Found:
    scores = dict(zip(found.doc_ids, found.scores or (), strict=False))
    return Found(
        found.doc_ids[: wanted.depth],
        found.scores and found.scores[: wanted.depth],
        {doc_id: scores[doc_id] for doc_id in wanted.judged if doc_id in scores},
    )
