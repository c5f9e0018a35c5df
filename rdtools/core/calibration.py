"""The temperature of a teacher's scores, fitted to a target entropy or to judgements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rdtools.core.records import Record, is_positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ENTROPY = "entropy"
LIKELIHOOD = "likelihood"
TARGET_SHARE = 0.35
"""The entropy share that rd-train gives to scores without a temperature. On SciFact and pydoc it is within
the noise of the best of a grid of T (docs/choosing-settings.md)."""
REACH = 100.0
"""T is sought between the spread of the scores divided by this number and the spread times this number."""

_HALVINGS = 60

Judged = tuple[Sequence[float], Sequence[int]]
"""The scores of a query's documents, and which of these documents are positive (True or 1)."""


class Calibration(NamedTuple):
    """A fitted temperature.

    Attributes:
        temperature: T, in the unit of the scores.
        method: `entropy` or `likelihood`.
        groups: the number of groups that it was fitted to.
        nats: the mean negative log-likelihood of the positives at T, in nats; None for `entropy`.
        entropy_share: the mean listwise entropy share of these groups at T, 0 to 1.
        spread: the median over these groups of best minus worst score.
        bound: `low` or `high` if T is a bound of the search, spread/100 or spread·100, else None. `low`: no
            positive scores below a negative, so that the smaller T, the better. `high`: positives do not
            score above negatives. For `entropy`, `low`: tied best scores keep the entropy above the target.
    """

    temperature: float
    method: str
    groups: int
    nats: float | None
    entropy_share: float
    spread: float
    bound: str | None

    @property
    def problem(self) -> str | None:
        """Return why T is a bound of the search, for people, or None if it is not."""
        if self.bound is None:
            return None
        if self.bound == "high":
            why, spread = "positives do not score above negatives", f"times {REACH:g}"
        else:
            spread = f"divided by {REACH:g}"
            why = "no positive scores below a negative"
            if self.method == ENTROPY:
                why = "tied best scores keep the entropy high"
        return f"{why}, so that T is a bound: the median spread of the scores {spread}"


def judged_scores(record: Record) -> Judged:
    """Return the scores of a record's scored documents, and whether the relevance of each is above 0."""
    scored = [doc for doc in record["docs"] if "score" in doc]
    return [doc["score"] for doc in scored], list(map(is_positive, scored))


def entropy_temperature(groups: Iterable[Judged], share: float = TARGET_SHARE) -> Calibration | None:
    """Find the temperature T at which the teacher's distribution over a group has a target entropy.

    T gives a mean listwise entropy share of `share`: the entropy of softmax(s/T) over ln n, which grows with
    T. Judgements are not used. Groups whose scores are all equal say nothing about T, and do not count. T
    lies between spread/100 and spread·100; the spread is the median over groups of best minus worst score.

    Args:
        groups: scores, finite, and whether each document is positive.
        share: the target, between 0 and 1.

    Returns:
        The calibration, or None if no group has two different scores.
    """
    counted = _told(groups)
    if not counted:
        return None
    entropy = _Entropy(counted)
    return _calibrate(ENTROPY, counted, entropy, lambda t: entropy.share(t) < share, None)


def likelihood_temperature(groups: Iterable[Judged]) -> Calibration | None:
    """Find the temperature T at which softmax(s/T) predicts the judged positives best.

    Temperature scaling (Guo et al., 2017, arXiv 1706.04599): T minimises the mean over groups of the mean
    over positives i of

        −ln [exp(sᵢ/T) / (exp(sᵢ/T) + Σ exp(sⱼ/T) over negatives j)]

    As in a training group, a positive competes with negatives, not with other positives. Groups without a
    positive or without a negative do not count, nor do those of equal scores. The mean is convex in 1/T, so
    that it has one minimum. The bounds of T are those of `entropy_temperature`.

    Returns:
        The calibration, or None if no group counts.
    """
    counted = _judged(groups)
    if not counted:
        return None
    likelihood = _Likelihood(counted)
    return _calibrate(LIKELIHOOD, counted, _Entropy(counted), likelihood.is_too_low, likelihood.nats)


def positives_first(groups: Iterable[Judged]) -> tuple[int, int]:
    """Return how many groups have a positive as their best document, and how many groups count.

    Those with a positive, a negative and two different scores count. A positive that a negative ties is not
    the best.
    """
    counted = _judged(groups)
    return sum(_is_positive_first(*group) for group in counted), len(counted)


def temperature_curve(groups: Iterable[Judged], method: str, temperatures: Sequence[float]) -> list[float]:
    """Return the mean entropy share (`entropy`) or nats (`likelihood`) of the groups that count, by T."""
    value = _Likelihood(_judged(groups)).nats if method == LIKELIHOOD else _Entropy(_told(groups)).share
    return [value(temperature) for temperature in temperatures]


