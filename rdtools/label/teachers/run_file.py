"""`run:FILE`: the scores of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdtools.core.errors import UsageError
from rdtools.core.records import Record
from rdtools.data.run_file import read_run_file, scores_by_doc
from rdtools.label.teachers import Scored, TextPair
from rdtools.search.resources import Resources


class RunTeacher:
    """Score by a run, or by the negated ranks of a run without scores (MS MARCO).

    Documents that the run lacks get no score.
    """

    key = None
    needs_text = False

    def __init__(self, argument: str, resources: Resources) -> None:
        if not argument:
            raise UsageError("--teacher run needs a file: run:FILE")
        self.name = f"run:{argument}"
        run = read_run_file(argument, resources.reading, resources.score_scale)
        of_record = scores_by_doc if run.scale else _negated_ranks
        self.scale = run.scale or "rank"
        self._scores = {query_id: of_record(record) for query_id, record in run.records.items()}
        if not any(self._scores.values()):
            raise UsageError(f"--teacher {self.name}: its documents have neither scores nor ranks")

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        yield range(len(pairs)), [self._scores.get(pair.query_id, {}).get(pair.doc_id) for pair in pairs]


def _negated_ranks(record: Record) -> dict[str, float]:
    return {doc["doc_id"]: -float(doc["rank"]) for doc in record["docs"] if "rank" in doc}
