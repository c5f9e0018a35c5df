"""How sure a teacher is of its order: entropies, ties, margin and κ of the scores of a query.

Everything is a function of one query's scored documents, s₁ … sₙ, on an interval scale, and of a
temperature T. All columns are undefined with fewer than two documents. Queries with equally many
documents are computed together, each row by itself: a query's values do not depend on which others
came with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEASURED = (
    "pairwise_entropy_bits",
    "listwise_entropy_bits",
    "listwise_entropy_share",
    "tied_pairs",
    "margin",
    "kappa",
)

_PAIRS = 2**16
"""Pairs (i, j) of documents that are computed together at most: more would leave the processor's cache."""
_FAR = 800.0
"""Beyond this many temperatures e^−x is 0 in float64; infinite differences are cut back to it."""


def measure(scores: Sequence[Sequence[float]], temperature: float) -> Floats:
    """Return MEASURED of each query's scores, (m, 6) float64; NaN with fewer than two scores."""
    lengths = np.array([len(own) for own in scores], np.int64)
    starts = np.cumsum(lengths) - lengths
    together = np.fromiter(chain.from_iterable(scores), np.float64, lengths.sum())
    table = np.full((len(scores), len(MEASURED)), np.nan)
    for rows in _alike(lengths):
        columns = diagnose(together[starts[rows, None] + np.arange(lengths[rows[0]])], temperature)
        table[rows] = np.stack([columns[name] for name in MEASURED], axis=1)
    return table


def diagnose(scores: Floats, temperature: float) -> dict[str, Floats]:
    """Compute the measured columns of m queries with n ≥ 2 documents each.

    Args:
        scores: (m, n) float64, finite.
        temperature: T > 0, in the unit of the scores.

    Returns:
        Columns of (m,) float64:
        pairwise_entropy_bits: mean over i<j of H₂(σ((sᵢ−sⱼ)/T)), 0 to 1 bit.
        listwise_entropy_bits: entropy of softmax(s/T), 0 to log₂ n bits.
        listwise_entropy_share: the same as a share of log₂ n.
        tied_pairs: share of pairs i<j with sᵢ = sⱼ.
        margin: best score minus second best, in the unit of the scores.
        kappa: max over i of (1/n) / softmax(s/T)ᵢ, at least 1; infinite beyond float64.
    """
    _, n = scores.shape
    with np.errstate(over="ignore"):
        ordered = np.sort(scores, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        below = (ordered[:, -1:] - ordered) / temperature  # ≥ 0, 0 for the best
        depth = np.minimum(below, _FAR)
        weights = np.exp(-depth)
        total = weights.sum(axis=1)
        # −Σ p ln p with p = e^−depth / total
        listwise = (np.log(total) + (weights * depth).sum(axis=1) / total) / math.log(2)
        kappa = total / n * np.exp(below[:, 0])
        left, right = np.triu_indices(n, 1)
        # take keeps a row's pairs adjacent, so that their sum does not depend on how many rows there are
        gaps = ordered.take(right, axis=1) - ordered.take(left, axis=1)
        tied = (gaps == 0).mean(axis=1)
        pairwise = _binary_entropy_bits(gaps / temperature).mean(axis=1)
    return {
        "pairwise_entropy_bits": pairwise,
        "listwise_entropy_bits": listwise,
        "listwise_entropy_share": listwise / math.log2(n),
        "tied_pairs": tied,
        "margin": margin,
        "kappa": kappa,
    }


def _binary_entropy_bits(x: Floats) -> Floats:
    """H₂(σ(x)) for x ≥ 0: ln(1+e^−x) + x·e^−x/(1+e^−x) nats, which neither overflows nor cancels."""
    x = np.minimum(x, _FAR)
    small = np.exp(-x)
    x *= small  # in place: twice as fast as with an array for each step
    x /= 1 + small
    x += np.log1p(small)
    x /= math.log(2)
    return x


def _alike(lengths: NDArray[np.int_]) -> Iterator[NDArray[np.int_]]:
    """Yield the rows of equally many documents, two or more, as few at a time as bounds their pairs."""
    for n in sorted(set(lengths[lengths > 1].tolist())):  # np.unique would import numpy.ma for it
        rows = np.flatnonzero(lengths == n)
        step = max(1, _PAIRS // (n * n))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]
