"""The places of an index: each distinct text of a corpus has one, which documents of equal text share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rdtools.search.arrays import open_array, release, save_array

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Places(NamedTuple):
    """The places of the rows of a corpus, and the rows of each place.

    They are numbered in the order of their first rows.
    """

    of_row: NDArray[np.int64]
    """(rows,) the place of each row."""
    rows: NDArray[np.int64]
    """(rows,) the rows by place, ascending in each."""
    starts: NDArray[np.int64]
    """(places + 1,) the first of each place in `rows`."""

    @property
    def size(self) -> int:
        return len(self.starts) - 1

    @property
    def first_rows(self) -> NDArray[np.int64]:
        """The first row of each place, (places,), ascending."""
        return self.rows[self.starts[:-1]]

    def rows_at(self, place: int) -> NDArray[np.int64]:
        """Return the rows that share a place, ascending."""
        return self.rows[self.starts[place] : self.starts[place + 1]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Places:
        """Group the rows of equal texts by a hash of 128 bits; no text is held."""
        hashes = bytearray()
        for text in texts:
            hashes += hashlib.blake2b(text.encode(), digest_size=16).digest()
        high, low = np.frombuffer(hashes, np.uint64).reshape(-1, 2).T
        order = np.lexsort((low, high))  # stable: rows of equal texts ascend
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
        first = order[new]
        place = np.empty(len(first), np.int64)
        place[np.argsort(first)] = np.arange(len(first))
        of_row = np.empty(len(order), np.int64)
        of_row[order] = place[np.cumsum(new) - 1]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(of_row, minlength=len(first)))])
        return cls(of_row, np.argsort(of_row, kind="stable"), starts)

    def save(self, folder: Path) -> None:
        for name, array in self._asdict().items():
            save_array(_file(folder, name), array)

    @classmethod
    def load(cls, folder: Path, rows: int) -> Places:
        """Open saved places of a corpus of so many rows; the arrays stay on disk.

        Raises:
            ValueError: they do not fit it, or each other.
        """
        places = cls(*(open_array(_file(folder, name)) for name in cls._fields))
        if any(array.dtype != np.int64 or array.ndim != 1 for array in places):
            raise ValueError("places have another type or shape than an index has")
        starts, ends = places.starts, (0, rows)
        if len(places.of_row) != rows or len(places.rows) != rows or len(starts) < 1:
            raise ValueError(f"it has not the places of {rows:,} rows")
        if (starts[0], starts[-1]) != ends or not (starts[1:] > starts[:-1]).all():
            raise ValueError(f"{_file(folder, 'starts').name} does not fit {rows:,} rows")
        for name, array, end in (("of_row", places.of_row, places.size), ("rows", places.rows, rows)):
            if rows and (array.min() < 0 or array.max() >= end):
                raise ValueError(f"{_file(folder, name).name} has numbers out of bounds")
        for array in places:
            release(array)
        return places


def _file(folder: Path, name: str) -> Path:
    return folder / f"places_{name}.npy"
