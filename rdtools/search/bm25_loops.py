"""The loop of BM25, compiled by numba: find the best rows of a batch of queries.

numpy (`bm25_postings.best_rows`) reads all n rows for each query and holds the interpreter's lock; loops in C
would need a compiler at installation, or wheels of our own for every platform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np

from rdtools.search.bm25_postings import Postings

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
    large. The term then ends too early, and the number of the query's rows is -1. `Postings.check` has
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
