"""Quantiles and bootstrap intervals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rdtools.diagnose.entropy import Floats

DRAWS = 1000


def quantile(ordered: Floats, share: float) -> float:
    """Return the quantile of ascending values, linear between order statistics, as numpy's default.

    Infinite values are allowed: equal neighbours are not interpolated.
    """
    return _interpolated(lambda place: float(ordered[place]), len(ordered), share)


def intervals(values: Floats, quantiles: Sequence[float | None], confidence: float, seed: int) -> Floats:
    """Compute percentile bootstrap intervals (Efron, 1979) of the summary of each column.

    Each of 1,000 samples draws n of the n queries with replacement, all columns together. The bounds are the
    (1 − c)/2 and (1 + c)/2 quantiles of the 1,000 means or quantiles.

    Args:
        values: (n, columns) float64, NaN where undefined.
        quantiles: for each column, the quantile that summarises it; None: the mean.
        confidence: c, between 0 and 1.

    Returns:
        (columns, 2) float64: low and high, NaN if a column is undefined everywhere.
    """
    n, columns = values.shape
    rng = np.random.default_rng(seed)
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0)
    ranked = {}
    for column, share in enumerate(quantiles):
        if share is not None:
            rows = np.argsort(values[:, column], kind="stable")[: defined[:, column].sum()]  # NaN is last
            ranked[column] = rows, values[rows, column], share
    drawn = np.empty((DRAWS, columns))
    for draw in range(DRAWS):
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        with np.errstate(invalid="ignore"):
            drawn[draw] = times @ filled / (times @ defined)
        for column, (rows, ordered, share) in ranked.items():
            drawn[draw, column] = _quantile_of_draw(ordered, times[rows], share)
    # (1 − 0.95)/2 is a little more than 0.025 in binary, which would take the 26th of 1,000 for the 25th
    ends = [round((1 + side * confidence) / 2, 12) for side in (-1, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column that is NaN in every draw
        bounds: Floats = np.nanquantile(drawn, ends, axis=0, method="inverted_cdf").T
    return bounds


def _quantile_of_draw(ordered: Floats, times: NDArray[np.int64], share: float) -> float:
    """Return the quantile of ascending values if the i-th was drawn times[i] times."""
    up_to = np.cumsum(times)
    if not len(up_to) or not up_to[-1]:
        return math.nan

    def at(place: int) -> float:
        return float(ordered[np.searchsorted(up_to, place, side="right")])

    return _interpolated(at, int(up_to[-1]), share)


def _interpolated(at: Callable[[int], float], n: int, share: float) -> float:
    place = (n - 1) * share
    low, high = at(math.floor(place)), at(math.ceil(place))
    return low if low == high else low + (high - low) * (place - math.floor(place))
