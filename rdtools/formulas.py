"""The measures that most evaluations ask for, computed as trec_eval does from the places of judged documents.

Every formula is `formula(grades, judged, k, rel) -> value` of one query: `grades` maps the place (from 1) of
each judged document that was found to its grade, best first; `judged` are the grades of all judged
documents. What stands below place k is not seen; a document is relevant from grade `rel` on. Sums go in
trec_eval's order, so that values are equal to the last bit. Other measures are left to ir-measures, which
takes longer to import than these do to compute.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Grades = Mapping[int, int]
Formula = Callable[[Grades, Iterable[int], float, int], float]


def ndcg(grades: Grades, judged: Iterable[int], k: float, rel: int) -> float:
    """Σ g/log₂(1+place) over its largest possible value; grades below 1 gain nothing."""
    ideal = sorted((grade for grade in judged if grade > 0), reverse=True)
    best = _dcg(enumerate(ideal, start=1), k)
    return _dcg(grades.items(), k) / best if best > 0 else 0.0


def _dcg(gains: Iterable[tuple[int, int]], k: float) -> float:
    total = 0.0
    for place, grade in gains:
        if place > k:
            break
        if grade > 0:
            total += grade / math.log2(place + 1)
    return total


def reciprocal_rank(grades: Grades, judged: Iterable[int], k: float, rel: int) -> float:
    """1/place of the first relevant document."""
    return next((1 / place for place in _relevant(grades, k, rel)), 0.0)


def average_precision(grades: Grades, judged: Iterable[int], k: float, rel: int) -> float:
    """Precision at the place of each relevant document, averaged over all that are judged relevant."""
    total = 0.0
    for found, place in enumerate(_relevant(grades, k, rel), start=1):
        total += found / place
    return total / _count(judged, rel) if total else 0.0


def precision(grades: Grades, judged: Iterable[int], k: float, rel: int) -> float:
    """Relevant documents among the first k, over k."""
    return len(_relevant(grades, k, rel)) / k


def recall(grades: Grades, judged: Iterable[int], k: float, rel: int) -> float:
    """Relevant documents among the first k, over all that are judged relevant."""
    found = len(_relevant(grades, k, rel))
    return found / _count(judged, rel) if found else 0.0


def success(grades: Grades, judged: Iterable[int], k: float, rel: int) -> float:
    """1 where a relevant document is among the first k."""
    return float(bool(_relevant(grades, k, rel)))


def _relevant(grades: Grades, k: float, rel: int) -> list[int]:
    return [place for place, grade in grades.items() if grade >= rel and place <= k]


def _count(judged: Iterable[int], rel: int) -> int:
    return sum(grade >= rel for grade in judged)


FORMULAS: dict[str, Formula] = {
    "nDCG": ndcg,
    "RR": reciprocal_rank,
    "AP": average_precision,
    "P": precision,
    "R": recall,
    "Success": success,
}
_NAME = re.compile(r"(nDCG|RR|AP|P|R|Success)(?:\(rel=([2-9])\))?(?:@([1-9]\d{0,8}))?")


@dataclass(frozen=True)
class Measure:
    """A measure of FORMULAS under its ir-measures name, `str(measure)`."""

    name: str
    formula: Formula
    k: float
    rel: int

    def __str__(self) -> str:
        return self.name

    def __call__(self, grades: Grades, judged: Iterable[int]) -> float:
        return self.formula(grades, judged, self.k, self.rel)


def parse(name: str) -> Measure | None:
    """Return the measure that ir-measures writes as `name`, or None where that is not for this module."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    word, rel, k = match.groups()
    if (word == "nDCG" and rel) or (word in ("P", "R", "Success") and not k):
        return None
    return Measure(name, FORMULAS[word], int(k) if k else math.inf, int(rel or 1))
