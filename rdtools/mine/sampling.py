"""Sampling of negatives from a pool (`--sampling`): a function (pool, ranks, n, rng) -> n places in the pool.

The pool is the candidates of all sources, one source after the other; `ranks` start at 1 for each source. If
the pool has fewer than n documents, all are chosen. Only `rng.random()` is used, whose sequence Python
guarantees, so that a seed chooses the same negatives on every machine and version.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import TypeVar

from rdtools.core.errors import RdError
from rdtools.core.randomness import shuffled
from rdtools.core.records import Doc

T = TypeVar("T")


def top(pool: Sequence[Doc], ranks: Sequence[int], n: int, rng: random.Random) -> list[int]:
    """Return the first n, sources in turn: the first documents of all, then the second ones."""
    return _largest([-rank for rank in ranks], n)


def uniform(pool: Sequence[Doc], ranks: Sequence[int], n: int, rng: random.Random) -> list[int]:
    """Return any n, each document with the same probability."""
    return _largest([rng.random() for _ in pool], n)


def log_random(pool: Sequence[Doc], ranks: Sequence[int], n: int, rng: random.Random) -> list[int]:
    """Return n drawn without replacement, rank r with weight 1/ln(1 + r): top ranks more often.

    Exponential keys draw without replacement by weight (Efraimidis and Spirakis, 2006).
    """
    return _largest([math.log(1 - rng.random()) * math.log(1 + rank) for rank in ranks], n)


def stratified(pool: Sequence[Doc], ranks: Sequence[int], n: int, rng: random.Random) -> list[int]:
    """Return one from each of n strata with equally many documents: quantiles of the scores (2604.04734)."""
    by_score = _by_score(pool, "stratified")
    n = min(n, len(pool))
    edges = [len(pool) * stratum // n for stratum in range(n + 1)] if n else []
    return sorted(by_score[low + int(rng.random() * (high - low))] for low, high in pairwise(edges))


def stratified_width(pool: Sequence[Doc], ranks: Sequence[int], n: int, rng: random.Random) -> list[int]:
    """Return one from each of n intervals of equal width, from the highest score of the pool to the lowest.

    Until n are chosen, further rounds draw one from each interval that is not empty, the interval of the
    highest scores first. A score on an edge belongs to the lower interval.
    """
    by_score = _by_score(pool, "stratified-width")
    n = min(n, len(pool))
    if n == 0:
        return []
    high, low = pool[by_score[0]]["score"], pool[by_score[-1]]["score"]
    strata: list[list[int]] = [[] for _ in range(n)]
    for place in by_score:
        share = (high - pool[place]["score"]) / ((high - low) or 1.0)
        strata[min(int(share * n), n - 1)].append(place)
    draws = [shuffled(stratum, rng) for stratum in strata]
    rounds = (place for _ in by_score for draw in draws for place in islice(draw, 1))
    return sorted(islice(rounds, n))


def _by_score(pool: Sequence[Doc], sampling: str) -> list[int]:
    """Return the places of the pool by score, larger first."""
    if any("score" not in doc for doc in pool):
        raise RdError(
            f"--sampling {sampling} needs scores: one source that gives them, or records with scores"
        )
    return sorted(range(len(pool)), key=lambda place: (-pool[place]["score"], place))


def _largest(keys: Sequence[float], n: int) -> list[int]:
    """Return the places of the n largest keys, of equal ones the first, in order."""
    return sorted(sorted(range(len(keys)), key=lambda place: -keys[place])[:n])


Sampling = Callable[[Sequence[Doc], Sequence[int], int, random.Random], list[int]]

SAMPLING: dict[str, Sampling] = {
    "random": uniform,
    "top": top,
    "log-random": log_random,
    "stratified": stratified,
    "stratified-width": stratified_width,
}
