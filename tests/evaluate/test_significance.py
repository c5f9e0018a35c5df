"""Tests of difference and of equivalence against scipy, statsmodels, enumeration and worked examples."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rdtools.core.errors import RdError
from rdtools.evaluate.equivalence import (
    LETTERINGS,
    assign_letters,
    component_letters,
    equivalence_test,
    pairs_within,
    paper_p_values,
    shared_letters,
    unpaired_tost,
)
from rdtools.evaluate.measures import Evaluator, parse_measures
from rdtools.evaluate.significance import (
    PairedValues,
    bonferroni,
    bootstrap_test,
    compare_systems,
    holm,
    paired,
    permutation_test,
    standard_error,
    t_test,
    uncorrected,
    wilcoxon,
)
from rdtools.evaluate.systems import System

TOST = LETTERINGS["tost"]
TESTS = [t_test, wilcoxon, permutation_test, bootstrap_test]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def sample(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, n)


@pytest.mark.parametrize("mean", [0.0, 0.3, -2.0])
def test_t_and_wilcoxon_are_those_of_scipy(mean):
    differences = sample(30, mean)
    zero = np.zeros_like(differences)
    assert t_test(PairedValues(differences), rng()) == pytest.approx(
        stats.ttest_rel(differences, zero).pvalue, rel=1e-12
    )
    assert wilcoxon(PairedValues(differences), rng()) == stats.wilcoxon(differences).pvalue


def test_permutation_agrees_with_all_sign_patterns():
    differences = np.array([0.4, 0.1, -0.2, 0.3, 0.0, 0.5, 0.2, -0.1, 0.3])
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    exact = (abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    assert permutation_test(PairedValues(differences), rng()) == pytest.approx(
        exact, abs=4 * (exact / 100_000) ** 0.5
    )


def test_permutation_never_gives_zero():
    assert permutation_test(PairedValues(np.full(200, 0.5)), rng()) == 1 / 100_001


@pytest.mark.parametrize("batch", [2**22, 999 * 20])
def test_bootstrap_follows_its_definition(batch, monkeypatch):
    """Sakai's algorithm, draw by draw, on the same draws, however many are made at a time."""
    monkeypatch.setattr("rdtools.evaluate.significance._BATCH", batch)
    differences = sample(20, 0.4, seed=3)
    observed = abs(stats.ttest_1samp(differences, 0).statistic)
    shifted = differences - differences.mean()
    drawn = shifted[rng().integers(0, 20, (10_000, 20))]
    extreme = (abs(stats.ttest_1samp(drawn, 0, axis=1).statistic) >= observed).sum()
    assert bootstrap_test(PairedValues(differences), rng()) == (extreme + 1) / 10_001


@pytest.mark.parametrize("test", TESTS)
def test_degenerate_differences_give_a_sensible_p(test):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert test(PairedValues(np.zeros(50)), rng()) == 1
        assert test(PairedValues(np.full(50, 0.1)), rng()) < 1e-4
        assert test(PairedValues(np.array([0.7 - 0.6, 0.5 - 0.4] * 20)), rng()) < 1e-3
        assert 0 < test(PairedValues(np.array([0.1, -0.1] + [0.0] * 20)), rng()) <= 1


