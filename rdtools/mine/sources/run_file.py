"""The documents of a run as candidates: `run:FILE`."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.core.errors import UsageError
from rdtools.data.run_file import read_run_file
from rdtools.mine.sources import Found, Wanted
from rdtools.mine.sources.records import _Docs
from rdtools.search.resources import Resources


class RunSource:
    """`run:FILE`: a run (TREC, TSV, records), held in memory. `run:msmarco-run:FILE` names its format."""

    name = "run"
    batch = 1

    def __init__(self, argument: str, resources: Resources) -> None:
        if not argument:
            raise UsageError("--from run: it needs a file, run:FILE")
        run = read_run_file(argument, resources.reading, resources.score_scale)
        self.scale = run.scale
        self._docs = {query_id: _Docs(record) for query_id, record in run.records.items()}
        self._none = _Docs({"query_id": "", "docs": []})

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        return [self._docs.get(one.record["query_id"], self._none).found(one) for one in wanted]
