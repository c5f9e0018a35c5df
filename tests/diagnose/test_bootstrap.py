"""Quantiles against numpy, intervals against scipy's bootstrap and their own coverage."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rdtools.diagnose.bootstrap import _quantile_of_draw, intervals, quantile

finite = st.lists(st.integers(-9, 9), min_size=1, max_size=20)
shares = st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.99, 1.0])


@given(values=finite, share=shares)
def test_quantiles_are_numpys(values, share):
    assert quantile(np.sort(np.array(values, float)), share) == pytest.approx(np.quantile(values, share))


def test_quantiles_of_infinite_values():
    ordered = np.array([1.0, math.inf, math.inf])
    assert [quantile(ordered, share) for share in (0.0, 0.25, 0.5, 1.0)] == [1, math.inf, math.inf, math.inf]


@given(
    drawn=st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 4)), min_size=1, max_size=12), share=shares
)
def test_a_quantile_of_a_draw_is_that_of_the_repeated_values(drawn, share):
    drawn.sort()
    values, times = (np.array(part) for part in zip(*drawn, strict=True))
    found = _quantile_of_draw(values.astype(float), times, share)
    repeated = np.repeat(values, times)
    assert found == pytest.approx(np.quantile(repeated, share) if len(repeated) else math.nan, nan_ok=True)


def test_against_scipys_bootstrap():
    values = np.random.default_rng(5).gamma(2, size=300)
    mean, median = intervals(np.stack([values, values], axis=1), [None, 0.5], 0.95, seed=0)
    for bounds, statistic in ((mean, np.mean), (median, np.median)):
        expected = stats.bootstrap(
            (values,), statistic, n_resamples=2000, method="percentile", random_state=1
        ).confidence_interval
        assert bounds == pytest.approx([expected.low, expected.high], abs=0.03)


@pytest.mark.parametrize(
    ("confidence", "places"), [(0.5, (250, 750)), (0.9, (50, 950)), (0.95, (25, 975)), (0.99, (5, 995))]
)
def test_bounds_are_those_of_a_thousand_resamples(confidence, places):
    """The 25th and the 975th of 1,000 for 0.95: numpy's method inverted_cdf, of decimal shares."""
    values = np.random.default_rng(5).gamma(2, size=30)
    generator = np.random.default_rng(7)
    samples = [values[generator.integers(0, 30, 30)] for _ in range(1000)]
    found = intervals(np.stack([values, values], axis=1), [None, 0.75], confidence, seed=7)
    summaries: list[Callable[[Any], Any]] = [np.mean, lambda one: np.quantile(one, 0.75)]
    for bounds, summary in zip(found, summaries, strict=True):
        assert bounds == pytest.approx(
            np.sort([summary(one) for one in samples])[np.array(places) - 1], rel=1e-12
        )


def test_intervals_cover_the_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(100):
        low, high = intervals(rng.normal(size=(80, 1)), [None], 0.9, seed=trial)[0]
        hits += low <= 0 <= high
    assert 80 <= hits <= 97


def test_undefined_values_do_not_count():
    values = np.array([[1.0, math.nan, math.nan], [1.0, 3.0, math.nan], [1.0, math.nan, math.nan]])
    bounds = intervals(values, [None, None, 0.5], 0.95, seed=0)
    assert bounds[:2].tolist() == [[1, 1], [3, 3]]
    assert np.isnan(bounds[2]).all()


def test_the_seed_decides():
    values = np.random.default_rng(1).normal(size=(30, 1))
    first, again, other = (intervals(values, [None], 0.95, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other
