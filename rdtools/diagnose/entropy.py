"""Entropies, ties, margin, κ and divergence of score distributions.

Scores are on an interval scale. Queries with equally many documents are computed together, each row by
itself: the values of a query do not depend on the other queries.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

MEASURED = (
    "pairwise_entropy_bits",
    "listwise_entropy_bits",
    "listwise_entropy_share",
    "tied_pairs",
    "margin",
    "kappa",
    "log10_kappa",
)

_PAIRS = 2**16
"""Most pairs of documents computed together: more do not fit the processor's cache."""
_MANY = 2_000
"""Of a query with more documents the pairs are not computed together: 2 million of them take 80 MB."""
_FAR = 800.0
"""Beyond this many temperatures e^−x is 0 in float64; larger and infinite differences are set to it."""
_FAR_KL = 1e5
"""Differences are at most this many temperatures, which keeps a divergence finite."""


def measure(scores: Floats, lengths: NDArray[np.int64], temperature: float) -> Floats:
    """Compute the columns MEASURED of m queries.

    Args:
        scores: finite scores of all queries, one query after another, in any order within a query.
        lengths: (m,) int64, the number of scores of each query.
        temperature: T > 0, in the unit of the scores.

    Returns:
        (m, 7) float64, NaN for a query with fewer than two scores. With n scores:
        pairwise_entropy_bits: mean over i<j of H₂(σ((sᵢ−sⱼ)/T)), 0 to 1 bit.
        listwise_entropy_bits: entropy of softmax(s/T), 0 to log₂ n bits.
        listwise_entropy_share: the same as a share of log₂ n.
        tied_pairs: share of pairs i<j with sᵢ = sⱼ.
        margin: best score minus second best, in the unit of the scores.
        kappa: max over i of (1/n) / softmax(s/T)ᵢ, at least 1; infinite beyond float64.
        log10_kappa: its decimal logarithm, at least 0, where κ itself is beyond float64 too.
    """
    starts = np.cumsum(lengths) - lengths
    table = np.full((len(lengths), len(MEASURED)), np.nan)
    for n in sorted(set(lengths[lengths > 1].tolist())):  # np.unique would import numpy.ma
        rows = np.flatnonzero(lengths == n)
        if n > _MANY:
            for row in rows:
                alike = scores[starts[row] : starts[row] + n][None]
                table[row] = _measure_alike(alike, temperature, None, np.empty(0))
            continue
        pairs = np.triu_indices(n, 1)
        step = max(1, _PAIRS // (n * n))
        buffers = np.empty((3, min(step, len(rows)), len(pairs[0])))
        for first in range(0, len(rows), step):
            few = rows[first : first + step]
            alike = scores[starts[few, None] + np.arange(n)]
            table[few] = _measure_alike(alike, temperature, pairs, buffers[:, : len(few)])
    return table


def _measure_alike(
    scores: Floats, temperature: float, pairs: tuple[Places, Places] | None, buffers: Floats
) -> Floats:
    """Compute MEASURED of m queries with n ≥ 2 documents each, (m, n) -> (m, 7); without `pairs`, of one."""
    n = scores.shape[1]
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
        log_kappa = np.maximum(np.log(total / n) + below[:, 0], 0) / math.log(10)  # no −0 by rounding
        if pairs is None:
            pairwise, tied = _measure_many_pairs(ordered, temperature)
        else:
            pairwise, tied = _measure_pairs(ordered, temperature, pairs, buffers)
    share = listwise / math.log2(n)
    return np.stack([pairwise, listwise, share, tied, margin, kappa, log_kappa], axis=1)


def _measure_pairs(
    ordered: Floats, temperature: float, pairs: tuple[Places, Places], buffers: Floats
) -> tuple[Floats, Floats]:
    """Return the mean binary entropy of the pairs of ascending scores, in bits, and the share of tied pairs.

    H₂(σ(x)) for x ≥ 0 is ln(1+e^−x) + x·e^−x/(1+e^−x) nats, which neither overflows nor cancels. It is
    computed from −x, in place in `buffers`, (3, m, pairs): new arrays would take half as much time again.
    """
    (left, right), (x, small, entropy) = pairs, buffers
    # take keeps the pairs of a row adjacent, so that their sum does not depend on the number of rows
    ordered.take(left, axis=1, out=x, mode="clip")
    ordered.take(right, axis=1, out=small, mode="clip")
    x -= small
    tied = np.count_nonzero(x == 0, axis=1) / len(left)
    if temperature != 1:
        x /= temperature
    np.maximum(x, -_FAR, out=x)
    np.exp(x, out=small)
    np.log1p(small, out=entropy)
    x *= small
    small += 1
    x /= small
    entropy -= x
    entropy /= math.log(2)
    return entropy.mean(axis=1), tied


def _measure_many_pairs(ordered: Floats, temperature: float) -> tuple[Floats, Floats]:
    """Return the same for one query, (1, n), whose pairs would not fit into memory: each score in turn."""
    n = ordered.shape[1]
    entropy = tied = 0.0
    for left in range(n - 1):
        places = np.full(n - left - 1, left), np.arange(left + 1, n)
        bits, ties = _measure_pairs(ordered, temperature, places, np.empty((3, 1, n - left - 1)))
        entropy += float(bits[0]) * (n - left - 1)
        tied += float(ties[0]) * (n - left - 1)
    pairs = n * (n - 1) / 2
    return np.array([entropy / pairs]), np.array([tied / pairs])


def kl_bits(
    teacher: Floats, student: Floats, temperature: float = 1.0, student_temperature: float = 1.0
) -> float:
    """KL(p ‖ q) = Σ p log₂(p/q) of p = softmax(t/T) and q = softmax(s/T′), in bits, 0 or more.

    Args:
        teacher, student: t and s, (n,) float64, finite, n ≥ 1.
        temperature, student_temperature: T and T′, above 0.
    """
    log_p, log_q = _log_softmax(teacher, temperature), _log_softmax(student, student_temperature)
    return max(0.0, float((np.exp(log_p) * (log_p - log_q)).sum())) / math.log(2)


def _log_softmax(scores: Floats, temperature: float) -> Floats:
    with np.errstate(over="ignore"):
        below = np.maximum((scores - scores.max()) / temperature, -_FAR_KL)
    return np.asarray(below - np.log(np.exp(below).sum()), np.float64)


def score_share_entropy_nats(scores: Floats) -> float:
    """−Σ p ln p over p > 0 with p = s/Σs, (n,) float64; 0 if Σs = 0, NaN if n = 0.

    The code of 2505.21058 computes this. Shares p ≤ 0, of scores whose sign is not that of Σs, are skipped.
    """
    if not len(scores):
        return math.nan
    total = sum(scores.tolist())
    if total == 0:
        return 0.0
    shares = scores / total
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())


def score_share_kappa(scores: Floats) -> float:
    """max over i of (1/n)/p with p = s/Σs, (n,) float64; infinite if a score is 0, NaN if Σs = 0 or n = 0."""
    total = sum(scores.tolist())
    if total == 0:
        return math.nan
    with np.errstate(divide="ignore"):
        return float(((1 / len(scores)) / (scores / total)).max())
