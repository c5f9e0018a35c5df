"""Are two systems different over the same queries? Paired tests, and corrections of many of them.

A test is `test(pair, rng) -> p`, two-sided. Queries are the sample: an observation is the difference, on
one query, of the two systems' values, each the mean over the system's seeds. `wilcoxon`, `permutation`
and `bootstrap` see these alone, and so speak of the runs that there are: how much another seed would
have moved them is not in their p. `t`, and the equivalence tests built on it, add it (`standard_error`).
Where every query has the same difference, t and its kin are undefined; p is then 1 if that difference is
0, and otherwise the least that the test can give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdtools.core.errors import RdError
from rdtools.evaluate.systems import System

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class PairedValues:
    """Two systems on the same queries.

    Attributes:
        differences: one system minus the other by query, (n,) float64, of means over seeds.
        seeds: values of the systems of several seeds, each (seeds, n).
    """

    differences: Floats
    seeds: Sequence[Floats] = ()


Test: TypeAlias = Callable[[PairedValues, np.random.Generator], float]
Correction: TypeAlias = Callable[[Sequence[float]], list[float]]

PERMUTATIONS = 100_000
BOOTSTRAP_SAMPLES = 10_000
_BLOCK = 2**22
"""Numbers drawn at a time, which bounds the memory."""
_ROUNDING = 1e-15
"""Differences of values up to 1 that are the same but for rounding are not further apart."""


def standard_error(pair: PairedValues) -> tuple[float, float]:
    """Return the standard error of the mean difference and its degrees of freedom.

    Without seeds these are Student's: sd/√n and n−1. A system of S seeds adds what its seeds bring to its
    mean, (MS_seeds − MS_residual) / (S·n) from the analysis of variance of its seeds × queries, 0 where
    that is negative. Queries and seeds are both random: seeds are nested in systems and crossed with
    queries, so the ratio is a quasi-t (Clark, 1973) with Satterthwaite's (1946) degrees of freedom. A
    system of one run adds nothing, as if it were trained once and for all.
    """
    n = len(pair.differences)
    constant = _constant(pair.differences)
    terms = [(0.0 if constant else float(pair.differences.var(ddof=1)) / n, n - 1)]  # share, its freedom
    for values in pair.seeds:
        terms += _seed_terms(values)
    variance = sum(term for term, _ in terms)
    if variance <= 0:
        return 0.0, n - 1
    return variance**0.5, variance**2 / sum(term**2 / freedom for term, freedom in terms)


def _seed_terms(values: Floats) -> list[tuple[float, int]]:
    seeds, n = values.shape
    own = values.mean(axis=1, keepdims=True)
    residual = values - own - values.mean(axis=0) + values.mean()
    freedom = (seeds - 1) * (n - 1)
    between = float(own.var(ddof=1)) / seeds
    within = float((residual**2).sum()) / freedom / (seeds * n)
    return [(between, seeds - 1), (-within, freedom)] if between > within else []


def t_test(pair: PairedValues, rng: np.random.Generator) -> float:
    """Student's paired t-test, t = d̄ / (sd/√n) with n−1 degrees of freedom; `standard_error` has seeds."""
    from scipy.special import stdtr  # a third of the start-up of scipy.stats

    error, freedom = standard_error(pair)
    if error == 0:
        return 0.0 if pair.differences.any() else 1.0
    return float(2 * stdtr(freedom, -abs(pair.differences.mean()) / error))


def wilcoxon(pair: PairedValues, rng: np.random.Generator) -> float:
    """Wilcoxon's signed-rank test as scipy.stats.wilcoxon has it: zero differences are left out."""
    if not pair.differences.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(pair.differences).pvalue)


