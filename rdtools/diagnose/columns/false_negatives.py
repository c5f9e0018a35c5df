"""Suspected false negatives, by the scores of positives (`--compare`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from rdtools.core.log import log, plural
from rdtools.core.records import Doc, Record, is_positive
from rdtools.diagnose.columns.cost import CompareOptions
from rdtools.diagnose.diagnostic import Column, Diagnostic

if TYPE_CHECKING:
    from rdtools.diagnose.entropy import Floats
    from rdtools.search.resources import Resources

SUSPECTED = "suspected_false_negatives"
_BOUND: dict[str, Callable[[Sequence[float]], float]] = {"lowest": min, "highest": max, "mean": fmean}


class SuspectedFalseNegatives(Diagnostic):
    """supremum: best score. suspected_false_negatives: share of scored negatives with a score of s⁺ - M or
    more, s⁺ the lowest score of a positive (relevance above 0), or with --positive the highest or their mean;
    undefined without a scored positive or a scored negative. If queries have many positives, a single one
    that the teacher misses makes the lowest suspect most negatives.
    """

    option = "--compare"
    option_group = CompareOptions
    columns = (Column("supremum"), Column(SUSPECTED))

    def __init__(self, margin: float = 0.0, positive: str = "lowest") -> None:
        """`margin` is M, in the unit of the scores; `positive` is what s⁺ is of the positives."""
        self.settings = {"suspect_margin": margin, "suspect_positive": positive}
        self._margin, self._bound = margin, _BOUND[positive]
        self._undefined = 0

    @classmethod
    def open(
        cls, options: CompareOptions, temperature: float, resources: Resources
    ) -> SuspectedFalseNegatives | None:
        return cls(options.margin, options.positive) if options.compare else None

    def measure(self, records: Sequence[Record]) -> Floats:
        import numpy as np

        table = np.array([self._of_record(record["docs"]) for record in records])
        self._undefined += int(np.isnan(table[:, 1]).sum())
        return table

    def _of_record(self, docs: Sequence[Doc]) -> tuple[float, float]:
        positives: list[float] = []
        negatives: list[float] = []
        for doc in docs:
            if "score" in doc:
                (positives if is_positive(doc) else negatives).append(doc["score"])
        supremum = max([*positives, *negatives], default=math.nan)
        if not positives or not negatives:
            return supremum, math.nan
        bound = self._bound(positives) - self._margin
        return supremum, sum(score >= bound for score in negatives) / len(negatives)

    def report(self) -> None:
        if self._undefined:
            records = plural(self._undefined, "record")
            log.info("%s without a scored positive and a scored negative: %s undefined", records, SUSPECTED)
