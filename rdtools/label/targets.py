"""Targets: what rd-label makes of teachers' scores, each step a function and a line in its table.

Within a record, in this order: ranks in place of scores (RANK_TARGETS) and normalisation (NORMALIZE), for
each teacher by itself; combination of the teachers (COMBINE); division by a temperature; noise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import Any, NamedTuple

from rdtools.core.errors import UsageError
from rdtools.core.log import plural
from rdtools.core.randomness import generator

RRF_K = 60
MISSING = 0.0
"""What the paper's code takes for the score of a document that has none."""

_BOUNDED = {"probability": "unknown", "log-probability": "unknown", "cosine": "dot"}
"""What a scale that has bounds is after a temperature or noise."""

Scores = list[float | None]
"""By document; None where there is no score."""


class Column(NamedTuple):
    """What one teacher says of a record's documents."""

    teacher: str
    scale: str
    scores: Sequence[float | None] = ()


def minmax(scores: list[float]) -> list[float]:
    """(s − min)/(max − min) within the record; 0 where all are equal."""
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 0.0 for score in scores]


def zscore(scores: list[float]) -> list[float]:
    """(s − mean)/deviation within the record (population deviation); 0 where all are equal."""
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return [(score - mean) / deviation if deviation > 0 else 0.0 for score in scores]


def sigmoid(scores: list[float]) -> list[float]:
    """1/(1 + e^−s) of each."""
    return [1 / (1 + math.exp(-s)) if s >= 0 else math.exp(s) / (1 + math.exp(s)) for s in scores]


NORMALIZE: dict[str, Callable[[list[float]], list[float]]] = {
    "none": lambda scores: scores,
    "minmax": minmax,
    "zscore": zscore,
    "sigmoid": sigmoid,
}

RankFunction = Callable[[float], float]

RANK_TARGETS: dict[str, RankFunction] = {
    "reciprocal": lambda rank: 1 / rank,
    "log": lambda rank: 1 / math.log2(1 + rank),
    "exponential": lambda rank: 2 ** (-rank / 10),
}

COMBINE: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda scores: math.fsum(scores) / len(scores),
    "max": max,
    "min": min,
    "rrf": math.fsum,  # of _fused_rank, over the rankings that have the document
}


def _fused_rank(rank: float) -> float:
    """A teacher's part in `rrf` (Cormack et al., 2009)."""
    return 1 / (RRF_K + rank)


def ranks(scores: list[float]) -> list[float]:
    """Rank from 1, the largest score first; equal scores share the mean of their ranks.

    >>> ranks([5.0, 1.0, 5.0])
    [1.5, 3.0, 1.5]
    """
    rank_of: dict[float, float] = {}
    above = 0
    for score, equal in groupby(sorted(scores, reverse=True)):
        count = len(list(equal))
        rank_of[score] = above + (count + 1) / 2
        above += count
    return [rank_of[score] for score in scores]


def gaussian(rng: random.Random) -> float:
    """Draw from N(0, 1) with `rng.random()` alone, whose sequence Python guarantees."""
    return NormalDist().inv_cdf(rng.random() or 2**-54)


