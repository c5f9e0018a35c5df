"""How far a student's distribution over a query's documents is from the teacher's (`--student RUN`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rdtools.core.errors import RdError
from rdtools.core.log import log, plural
from rdtools.core.records import Record
from rdtools.data.run_file import read_run_file, scores_by_doc
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.entropy import Floats
from rdtools.search.resources import Resources

_FAR = 1e5
"""Differences beyond so many temperatures are cut back to it, which keeps a divergence finite."""


class StudentKl(Diagnostic):
    """student_kl_bits: KL(p ‖ q) = Σ p log₂(p/q) with p = softmax(t/T) of the teacher's scores t and
    q = softmax(s/T′) of the student's s, over the documents that have both; 0 or more.

    Undefined with fewer than two such documents, which are counted.
    """

    def __init__(
        self, scores: Mapping[str, Mapping[str, float]], temperature: float, student_temperature: float
    ) -> None:
        """`scores` are the student's: query_id -> doc_id -> score; the temperatures are T and T′."""
        self.columns = {"student_kl_bits": None}
        self.settings = {"student_temperature": student_temperature}
        self._scores = scores
        self._temperatures = temperature, student_temperature
        self._queries = self._docs = 0

    def measure(self, records: Sequence[Record]) -> Floats:
        return np.array([[self._of_record(record)] for record in records])

    def _of_record(self, record: Record) -> float:
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
            what = plural(self._queries, "record")
            log.info("%s with fewer than two documents that both scored: student_kl_bits undefined", what)


def kl_bits(
    teacher: Floats, student: Floats, temperature: float = 1.0, student_temperature: float = 1.0
) -> float:
    """KL(softmax(t/T) ‖ softmax(s/T′)) in bits, of (n,) float64 each."""
    log_p, log_q = _log_softmax(teacher, temperature), _log_softmax(student, student_temperature)
    return max(0.0, float((np.exp(log_p) * (log_p - log_q)).sum())) / math.log(2)


def _log_softmax(scores: Floats, temperature: float) -> Floats:
    with np.errstate(over="ignore"):
        below = np.maximum((scores - scores.max()) / temperature, -_FAR)
    return np.asarray(below - np.log(np.exp(below).sum()), np.float64)


def open_divergence(
    path: str, resources: Resources, temperature: float, student_temperature: float
) -> StudentKl:
    """Read the student's scores from a run.

    Raises:
        RdError: they are ranks or probabilities, or there are none.
    """
    run = read_run_file(path, resources.reading, resources.score_scale)
    if run.scale in (None, "rank", "probability"):
        problem = "no scores" if run.scale is None else f"scores on the scale {run.scale}"
        raise RdError(f"{path}: {problem}; --student needs scores whose differences mean something")
    scores = {query_id: scores_by_doc(record) for query_id, record in run.records.items()}
    return StudentKl(scores, temperature, student_temperature)
