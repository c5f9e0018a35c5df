"""Are two runs different, or equivalent, over the same queries? Paired tests, corrections, equivalence.

A test is `test(differences, rng) -> p`: differences of n queries, (n,) float64, run minus baseline; p is
two-sided. Where every query has the same difference, t and its kin are undefined; p is then 1 if that
difference is 0, and otherwise the least that the test can give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdtools.errors import RdError
from rdtools.log import log
from rdtools.measures import Values

Differences: TypeAlias = NDArray[np.float64]
Test: TypeAlias = Callable[[Differences, np.random.Generator], float]
Correction: TypeAlias = Callable[[Sequence[float]], list[float]]

PERMUTATIONS = 100_000
BOOTSTRAP_SAMPLES = 10_000
_BLOCK = 2**22
"""Numbers drawn at a time, which bounds the memory."""
_ROUNDING = 1e-15
"""Differences of values up to 1 that are the same but for rounding are not further apart."""


def t_test(differences: Differences, rng: np.random.Generator) -> float:
    """Student's paired t-test: t = d̄ / (sd/√n) with n−1 degrees of freedom."""
    from scipy.special import stdtr  # a third of the start-up of scipy.stats

    if _constant(differences):
        return 0.0 if differences.any() else 1.0
    return float(2 * stdtr(len(differences) - 1, -abs(_t_statistic(differences))))


def wilcoxon(differences: Differences, rng: np.random.Generator) -> float:
    """Wilcoxon's signed-rank test as scipy.stats.wilcoxon has it: zero differences are left out."""
    if not differences.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)


