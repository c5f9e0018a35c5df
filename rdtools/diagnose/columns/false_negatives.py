"""Suspected false negatives, by the scores of positives (`--compare`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rdtools.core.log import log, plural
from rdtools.core.records import Doc, Record
from rdtools.diagnose.columns.cost import CompareOptions
from rdtools.diagnose.diagnostic import Column, Diagnostic

if TYPE_CHECKING:
    from rdtools.diagnose.entropy import Floats
    from rdtools.search.resources import Resources

SUSPECTED = "suspected_false_negatives"


class SuspectedFalseNegatives(Diagnostic):
    """supremum: best score. suspected_false_negatives: share of scored negatives with a score of s⁺ - M or
    more, s⁺ the lowest score of a positive (relevance above 0); undefined without a scored positive or a
    scored negative.
    """

    option = "--compare"
    option_group = CompareOptions
    columns = (Column("supremum"), Column(SUSPECTED))

    def __init__(self, margin: float = 0.0) -> None:
        """`margin` is M, in the unit of the scores."""
        self.settings = {"suspect_margin": margin}
        self._margin = margin
        self._undefined = 0

    @classmethod
    def open(
        cls, options: CompareOptions, temperature: float, resources: Resources
    ) -> SuspectedFalseNegatives | None:
        return cls(options.margin) if options.compare else None

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
                (positives if doc.get("relevance", 0) > 0 else negatives).append(doc["score"])
        supremum = max([*positives, *negatives], default=math.nan)
        if not positives or not negatives:
            return supremum, math.nan
        bound = min(positives) - self._margin
        return supremum, sum(score >= bound for score in negatives) / len(negatives)

    def report(self) -> None:
        if self._undefined:
            records = plural(self._undefined, "record")
            log.info("%s without a scored positive and a scored negative: %s undefined", records, SUSPECTED)