@pytest.mark.parametrize("test", TESTS)
@settings(max_examples=20)
@given(values=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.1, 0.25, 1.0]), min_size=2, max_size=12))
def test_p_is_a_probability_and_symmetric(test, values):
    differences = np.array(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = test(PairedValues(differences), rng())
        assert 0 <= p <= 1
        assert test(PairedValues(-differences), rng()) == pytest.approx(p)


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


@settings(max_examples=50)
@given(n=st.integers(2, 60), mean=st.floats(-0.5, 0.5), bound=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_equivalence_is_that_of_statsmodels(n, mean, bound, seed):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="pip install '.[test]'")
    ours, theirs = sample(n, mean, seed), sample(n, 0, seed + 1)
    expected = weightstats.ttost_paired(ours, theirs, -bound, bound)[0]
    assert equivalence_test(PairedValues(ours - theirs), bound) == pytest.approx(expected, abs=1e-9)


def test_equivalence_of_constant_differences():
    assert equivalence_test(PairedValues(np.zeros(5)), 0.01) == 0
    assert equivalence_test(PairedValues(np.full(5, 0.005)), 0.01) == 0
    assert equivalence_test(PairedValues(np.full(5, 0.02)), 0.01) == 1
    assert equivalence_test(PairedValues(np.full(5, -0.02)), 0.01) == 1


def system(name: str, *seeds: list[float], **fields: str) -> System:
    """A system with the values of AP, by query, of each seed."""
    evaluator = Evaluator(parse_measures(["AP"]), {str(query): {} for query in range(len(seeds[0]))})
    runs = {
        str(seed): {"AP": {str(query): value for query, value in enumerate(values)}}
        for seed, values in enumerate(seeds)
    }
    return System(name, fields, evaluator, runs)


def letters_of(systems, bound, alpha, within=(), correct=uncorrected):
    """The letters of the test of equivalence."""
    pairs = list(pairs_within(systems, within))
    p_values = correct([equivalence_test(paired(*pair), bound) for pair in pairs])
    return assign_letters(systems, TOST, dict(zip(pairs, p_values, strict=True)), alpha, within)


def by_name(letters: dict[tuple[System, str], str]) -> dict[str, str]:
    return {system.name: own for (system, _), own in letters.items()}


def test_equivalence_is_not_transitive():
    """Means 0.50, 0.508 and 0.516 with a bound of 0.01: neighbours are equivalent, the ends are not."""
    noise = np.tile([0.001, -0.001], 20)
    systems = [
        system(name, (mean + noise * sign).tolist())
        for name, mean, sign in [("low", 0.5, 1), ("mid", 0.508, -1), ("high", 0.516, 1)]
    ]
    letters = letters_of(systems, 0.01, 0.05)
    assert by_name(letters) == {"low": "a", "mid": "a,b", "high": "b"}


def test_letters_are_of_one_collection_and_of_those_that_agree():
    values = sample(20, 0.5).tolist()
    systems = [
        system(f"{loss}-{source}", values, collection=collection, loss=loss)
        for collection in ("c", "d")
        for loss in ("kl", "lce")
        for source in ("bm25", "random")
    ]
    systems[1] = system("kl-random", [0.0] * 20, collection="c", loss="kl")
    assert list(letters_of(systems, 0.01, 0.05).values()) == list("abaaaaaa")
    assert list(letters_of(systems, 0.01, 0.05, ["loss"]).values()) == list("abaaaaaa")
    lce = system("lce-bm25", (np.array(values) + 0.5).tolist(), collection="c", loss="lce")
    assert list(letters_of([*systems[:2], lce], 0.01, 0.05).values()) == list("abc")
    assert list(letters_of([*systems[:2], lce], 0.01, 0.05, ["loss"]).values()) == list("aba")


@pytest.mark.parametrize("bound", [None, 0.01, 0.05])
@pytest.mark.parametrize("seed", range(6))
def test_the_letters_of_the_paper_are_those_of_its_own_steps(bound, seed):
    """ttost_ind as tables/evaluate_*.py call it; an edge where both p exceed 0.1; connected components."""
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="pip install '.[test]'")
    generator = np.random.default_rng(seed)
    values = {
        name: generator.normal(mean, 0.2, 30)
        for name, mean in zip("wxyz", [0.4, 0.45, 0.55, 0.6], strict=True)
    }
    edges = set()
    for one, other in itertools.combinations("wxyz", 2):
        margin = abs(values[one].mean() - values[other].mean()) * 0.1 / 100 if bound is None else bound
        _, (_, lower, _), (_, upper, _) = weightstats.ttost_ind(values[one], values[other], -margin, margin)
        if lower > 0.1 and upper > 0.1:
            edges.add((one, other))
    parent = {name: name for name in values}
    for _ in values:
        for one, other in edges:
            parent[one] = parent[other] = min(parent[one], parent[other])
    expected = {name: "abcd"[sorted(set(parent.values())).index(parent[name])] for name in values}
    systems = [system(name, own.tolist()) for name, own in values.items()]
    letters = assign_letters(systems, LETTERINGS["paper"], paper_p_values(systems, bound), 0.1)
    assert by_name(letters) == expected