@dataclass(frozen=True)
class ScoreTarget:
    """How teachers' scores become the score of a document.

    Attributes:
        combine: a name in COMBINE, where there are several teachers.
        normalize: names in NORMALIZE, one for all teachers or one for each.
        temperature: divides the combined scores, > 0.
        rank_targets: a name in RANK_TARGETS, whose function of the rank replaces each teacher's score.
        noise: standard deviation of Gaussian noise, in the unit of the final score.
        seed: of the noise, which is drawn from (seed, query_id, doc_id).
        paper_compat: a document that a teacher did not score has MISSING, not nothing.
    """

    combine: str = "mean"
    normalize: tuple[str, ...] = ("none",)
    temperature: float = 1.0
    rank_targets: str | None = None
    noise: float = 0.0
    seed: int = 0
    paper_compat: bool = False

    def check(self, teachers: int) -> None:
        """Raise `UsageError` where a number makes no sense, or the steps do not fit so many teachers."""
        if not 0 < self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature:g}: it must be above 0")
        if not 0 <= self.noise < math.inf:
            raise UsageError(f"--noise {self.noise:g}: a standard deviation is 0 or above")
        if len(self.normalize) not in (1, teachers):
            given = f"{len(self.normalize)} times for {plural(teachers, 'teacher')}"
            raise UsageError(f"--normalize is given {given} (once for all, or once for each)")
        if self._fuses_ranks(teachers) and (self.rank_targets or self._normalizes):
            raise UsageError("--combine rrf takes ranks as they are: no --normalize, no --rank-targets")

    def scale(self, columns: Sequence[Column]) -> str:
        """Return the scale of the result.

        Raises:
            UsageError: the teachers' scales do not allow what is asked for.
        """
        if self._fuses_ranks(len(columns)):
            return "rank"
        scales = [self._scale(*each) for each in zip(columns, self._normalizations(columns), strict=True)]
        if len(set(scales)) > 1:
            names = ", ".join(f"{c.teacher} ({scale})" for c, scale in zip(columns, scales, strict=True))
            raise UsageError(
                f"teachers of different scales: {names} (--normalize minmax or zscore, or --combine rrf)"
            )
        raw = self.rank_targets is None and set(self._normalizations(columns)) == {"none"}
        if len(columns) > 1 and raw and scales[0] == "unknown":
            raise UsageError(
                f"teachers of unknown scale: {', '.join(column.teacher for column in columns)} "
                "(--normalize minmax or zscore, or --combine rrf; --score-scale where it is known)"
            )
        changed = self.temperature != 1 or self.noise
        return _BOUNDED.get(scales[0], scales[0]) if changed else scales[0]

    def name(self, columns: Sequence[Column]) -> str:
        """Return the teacher's name, or `mean(a,b)` of several."""
        if len(columns) == 1:
            return columns[0].teacher
        return f"{self.combine}({','.join(column.teacher for column in columns)})"

    def scores(self, columns: Sequence[Column], query_id: str, doc_ids: Sequence[str]) -> Scores:
        """Return the targets of one record's documents; None where a teacher, of `rrf` each, has no score."""
        fuses = self._fuses_ranks(len(columns))
        function = _fused_rank if fuses else RANK_TARGETS.get(self.rank_targets or "")
        parts = [
            self._transformed(column, normalize, function)
            for column, normalize in zip(columns, self._normalizations(columns), strict=True)
        ]
        targets: Scores = []
        for doc_id, *parts_of_doc in zip(doc_ids, *parts, strict=True):
            there = [score for score in parts_of_doc if score is not None]
            if not there or (len(there) < len(columns) and not fuses):
                targets.append(None)
                continue
            target = COMBINE[self.combine](there) / self.temperature
            if self.noise:
                target += self.noise * gaussian(generator(self.seed, query_id, f"noise\t{doc_id}"))
            targets.append(target)
        return targets

    def transformations(self, columns: Sequence[Column]) -> list[dict[str, Any]]:
        """Name what was done to the teachers' scores, in order: one object for each step."""
        steps: list[dict[str, Any]] = []
        if self.paper_compat and any(None in column.scores for column in columns):
            steps.append({"missing": MISSING})
        if self.rank_targets:
            steps.append({"rank_targets": self.rank_targets})
        if self._normalizes:
            steps.append({"normalize": self.normalize[0] if len(self.normalize) == 1 else [*self.normalize]})
        if len(columns) > 1:
            steps.append({"combine": self.combine})
        if self.temperature != 1:
            steps.append({"temperature": self.temperature})
        if self.noise:
            steps.append({"noise": self.noise, "seed": self.seed})
        return steps

    @property
    def _normalizes(self) -> bool:
        return set(self.normalize) != {"none"}

    def _normalizations(self, columns: Sequence[Column]) -> tuple[str, ...]:
        return self.normalize * len(columns) if len(self.normalize) == 1 else self.normalize

    def _fuses_ranks(self, teachers: int) -> bool:
        return self.combine == "rrf" and teachers > 1

    def _scale(self, column: Column, normalize: str) -> str:
        scale = "unknown" if self.rank_targets else column.scale
        if normalize == "sigmoid":
            if scale != "logit":
                found = "rank targets" if self.rank_targets else scale
                raise UsageError(f"--normalize sigmoid takes logits, not {found}")
            return "probability"
        return scale if normalize == "none" else "unknown"

    def _transformed(self, column: Column, normalize: str, function: RankFunction | None) -> Scores:
        """Return a teacher's part of the targets; a document that it did not score takes no part."""
        scores = [MISSING if score is None and self.paper_compat else score for score in column.scores]
        there = [score for score in scores if score is not None]
        if not there:
            return scores
        if function is not None:
            there = [function(rank) for rank in ranks(there)]
        values = iter(NORMALIZE[normalize](there))
        return [None if score is None else next(values) for score in scores]
