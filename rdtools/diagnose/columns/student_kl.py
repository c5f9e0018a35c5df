"""Divergence of a student's distribution over a query's documents from the teacher's (`--student RUN`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rdtools.core.errors import RdError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.log import log, plural
from rdtools.core.records import Record
from rdtools.diagnose.diagnostic import Column, Diagnostic

if TYPE_CHECKING:
    from rdtools.diagnose.entropy import Floats
    from rdtools.formats import Reading
    from rdtools.search.resources import Resources


@dataclass(frozen=True)
class StudentRunOptions(OptionGroup):
    """The student's scores and their temperature."""

    heading: ClassVar[str] = "Student"

    student: str | None = flag(
        "--student", default=None, metavar="RUN",
        help="Add the KL divergence of the student whose scores RUN holds from the teacher.",
    )  # fmt: skip
    student_temperature: float | None = flag(
        "--student-temperature", default=None, metavar="T", above=0, needs="--student",
        default_text="that of --temperature", help="Divide the student's score differences by T.",
    )  # fmt: skip


class StudentKl(Diagnostic):
    """student_kl_bits: KL(softmax(t/T) || softmax(s/T')) of the teacher's scores t and the student's s, over
    the documents that both scored, with T' the --student-temperature; undefined with fewer than two of them.
    """

    option = "--student"
    option_group = StudentRunOptions
    columns = (Column("student_kl_bits"),)

    def __init__(
        self, scores: Mapping[str, Mapping[str, float]], temperature: float, student_temperature: float
    ) -> None:
        """`scores` are the student's: query_id -> doc_id -> score; the temperatures are T and T′."""
        self.settings = {"student_temperature": student_temperature}
        self._scores = scores
        self._temperatures = temperature, student_temperature
        self._queries = self._docs = 0

    @classmethod
    def open(cls, options: StudentRunOptions, temperature: float, resources: Resources) -> StudentKl | None:
        if options.student is None:
            return None
        scores = read_student_scores(options.student, resources.reading, resources.score_scale)
        return cls(scores, temperature, options.student_temperature or temperature)

    def measure(self, records: Sequence[Record]) -> Floats:
        import numpy as np

        return np.array([[self._of_record(record)] for record in records])

    def _of_record(self, record: Record) -> float:
        import numpy as np

        from rdtools.diagnose.entropy import kl_bits

        student = self._scores.get(record["query_id"], {})
        scored = [doc for doc in record["docs"] if "score" in doc]
        both = [(doc["score"], student[doc["doc_id"]]) for doc in scored if doc["doc_id"] in student]
        self._docs += len(scored) - len(both)
        if len(both) < 2:
            self._queries += 1
            return math.nan
        teacher, own = np.array(both, np.float64).T
        return kl_bits(teacher, own, *self._temperatures)

    def report(self) -> None:
        if self._docs:
            log.info("%s without a score of the student", plural(self._docs, "document"))
        if self._queries:
            records = plural(self._queries, "record")
            log.info("%s with fewer than two documents that both scored: student_kl_bits undefined", records)


def read_student_scores(
    path: str, reading: Reading, score_scale: str | None = None
) -> dict[str, dict[str, float]]:
    """Return the student's scores from a run: query_id -> doc_id -> score.

    Raises:
        RdError: they are ranks or probabilities, or there are none.
    """
    from rdtools.data.run_file import read_run_file, scores_by_doc

    run = read_run_file(path, reading, score_scale)
    if run.scale in (None, "rank", "probability"):
        problem = "no scores" if run.scale is None else f"scores on the scale {run.scale}"
        raise RdError(f"{path}: {problem}; --student needs scores whose differences mean something")
    return {query_id: scores_by_doc(record) for query_id, record in run.records.items()}
