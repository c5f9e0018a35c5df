"""The loops of BM25, compiled by numba: build postings from tokens, find the best rows of a batch of queries.

numpy would read all n rows for each query and holds the interpreter's lock; loops in C would need a compiler
at installation, or wheels of our own for every platform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Loop = TypeVar("Loop", bound=Callable[..., Any])

_BLOCK = 2**16  # rows whose scores, 256 KiB, stay in the processor's cache
_STRIDE = 2**6  # rows that are skipped together if none is good enough


def compiled(loop: Loop) -> Loop:
    """Compile a loop at its first call, and keep the result beside the file or in the user's cache folder."""
    try:
        return numba.njit(loop, cache=True, nogil=True)  # type: ignore[no-any-return]
    except RuntimeError:  # neither folder can be written
        return numba.njit(loop, nogil=True)  # type: ignore[no-any-return]


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


@compiled
def document_frequencies(
    tokens: NDArray[np.int32], lengths: NDArray[np.int64], terms: int
) -> NDArray[np.int64]:
    """Count the documents of each term; `tokens` holds the terms of one document after another."""
    counts = np.zeros(terms, np.int64)
    last = np.full(terms, -1, np.int64)
    at = 0
    for row in range(len(lengths)):
        for token in tokens[at : at + lengths[row]]:
            if last[token] != row:
                last[token] = row
                counts[token] += 1
        at += lengths[row]
    return counts


@compiled
def fill_postings(
    tokens: NDArray[np.int32],
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    rows: NDArray[np.int32],
    frequencies: NDArray[np.float32],
) -> None:
    """Sort the tokens by term and count them within each document."""
    ends = starts[:-1].copy()
    at = 0
    for row in range(len(lengths)):
        for token in tokens[at : at + lengths[row]]:
            end = ends[token]
            if end > starts[token] and rows[end - 1] == row:
                frequencies[end - 1] += 1
            else:
                rows[end] = row
                frequencies[end] = 1
                ends[token] = end + 1
        at += lengths[row]


@compiled
def weigh(
    impacts: NDArray[np.float32],
    starts: NDArray[np.int64],
    rows: NDArray[np.int32],
    idf: NDArray[np.float32],
    norms: NDArray[np.float64],
) -> None:
    """Turn frequencies into impacts, idf · tf/(tf + norm): computed in float64, rounded once."""
    for term in range(len(idf)):
        for place in range(starts[term], starts[term + 1]):
            tf = np.float64(impacts[place])
            impacts[place] = np.float64(idf[term]) * (tf / (norms[rows[place]] + tf))


