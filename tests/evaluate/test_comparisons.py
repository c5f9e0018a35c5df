"""Contrasts, pairs and the power of equivalence: by hand, against statsmodels, and against simulations."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rdtools.core.errors import UsageError
from rdtools.evaluate.comparisons import compare_pairs, pair_rows
from rdtools.evaluate.contrasts import check_contrast, parse_contrast, systems_of
from rdtools.evaluate.measures import Evaluator, parse_measures
from rdtools.evaluate.options import EquivalenceOptions
from rdtools.evaluate.power import (
    Shortfall,
    is_out_of_reach,
    needed_queries,
    needed_seeds,
    shortfall,
    warn_of_shortfalls,
)
from rdtools.evaluate.significance import PairedValues, estimate, holm, paired, weighted_sum
from rdtools.evaluate.systems import System

INTERACTION = np.array([1.0, -1.0, -1.0, 1.0])
"""kl on bm25, kl on random, lce on bm25, lce on random."""
FIELDS = ["collection", "loss", "source", "student"]


def system(loss: str, source: str, seeds: np.ndarray, student: str = "be", measure: str = "AP") -> System:
    queries = [str(query) for query in range(seeds.shape[1])]
    evaluator = Evaluator(parse_measures([measure]), {query: {} for query in queries})
    runs = {
        str(seed): {measure: dict(zip(queries, values.tolist(), strict=True))}
        for seed, values in enumerate(seeds)
    }
    fields = {"collection": "c", "loss": loss, "source": source, "student": student}
    return System(f"{loss}-{source}-{student}", fields, evaluator, runs)


def grid(values: np.ndarray, **more: str) -> list[System]:
    """Systems of (4, seeds, queries)."""
    names = [(loss, source) for loss in ("kl", "lce") for source in ("bm25", "random")]
    return [system(*name, own, **more) for name, own in zip(names, values, strict=True)]


def draw(rng: np.random.Generator, seeds: int, queries: int, between: float, systems: int = 4) -> np.ndarray:
    """Values of equal systems: random queries, queries × systems, seeds in systems, and the rest."""
    values = rng.normal(0, 1, (1, 1, queries)) + rng.normal(0, 0.6, (systems, 1, queries))
    values = values + rng.normal(0, between, (systems, seeds, 1))
    return values + rng.normal(0, 0.5, (systems, seeds, queries))


def weighted(values: np.ndarray, weights: np.ndarray = INTERACTION) -> PairedValues:
    values = values * weights[:, None, None]
    several = list(values) if values.shape[1] > 1 else []
    return PairedValues(values.mean(axis=1).sum(axis=0), several)


# Contrasts


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("loss=kl,lce source=bm25,random", [1, -1, -1, 1]),
        ("source=random,bm25 loss=kl,lce", [-1, 1, 1, -1]),
        ("loss=kl,lce source=random", [0, 1, 0, -1]),
        ("loss=kl,lce  source=*", [0.5, 0.5, -0.5, -0.5]),
    ],
)
def test_the_weights_of_a_contrast(text, weights):
    values = draw(np.random.default_rng(1), 3, 20, 0.2)
    systems = grid(values)
    (group,) = systems_of(parse_contrast(text), systems, FIELDS)
    found = {member: weight for weight, member in group.terms}
    assert [found.get(member, 0) for member in systems] == weights
    assert group.fields == {"collection": "c", "student": "be"}
    pair, expected = weighted_sum(group.terms, "AP"), weighted(values, np.array(weights))
    assert pair.differences == pytest.approx(expected.differences)
    kept = PairedValues(expected.differences, [own for own in expected.seeds if own.any()])
    assert estimate(pair) == pytest.approx(estimate(kept))


def test_a_contrast_of_each_combination_of_the_other_fields(caplog):
    rng = np.random.default_rng(2)
    be, ce = grid(draw(rng, 2, 9, 0)), grid(draw(rng, 2, 9, 0), student="ce")
    contrast = parse_contrast("loss=kl,lce")
    groups = systems_of(contrast, [*be, *ce], FIELDS)
    assert [(group.fields["source"], group.fields["student"]) for group in groups] == [
        ("bm25", "be"), ("random", "be"), ("bm25", "ce"), ("random", "ce"),
    ]  # fmt: skip
    caplog.set_level("INFO", "rdtools")
    groups = systems_of(contrast, [*be, *ce[1:]], FIELDS)
    assert len(groups) == 3
    assert caplog.messages == [
        "--contrast loss=kl,lce: left out: no run has collection=c source=bm25 student=ce loss=kl"
    ]


def test_without_seeds_it_is_the_t_test_of_the_differences_of_differences():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="pip install '.[test]'")
    values = draw(np.random.default_rng(3), 1, 30, 0)
    one = estimate(weighted(values))
    theirs = weightstats.DescrStatsW(INTERACTION @ values[:, 0])
    t, p, freedom = theirs.ttest_mean(0)
    assert (one.delta / one.error, one.p_difference(), one.freedom) == pytest.approx((t, p, freedom))
    assert one.interval(0.95) == pytest.approx(theirs.tconfint_mean(0.05))
    assert one.p_equivalence(0.3) == pytest.approx(theirs.ttost_mean(-0.3, 0.3)[0])
    assert one.interval(0.9) == pytest.approx(theirs.tconfint_mean(0.1))


def test_the_error_of_a_contrast_is_that_of_an_analysis_of_variance():
    """Each system adds (MS_seeds − MS_residual) / (seeds · queries) of its own table, or 0 if negative."""
    ols = pytest.importorskip("statsmodels.formula.api", reason="pip install '.[test]'").ols
    anova = pytest.importorskip("statsmodels.api").stats.anova_lm
    values = draw(np.random.default_rng(4), 3, 12, 0.8)
    variance = np.var(INTERACTION @ values.mean(axis=1), ddof=1) / 12
    for own in values:
        seeds, queries = np.indices(own.shape)
        data = {"value": own.ravel(), "seed": seeds.ravel(), "query": queries.ravel()}
        mean_squares = anova(ols("value ~ C(seed) + C(query)", data).fit())["mean_sq"]
        variance += max(0, mean_squares["C(seed)"] - mean_squares["Residual"]) / (3 * 12)
    assert estimate(weighted(values)).error ** 2 == pytest.approx(variance)


@pytest.mark.parametrize(("seeds", "between"), [(3, 0.0), (3, 0.15), (5, 0.3)])
def test_the_interval_covers_and_the_test_has_its_size(seeds, between):
    """An interaction of 0: intervals of 95 % hold it 19 times of 20, which is when p is at least 0.05."""
    rng = np.random.default_rng(5)
    trials, covered, found = 1000, 0, 0
    for _ in range(trials):
        one = estimate(weighted(draw(rng, seeds, 40, between)))
        low, high = one.interval(0.95)
        covered += low <= 0 <= high
        found += one.p_difference() < 0.05
    assert 0.93 < covered / trials < 0.975
    assert found == trials - covered


def test_an_interval_inside_the_bound_is_equivalence():
    rng = np.random.default_rng(6)
    for _ in range(200):
        one = estimate(weighted(draw(rng, 4, 30, 0.1)))
        low, high = one.interval(0.9)
        assert (low > -0.4 and high < 0.4) == (one.p_equivalence(0.4) < 0.05)


@pytest.mark.parametrize(("alpha", "bound", "level"), [(0.2, None, 0.8), (0.2, 0.3, 0.6), (None, 0.3, 0.9)])
def test_intervals_have_the_level_of_alpha(alpha, bound, level):
    """1 − α, and of an equivalence test 1 − 2α."""
    systems = grid(draw(np.random.default_rng(8), 3, 20, 0.2))[:2]
    pairs, compared = compare_pairs(systems, EquivalenceOptions(alpha=alpha, equivalence=bound))
    assert compared.level == pytest.approx(level)
    (row,) = pair_rows(systems, EquivalenceOptions(alpha=alpha, equivalence=bound), "none")
    (one, other, measure) = pairs[0]
    expected = estimate(paired(one, other, measure)).interval(level)
    assert (row["low"], row["high"]) == pytest.approx(expected)


def test_counts_have_the_unit_of_their_sums():
    values = np.random.default_rng(7).integers(0, 9, (4, 2, 10)).astype(float)
    (group,) = systems_of(
        parse_contrast("loss=kl,lce source=bm25,random"), grid(values, measure="NumRet"), FIELDS
    )
    one = estimate(weighted_sum(group.terms, "NumRet"))
    mean = estimate(weighted(values))
    assert one == pytest.approx((10 * mean.delta, 10 * mean.error, mean.freedom))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss", "--contrast loss: FIELD=A,B for a difference, FIELD=A for one value, FIELD=* for the mean"),
        ("loss=kl,", "--contrast loss=kl,: FIELD=A,B for a difference, FIELD=A for one value, FIELD=* for the mean"),
        ("loss=a,b,c", "--contrast loss=a,b,c: two values, not 3 (repeat --contrast for others)"),
        ("loss=a,a", "--contrast loss=a,a: two different values are needed"),
        ("loss=a,*", "--contrast loss=a,*: two different values are needed"),
        ("loss=a,b loss=c", "--contrast loss=a,b loss=c: field loss is repeated"),
        ("loss=a source=*", "--contrast loss=a source=*: no field has two values (FIELD=A,B for a difference, "
         "FIELD=A for one value, FIELD=* for the mean)"),
    ],
)  # fmt: skip
def test_contrasts_that_are_none(text, message):
    with pytest.raises(UsageError) as error:
        parse_contrast(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("los=kl,lce", "unknown field of --contrast 'los'; did you mean 'loss'? (choose from collection, loss, source, student)"),
        ("loss=kl,lc", "unknown loss of --contrast 'lc'; did you mean 'lce'? (choose from kl, lce)"),
        ("loss=kl,lce collection=*", "--contrast loss=kl,lce collection=*: collections have different queries (name one, or leave it out)"),
    ],
)  # fmt: skip
def test_contrasts_of_unknown_names(text, message):
    with pytest.raises(UsageError) as error:
        check_contrast(parse_contrast(text), grid(np.zeros((4, 1, 3))), FIELDS)
    assert str(error.value) == message


def test_contrasts_without_their_systems():
    systems = grid(np.zeros((4, 1, 3)))
    with pytest.raises(UsageError, match=r"no run has collection=c student=be loss=lce source=random$"):
        systems_of(parse_contrast("loss=kl,lce source=bm25,random"), systems[:3], FIELDS)
    with pytest.raises(UsageError, match="kl-bm25-be and kl-bm25-be differ in none of its fields"):
        systems_of(parse_contrast("loss=kl,lce"), [systems[0], *systems], FIELDS)


# Power


def pilot(queries: float, between: float, residual: float, seeds: int = 3, n: int = 60) -> PairedValues:
    """Two systems whose estimated variances are these, exactly.

    `queries` is the deviation of a query's difference without residuals, `between` that of seeds, `residual`
    that of single values.
    """
    rng = np.random.default_rng(8)

    def scaled(values: Any, deviation: float) -> Any:
        values = values - values.mean()
        return values * deviation / values.std(ddof=1)

    systems = []
    for _ in range(2):
        noise = rng.normal(0, 1, (seeds, n))
        noise -= noise.mean(axis=0)
        noise -= noise.mean(axis=1, keepdims=True)
        noise *= residual / ((noise**2).sum() / ((seeds - 1) * (n - 1))) ** 0.5
        own = scaled(rng.normal(0, 1, seeds), (between**2 + residual**2 / n) ** 0.5)
        systems.append(noise + own[:, None])
    differences = scaled(rng.normal(0, 1, n), (queries**2 + 2 * residual**2 / seeds) ** 0.5)
    return PairedValues(differences, systems)


def power(
    seeds: int, bound: float, queries: float, between: float, residual: float, n: int = 60, trials: int = 800
) -> float:
    """The share of simulated experiments that show two equal systems equivalent."""
    rng = np.random.default_rng(9)
    shown = 0
    for _ in range(trials):
        values = rng.normal(0, queries / 2**0.5, (2, 1, n)) + rng.normal(0, between, (2, seeds, 1))
        values = values + rng.normal(0, residual, (2, seeds, n))
        pair = weighted(values, np.array([1.0, -1.0]))
        shown += estimate(pair).p_equivalence(bound) < 0.05
    return shown / trials


@pytest.mark.parametrize(
    ("variances", "bound"),
    [((0.08, 0.02, 0.05), 0.037), ((0.05, 0.03, 0.1), 0.05), ((0.1, 0.01, 0.3), 0.06)],
)
def test_the_seeds_that_would_do_are_those_of_a_simulation(variances, bound):
    pair = pilot(*variances)
    assert is_out_of_reach(estimate(pair), bound, 0.05)
    needed = needed_seeds(pair, bound, 0.05)
    assert needed is not None
    assert 3 < needed < 100
    assert 0.76 < power(needed, bound, *variances) < 0.88
    assert power(max(2, round(0.7 * needed)), bound, *variances) < 0.78


def seeds_by_hand(pair, bound):
    """The same number in loops, from the analysis of variance of each system."""
    n = len(pair.differences)
    systems = []
    for values in pair.seeds:
        own = len(values)
        between = n * values.mean(axis=1).var(ddof=1)
        rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        within = (rest**2).sum() / ((own - 1) * (n - 1))
        systems.append((between / (own * n), within / (own * n), own))
    constant = max(0.0, pair.differences.var(ddof=1) / n - sum(within for _, within, _ in systems))
    for seeds in range(2, 1001):
        first = constant + sum(within * own / seeds for _, within, own in systems)
        terms = [(first, n - 1)]
        for between, within, own in systems:
            if between > within:
                terms.append((between * own / seeds, seeds - 1))
                terms.append((-within * own / seeds, (seeds - 1) * (n - 1)))
        error = sum(term for term, _ in terms) ** 0.5
        freedom = error**4 / sum(term**2 / free for term, free in terms)
        if bound >= (stats.t.ppf(0.95, freedom) + stats.t.ppf(0.9, freedom)) * error:
            return seeds
    return None


def test_the_seeds_that_would_do_by_hand():
    """With few queries and large residuals, where each part of the degrees of freedom counts."""
    rng = np.random.default_rng(12)
    found = set()
    for _ in range(100):
        queries, between, residual = rng.uniform([0.01, 0.01, 0.1], [0.05, 0.1, 0.3])
        pair = pilot(queries, between, residual, int(rng.integers(2, 5)), int(rng.integers(2, 5)))
        bound = estimate(pair).error * rng.uniform(0.5, 4)
        needed = needed_seeds(pair, bound, 0.05)
        assert needed == seeds_by_hand(pair, bound)
        found.add(needed)
    assert len(found) > 10, found


def test_the_queries_that_would_do_are_those_of_a_simulation():
    rng = np.random.default_rng(10)
    values = rng.normal(0, 1, 50)
    values = (values - values.mean()) / values.std(ddof=1) * 0.3
    needed = needed_queries(PairedValues(values), 0.04, 0.05)
    drawn = rng.normal(0, 0.3, (2000, needed))
    p_values = [estimate(PairedValues(own)).p_equivalence(0.04) for own in drawn]
    assert 0.77 < np.mean(np.array(p_values) < 0.05) < 0.83
    short = shortfall(PairedValues(values), 0.04, 0.05)
    assert short is not None
    assert short.needed_queries == needed
    assert shortfall(PairedValues(values), 0.4, 0.05) is None


def test_a_bound_is_out_of_reach_from_the_quantile_of_t_on():
    one = estimate(pilot(0.1, 0.02, 0.05))
    reach = stats.t.ppf(0.95, one.freedom) * one.error
    assert is_out_of_reach(one, 0.999 * reach, 0.05)
    assert not is_out_of_reach(one, 1.001 * reach, 0.05)


def test_no_number_of_seeds_helps_against_the_variance_between_queries():
    pair = pilot(1.0, 0.02, 0.05)
    assert needed_seeds(pair, 0.1, 0.05) is None
    assert shortfall(pair, 0.1, 0.05) == ((3, 3), 60, None, None)


# The command

ARGUMENTS = ("-m", "RR", "--fields", "{loss}_{source}_s{seed}")


@pytest.fixture
def runs(tmp_path):
    """kl on bm25 finds the relevant document first, then second with seed 1; the others have fixed places."""
    rng = np.random.default_rng(11)
    (tmp_path / "qrels").write_text("".join(f"q{query} 0 r 1\n" for query in range(40)))
    names = []
    for loss, source in [("kl", "bm25"), ("kl", "random"), ("lce", "bm25"), ("lce", "random")]:
        for seed in range(3):
            lines = []
            for query in range(40):
                place = 1 + int(rng.integers(0, 3) + (loss == "lce") + (seed == 1 and source == "random"))
                lines += [
                    f"q{query} Q0 {'r' if rank == place else f'n{rank}'} {rank} {9 - rank} t\n"
                    for rank in range(1, 7)
                ]
            names.append(f"{loss}_{source}_s{seed}.trec")
            (tmp_path / names[-1]).write_text("".join(lines))
    return names


def values_of(run, runs):
    """RR by query, from the command's own output: (systems, seeds, queries)."""
    done = run("rd-eval", "qrels", *runs, "-m", "RR", "-q", "-f", "jsonl", check=True)
    values = [json.loads(line)["value"] for line in done.stdout.splitlines()]
    return np.array(values).reshape(4, 3, 40)