def _told(groups: Iterable[Judged]) -> list[Judged]:
    """Return the groups that have two different scores."""
    return [group for group in groups if len(group[0]) > 1 and min(group[0]) < max(group[0])]


def _judged(groups: Iterable[Judged]) -> list[Judged]:
    """Return those of them that have a positive and a negative."""
    return [group for group in _told(groups) if any(group[1]) and not all(group[1])]


def _is_positive_first(scores: Sequence[float], positives: Sequence[int]) -> bool:
    best = max(scores)
    return all(positive for score, positive in zip(scores, positives, strict=True) if score == best)


def _calibrate(
    method: str,
    groups: Sequence[Judged],
    entropy: _Entropy,
    is_too_low: Callable[[float], bool],
    nats: Callable[[float], float] | None,
) -> Calibration:
    spread = entropy.spread
    temperature, bound = _solve(is_too_low, spread / REACH, spread * REACH)
    return Calibration(
        temperature, method, len(groups), nats(temperature) if nats else None, entropy.share(temperature),
        spread, bound,
    )  # fmt: skip


def _solve(is_too_low: Callable[[float], bool], low: float, high: float) -> tuple[float, str | None]:
    """Return the least T that is not too low, by bisection of ln T, and the bound that it is, if any."""
    if not is_too_low(low):
        return low, "low"
    if is_too_low(high):
        return high, "high"
    left, right = math.log(low), math.log(high)
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        if is_too_low(math.exp(middle)):
            left = middle
        else:
            right = middle
    return math.exp((left + right) / 2), None


class _Entropy:
    """Groups of documents, by the distance of each from the best of its group."""

    def __init__(self, groups: Sequence[Judged]) -> None:
        import numpy as np

        lengths = np.array([len(scores) for scores, _ in groups])
        self._starts = np.cumsum(lengths) - lengths
        self._below = _below_best(groups)
        self._most = np.log(lengths)  # nats
        self.spread = float(np.median(np.maximum.reduceat(self._below, self._starts)))

    def share(self, temperature: float) -> float:
        """Return the mean over groups of −Σ p ln p / ln n."""
        import numpy as np

        depth = self._below / temperature
        weights = np.exp(-depth)
        total = np.add.reduceat(weights, self._starts)
        entropy = np.log(total) + np.add.reduceat(weights * depth, self._starts) / total
        return float((entropy / self._most).mean())


class _Likelihood:
    """Positives, each against the negatives of its group."""

    def __init__(self, groups: Sequence[Judged]) -> None:
        import numpy as np

        below = _below_best(groups)
        positive = np.concatenate([np.array(positives, bool) for _, positives in groups])
        positives = np.array([sum(map(bool, positives)) for _, positives in groups])
        negatives = np.array([len(scores) for scores, _ in groups]) - positives
        self._above = below[positive]  # of the positives
        self._starts = np.cumsum(negatives) - negatives
        # Distances of the negatives from the best negative, which keeps their sum from underflow.
        self._nearest = np.minimum.reduceat(below[~positive], self._starts)
        self._below = below[~positive] - np.repeat(self._nearest, negatives)
        self._group = np.repeat(np.arange(len(groups)), positives)
        self._weight = 1 / positives[self._group] / len(groups)

    def nats(self, temperature: float) -> float:
        """Return the mean over groups of the mean over positives of −ln p."""
        import numpy as np

        odds, _ = self._odds(temperature)
        return float(self._weight @ np.logaddexp(0, odds))

    def is_too_low(self, temperature: float) -> bool:
        """Return whether a larger temperature gives fewer nats: whether the slope in 1/T is positive."""
        import numpy as np

        odds, mean = self._odds(temperature)
        missing = np.exp(-np.logaddexp(0, -odds))  # the mass of the negatives
        return bool(self._weight @ (missing * (self._above - mean)) > 0)

    def _odds(self, temperature: float) -> tuple[Floats, Floats]:
        """Return, for each positive, the log odds of the negatives against it, and their mean distance."""
        import numpy as np

        weights = np.exp(-self._below / temperature)
        total = np.add.reduceat(weights, self._starts)
        mean = np.add.reduceat(weights * self._below, self._starts) / total + self._nearest
        mass = np.log(total) - self._nearest / temperature
        return mass[self._group] + self._above / temperature, mean[self._group]


def _below_best(groups: Sequence[Judged]) -> Floats:
    """Return the distance of each score from the best of its group, group after group."""
    import numpy as np

    scores = [np.array(scores, np.float64) for scores, _ in groups]
    return np.concatenate([own.max() - own for own in scores])