def permutation_test(pair: PairedValues, rng: np.random.Generator) -> float:
    """Fisher's randomisation test: the sign of each difference is flipped at random.

    p is the share of 100,000 drawn sign patterns, and the observed one, whose mean is at least as far
    from 0 as the observed mean (Smucker, Allan and Carterette, CIKM 2007; counting the observed one:
    Phipson and Smyth, 2010).
    """
    moved = pair.differences[pair.differences != 0]  # a sign does nothing to the others
    total = moved.sum()
    bound = abs(total) - 1e-12 * abs(moved).sum()  # the order of the summands moves a sum that much
    extreme = 1
    for count in _blocks(PERMUTATIONS, len(moved)):
        drawn = rng.integers(0, 256, (count, -(-len(moved) // 8)), np.uint8)
        flips = np.unpackbits(drawn, axis=1, count=len(moved))
        extreme += int((abs(total - 2 * (flips @ moved)) >= bound).sum())
    return extreme / (PERMUTATIONS + 1)


def bootstrap_test(pair: PairedValues, rng: np.random.Generator) -> float:
    """The studentised paired bootstrap test of Sakai (SIGIR 2006).

    The differences, shifted to a mean of 0, are drawn with replacement 10,000 times; p is the share of
    draws, and the observed one, with |t| at least the observed |t|.
    """
    differences = pair.differences
    extreme = 1
    if not differences.any():
        return 1.0
    if not _constant(differences):
        shifted = differences - differences.mean()
        bound = abs(_t_statistic(differences)) * (1 - 1e-9)
        for count in _blocks(BOOTSTRAP_SAMPLES, len(shifted)):
            drawn = shifted[rng.integers(0, len(shifted), (count, len(shifted)))]
            # |t*| >= bound, without a division by the deviation of a draw of equal values
            error = drawn.std(axis=1, ddof=1) / np.sqrt(len(shifted))
            extreme += int((abs(drawn.mean(axis=1)) >= bound * error).sum())
    return extreme / (BOOTSTRAP_SAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of a family of tests."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Bonferroni's correction of a family of tests: p times their number."""
    return [min(1.0, len(p_values) * p) for p in p_values]


def uncorrected(p_values: Sequence[float]) -> list[float]:
    return list(p_values)


def compare(
    systems: Sequence[System], baseline: str, test: Test, correct: Correction, seed: int
) -> dict[tuple[System, str], tuple[float, float]]:
    """Test every system against the `baseline` on its collection: (system, measure) -> (p, corrected p).

    The family that is corrected is all systems times all measures. Each test draws from `seed` afresh, so
    that its p does not depend on which others are made.

    Raises:
        RdError: a collection lacks the baseline, or what should be paired cannot be.
    """
    baselines = {system.collection: system for system in systems if system.name == baseline}
    p_values = {}
    for system in systems:
        if system.name == baseline:
            continue
        if system.collection not in baselines:
            raise RdError(f"{baseline}, the baseline, has no run on {system.collection}")
        for measure in system.evaluator.measures:
            pair = paired(system, baselines[system.collection], measure)
            p_values[system, measure] = test(pair, np.random.default_rng(seed))
    corrected = correct(list(p_values.values()))
    return {cell: (p, q) for (cell, p), q in zip(p_values.items(), corrected, strict=True)}


def paired(one: System, other: System, measure: str) -> PairedValues:
    """Pair two systems by query.

    Raises:
        RdError: there are fewer than two queries, or not the same for both systems.
    """
    if len(one.queries) < 2:
        raise RdError(f"a paired test needs at least 2 queries, not {len(one.queries)}")
    if one.queries != other.queries:
        problem = f"runs {one.name} and {other.name} have different queries, which cannot be paired"
        raise RdError(f"{problem} (leave out --run-queries-only)")
    values = [system.by_seed(measure) for system in (one, other)]
    differences = values[0].mean(axis=0) - values[1].mean(axis=0)
    differences[abs(differences) < _ROUNDING] = 0.0
    return PairedValues(differences, [own for own in values if len(own) > 1])


def _t_statistic(differences: Floats) -> float:
    return float(differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences))))


def _constant(differences: Floats) -> bool:
    """Whether all differences are the same but for rounding."""
    return bool(np.ptp(differences) <= _ROUNDING * max(1.0, abs(differences).max()))


def _blocks(draws: int, queries: int) -> Iterator[int]:
    """Cut `draws` into blocks that hold a bounded number of values."""
    size = max(1, _BLOCK // max(1, queries))
    for start in range(0, draws, size):
        yield min(size, draws - start)
