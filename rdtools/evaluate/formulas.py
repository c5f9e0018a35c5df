"""The most common measures, computed as trec_eval does from the ranks and grades of judged documents.

A formula is `formula(ranking, k, rel) -> value` for one query. Ranks beyond k are ignored; a document is
relevant from grade `rel` on. Sums are taken in trec_eval's order, so that values are equal to the last bit.
ir-measures computes all other measures; importing it takes longer than computing these.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class GradedRanking(NamedTuple):
    """The ranking of one query, and the judgements of that query."""

    grades: Mapping[int, int]
    """Rank (from 1) -> grade, of the judged documents that were retrieved, best first."""
    all_grades: Collection[int]
    """The grades of all judged documents."""
    size: int
    """The number of retrieved documents, judged or not."""


Formula = Callable[[GradedRanking, float, int], float]


def ndcg(ranking: GradedRanking, k: float, rel: int) -> float:
    """Σ grade/log₂(1 + rank), divided by its largest possible value; grades below 1 add nothing."""
    ideal = sorted((grade for grade in ranking.all_grades if grade > 0), reverse=True)
    best = _dcg(enumerate(ideal, start=1), k)
    return _dcg(ranking.grades.items(), k) / best if best > 0 else 0.0


def _dcg(grades: Iterable[tuple[int, int]], k: float) -> float:
    total = 0.0
    for rank, grade in grades:
        if rank > k:
            break
        if grade > 0:
            total += grade / math.log2(rank + 1)
    return total


def reciprocal_rank(ranking: GradedRanking, k: float, rel: int) -> float:
    """1/rank of the first relevant document."""
    ranks = _relevant_ranks(ranking, k, rel)
    return 1 / ranks[0] if ranks else 0.0


def average_precision(ranking: GradedRanking, k: float, rel: int) -> float:
    """The precision at the rank of each relevant document, averaged over all relevant documents."""
    total = 0.0
    for count, rank in enumerate(_relevant_ranks(ranking, k, rel), start=1):
        total += count / rank
    return total / _count(ranking.all_grades, rel) if total else 0.0


def precision(ranking: GradedRanking, k: float, rel: int) -> float:
    """The number of relevant documents among the first k, divided by k."""
    return len(_relevant_ranks(ranking, k, rel)) / k


def recall(ranking: GradedRanking, k: float, rel: int) -> float:
    """The number of relevant documents among the first k, divided by the number of all of them."""
    count = len(_relevant_ranks(ranking, k, rel))
    return count / _count(ranking.all_grades, rel) if count else 0.0


def success(ranking: GradedRanking, k: float, rel: int) -> float:
    """1 if a relevant document is among the first k, else 0."""
    return float(bool(_relevant_ranks(ranking, k, rel)))


def retrieved(ranking: GradedRanking, k: float, rel: int) -> float:
    return float(ranking.size)


def judged_relevant(ranking: GradedRanking, k: float, rel: int) -> float:
    return float(_count(ranking.all_grades, rel))


def queries(ranking: GradedRanking, k: float, rel: int) -> float:
    return 1.0


def _relevant_ranks(ranking: GradedRanking, k: float, rel: int) -> list[int]:
    return [rank for rank, grade in ranking.grades.items() if grade >= rel and rank <= k]


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
"""ir-measures name -> the supported parameters, as ir-measures writes them, and the formula."""
_COUNTS = (retrieved, judged_relevant, queries)


@dataclass(frozen=True)
class Measure:
    """A measure of FORMULAS; `str(measure)` is its ir-measures name."""

    name: str
    formula: Formula
    k: float
    rel: int

    def __str__(self) -> str:
        return self.name

    def __call__(self, ranking: GradedRanking) -> float:
        return self.formula(ranking, self.k, self.rel)

    @property
    def is_count(self) -> bool:
        """True if the values of queries are summed, not averaged."""
        return self.formula in _COUNTS


def parse_formula(name: str) -> Measure | None:
    """Return the measure that ir-measures writes as `name`, or None if it is not one of FORMULAS."""
    word = re.split(r"\W", name)[0]
    if word not in FORMULAS:
        return None
    parameters, formula = FORMULAS[word]
    match = re.fullmatch(word + parameters, name)
    if match is None:
        return None
    parsed = match.groupdict()
    return Measure(name, formula, int(parsed.get("k") or 0) or math.inf, int(parsed.get("rel") or 1))
