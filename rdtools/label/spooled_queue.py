"""A first-in, first-out queue of lines; beyond 16 MiB they wait in a temporary file."""

from __future__ import annotations

import tempfile
from collections import deque
from typing import Any

from rdtools.core.output import spooling

_MEMORY_BYTES = 2**24


class SpooledQueue:
    """Lines in memory, then in a file from its position `read` to its position `written`.

    Attributes:
        pushed, popped: the numbers of lines that came in and went out.
    """

    def __init__(self) -> None:
        self.pushed = self.popped = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        with spooling():
            self._file: Any = tempfile.TemporaryFile(prefix="rdtools-")  # noqa: SIM115 (lives as long as this)
        self._read = self._written = 0

    def __len__(self) -> int:
        return self.pushed - self.popped

    def push(self, line: bytes) -> None:
        self.pushed += 1
        if self._read == self._written and self._held_bytes < _MEMORY_BYTES:
            self._held.append(line)
            self._held_bytes += len(line)
        else:
            with spooling():
                self._file.seek(self._written)
                self._written += self._file.write(line)

    def pop(self) -> bytes:
        """Return the first line."""
        self.popped += 1
        if self._held:
            held = self._held.popleft()
            self._held_bytes -= len(held)
            return held
        with spooling():  # seek also writes what the file still buffers
            self._file.seek(self._read)
        line: bytes = self._file.readline()
        self._read += len(line)
        if self._read == self._written:
            self._file.truncate(0)
            self._read = self._written = 0
        return line
