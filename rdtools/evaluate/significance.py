"""Paired tests of the difference between two systems, and corrections for several tests.

A test is `test(pair, rng) -> p`, two-sided. Queries are the sample: an observation is the difference of the
two systems' values for one query, each value the mean over the system's seeds. `wilcoxon`, `permutation`
and `bootstrap` use only these differences, so their p holds for the given runs, not for further seeds. `t`
and the equivalence tests add the variance between seeds (`standard_error`). If all queries have the same
difference, t is undefined; p is then 1 if the difference is 0, else the smallest p that the test can return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdtools.core.errors import RdError
from rdtools.evaluate.systems import System

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class PairedValues:
    """Systems on the same queries, and the weighted sum of their values that is tested.

    Attributes:
        differences: the sum for each query, (n,) float64, of means over seeds: one system minus the other,
            or a contrast of more systems.
        seeds: the weighted values of each system that has several seeds, (seeds, n).
    """

    differences: Floats
    seeds: Sequence[Floats] = ()


Test: TypeAlias = Callable[[PairedValues, np.random.Generator], float]
Correction: TypeAlias = Callable[[Sequence[float]], list[float]]

PERMUTATIONS = 100_000
BOOTSTRAP_SAMPLES = 10_000
_BATCH = 2**22
"""The number of random values drawn at a time; it bounds the memory."""
_ROUNDING = 1e-15
"""Values within this tolerance are equal."""


class Estimate(NamedTuple):
    """A mean difference, its standard error and the degrees of freedom of the error."""

    delta: float
    error: float
    freedom: float

    def p_difference(self) -> float:
        """Return the two-sided p of a difference of 0: t = delta / error."""
        from scipy.special import stdtr  # imports in a third of the time of scipy.stats

        if self.error == 0:
            return 0.0 if self.delta else 1.0
        return float(2 * stdtr(self.freedom, -abs(self.delta) / self.error))

    def p_equivalence(self, bound: float) -> float:
        """Return p of a difference outside ±bound: the larger p of two one-sided t-tests (TOST).

        Source: Schuirmann (1987).
        """
        from scipy.special import stdtr

        if self.error == 0:
            return float(abs(self.delta) >= bound)
        return float(stdtr(self.freedom, (abs(self.delta) - bound) / self.error))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the confidence interval delta ± t · error, t the (1 + level) / 2 quantile.

        That of level 1 − α excludes 0 exactly if `p_difference` < α; that of level 1 − 2α lies inside ±bound
        exactly if `p_equivalence(bound)` < α.
        """
        from scipy.special import stdtrit

        half = self.error and float(stdtrit(self.freedom, (1 + level) / 2)) * self.error
        return self.delta - half, self.delta + half

    def __neg__(self) -> Estimate:
        return self._replace(delta=-self.delta)


def estimate(pair: PairedValues) -> Estimate:
    """Return the mean of the differences with its standard error."""
    return Estimate(float(pair.differences.mean()), *standard_error(pair))


def standard_error(pair: PairedValues) -> tuple[float, float]:
    """Return the standard error of the mean difference and its degrees of freedom.

    Without seeds these are Student's: sd/√n and n−1. A system with S seeds adds the variance of its mean
    between seeds: (MS_seeds − MS_residual) / (S·n) from the analysis of variance of its seeds × queries, or
    0 if that is negative. Queries and seeds are both random, seeds nested in systems and crossed with
    queries, so the ratio is a quasi-t (Clark, 1973) with Satterthwaite's (1946) degrees of freedom. A
    system with one run adds nothing.
    """
    n = len(pair.differences)
    constant = _constant(pair.differences)
    terms = [(0.0 if constant else float(pair.differences.var(ddof=1)) / n, n - 1)]  # variance, its freedom
    for values in pair.seeds:
        terms += _seed_terms(values)
    variance = sum(term for term, _ in terms)
    if variance <= 0:
        return 0.0, n - 1
    return variance**0.5, variance**2 / sum(term**2 / freedom for term, freedom in terms)


def _seed_terms(values: Floats) -> list[tuple[float, int]]:
    seeds, n = values.shape
    between, within = seed_variances(values)
    return [(between, seeds - 1), (-within, (seeds - 1) * (n - 1))] if between > within else []


def seed_variances(values: Floats) -> tuple[float, float]:
    """Return MS_seeds / (S·n) and MS_residual / (S·n) of the values (S, n) of a system with S seeds.

    The first is the variance of the system's mean between seeds, the second its part due to single queries.
    """
    seeds, n = values.shape
    own = values.mean(axis=1, keepdims=True)
    residual = values - own - values.mean(axis=0) + values.mean()
    within = float((residual**2).sum()) / ((seeds - 1) * (n - 1)) / (seeds * n)
    return float(own.var(ddof=1)) / seeds, within


def t_test(pair: PairedValues, rng: np.random.Generator) -> float:
    """Student's paired t-test, t = d̄ / (sd/√n) with n−1 degrees of freedom; seeds: `standard_error`."""
    return estimate(pair).p_difference()


def wilcoxon(pair: PairedValues, rng: np.random.Generator) -> float:
    """Wilcoxon's signed-rank test as in scipy.stats.wilcoxon: zero differences are dropped."""
    if not pair.differences.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(pair.differences).pvalue)


