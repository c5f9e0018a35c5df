"""Diameter, intrinsic dimension and density of points, from the distances between them."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.distance import squareform

from rdtools.diagnose.entropy import Floats

SAME = 1e-6
"""Points at this distance or less are one point: equal texts, up to the rounding of an encoder."""


def chord(cosine_distance: Floats) -> Floats:
    """√(2(1 − cos)): the Euclidean distance between unit vectors, of 1 − cos.

    A dimension needs distances that grow like lengths. 1 − cos is half the square of this length: with it,
    TwoNN gives exactly half the dimension.
    """
    return np.asarray(np.sqrt(2 * np.maximum(cosine_distance, 0)), np.float64)


def diameter(distances: Floats, alpha: float) -> float:
    """The α-quantile of the distances between n ≥ 2 points, (n(n−1)/2,) float64: a robust diameter."""
    return float(np.quantile(distances, alpha))


def two_nn_dimension(nearest: Floats, second: Floats) -> float:
    """TwoNN (Facco et al., 2017): d = 1 / mean of ln(r₂/r₁) over distinct points.

    Args:
        nearest, second: r₁ > 0 and r₂, (n,) float64, each point's distances to its two nearest.

    Returns:
        The intrinsic dimension; NaN if r₁ = r₂ everywhere.
    """
    mean = float(np.log(second / nearest).mean())
    return 1 / mean if mean > 0 else math.nan


def knn_density(radius: Floats, neighbours: int, points: int, dimension: float) -> Floats:
    """ρ = k / (N · V_d · r_kᵈ) with V_d = π^(d/2) / Γ(d/2 + 1), the volume of the unit ball.

    Args:
        radius: r_k > 0, (n,) float64, distances to the k-th nearest.
        neighbours, points, dimension: k, N and d.

    Returns:
        (n,) float64, in units of 1/distanceᵈ: comparable if d is the same; infinite beyond float64.
    """
    volume = dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2 + 1)
    with np.errstate(over="ignore"):
        return np.asarray(
            np.exp(math.log(neighbours / points) - volume - dimension * np.log(radius)), np.float64
        )


def distances_between_distinct(distances: Floats) -> Floats:
    """Return the (m, m) distances between the m points that are not the SAME as an earlier one.

    `distances` are those of all pairs of n points, (n(n−1)/2,), in scipy's condensed order: 1 − cos, or
    Euclidean.
    """
    square: Floats = squareform(distances)
    first = ~np.tril(square <= SAME, -1).any(axis=1)
    return square[np.ix_(first, first)]
