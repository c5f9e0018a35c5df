"""Tests of difference and of equivalence against scipy, statsmodels, enumeration and worked examples."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rdtools.errors import RdError
from rdtools.significance import (
    bonferroni,
    bootstrap_test,
    compare,
    equivalence_letters,
    equivalence_test,
    holm,
    paired_differences,
    permutation_test,
    shared_letters,
    t_test,
    uncorrected,
    wilcoxon,
)

TESTS = [t_test, wilcoxon, permutation_test, bootstrap_test]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def sample(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, n)


@pytest.mark.parametrize("mean", [0.0, 0.3, -2.0])
def test_t_and_wilcoxon_are_those_of_scipy(mean):
    differences = sample(30, mean)
    zero = np.zeros_like(differences)
    assert t_test(differences, rng()) == pytest.approx(stats.ttest_rel(differences, zero).pvalue, rel=1e-12)
    assert wilcoxon(differences, rng()) == stats.wilcoxon(differences).pvalue


def test_permutation_agrees_with_all_sign_patterns():
    differences = np.array([0.4, 0.1, -0.2, 0.3, 0.0, 0.5, 0.2, -0.1, 0.3])
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    exact = (abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    assert permutation_test(differences, rng()) == pytest.approx(exact, abs=4 * (exact / 100_000) ** 0.5)


def test_permutation_never_gives_zero():
    assert permutation_test(np.full(200, 0.5), rng()) == 1 / 100_001


def test_bootstrap_follows_its_definition():
    """Sakai's algorithm, draw by draw, with other random numbers."""
    differences = sample(20, 0.4, seed=3)
    observed = abs(stats.ttest_1samp(differences, 0).statistic)
    shifted = differences - differences.mean()
    drawn = np.random.default_rng(1).choice(shifted, (20_000, 20))
    expected = (abs(stats.ttest_1samp(drawn, 0, axis=1).statistic) >= observed).mean()
    assert bootstrap_test(differences, rng()) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("test", TESTS)
def test_degenerate_differences_give_a_sensible_p(test):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert test(np.zeros(50), rng()) == 1
        assert test(np.full(50, 0.1), rng()) < 1e-4
        assert test(np.array([0.7 - 0.6, 0.5 - 0.4] * 20), rng()) < 1e-3
        assert 0 < test(np.array([0.1, -0.1] + [0.0] * 20), rng()) <= 1


@pytest.mark.parametrize("test", TESTS)
@settings(max_examples=20, deadline=None)
@given(values=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.1, 0.25, 1.0]), min_size=2, max_size=12))
def test_p_is_a_probability_and_symmetric(test, values):
    differences = np.array(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = test(differences, rng())
        assert 0 <= p <= 1
        assert test(-differences, rng()) == pytest.approx(p)


def test_the_holm_correction_of_its_textbook_example():
    """0.01 × 4, 0.03 × 2 kept at least 0.02 × 3, 0.04 × 1 kept at least 0.06."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert bonferroni([0.04, 0.01, 0.3]) == pytest.approx([0.12, 0.03, 0.9])
    assert bonferroni([0.5, 0.9]) == [1, 1]
    assert uncorrected([0.5, 0.9]) == [0.5, 0.9]


def test_corrections_are_those_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="pip install '.[test]'")
    p_values = np.random.default_rng(5).uniform(0, 0.1, 20).tolist()
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])
    assert bonferroni(p_values) == pytest.approx(multitest.multipletests(p_values, method="bonferroni")[1])


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 60), mean=st.floats(-0.5, 0.5), bound=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_equivalence_is_that_of_statsmodels(n, mean, bound, seed):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="pip install '.[test]'")
    ours, theirs = sample(n, mean, seed), sample(n, 0, seed + 1)
    expected = weightstats.ttost_paired(ours, theirs, -bound, bound)[0]
    assert equivalence_test(ours - theirs, bound) == pytest.approx(expected, abs=1e-9)


def test_equivalence_of_constant_differences():
    assert equivalence_test(np.zeros(5), 0.01) == 0
    assert equivalence_test(np.full(5, 0.005), 0.01) == 0
    assert equivalence_test(np.full(5, 0.02), 0.01) == 1
    assert equivalence_test(np.full(5, -0.02), 0.01) == 1


def by_query(values: list[float]) -> dict[str, dict[str, float]]:
    return {"AP": {str(number): value for number, value in enumerate(values)}}


def test_equivalence_is_not_transitive():
    """Means 0.50, 0.508 and 0.516 with a bound of 0.01: neighbours are equivalent, the ends are not."""
    noise = np.tile([0.001, -0.001], 20)
    runs = {
        name: by_query((mean + noise * sign).tolist())
        for name, mean, sign in [("low", 0.5, 1), ("mid", 0.508, -1), ("high", 0.516, 1)]
    }
    letters = equivalence_letters(runs, 0.01, 0.05)
    assert letters == {("low", "AP"): "a", ("mid", "AP"): "a,b", ("high", "AP"): "b"}


edges = st.sets(st.sampled_from(list(itertools.combinations("abcdef", 2))))


@given(equivalent=edges)
def test_runs_share_a_letter_if_and_only_if_they_are_equivalent(equivalent):
    letters = {name: set(own.split(",")) for name, own in shared_letters("abcdef", equivalent).items()}
    assert all(letters.values())
    for pair in itertools.combinations("abcdef", 2):
        assert bool(letters[pair[0]] & letters[pair[1]]) == (pair in equivalent)


def test_letters_beyond_z():
    names = [str(number) for number in range(28)]
    assert list(shared_letters(names, set()).values())[25:] == ["z", "aa", "ab"]


def test_the_family_is_all_runs_times_all_measures():
    runs = {
        name: {
            "AP": by_query(sample(20, mean, 1).tolist())["AP"],
            "RR": by_query(sample(20, mean, 2).tolist())["AP"],
        }
        for name, mean in [("base", 0.0), ("x", 0.5), ("y", 0.1)]
    }
    runs["x"]["AP"]["0"] += 0.3  # constant differences otherwise
    compared = compare(runs, "base", permutation_test, bonferroni, seed=0)
    assert list(compared) == [("x", "AP"), ("x", "RR"), ("y", "AP"), ("y", "RR")]
    for p, corrected in compared.values():
        assert corrected == min(1, 4 * p)
    alone = compare({"base": runs["base"], "y": runs["y"]}, "base", permutation_test, bonferroni, seed=0)
    assert alone["y", "RR"][0] == compared["y", "RR"][0]


def test_what_cannot_be_paired():
    with pytest.raises(RdError, match=r"at least 2 queries, not 1$"):
        paired_differences({"a": by_query([1]), "b": by_query([1])}, "a", "b", "AP")
    with pytest.raises(RdError, match=r"runs a and b have different queries.*--run-queries-only"):
        paired_differences({"a": by_query([1, 2]), "b": by_query([1, 2, 3])}, "a", "b", "AP")


def test_differences_below_rounding_are_none():
    runs = {"a": by_query([0.3, 0.5]), "b": by_query([0.1 + 0.2, 0.25])}
    assert paired_differences(runs, "a", "b", "AP").tolist() == [0, 0.25]
