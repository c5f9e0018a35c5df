"""The measures that most evaluations ask for, computed as trec_eval does from the places of judged documents.

Every formula is `formula(found, k, rel) -> value` of one query. What stands below place k is not seen; a
document is relevant from grade `rel` on. Sums go in trec_eval's order, so that values are equal to the
last bit. Other measures are left to ir-measures, which takes longer to import than these do to compute.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class JudgedRanks(NamedTuple):
    """What a run found of one query, and what there was to find."""

    grades: Mapping[int, int]
    """Place (from 1) -> grade, of the judged documents that were found, best first."""
    judged: Collection[int]
    """Grades of all judged documents."""
    size: int
    """Documents that were found, judged or not."""


Formula = Callable[[JudgedRanks, float, int], float]


def ndcg(found: JudgedRanks, k: float, rel: int) -> float:
    """Σ grade/log₂(1+place) over its largest possible value; grades below 1 gain nothing."""
    ideal = sorted((grade for grade in found.judged if grade > 0), reverse=True)
    best = _dcg(enumerate(ideal, start=1), k)
    return _dcg(found.grades.items(), k) / best if best > 0 else 0.0


def _dcg(grades: Iterable[tuple[int, int]], k: float) -> float:
    total = 0.0
    for place, grade in grades:
        if place > k:
            break
        if grade > 0:
            total += grade / math.log2(place + 1)
    return total


def reciprocal_rank(found: JudgedRanks, k: float, rel: int) -> float:
    """1/place of the first relevant document."""
    places = _relevant(found, k, rel)
    return 1 / places[0] if places else 0.0


def average_precision(found: JudgedRanks, k: float, rel: int) -> float:
    """Precision at the place of each relevant document, averaged over all that are judged relevant."""
    total = 0.0
    for count, place in enumerate(_relevant(found, k, rel), start=1):
        total += count / place
    return total / _count(found.judged, rel) if total else 0.0


def precision(found: JudgedRanks, k: float, rel: int) -> float:
    """Relevant documents among the first k, over k."""
    return len(_relevant(found, k, rel)) / k


def recall(found: JudgedRanks, k: float, rel: int) -> float:
    """Relevant documents among the first k, over all that are judged relevant."""
    count = len(_relevant(found, k, rel))
    return count / _count(found.judged, rel) if count else 0.0


def success(found: JudgedRanks, k: float, rel: int) -> float:
    """1 where a relevant document is among the first k."""
    return float(bool(_relevant(found, k, rel)))


def retrieved(found: JudgedRanks, k: float, rel: int) -> float:
    return float(found.size)


def judged_relevant(found: JudgedRanks, k: float, rel: int) -> float:
    return float(_count(found.judged, rel))


def queries(found: JudgedRanks, k: float, rel: int) -> float:
    return 1.0


def _relevant(found: JudgedRanks, k: float, rel: int) -> list[int]:
    return [place for place, grade in found.grades.items() if grade >= rel and place <= k]


def _count(grades: Iterable[int], rel: int) -> int:
    return sum(grade >= rel for grade in grades)


_REL = r"(?:\(rel=(?P<rel>[2-9])\))?"
_K = r"@(?P<k>[1-9]\d{0,8})"

FORMULAS: dict[str, tuple[str, Formula]] = {
    "nDCG": (f"({_K})?", ndcg),
    "RR": (f"{_REL}({_K})?", reciprocal_rank),
    "AP": (f"{_REL}({_K})?", average_precision),
    "P": (_REL + _K, precision),
    "R": (_REL + _K, recall),
    "Success": (_REL + _K, success),
    "NumRet": ("", retrieved),
    "NumRel": ("", judged_relevant),
    "NumQ": ("", queries),
}
"""ir-measures name -> the parameters that it may have here, as ir-measures writes them, and its formula."""
_COUNTS = (retrieved, judged_relevant, queries)


@dataclass(frozen=True)
class Measure:
    """A measure of FORMULAS under its ir-measures name, `str(measure)`."""

    name: str
    formula: Formula
    k: float
    rel: int

    def __str__(self) -> str:
        return self.name

    def __call__(self, found: JudgedRanks) -> float:
        return self.formula(found, self.k, self.rel)

    @property
    def is_count(self) -> bool:
        """Whether queries are summed, not averaged."""
        return self.formula in _COUNTS


def parse_formula(name: str) -> Measure | None:
    """Return the measure that ir-measures writes as `name`, or None where that is not for this module."""
    word = re.split(r"\W", name)[0]
    if word not in FORMULAS:
        return None
    parameters, formula = FORMULAS[word]
    match = re.fullmatch(word + parameters, name)
    if match is None:
        return None
    given = match.groupdict()
    return Measure(name, formula, int(given.get("k") or 0) or math.inf, int(given.get("rel") or 1))