@compiled
def _smallest_first(keys: NDArray[np.int64], count: int) -> np.int64:
    """Bring the `count` smallest keys to the front and return the largest of them (quickselect)."""
    low, high, wanted = 0, len(keys) - 1, count - 1
    while low < high:
        pivot = keys[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while keys[left] < pivot:
                left += 1
            while keys[right] > pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            break
    return keys[wanted]  # type: ignore[no-any-return]


@compiled
def _keep(
    key: np.int64, best: NDArray[np.int64], count: int, limit: np.int64, depth: int
) -> tuple[int, np.int64]:
    """Add a key to the `count` in `best`; if that fills it, keep `depth`. Return `count` and `limit`."""
    best[count] = key
    if count + 1 < len(best):
        return count + 1, limit
    return depth, _smallest_first(best, depth)


@compiled
def find_best(
    postings: Postings,
    terms: NDArray[np.int32],
    offsets: NDArray[np.int64],
    depths: NDArray[np.int64],
    keys: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Find the best rows of each query of a batch; return their numbers.

    Query q consists of `terms[offsets[q] : offsets[q + 1]]`, whose impacts are added up in this order. Its
    best `depths[q]` rows with a score above 0 come first in `keys[q]`, which has room for twice as many, or
    for all rows. A key is row − 2³²·(bits of the score): float32 above 0 sort as their bits do, so that a
    smaller key is a larger score or, of equal scores, a smaller row.

    Rows may come from a damaged file. One that is negative, beyond the last row, or in an earlier block than
    the one before it is not used: as an unsigned number its distance from the block's first row is too
    large. The term then ends too early, and the number of the query's rows is -1. `check_postings` has
    checked the other arrays.
    """
    starts, rows, impacts, line_of_term, lines = postings
    counts = np.zeros(len(depths), np.int64)
    limits = np.zeros(len(depths), np.int64)  # a key that is not below it is not kept
    places = starts[terms]  # the next posting of each query's terms
    scores = np.zeros(_BLOCK, np.float32)
    bits = scores.view(np.int32)
    n = lines.shape[1]
    for first in range(0, n, _BLOCK):
        size = min(_BLOCK, n - first)
        for query in range(len(depths)):
            best, count, limit, depth = keys[query], counts[query], limits[query], depths[query]
            own = range(offsets[query], offsets[query + 1])
            has_line = False
            for slot in own:
                line = line_of_term[terms[slot]]
                if line >= 0:
                    has_line = True
                    impacts_here = lines[line, first : first + size]
                    for row in range(size):
                        scores[row] += impacts_here[row]
                else:
                    place, end = places[slot], starts[terms[slot] + 1]
                    while place < end:
                        offset = np.int64(rows[place]) - first
                        if np.uint64(offset) >= np.uint64(size):
                            break
                        scores[offset] += impacts[place]
                        place += 1
            if has_line:
                for low in range(0, size, _STRIDE):
                    most = np.int32(0)
                    for row in range(low, min(low + _STRIDE, size)):
                        most = max(most, bits[row])
                    if most >= -(limit >> 32):
                        for row in range(low, min(low + _STRIDE, size)):
                            key = np.int64(first + row) - (np.int64(bits[row]) << 32)
                            if key < limit:
                                count, limit = _keep(key, best, count, limit, depth)
                scores[:size] = 0
            for slot in own:
                if line_of_term[terms[slot]] < 0:
                    place, end = places[slot], starts[terms[slot] + 1]
                    while place < end:
                        offset = np.int64(rows[place]) - first
                        if np.uint64(offset) >= np.uint64(size):
                            break
                        if not has_line:
                            key = np.int64(rows[place]) - (np.int64(bits[offset]) << 32)
                            if key < limit:
                                count, limit = _keep(key, best, count, limit, depth)
                            scores[offset] = 0  # so that the next posting of this row is not kept
                        place += 1
                    places[slot] = place
            counts[query], limits[query] = count, limit
    for query in range(len(depths)):
        if counts[query] > depths[query]:
            _smallest_first(keys[query, : counts[query]], depths[query])
            counts[query] = depths[query]
        for slot in range(offsets[query], offsets[query + 1]):
            if line_of_term[terms[slot]] < 0 and places[slot] != starts[terms[slot] + 1]:
                counts[query] = -1
    return counts


def check_postings(postings: Postings) -> None:
    """Check what `find_best` relies on, so that it reads nothing outside its arrays.

    Raises:
        ValueError: an array has another type or shape than an index has, or a place is out of bounds.
    """
    starts, rows, impacts, line_of_term, lines = postings
    types = (np.int64, np.int32, np.float32, np.int32, np.float32)
    arrays: tuple[NDArray[Any], ...] = postings
    for name, array, kind in zip(Postings._fields, arrays, types, strict=True):
        shape = 2 if name == "lines" else 1
        if array.dtype != kind or array.ndim != shape or not array.flags.c_contiguous:
            raise ValueError(f"{name} has another type or shape than an index has")
    if len(starts) != len(line_of_term) + 1 or starts[0] != 0 or not (starts[1:] > starts[:-1]).all():
        raise ValueError("starts are not those of its terms")
    if starts[-1] != len(rows) or len(rows) != len(impacts):
        raise ValueError(f"it has {len(rows):,} rows and {len(impacts):,} impacts, not {starts[-1]:,}")
    if not ((line_of_term >= -1) & (line_of_term < len(lines))).all():
        raise ValueError("line_of_term has places out of bounds")