def permutation_test(pair: PairedValues, rng: np.random.Generator) -> float:
    """Fisher's randomisation test: the sign of each difference is flipped at random.

    p is the share of sign patterns whose mean is at least as far from 0 as the observed mean, among 100,000
    random patterns and the observed one (Smucker, Allan and Carterette, CIKM 2007; counting the observed
    one: Phipson and Smyth, 2010).
    """
    nonzero = pair.differences[pair.differences != 0]  # flipping the sign of 0 changes nothing
    total = nonzero.sum()
    bound = abs(total) - 1e-12 * abs(nonzero).sum()  # tolerance for the order of summation
    extreme = 1
    for count in _batches(PERMUTATIONS, len(nonzero)):
        drawn = rng.integers(0, 256, (count, -(-len(nonzero) // 8)), np.uint8)
        flips = np.unpackbits(drawn, axis=1, count=len(nonzero))
        extreme += int((abs(total - 2 * (flips @ nonzero)) >= bound).sum())
    return extreme / (PERMUTATIONS + 1)


def bootstrap_test(pair: PairedValues, rng: np.random.Generator) -> float:
    """The studentised paired bootstrap test of Sakai (SIGIR 2006).

    The differences, shifted to a mean of 0, are resampled with replacement 10,000 times; p is the share of
    samples, counting the observed one, with |t| at least the observed |t|.
    """
    differences = pair.differences
    extreme = 1
    if not differences.any():
        return 1.0
    if not _constant(differences):
        shifted = differences - differences.mean()
        bound = abs(_t_statistic(differences)) * (1 - 1e-9)
        for count in _batches(BOOTSTRAP_SAMPLES, len(shifted)):
            drawn = shifted[rng.integers(0, len(shifted), (count, len(shifted)))]
            # |t*| >= bound, without dividing by the deviation, which is 0 if all drawn values are equal
            error = drawn.std(axis=1, ddof=1) / np.sqrt(len(shifted))
            extreme += int((abs(drawn.mean(axis=1)) >= bound * error).sum())
    return extreme / (BOOTSTRAP_SAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of a family of tests."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for smaller, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - smaller) * p_values[index]))
        corrected[index] = largest
    return corrected


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Bonferroni's correction of a family of tests: p times their number."""
    return [min(1.0, len(p_values) * p) for p in p_values]


def uncorrected(p_values: Sequence[float]) -> list[float]:
    """Return the p-values unchanged."""
    return list(p_values)


def compare_systems(
    systems: Sequence[System], baseline: str, test: Test, correct: Correction, seed: int
) -> dict[tuple[System, str], tuple[float, float]]:
    """Test each system against the `baseline` on its collection: (system, measure) -> (p, corrected p).

    The family of tests is all systems × all measures. Each test starts from `seed`, so that its p does not
    depend on the other tests.

    Raises:
        RdError: a collection lacks the baseline, or two systems cannot be paired.
    """
    baselines = {system.collection: system for system in systems if system.name == baseline}
    p_values = {}
    for system in systems:
        if system.name == baseline:
            continue
        if system.collection not in baselines:
            raise RdError(f"the baseline {baseline} has no run on collection {system.collection}")
        for measure in system.evaluator.measures:
            pair = paired(system, baselines[system.collection], measure)
            p_values[system, measure] = test(pair, np.random.default_rng(seed))
    corrected = correct(list(p_values.values()))
    return {cell: (p, q) for (cell, p), q in zip(p_values.items(), corrected, strict=True)}


def paired(one: System, other: System, measure: str) -> PairedValues:
    """Pair two systems by query: one minus the other.

    Raises:
        RdError: there are fewer than two queries, or the systems have different ones.
    """
    return weighted_sum([(1.0, one), (-1.0, other)], measure)


def weighted_sum(terms: Sequence[tuple[float, System]], measure: str) -> PairedValues:
    """Add up systems, each times its weight, by query; counts such as NumRet times the number of queries.

    The mean over queries is then in the unit of the printed values.

    Raises:
        RdError: there are fewer than two queries, or the systems have different ones.
    """
    (_, first), *others = terms
    if len(first.queries) < 2:
        raise RdError(f"a paired test needs at least 2 queries, not {len(first.queries)}")
    for _, other in others:
        if other.queries != first.queries:
            problem = f"runs {first.name} and {other.name} have different queries and cannot be paired"
            raise RdError(f"{problem} (leave out --run-queries-only)")
    values = [weight * system.by_seed(measure) for weight, system in terms]
    differences = np.sum([own.mean(axis=0) for own in values], axis=0)
    differences[abs(differences) < _ROUNDING] = 0.0
    unit = len(first.queries) if first.evaluator.is_count(measure) else 1
    return PairedValues(unit * differences, [unit * own for own in values if len(own) > 1])


def _t_statistic(differences: Floats) -> float:
    return float(differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences))))


def _constant(differences: Floats) -> bool:
    """Return whether all differences are equal, up to rounding."""
    return bool(np.ptp(differences) <= _ROUNDING * max(1.0, abs(differences).max()))


def _batches(draws: int, queries: int) -> Iterator[int]:
    """Split `draws` into batches with a bounded number of values; yield their sizes."""
    size = max(1, _BATCH // max(1, queries))
    for start in range(0, draws, size):
        yield min(size, draws - start)
