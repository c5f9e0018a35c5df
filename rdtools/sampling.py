"""Choosing negatives from a pool (`--sampling`): a function (pool, n, rng) -> n places in the pool.

The pool is in rank order. Only `rng.random()` is used, whose sequence Python guarantees, so that a
seed chooses the same negatives on every machine and version.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

from rdtools.errors import RdError
from rdtools.records import Doc


def generator(seed: int, query_id: str, purpose: str) -> random.Random:
    """The generator of everything random for a query: the same wherever it stands in a stream."""
    return random.Random(f"{seed}\t{query_id}\t{purpose}")


def top(pool: Sequence[Doc], n: int, rng: random.Random) -> list[int]:
    """The first n."""
    return list(range(min(n, len(pool))))


def uniform(pool: Sequence[Doc], n: int, rng: random.Random) -> list[int]:
    """Any n, each as likely as any other."""
    return _largest([rng.random() for _ in pool], n)


def log_random(pool: Sequence[Doc], n: int, rng: random.Random) -> list[int]:
    """n without replacement, place r with weight 1/ln(1 + r): near the top more often.

    Exponential keys draw without replacement by weight (Efraimidis and Spirakis, 2006).
    """
    ranks = range(1, len(pool) + 1)
    return _largest([math.log(1 - rng.random()) * math.log(1 + rank) for rank in ranks], n)


def stratified(pool: Sequence[Doc], n: int, rng: random.Random) -> list[int]:
    """One from each of n equal strata of the scores, which so are covered evenly (2604.04734, quantiles)."""
    if any("score" not in doc for doc in pool):
        raise RdError(
            "--sampling stratified needs scores: one source that gives them, or records with scores"
        )
    by_score = sorted(range(len(pool)), key=lambda place: (-pool[place]["score"], place))
    n = min(n, len(pool))
    edges = [len(pool) * stratum // n for stratum in range(n + 1)] if n else []
    return sorted(by_score[low + int(rng.random() * (high - low))] for low, high in pairwise(edges))


def _largest(keys: list[float], n: int) -> list[int]:
    return sorted(sorted(range(len(keys)), key=lambda place: -keys[place])[:n])


SAMPLING: dict[str, Callable[[Sequence[Doc], int, random.Random], list[int]]] = {
    "random": uniform,
    "top": top,
    "log-random": log_random,
    "stratified": stratified,
}
