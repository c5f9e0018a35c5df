"""Power of the equivalence test: bounds out of reach, and the seeds or queries that would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdtools.core.log import log, plural
from rdtools.evaluate.significance import Estimate, Floats, PairedValues, estimate, seed_variances

POWER = 0.8
"""The probability with which a true difference of 0 should be shown equivalent."""
MOST_SEEDS = 1000


class Shortfall(NamedTuple):
    """A comparison whose bound is out of reach, and what would do.

    Attributes:
        seeds: the numbers of seeds of its systems that have several.
        queries: the number of queries.
        needed_seeds: of each of these systems; None if at most 1,000 seeds do not do.
        needed_queries: with the same seeds; None if systems have several seeds.
    """

    seeds: tuple[int, ...]
    queries: int
    needed_seeds: int | None
    needed_queries: int | None


def is_out_of_reach(one: Estimate, bound: float, alpha: float) -> bool:
    """Return whether even an observed difference of 0 would not be equivalent: bound ≤ t(1−α) · error."""
    return one._replace(delta=0.0).p_equivalence(bound) >= alpha


def shortfall(pair: PairedValues, bound: float, alpha: float) -> Shortfall | None:
    """Return the shortfall of a comparison, or None if its bound is within reach."""
    if not is_out_of_reach(estimate(pair), bound, alpha):
        return None
    seeds = tuple(len(values) for values in pair.seeds)
    queries = len(pair.differences)
    if seeds:
        return Shortfall(seeds, queries, needed_seeds(pair, bound, alpha), None)
    return Shortfall(seeds, queries, None, needed_queries(pair, bound, alpha))


def needed_seeds(pair: PairedValues, bound: float, alpha: float) -> int | None:
    """Return the smallest number of seeds that shows a true difference of 0 equivalent with 80 % power.

    The variances of `standard_error` are split and divided by the new number S' of seeds of each system that
    has several: Var(d)/n = I + Σ W·S/S' (I between queries, W = MS_residual/(S·n)), and the variance between
    seeds (B − W)·S/S' (B = MS_seeds/(S·n); 0 if negative), with Satterthwaite's degrees of freedom. S' is the
    first with bound ≥ (t(1−α) + t(1−β/2)) · error, β = 0.2, the sample size of Chow, Shao and Wang (2008)
    for an equivalence test; None beyond 1,000.
    """
    n = len(pair.differences)
    seeds: Floats = np.arange(2, MOST_SEEDS + 1, dtype=float)
    parts = [(*seed_variances(values), len(values)) for values in pair.seeds]
    by_query = float(pair.differences.var(ddof=1)) / n
    total = np.full_like(seeds, max(0.0, by_query - sum(within for _, within, _ in parts)))
    for _, within, own in parts:
        total += within * own / seeds
    squares = total**2 / (n - 1)
    for between, within, own in parts:
        if between > within:
            total += (between - within) * own / seeds
            squares += (between * own / seeds) ** 2 / (seeds - 1)
            squares += (within * own / seeds) ** 2 / ((seeds - 1) * (n - 1))
    enough = _suffices(np.sqrt(total), total**2 / np.maximum(squares, np.finfo(float).tiny), bound, alpha)
    return int(seeds[enough.argmax()]) if enough.any() else None


def needed_queries(pair: PairedValues, bound: float, alpha: float) -> int:
    """Return the smallest number of queries that does, at this variance between queries, without seeds."""
    deviation = float(pair.differences.std(ddof=1))
    low, high = 2, 4
    while not _suffices(deviation / np.sqrt(high), high - 1, bound, alpha):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = bool(_suffices(deviation / np.sqrt(middle), middle - 1, bound, alpha))
        low, high = (low, middle) if enough else (middle, high)
    return high


def _suffices(error: Floats, freedom: Floats | float, bound: float, alpha: float) -> NDArray[np.bool_]:
    from scipy.special import stdtrit

    quantiles = stdtrit(freedom, 1 - alpha) + stdtrit(freedom, (1 + POWER) / 2)
    return np.asarray(quantiles * error <= bound)


def warn_of_shortfalls(found: Mapping[str, Sequence[Shortfall | None]], bound: float, noun: str) -> None:
    """Say on stderr which bounds are out of reach: one line for each key, such as `nDCG@10 on scifact`.

    Args:
        found: the shortfall of each comparison, None without one.
        noun: the word for a comparison: pair or contrast.
    """
    for key, comparisons in found.items():
        lacking = [one for one in comparisons if one is not None]
        if lacking:
            log.warning("%s: %s", key, _sentence(lacking, len(comparisons), bound, noun))


def _sentence(lacking: Sequence[Shortfall], total: int, bound: float, noun: str) -> str:
    numbers = sorted({number for one in lacking for number in one.seeds})
    queries = plural(lacking[0].queries, "query")
    size = f"{_range(numbers)} seeds" if numbers else queries
    which = f"the {noun}" if total == 1 else f"{len(lacking)} of {plural(total, noun)}"
    text = f"with {size} and these variances, equivalence within ±{bound:g} cannot be shown for {which}, "
    text += "even at difference 0; "
    seeds = [one.needed_seeds for one in lacking if one.needed_seeds is not None]
    if seeds:
        text += f"about {_typical(seeds)} seeds would do"
        rest = len(lacking) - len(seeds)
        return text + (f"; {plural(rest, noun)} would also need more than {queries}" if rest else "")
    if numbers:
        return text + f"more seeds alone would not do: more than {queries} are needed"
    needed = [_rounded(one.needed_queries) for one in lacking if one.needed_queries is not None]
    return text + f"about {_typical(needed)} queries would do"


def _rounded(number: int) -> int:
    """Round up to two digits."""
    step = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // step) * step


def _typical(numbers: Sequence[int]) -> str:
    """The median, and the range if there is one: `10 (6 to 14)`."""
    middle = f"{median_low(numbers):,}"
    return middle if min(numbers) == max(numbers) else f"{middle} ({_range(numbers)})"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
