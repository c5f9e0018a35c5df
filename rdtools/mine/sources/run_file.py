"""`run:FILE`: the documents of a run."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.core.errors import UsageError
from rdtools.data.run_file import read_run_file
from rdtools.mine.sources import SearchRequest, SourceRanking
from rdtools.mine.sources.records import rank_record, up_to_depth
from rdtools.search.resources import Resources


class RunSource:
    """A run (TREC, TSV, records), ranked once and held in memory. `run:msmarco-run:FILE` names its format."""

    name = "run"
    batch = 1

    def __init__(self, argument: str, resources: Resources) -> None:
        if not argument:
            raise UsageError("--from run needs a file: run:FILE")
        run = read_run_file(argument, resources.reading, resources.score_scale)
        self.scale = run.scale
        self._rankings = {query_id: rank_record(record) for query_id, record in run.records.items()}

    def search(self, requests: Sequence[SearchRequest]) -> list[SourceRanking]:
        empty = SourceRanking([])
        return [up_to_depth(self._rankings.get(one.record["query_id"], empty), one) for one in requests]
