"""Sparse vectors as three arrays, in memory or on disk, and their transpose, made in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rdtools.search.arrays import ArrayWriter, open_array, release, save_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PART = 2**22
"""So many numbers are sorted at a time."""


class SparseRow(NamedTuple):
    indices: NDArray[np.uint32]
    data: NDArray[np.float32]


class SparseRows(NamedTuple):
    """The rows of a sparse matrix. Its transpose has the same numbers by column.

    Columns are unsigned: what is out of bounds is an IndexError, and never counts from the end.
    """

    starts: NDArray[np.int64]
    """(rows + 1,) the first number of each row."""
    indices: NDArray[np.uint32]
    """(numbers,) their columns, ascending in each row."""
    data: NDArray[np.float32]
    """(numbers,)"""

    def row(self, number: int) -> SparseRow:
        own = slice(self.starts[number], self.starts[number + 1])
        return SparseRow(self.indices[own], self.data[own])

    @staticmethod
    def of(matrix: Any) -> SparseRows:
        """Return the rows of a csr_matrix, or the columns of a csc_matrix."""
        return SparseRows(
            matrix.indptr.astype(np.int64), matrix.indices.astype(np.uint32), matrix.data.astype(np.float32)
        )

    @staticmethod
    def open(folder: Path, name: str) -> SparseRows:
        """
        Raises:
            ValueError: the files hold no such rows.
        """
        found = SparseRows(*(open_array(_file(folder, name, part)) for part in SparseRows._fields))
        starts, indices, data = found
        if starts.dtype != np.int64 or indices.dtype != np.uint32 or data.dtype != np.float32:
            raise ValueError(f"{name} have other types than an index has")
        if {starts.ndim, indices.ndim, data.ndim} != {1} or not len(starts) or starts[0] != 0:
            raise ValueError(f"{name} have other shapes than an index has")
        if (starts[1:] < starts[:-1]).any() or not starts[-1] == len(indices) == len(data):
            raise ValueError(f"{name} do not begin where they should")
        return found

    def release(self) -> None:
        """Let go of the pages that were read."""
        for array in self:
            release(array)


def _file(folder: Path, name: str, part: str) -> Path:
    return folder / f"{name}-{part}.npy"


def write_rows(folder: Path, name: str, blocks: Iterator[Any]) -> NDArray[np.int64]:
    """Write the rows of csr_matrices as they come; return how many numbers each column has."""
    lengths: list[NDArray[np.int64]] = []
    counts = np.zeros(0, np.int64)
    with (
        ArrayWriter(_file(folder, name, "indices"), np.uint32, None) as indices,
        ArrayWriter(_file(folder, name, "data"), np.float32, None) as data,
    ):
        for block in blocks:
            block.sort_indices()
            indices.write(block.indices.astype(np.uint32))
            data.write(block.data.astype(np.float32))
            lengths.append(np.diff(block.indptr).astype(np.int64))
            own = np.bincount(block.indices, minlength=block.shape[1])
            counts = own if not len(counts) else counts + own
    save_array(_file(folder, name, "starts"), _starts(np.concatenate(lengths)))
    return counts


def write_transpose(folder: Path, name: str, rows: SparseRows, counts: NDArray[np.int64]) -> None:
    """Write the columns of `rows`, which have `counts` numbers, with a few million numbers in memory."""
    free = _starts(counts)
    save_array(_file(folder, name, "starts"), free)
    made = [
        _zeros(_file(folder, name, part), kind, int(free[-1]))
        for part, kind in (("indices", np.uint32), ("data", np.float32))
    ]
    free, first, last = free[:-1], 0, len(rows.starts) - 1
    while first < last:
        end = max(first + 1, int(np.searchsorted(rows.starts, rows.starts[first] + _PART, "right")) - 1)
        own = slice(rows.starts[first], rows.starts[end])
        columns = rows.indices[own]
        order = np.argsort(columns, kind="stable")
        numbers = np.bincount(columns, minlength=len(free))
        places = np.repeat(free - (np.cumsum(numbers) - numbers), numbers) + np.arange(len(columns))
        lengths = np.diff(rows.starts[first : end + 1])
        made[0][places] = np.repeat(np.arange(first, end, dtype=np.uint32), lengths)[order]
        made[1][places] = rows.data[own][order]
        free, first = free + numbers, end
        rows.release()
        for array in made:
            release(array)


def _zeros(file: Path, kind: type[np.generic], count: int) -> NDArray[Any]:
    """Map a new array. Its zeros are written, because a full disk behind mapped pages ends the process."""
    with ArrayWriter(file, kind, (count,)) as array:
        for start in range(0, count, _PART):
            array.write(np.zeros(min(_PART, count - start), kind))
    return np.lib.format.open_memmap(file, "r+") if count else np.zeros(0, kind)


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