@pytest.mark.parametrize("bound", [None, 0.01, 0.3])
def test_the_p_values_of_the_paper_are_those_of_statsmodels(bound):
    """Pooled variance, n + m − 2 degrees of freedom, and without a bound a margin of 0.1 % of the difference."""
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="pip install '.[test]'")
    one, other = sample(6, 0.5, seed=1), sample(11, 0.0, seed=2)
    margin = abs(one.mean() - other.mean()) * 0.001 if bound is None else bound
    _, (_, lower, _), (_, upper, _) = weightstats.ttost_ind(one, other, -margin, margin)
    found = unpaired_tost(system("x", one.tolist()), system("y", other.tolist()), "AP", bound)
    assert found == pytest.approx((lower, upper), rel=1e-9)


@pytest.mark.parametrize("alpha", [None, 0.01])
@pytest.mark.parametrize(("method", "default"), [("tost", 0.05), ("paper", 0.1)])
def test_letters_turn_at_alpha(method, default, alpha):
    """Equivalent below it; for the paper's tables linked above it."""
    systems = [system("x", [0.5, 0.6]), system("y", [0.4, 0.6])]
    level = default if alpha is None else alpha
    shared = {}
    for p in (0.99 * level, level, 1.01 * level):
        letters = assign_letters(systems, LETTERINGS[method], {(systems[0], systems[1], "AP"): p}, alpha)
        shared[p] = len(set(letters.values())) == 1
    assert list(shared.values()) == ([True, False, False] if method == "tost" else [False, False, True])


def test_a_letter_of_the_paper_links_what_is_not_linked_itself():
    assert component_letters("xyz", {("x", "y"), ("y", "z")}) == {"x": "a", "y": "a", "z": "a"}
    assert component_letters("xyz", {("x", "z")}) == {"x": "a", "y": "b", "z": "a"}


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


def two_measures(name: str, mean: float) -> System:
    made = system(name, sample(20, mean, 1).tolist())
    made.evaluator.measures["RR"] = made.evaluator.measures["AP"]
    made.runs["0"]["RR"] = system(name, sample(20, mean, 2).tolist()).runs["0"]["AP"]
    return made


def test_the_family_is_all_runs_times_all_measures():
    base, x, y = systems = [
        two_measures(name, mean) for name, mean in [("base", 0.0), ("x", 0.5), ("y", 0.1)]
    ]
    x.runs["0"]["AP"]["0"] += 0.3  # constant differences otherwise
    compared = compare_systems(systems, "base", permutation_test, bonferroni, seed=0)
    assert list(compared) == [(x, "AP"), (x, "RR"), (y, "AP"), (y, "RR")]
    for p, corrected in compared.values():
        assert corrected == min(1, 4 * p)
    alone = compare_systems([base, y], "base", permutation_test, bonferroni, seed=0)
    assert alone[y, "RR"][0] == compared[y, "RR"][0]


def test_the_baseline_is_that_of_the_same_collection():
    """On c, x is far above the baseline; on d it is the baseline's equal."""
    c = [system("base", [0.1] * 20, collection="c"), system("x", [0.9] * 20, collection="c")]
    d = [system("base", [0.5] * 20, collection="d"), system("x", [0.5] * 20, collection="d")]
    compared = compare_systems([*c, *d], "base", t_test, bonferroni, seed=0)
    assert compared == {(c[1], "AP"): (0, 0), (d[1], "AP"): (1, 1)}
    with pytest.raises(RdError, match=r"^the baseline base has no run on collection d$"):
        compare_systems([*c, d[1]], "base", t_test, bonferroni, seed=0)


def test_what_cannot_be_paired():
    with pytest.raises(RdError, match=r"at least 2 queries, not 1$"):
        paired(system("a", [1]), system("b", [1]), "AP")
    with pytest.raises(RdError, match=r"runs a and b have different queries.*--run-queries-only"):
        paired(system("a", [1, 2]), system("b", [1, 2, 3]), "AP")
    with pytest.raises(RdError, match=r"the seeds of a have different queries.*--run-queries-only"):
        paired(system("a", [1, 2], [1, 2, 3]), system("b", [1, 2, 3]), "AP")


