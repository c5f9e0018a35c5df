"""Targets: the scores that a student learns from, made of teachers' scores.

Steps within a record, in order: ranks instead of scores (RANK_TARGETS) and normalisation (NORMALIZE), for
each teacher separately; combination of the teachers (COMBINE); division by a temperature; noise. A new
kind of step is a function and a line in its table.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import Any, ClassVar, NamedTuple

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag, seed_flag
from rdtools.core.log import plural
from rdtools.core.randomness import generator

RRF_K = 60
MISSING = 0.0
"""The score of an unscored document in the paper's code."""

_AFTER_CHANGE = {"probability": "unknown", "log-probability": "unknown", "cosine": "dot"}
"""Scale of bounded scores after temperature or noise."""

Scores = list[float | None]
"""One score for each document, None if it has none."""


class TeacherScores(NamedTuple):
    """The scores that one teacher gives to a record's documents."""

    name: str
    scale: str
    scores: Sequence[float | None] = ()


def minmax(scores: list[float]) -> list[float]:
    """Return (s − min)/(max − min) within the record; 0 if all are equal."""
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 0.0 for score in scores]


def zscore(scores: list[float]) -> list[float]:
    """Return (s − mean)/deviation within the record (population deviation); 0 if all are equal."""
    if min(scores) == max(scores):
        return [0.0] * len(scores)
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return [(score - mean) / deviation if deviation > 0 else 0.0 for score in scores]


def sigmoid(scores: list[float]) -> list[float]:
    """Return 1/(1 + e^−s) of each score."""
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
    "rrf": math.fsum,  # of _reciprocal_rank, over the rankings that contain the document
}


def _reciprocal_rank(rank: float) -> float:
    """The summand of one teacher in reciprocal rank fusion, `rrf` (Cormack et al., 2009)."""
    return 1 / (RRF_K + rank)


