"""The temperature that fits scores to a target entropy, or to judgements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rdtools.core.calibration import (
    Calibration,
    entropy_temperature,
    judged_scores,
    likelihood_temperature,
    positives_first,
    temperature_curve,
)


def fitted(groups) -> Calibration:
    calibration = likelihood_temperature(groups)
    assert calibration is not None
    return calibration


def by_entropy(groups, *share) -> Calibration:
    calibration = entropy_temperature(groups, *share)
    assert calibration is not None
    return calibration


def nats(groups, temperature):
    """The definition, one positive at a time."""
    means = []
    for scores, positives in groups:
        negatives = [s for s, positive in zip(scores, positives, strict=True) if not positive]
        own = [
            math.log(sum(math.exp((s - one) / temperature) for s in [one, *negatives]))
            for one, positive in zip(scores, positives, strict=True)
            if positive
        ]
        means.append(np.mean(own))
    return float(np.mean(means))


def share(groups, temperature):
    means = []
    for scores, _ in groups:
        weights = [math.exp((s - max(scores)) / temperature) for s in scores]
        p = [weight / sum(weights) for weight in weights]
        means.append(-sum(x * math.log(x) for x in p if x > 0) / math.log(len(p)))
    return float(np.mean(means))


def drawn(seed, queries=60, positives=(1, 1, 2), unit=1.0):
    """Groups of 4 to 9 documents; positives score higher by 1 on average."""
    rng = np.random.default_rng(seed)
    groups = []
    for _ in range(queries):
        n = int(rng.integers(4, 10))
        judged = np.arange(n) < rng.choice(positives)
        groups.append(((unit * rng.normal(judged, 1)).tolist(), judged.tolist()))
    return groups


def test_two_documents_give_the_log_odds_of_the_share_of_right_orders():
    # Of four groups with scores 1 and 0 the positive has 1 in three: σ(1/T) = 3/4, so 1/T = ln 3.
    right, wrong = ([1.0, 0.0], [True, False]), ([1.0, 0.0], [False, True])
    calibration = fitted([right, right, wrong, right])
    assert calibration.temperature == pytest.approx(1 / math.log(3), rel=1e-12)
    assert calibration.nats == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert calibration.nats is not None
    assert calibration.entropy_share == pytest.approx(calibration.nats / math.log(2))
    assert calibration[1:3] == ("likelihood", 4)
    assert calibration[5:] == (1.0, None)


def test_a_positive_does_not_compete_with_another():
    # Against the one negative at 0: positives 3 and −1. The slope in x = 1/T is σ(x) − 3σ(−3x), over 2.
    x = 1 / fitted([([3.0, -1.0, 0.0], [True, True, False])]).temperature
    assert 1 / (1 + math.exp(-x)) == pytest.approx(3 / (1 + math.exp(3 * x)))


@pytest.mark.parametrize("seed", range(2))
def test_the_likelihood_is_the_best_of_a_grid(seed):
    groups = drawn(seed)
    calibration = fitted(groups)
    grid = np.geomspace(0.05, 50, 501)
    curve = [nats(groups, t) for t in grid]
    assert calibration.temperature == pytest.approx(grid[np.argmin(curve)], rel=2 * math.log(1000) / 500)
    assert calibration.nats == pytest.approx(nats(groups, calibration.temperature), rel=1e-12)
    assert calibration.nats <= min(curve)
    assert calibration.entropy_share == pytest.approx(share(groups, calibration.temperature))
    assert temperature_curve(groups, "likelihood", [0.5, 2]) == pytest.approx(
        [nats(groups, 0.5), nats(groups, 2)]
    )


@pytest.mark.parametrize("unit", [1e-6, 0.05, 20.0, 1e30])
def test_the_temperature_has_the_unit_of_the_scores(unit):
    assert fitted(drawn(0, unit=unit)).temperature == pytest.approx(unit * fitted(drawn(0)).temperature)
    assert by_entropy(drawn(0, unit=unit)).temperature == pytest.approx(
        unit * by_entropy(drawn(0)).temperature
    )


@pytest.mark.parametrize("target", [0.1, 0.35, 0.8])
def test_the_entropy_share_is_the_target(target):
    groups = drawn(1)
    calibration = by_entropy(groups, target)
    assert calibration[1:4] == ("entropy", 60, None)
    assert share(groups, calibration.temperature) == pytest.approx(target)
    assert calibration.entropy_share == pytest.approx(target)
    assert temperature_curve(groups, "entropy", [3.0]) == pytest.approx([share(groups, 3.0)])
    unjudged = [(scores, [False] * len(scores)) for scores, _ in groups]
    assert by_entropy(unjudged, target) == calibration
    assert likelihood_temperature(unjudged) is None


def test_the_target_is_a_share_of_0_35():
    # Scores 1 and 0: σ(1/T) = p with a binary entropy of 0.35 bits.
    p = 1 / (1 + math.exp(-1 / by_entropy([([1.0, 0.0], [])]).temperature))
    assert -(p * math.log2(p) + (1 - p) * math.log2(1 - p)) == pytest.approx(0.35)


def test_groups_that_say_nothing_do_not_count():
    groups = drawn(2)
    useless = [
        ([], []),
        ([1.0], [True]),
        ([2.0, 2.0], [True, False]),  # ties
    ]
    unjudged = [
        ([1.0, 2.0], [False, False]),
        ([1.0, 2.0], [True, True]),  # no negative
    ]
    assert by_entropy([*useless, *groups]) == by_entropy(groups)
    assert by_entropy([*unjudged, *groups]).groups == len(groups) + 2
    assert fitted([*useless, *unjudged, *groups]) == fitted(groups)
    assert positives_first([*useless, *unjudged, *groups]) == positives_first(groups)
    curves = [
        temperature_curve(given, "likelihood", [2]) for given in ([*useless, *unjudged, *groups], groups)
    ]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("groups", [[], [([], [])], [([1.0], [True])], [([2.0, 2.0], [True, False])] * 3])
def test_no_temperature_without_two_different_scores(groups):
    assert entropy_temperature(groups) is None
    assert likelihood_temperature(groups) is None
    assert positives_first(groups) == (0, 0)


def test_separable_groups_give_the_lower_bound():
    # Spreads 1, 2 and 8: their median is 2.
    groups = [
        ([1.0, 0.0], [True, False]),
        ([8.0, 0.0], [True, False]),
        ([0.0, 1.0, 2.0], [False, False, True]),
    ]
    calibration = fitted(groups)
    assert calibration.temperature == pytest.approx(2 / 100)
    assert calibration.spread == 2
    assert calibration.bound == "low"
    assert calibration.nats == pytest.approx(0, abs=1e-20)


def test_a_positive_tied_with_the_best_negative_gives_the_lower_bound():
    calibration = fitted([([1.0, 1.0, 0.0], [True, False, False])] * 2)
    assert calibration.temperature == pytest.approx(0.01)
    assert calibration.bound == "low"
    assert calibration.nats == pytest.approx(math.log(2))


def test_a_teacher_that_is_no_better_than_chance_gives_the_upper_bound():
    calibration = fitted([([0.0, 1.0], [True, False]), ([1.0, 0.0], [True, False])])
    assert calibration.temperature == pytest.approx(100)
    assert calibration.bound == "high"
    assert calibration.nats == pytest.approx(math.log(2), abs=1e-4)


def test_tied_best_scores_keep_the_entropy_above_the_target():
    calibration = by_entropy([([1.0, 1.0, 0.0], [True, False, False])])
    assert calibration.temperature == pytest.approx(0.01)
    assert calibration.bound == "low"
    assert calibration.entropy_share == pytest.approx(math.log(2) / math.log(3))


def test_positives_that_are_first():
    groups = [
        ([3.0, 1.0, 2.0], [True, False, False]),
        ([1.0, 3.0, 2.0], [True, False, False]),
        ([1.0, 3.0, 2.0], [True, True, False]),  # one of two positives is first
        ([3.0, 3.0, 2.0], [True, False, False]),  # a negative ties it
        ([3.0, 3.0, 2.0], [True, True, False]),  # a positive does
        ([3.0, 3.0, 3.0], [True, False, False]),
        ([3.0, 1.0], [False, False]),
    ]
    assert positives_first(groups) == (3, 5)
    assert positives_first(iter(groups[1:2])) == (0, 1)


def test_judged_scores_are_those_of_scored_documents():
    docs: list[Any] = [
        {"doc_id": "a", "score": 3.0, "relevance": 1},
        {"doc_id": "b", "score": 1.0},
        {"doc_id": "c", "relevance": 1},
        {"doc_id": "d", "score": 2.0, "relevance": 0},
    ]
    assert judged_scores({"query_id": "q", "docs": docs}) == ([3.0, 1.0, 2.0], [True, False, False])
