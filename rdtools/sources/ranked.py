"""Choosing the best rows of a corpus by score, ties by row (rows go by descending doc_id)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_rows(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """Return the rows of the `depth` largest scores, best first; among equals the smaller row."""
    if depth < len(scores):
        threshold = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        above = np.flatnonzero(scores > threshold)
        level = np.flatnonzero(scores == threshold)[: depth - len(above)]
        rows = np.concatenate([above, level])
    else:
        rows = np.arange(len(scores))
    return rows[order(rows, scores[rows])]


def order(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the permutation that sorts by score, larger first, then by row."""
    return np.lexsort((rows, -scores))