def ranks(scores: list[float]) -> list[float]:
    """Return ranks from 1, the largest score first; equal scores share the mean of their ranks.

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
class ScoreTarget(OptionGroup):
    """The steps from teachers' scores to the score of a document.

    `normalize` holds one name for all teachers or one for each. `noise` is in the unit of the final score,
    drawn from (seed, query_id, doc_id). With `paper_compat` a score that a teacher did not give is MISSING.
    """

    heading: ClassVar[str] = "Score transformations"

    rank_targets: str | None = flag(
        "--rank-targets", default=None, metavar="NAME", choices=RANK_TARGETS, kind="rank target",
        help="Replace a teacher's scores by a function of their ranks r within the record: reciprocal 1/r, "
        "log 1/log2(1+r), exponential 2^(-r/10). Equal scores share the mean of their ranks.",
    )  # fmt: skip
    normalize: tuple[str, ...] = flag(
        "--normalize", default=("none",), metavar="NAME", choices=NORMALIZE, kind="normalization",
        help=f"Normalise a teacher's scores within a record, before they combine: {', '.join(NORMALIZE)}. "
        "Give it once for all teachers, or once for each in their order.",
    )  # fmt: skip
    combine: str = flag(
        "--combine", default="mean", metavar="NAME", choices=COMBINE, kind="combination",
        help=f"Combine several teachers by mean, max, min or rrf (sum of 1/({RRF_K}+r)).",
    )  # fmt: skip
    temperature: float = flag(
        "--temperature", default=1.0, metavar="T", above=0, help="Divide scores by T; the record says so."
    )
    noise: float = flag(
        "--noise", default=0.0, metavar="SD", min=0,
        help="Add Gaussian noise of standard deviation SD to the final scores, drawn from (seed, query_id, "
        "doc_id).",
    )  # fmt: skip
    seed: int = seed_flag()
    paper_compat: bool = flag(
        "--paper-compat", default=False,
        help="Compute as the code of arXiv 2505.21058 does: a cross-encoder with two labels gives the "
        "log-softmax of the second one, a log-probability; a score that a teacher did not give is 0.",
    )  # fmt: skip

    def check(self, teachers: int) -> None:
        """Raise `UsageError` if the steps do not fit this number of teachers."""
        if len(self.normalize) not in (1, teachers):
            given = f"{len(self.normalize)} times for {plural(teachers, 'teacher')}"
            raise UsageError(f"--normalize is given {given} (give it once for all, or once for each)")
        if self._fuses_ranks(teachers) and (self.rank_targets or self._normalizes):
            raise UsageError("--combine rrf uses ranks as they are: leave out --normalize and --rank-targets")

    def scale(self, teachers: Sequence[TeacherScores]) -> str:
        """Return the scale of the result.

        Raises:
            UsageError: the steps do not fit the teachers' scales.
        """
        if self._fuses_ranks(len(teachers)):
            return "rank"
        scales = [self._scale(*each) for each in zip(teachers, self._normalizations(teachers), strict=True)]
        if len(set(scales)) > 1:
            names = ", ".join(f"{each.name} ({scale})" for each, scale in zip(teachers, scales, strict=True))
            raise UsageError(
                f"teachers of different scales: {names} (--normalize minmax or zscore, or --combine rrf)"
            )
        raw = self.rank_targets is None and set(self._normalizations(teachers)) == {"none"}
        if len(teachers) > 1 and raw and scales[0] == "unknown":
            raise UsageError(
                f"teachers of unknown scale: {', '.join(each.name for each in teachers)} "
                "(--normalize minmax or zscore, or --combine rrf; --score-scale if it is known)"
            )
        changed = self.temperature != 1 or self.noise
        return _AFTER_CHANGE.get(scales[0], scales[0]) if changed else scales[0]

    def name(self, teachers: Sequence[TeacherScores]) -> str:
        """Return the teacher's name, or `mean(a,b)` of several."""
        if len(teachers) == 1:
            return teachers[0].name
        return f"{self.combine}({','.join(each.name for each in teachers)})"

    def scores(self, teachers: Sequence[TeacherScores], query_id: str, doc_ids: Sequence[str]) -> Scores:
        """Return the new scores of one record's documents.

        A document that some teacher did not score gets None; with `rrf`, one that no teacher scored.
        """
        fuses = self._fuses_ranks(len(teachers))
        function = _reciprocal_rank if fuses else RANK_TARGETS.get(self.rank_targets or "")
        parts = [
            self._transformed(each, normalize, function)
            for each, normalize in zip(teachers, self._normalizations(teachers), strict=True)
        ]
        targets: Scores = []
        for doc_id, *parts_of_doc in zip(doc_ids, *parts, strict=True):
            there = [score for score in parts_of_doc if score is not None]
            if not there or (len(there) < len(teachers) and not fuses):
                targets.append(None)
                continue
            target = COMBINE[self.combine](there) / self.temperature
            if self.noise:
                target += self.noise * gaussian(generator(self.seed, query_id, f"noise\t{doc_id}"))
            targets.append(target)
        return targets

    def transformations(self, teachers: Sequence[TeacherScores]) -> list[dict[str, Any]]:
        """Return the `transformations` field of a record: one object for each step, in order."""
        steps: list[dict[str, Any]] = []
        if self.paper_compat and any(None in each.scores for each in teachers):
            steps.append({"missing": MISSING})
        if self.rank_targets:
            steps.append({"rank_targets": self.rank_targets})
        if self._normalizes:
            steps.append({"normalize": self.normalize[0] if len(self.normalize) == 1 else [*self.normalize]})
        if len(teachers) > 1:
            steps.append({"combine": self.combine})
        if self.temperature != 1:
            steps.append({"temperature": self.temperature})
        if self.noise:
            steps.append({"noise": self.noise, "seed": self.seed})
        return steps

    @property
    def _normalizes(self) -> bool:
        return set(self.normalize) != {"none"}

    def _normalizations(self, teachers: Sequence[TeacherScores]) -> tuple[str, ...]:
        return self.normalize * len(teachers) if len(self.normalize) == 1 else self.normalize

    def _fuses_ranks(self, teachers: int) -> bool:
        return self.combine == "rrf" and teachers > 1

    def _scale(self, teacher: TeacherScores, normalize: str) -> str:
        scale = "unknown" if self.rank_targets else teacher.scale
        if normalize == "sigmoid":
            if scale != "logit":
                found = "rank targets" if self.rank_targets else scale
                raise UsageError(f"--normalize sigmoid needs logits, not {found}")
            return "probability"
        return scale if normalize == "none" else "unknown"

    def _transformed(self, teacher: TeacherScores, normalize: str, function: RankFunction | None) -> Scores:
        """Return a teacher's scores after the steps for each teacher; unscored documents stay None."""
        scores = [MISSING if score is None and self.paper_compat else score for score in teacher.scores]
        there = [score for score in scores if score is not None]
        if not there:
            return scores
        if function is not None:
            there = [function(rank) for rank in ranks(there)]
        values = iter(NORMALIZE[normalize](there))
        return [None if score is None else next(values) for score in scores]
