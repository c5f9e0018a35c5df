"""The postings of BM25, checked and, where they are few, searched with numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW = 100_000
"""Rows up to which `best_rows` may search; compiled loops take a second to load."""


class Postings(NamedTuple):
    """The rows in which a term occurs, and its impact there: its share of the row's score."""

    starts: NDArray[np.int64]
    """(terms + 1,) the first posting of each term in `rows` and `impacts`."""
    rows: NDArray[np.int32]
    """(postings,) ascending for each term."""
    impacts: NDArray[np.float32]
    """(postings,) above 0."""
    line_of_term: NDArray[np.int32]
    """(terms,) the term's place in `lines`; -1 if it has none."""
    lines: NDArray[np.float32]
    """(frequent terms, n) the impact on every row, 0 if the term does not occur."""

    def check(self) -> None:
        """Check what the searches rely on, so that they read nothing outside these arrays.

        Rows are checked where they are few; of many the compiled loop checks those that it reads.

        Raises:
            ValueError: an array has another type or shape than an index has, or a place is out of bounds.
        """
        starts, rows, impacts, line_of_term, lines = self
        types = (np.int64, np.int32, np.float32, np.int32, np.float32)
        arrays: tuple[NDArray[Any], ...] = self
        for name, array, kind in zip(self._fields, arrays, types, strict=True):
            shape = 2 if name == "lines" else 1
            if array.dtype != kind or array.ndim != shape or not array.flags.c_contiguous:
                raise ValueError(f"{name} has another type or shape than an index has")
        if len(starts) != len(line_of_term) + 1 or starts[0] != 0 or not (starts[1:] > starts[:-1]).all():
            raise ValueError("starts are not those of its terms")
        if starts[-1] != len(rows) or len(rows) != len(impacts):
            raise ValueError(f"it has {len(rows):,} rows and {len(impacts):,} impacts, not {starts[-1]:,}")
        if not ((line_of_term >= -1) & (line_of_term < len(lines))).all():
            raise ValueError("line_of_term has places out of bounds")
        n = lines.shape[1]
        if n <= FEW and len(rows):
            rises = rows[1:] > rows[:-1]
            rises[starts[1:-1] - 1] = True  # from one term to the next
            if not rises.all() or rows.min() < 0 or rows.max() >= n:
                raise ValueError("the rows of a term are out of order")


def best_rows(postings: Postings, terms: Sequence[int], depth: int) -> NDArray[np.int64]:
    """Return the keys of the best rows of one query, ascending, as `bm25_loops.find_best` makes them."""
    starts, rows, impacts, line_of_term, lines = postings
    scores = np.zeros(lines.shape[1], np.float32)
    for term in terms:
        if line_of_term[term] >= 0:
            scores += lines[line_of_term[term]]
        else:
            own = slice(starts[term], starts[term + 1])
            scores[rows[own]] += impacts[own]
    found = np.flatnonzero(scores > 0)
    keys: NDArray[np.int64] = found - (scores[found].view(np.int32).astype(np.int64) << 32)
    if len(keys) > depth:
        keys = np.partition(keys, depth)[:depth]
    return np.sort(keys)


def inverse_document_frequency(count: int, n: int) -> float:
    return math.log(1 + (n - count + 0.5) / (count + 0.5))