def test_contrasts_of_the_command(run, runs):
    values = values_of(run, runs)
    done = run(
        "rd-eval", "qrels", *runs, *ARGUMENTS, "-f", "jsonl",
        "--contrast", "loss=kl,lce source=bm25,random", "--contrast", "loss=kl,lce", check=True,
    )  # fmt: skip
    rows = list(map(json.loads, done.stdout.splitlines()))
    assert [(row["contrast"], row["source"]) for row in rows] == [
        ("loss=kl,lce source=bm25,random", "bm25,random"), ("loss=kl,lce", "bm25"), ("loss=kl,lce", "random"),
    ]  # fmt: skip
    for row, weights in zip(rows, ([1, -1, -1, 1], [1, 0, -1, 0], [0, 1, 0, -1]), strict=True):
        chosen = np.flatnonzero(weights)
        one = estimate(weighted(values[chosen], np.array(weights, float)[chosen]))
        found = (row["delta"], row["low"], row["high"], row["p"])
        assert found == pytest.approx((one.delta, *one.interval(0.95), one.p_difference()))
    assert [row["p_corrected"] for row in rows] == pytest.approx(holm([row["p"] for row in rows]))
    assert done.stderr == "rd-eval: low and high: 95 % confidence interval of delta\n"


def test_a_field_that_no_contrast_names_is_a_column(run, runs):
    done = run("rd-eval", "qrels", *runs, *ARGUMENTS, "--contrast", "source=bm25,random", check=True)
    assert [line.split("\t")[:3] for line in done.stdout.splitlines()] == [
        ["source=bm25,random", loss, "RR"] for loss in ("kl", "lce")
    ]