def permutation_test(differences: Differences, rng: np.random.Generator) -> float:
    """Fisher's randomisation test: the sign of each difference is flipped at random.

    p is the share of 100,000 drawn sign patterns, and the observed one, whose mean is at least as far
    from 0 as the observed mean (Smucker, Allan and Carterette, CIKM 2007; counting the observed one:
    Phipson and Smyth, 2010).
    """
    moved = differences[differences != 0]  # a sign does nothing to the others
    total = moved.sum()
    bound = abs(total) - 1e-12 * abs(moved).sum()  # the order of the summands moves a sum that much
    extreme = 1
    for count in _blocks(PERMUTATIONS, len(moved)):
        drawn = rng.integers(0, 256, (count, -(-len(moved) // 8)), np.uint8)
        flips = np.unpackbits(drawn, axis=1, count=len(moved))
        extreme += int((abs(total - 2 * (flips @ moved)) >= bound).sum())
    return extreme / (PERMUTATIONS + 1)


def bootstrap_test(differences: Differences, rng: np.random.Generator) -> float:
    """The studentised paired bootstrap test of Sakai (SIGIR 2006).

    The differences, shifted to a mean of 0, are drawn with replacement 10,000 times; p is the share of
    draws, and the observed one, with |t| at least the observed |t|.
    """
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


def equivalence_test(differences: Differences, bound: float) -> float:
    """Two one-sided paired t-tests (TOST; Schuirmann, 1987): the larger p of mean > −bound and mean < bound.

    A small p says that the mean difference lies within ±bound, in the unit of the measure.
    """
    from scipy.special import stdtr

    mean = differences.mean()
    if _constant(differences):
        return float(not -bound < mean < bound)
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(stdtr(len(differences) - 1, (abs(mean) - bound) / error))


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
    runs: Mapping[str, Values], baseline: str, test: Test, correct: Correction, seed: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Test every run against `baseline`: (run, measure) -> (p, corrected p).

    The family that is corrected is all runs times all measures. Each test draws from `seed` afresh, so
    that its p does not depend on which others are made.
    """
    p_values = {}
    for run, values in runs.items():
        if run != baseline:
            for measure in values:
                differences = paired_differences(runs, run, baseline, measure)
                p_values[run, measure] = test(differences, np.random.default_rng(seed))
    corrected = correct(list(p_values.values()))
    return {pair: (p, q) for (pair, p), q in zip(p_values.items(), corrected, strict=True)}


def equivalence_letters(runs: Mapping[str, Values], bound: float, alpha: float) -> dict[tuple[str, str], str]:
    """Letter the runs for every measure: (run, measure) -> letters, shared where TOST gives p < `alpha`."""
    letters = {}
    for measure in next(iter(runs.values())):
        equivalent = set()
        for pair in combinations(runs, 2):
            p = equivalence_test(paired_differences(runs, *pair, measure), bound)
            log.debug("%s: %s and %s equivalent within %g: p = %.4g", measure, *pair, bound, p)
            if p < alpha:
                equivalent.add(pair)
        for run, shared in shared_letters(list(runs), equivalent).items():
            letters[run, measure] = shared
    return letters


def paired_differences(runs: Mapping[str, Values], run: str, other: str, measure: str) -> Differences:
    """Return the values of `run` minus those of `other`, by query, (n,) float64.

    Raises:
        RdError: there are fewer than two queries, or not the same for both runs.
    """
    ours, theirs = runs[run][measure], runs[other][measure]
    if len(ours) < 2:
        raise RdError(f"a paired test needs at least 2 queries, not {len(ours)}")
    if ours.keys() != theirs.keys():
        problem = f"runs {run} and {other} have different queries, which cannot be paired"
        raise RdError(f"{problem} (leave out --run-queries-only)")
    differences = np.array([value - theirs[query_id] for query_id, value in ours.items()], np.float64)
    differences[abs(differences) < _ROUNDING] = 0.0
    return differences


def shared_letters(names: Sequence[str], equivalent: set[tuple[str, str]]) -> dict[str, str]:
    """Letter the runs so that two share a letter if and only if they are equivalent.

    Equivalence is not transitive, so a run may have several letters: one for each largest set of runs
    that are all equivalent to each other (a maximal clique). `equivalent` has its pairs in the order of
    `names`.

    >>> shared_letters(["x", "y", "z"], {("x", "y"), ("y", "z")})
    {'x': 'a', 'y': 'a,b', 'z': 'b'}
    """
    neighbours: dict[str, set[str]] = {name: set() for name in names}
    for one, other in equivalent:
        neighbours[one].add(other)
        neighbours[other].add(one)
    place = {name: index for index, name in enumerate(names)}
    cliques = sorted(sorted(place[name] for name in clique) for clique in _maximal_cliques(neighbours))
    letters: dict[str, list[str]] = {name: [] for name in names}
    for index, clique in enumerate(cliques):
        for member in clique:
            letters[names[member]].append(_letter(index))
    return {name: ",".join(own) for name, own in letters.items()}


def _maximal_cliques(neighbours: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """Bron and Kerbosch's algorithm (1973) with a pivot."""

    def extend(clique: set[str], candidates: set[str], excluded: set[str]) -> Iterator[set[str]]:
        if not candidates and not excluded:
            yield clique
            return
        pivot = max(candidates | excluded, key=lambda name: len(neighbours[name] & candidates))
        for name in candidates - neighbours[pivot]:
            yield from extend(clique | {name}, candidates & neighbours[name], excluded & neighbours[name])
            candidates = candidates - {name}
            excluded = excluded | {name}

    yield from extend(set(), set(neighbours), set())


def _letter(index: int) -> str:
    """a, b, …, z, aa, ab, …"""
    letters = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def _t_statistic(differences: Differences) -> float:
    return float(differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences))))


def _constant(differences: Differences) -> bool:
    """Whether all differences are the same but for rounding."""
    return bool(np.ptp(differences) <= _ROUNDING * max(1.0, abs(differences).max()))


def _blocks(draws: int, queries: int) -> Iterator[int]:
    """Cut `draws` into blocks that hold a bounded number of values."""
    size = max(1, _BLOCK // max(1, queries))
    for start in range(0, draws, size):
        yield min(size, draws - start)