def test_differences_below_rounding_are_none():
    pair = paired(system("a", [0.3, 0.5]), system("b", [0.1 + 0.2, 0.25]), "AP")
    assert pair.differences.tolist() == [0, 0.25]
    assert not pair.seeds


def test_seeds_by_hand():
    """Two seeds of x, one run of y, three queries; every number by the formulas of the docstring.

    x: means over seeds 0.4, 0.5, 0.9, of the seeds 0.5 and 0.7; y is 0.1, 0.4, 0.4. Differences 0.3, 0.1, 0.5:
    mean 0.3, variance 0.04, over 3 queries 0.04/3. Between the seeds: variance 0.02, over 2 seeds 0.01.
    Residuals (−0.1, 0, 0.1) and their opposites: MS 0.04/2 = 0.02, over 2·3 0.01/3.
    """
    pair = paired(system("x", [0.2, 0.4, 0.9], [0.6, 0.6, 0.9]), system("y", [0.1, 0.4, 0.4]), "AP")
    assert pair.differences == pytest.approx([0.3, 0.1, 0.5])
    terms = [(0.04 / 3, 2), (0.01, 1), (-0.01 / 3, 2)]
    variance = sum(term for term, _ in terms)
    freedom = variance**2 / sum(term**2 / own for term, own in terms)
    assert standard_error(pair) == pytest.approx((variance**0.5, freedom))
    expected = 2 * stats.t.sf(0.3 / variance**0.5, freedom)
    assert t_test(pair, rng()) == pytest.approx(expected, rel=1e-9)
    assert equivalence_test(pair, 0.5) == pytest.approx(stats.t.sf(0.2 / variance**0.5, freedom), rel=1e-9)
    assert wilcoxon(pair, rng()) == stats.wilcoxon(pair.differences).pvalue


def test_mean_squares_are_those_of_an_analysis_of_variance():
    ols = pytest.importorskip("statsmodels.formula.api", reason="pip install '.[test]'").ols
    anova = pytest.importorskip("statsmodels.api").stats.anova_lm
    values = np.random.default_rng(4).normal(0.5, 0.1, (3, 12)) + np.array([[0.0], [0.2], [0.4]])
    seeds, queries = np.indices(values.shape)
    data = {"value": values.ravel(), "seed": seeds.ravel(), "query": queries.ravel()}
    mean_squares = anova(ols("value ~ C(seed) + C(query)", data).fit())["mean_sq"]
    error, _ = standard_error(PairedValues(np.zeros(12), [values]))
    expected = (mean_squares["C(seed)"] - mean_squares["Residual"]) / (3 * 12)
    assert error**2 == pytest.approx(expected)


def test_seeds_that_move_nothing_leave_the_t_test_as_it_is():
    """All seeds have the same mean: less than their residual, so that they add nothing."""
    values = sample(10, 0.5)
    seeds = [values, values[::-1], np.roll(values, 3)]
    pair = paired(system("x", *(own.tolist() for own in seeds)), system("y", [0.4] * 10), "AP")
    differences = np.mean(seeds, axis=0) - 0.4
    assert t_test(pair, rng()) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_the_error_of_the_first_kind_with_random_seeds():
    """Two equal systems of 4 seeds that move the mean as much as 50 queries do: 5 % are found different."""
    generator = np.random.default_rng(7)
    found, found_by_queries, trials = 0, 0, 2000
    for _ in range(trials):
        values = generator.normal(0, 1, (2, 1, 50)) + generator.normal(0, 0.3, (2, 4, 1))
        values += generator.normal(0, 0.5, (2, 4, 50))
        differences = values[0].mean(axis=0) - values[1].mean(axis=0)
        found += t_test(PairedValues(differences, list(values)), rng()) < 0.05
        found_by_queries += t_test(PairedValues(differences), rng()) < 0.05
    assert 0.03 < found / trials < 0.06
    assert found_by_queries / trials > 0.1