def test_contrasts_as_a_table_label_what_is_corrected(run, runs):
    arguments = (
        "rd-eval",
        "qrels",
        *runs,
        *ARGUMENTS,
        "-f",
        "markdown",
        "--contrast",
        "loss=kl,lce source=*",
    )
    head = "| contrast | RR |\n| :--- | ---: |\n| loss=kl,lce source=\\* | "
    done = run(*arguments, "--correction", "none", "--places", 2, check=True)
    assert done.stdout == head + "+0.24 [0.05, 0.42], p 0.027 |\n"
    done = run(
        *arguments, "--places", 2, "--equivalence", 0.3, "--equivalence-correction", "bonferroni", check=True
    )
    assert done.stdout == head + "+0.24 [0.10, 0.37], Holm p 0.027, Bonferroni TOST p 0.17 |\n"
    assert done.stderr == "rd-eval: low and high: 90 % confidence interval of delta\n"


def test_pairs_and_the_columns_beside_a_baseline(run, runs):
    arguments = ("rd-eval", "qrels", *runs, *ARGUMENTS, "-f", "jsonl", "--equivalence", 0.3)
    pairs = list(map(json.loads, run(*arguments, "--pairs", check=True).stdout.splitlines()))
    assert len(pairs) == 6
    by_names = {(row["run"], row["baseline"]): row for row in pairs}
    done = run(*arguments, "--baseline", "kl-random", "--equivalence-correction", "holm", check=True)
    rows = {row["run"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["kl-random"]["p_equivalence"] is rows["kl-random"]["low"] is None
    corrected = holm([row["p_equivalence"] for row in pairs])
    for place, ((one, other), pair) in enumerate(by_names.items()):
        values = {one: pair["delta"], other: 0}
        assert pair["delta"] == pytest.approx(rows[one]["value"] - rows[other]["value"])
        assert pair["p_equivalence"] == pair["p_equivalence_corrected"]
        if "kl-random" in values:
            row = rows[one if other == "kl-random" else other]
            sign = 1 if other == "kl-random" else -1
            assert [row["low"], row["high"]] == sorted(sign * pair[side] for side in ("low", "high"))
            assert row["delta"] == pytest.approx(sign * pair["delta"])
            assert row["p_equivalence"] == pair["p_equivalence"]
            assert row["p_equivalence_corrected"] == pytest.approx(corrected[place])
    letters = {name: set(row["equivalent"].split(",")) for name, row in rows.items()}
    for (one, other), p in zip(by_names, corrected, strict=True):
        assert bool(letters[one] & letters[other]) == (p < 0.05)


def test_corrected_letters_are_fewer(run, runs):
    arguments = ("rd-eval", "qrels", *runs, *ARGUMENTS, "--pairs", "--equivalence", 0.2, "-f", "jsonl")
    rows = list(map(json.loads, run(*arguments, check=True).stdout.splitlines()))
    p_values = sorted(row["p_equivalence"] for row in rows)
    alpha = 3 * p_values[0]  # below 6 times the smallest, above the smallest
    letters = ("rd-eval", "qrels", *runs, *ARGUMENTS, "--equivalence", 0.2, "--alpha", alpha)
    shared = [line.split("\t")[-1] for line in run(*letters, check=True).stdout.splitlines()]
    assert len(set(shared)) < 4
    done = run(*letters, "--equivalence-correction", "holm", check=True)
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()] == ["a", "b", "c", "d"]


def test_the_hint_of_power(run, runs):
    arguments = ("rd-eval", "qrels", *runs, *ARGUMENTS, "--equivalence", 0.1)
    done = run(*arguments, "--contrast", "loss=kl,lce source=bm25,random", check=True)
    values = values_of(run, runs)
    needed = needed_seeds(weighted(values), 0.1, 0.05)
    queries = "" if needed is None else f"about {needed} seeds would do"
    assert queries
    assert done.stderr.splitlines()[0] == (
        "rd-eval: warning: RR: with 3 seeds and these variances, equivalence within ±0.1 cannot be shown for "
        f"the contrast, even at difference 0; {queries}"
    )
    one_seed = [name for name in runs if "_s0" in name]
    done = run("rd-eval", "qrels", *one_seed, "-m", "RR", "--equivalence", 0.01, check=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "rd-eval: warning: RR: with 40 queries and these variances, equivalence within ±0.01 cannot be shown for "
        "6 of 6 pairs, even at difference 0; about "
    )
    assert line.endswith(" queries would do")
    done = run("rd-eval", "qrels", *runs, *ARGUMENTS, "--equivalence", 0.001, check=True)
    assert done.stderr.endswith("; more seeds alone would not do: more than 40 queries are needed\n")
    assert run("rd-eval", "qrels", *runs, *ARGUMENTS, "--equivalence", 2, check=True).stderr == ""


@pytest.mark.parametrize("test", ["permutation", "bootstrap", "wilcoxon"])
def test_tests_that_ignore_seeds_say_so(run, runs, test):
    arguments = ("rd-eval", "qrels", *runs, *ARGUMENTS, "--test", test)
    done = run(*arguments, "--baseline", "lce-bm25", check=True)
    assert done.stderr == (
        f"rd-eval: warning: --test {test} ignores the variance between seeds: p holds for these runs, not for "
        "further seeds (--test t counts it)\n"
    )
    one_seed = [name for name in runs if "_s0" in name]
    done = run(
        "rd-eval", "qrels", *one_seed, *ARGUMENTS, "--test", test, "--baseline", "lce-bm25", check=True
    )
    assert done.stderr == ""
    done = run("rd-eval", "qrels", *runs, *ARGUMENTS, "--baseline", "lce-bm25", check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contrast", "loss=kl,lce"], "--contrast needs --fields"),
        ([*ARGUMENTS, "--contrast", "loss=kl"], "--contrast loss=kl: no field has two values (FIELD=A,B for a difference, FIELD=A for one value, FIELD=* for the mean)"),
        ([*ARGUMENTS, "--contrast", "loss=kl,lce", "--pairs"], "--pairs cannot be combined with --contrast, which prints differences"),
        ([*ARGUMENTS, "--contrast", "loss=kl,lce", "--baseline", "x"], "--baseline cannot be combined with --contrast, which prints differences"),
        (["--pairs", "--baseline", "x"], "--baseline cannot be combined with --pairs, which prints differences"),
        (["--pairs", "-q"], "--pairs cannot be combined with --by-query, which prints values, not tests"),
        (["--pairs", "-f", "latex", "--rows", "run"], "--pairs cannot be combined with --rows, which arranges means"),
        (["--equivalence-correction", "holm"], "--equivalence-correction needs --equivalence"),
        (["--equivalence-correction", "holm", "--equivalence", "1", "--paper-compat"], "--paper-compat cannot be combined with --equivalence-correction, which its tests do not use"),
    ],
)  # fmt: skip
def test_usage_errors_of_comparisons(run, runs, arguments, message):
    done = run("rd-eval", "qrels", *runs, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"rd-eval: {message}\nTry 'rd-eval --help' for help.\n"


def test_the_shortfalls_that_more_seeds_do_not_mend_are_counted(caplog):
    """Two of five comparisons want seeds, three want queries: 2 would do with 6 and 14."""
    caplog.set_level("INFO", logger="rdtools")
    lacking = [Shortfall((3,), 40, needed, None) for needed in (6, None, 14, None, None)]
    warn_of_shortfalls({"nDCG@10": [*lacking, None]}, 0.01, "pair")
    assert caplog.messages == [
        "nDCG@10: with 3 seeds and these variances, equivalence within ±0.01 cannot be shown for 5 of 6 pairs, even "
        "at difference 0; about 6 (6 to 14) seeds would do; 3 pairs would also need more than 40 queries"
    ]


@pytest.mark.parametrize(
    ("needed", "said"), [(7, "7"), (99, "99"), (100, "100"), (101, "110"), (12_001, "13,000")]
)
def test_many_queries_are_rounded_up_to_two_digits(caplog, needed, said):
    warn_of_shortfalls({"RR": [Shortfall((), 40, None, needed)]}, 0.01, "pair")
    assert caplog.messages[0].endswith(f"even at difference 0; about {said} queries would do")
