"""Strings in two files, their text and where each begins: opened at once, read where they are needed."""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import overload

from rdtools.core.checked_folder import DamagedIndexError

_BUFFER = 2**20
_HELD = 2**16
"""Places that are held before they are written."""


class StringWriter:
    """Writes NAME.bin, the strings in UTF-8, and NAME.offsets, int64: where each begins, and the end."""

    def __init__(self, folder: Path, name: str) -> None:
        self._text, self._offsets = (open(folder / f"{name}.{part}", "wb") for part in ("bin", "offsets"))  # noqa: SIM115
        self._held, self._end = array("q", [0]), 0

    def add(self, string: str) -> None:
        self._end += self._text.write(string.encode())
        self._held.append(self._end)
        if len(self._held) >= _HELD:
            self._flush()

    def _flush(self) -> None:
        self._held.tofile(self._offsets)
        del self._held[:]

    def __enter__(self) -> StringWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._text, self._offsets:
            if kind is None:
                self._flush()


class StringsOnDisk(Sequence[str]):
    """What a `StringWriter` wrote, in its order.

    Strings are read, and not mapped: a page that is mapped may bring a megabyte into this process's memory.

    Raises:
        ValueError: the files do not fit together.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.bin"
        self._text = self._file.open("rb", buffering=0)
        self._offsets = memoryview(_mapped(folder / f"{name}.offsets")).cast("q")
        size = self._file.stat().st_size
        if not len(self._offsets) or self._offsets[0] or self._offsets[-1] != size:
            raise ValueError(f"{name}.offsets does not fit {name}.bin")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        start, end = self._offsets[place], self._offsets[place + 1]
        text = os.pread(self._text.fileno(), end - start, start)
        if len(text) < end - start:
            raise DamagedIndexError(self._file.parent, f"{self._file.name} has become shorter")
        return self._decoded(text)

    def __iter__(self) -> Iterator[str]:
        """All strings, by reading the file, so that its pages do not count as memory of this process."""
        with self._file.open("rb", buffering=_BUFFER) as text:
            for start, end in pairwise(self._offsets):
                yield self._decoded(text.read(end - start))

    def _decoded(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise DamagedIndexError(self._file.parent, error) from error


def _mapped(file: Path) -> mmap.mmap | bytes:
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if file.stat().st_size else b""
