"""What decides between candidate training sets before a GPU hour is spent (`--compare`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rdtools.core.log import log, plural
from rdtools.core.records import Doc, Record
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.entropy import Floats

SUSPECTED = "suspected_false_negatives"


class SuspectedFalseNegatives(Diagnostic):
    """Columns of a record whose scored documents have scores s:

    supremum: the largest score.
    suspected_false_negatives: the share of its scored negatives with s ≥ s⁺ − M, s⁺ the lowest score of a
        positive (relevance above 0); undefined without a scored positive or a scored negative.
    """

    columns = {"supremum": None, SUSPECTED: None}  # noqa: RUF012

    def __init__(self, margin: float = 0.0) -> None:
        """`margin` is M, in the unit of the scores."""
        self.settings = {"suspect_margin": margin}
        self._margin = margin
        self._without = 0

    def measure(self, records: Sequence[Record]) -> Floats:
        table = np.array([self._of_record(record["docs"]) for record in records])
        self._without += int(np.isnan(table[:, 1]).sum())
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
        if self._without:
            log.info(
                "%s without a scored positive and a scored negative: %s undefined",
                plural(self._without, "record"),
                SUSPECTED,
            )
