"""Arrays in the files of an index."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def save_array(file: Path, array: NDArray[Any]) -> None:
    np.save(file, array, allow_pickle=False)


class ArrayWriter:
    """Writes the file of an array part by part: the rows of a table, or the numbers of a line.

    How many numbers a line has (`shape` None) need not be known before the end.
    """

    def __init__(self, file: Path, dtype: type[np.generic] | str, shape: tuple[int, ...] | None) -> None:
        self._file, self._dtype = file.open("wb"), np.dtype(dtype)
        self._counts, self._written = shape is None, 0
        self._write_header((0,) if shape is None else shape)

    def _write_header(self, shape: tuple[int, ...]) -> None:
        described = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(self._file, described)

    def write(self, part: NDArray[Any]) -> None:
        assert part.dtype == self._dtype
        self._file.write(np.ascontiguousarray(part).data)
        self._written += len(part)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            if self._counts:
                self._file.seek(0)
                self._write_header((self._written,))  # as long as before: numpy leaves room for 20 digits


def open_array(file: Path) -> NDArray[Any]:
    """Open an array that stays on disk; what reads it reads the parts that it needs.

    Raises:
        ValueError: the file holds no array.
    """
    try:
        with file.open("rb") as stream:
            np.lib.format.read_magic(stream)
            empty = 0 in np.lib.format.read_array_header_1_0(stream)[0]
        return np.asarray(
            np.load(file, allow_pickle=False) if empty else np.lib.format.open_memmap(file, mode="r")
        )
    except OSError:
        raise
    except Exception as error:  # the header is parsed as Python
        raise ValueError(f"{file.name} holds no array") from error


def release(array: NDArray[Any]) -> None:
    """Let go of the pages of an array that `open_array` opened: they stop counting as memory of this process.

    They stay in the memory of the system as long as it has room, and are read again where they are needed.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
