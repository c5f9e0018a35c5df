"""Bytes in, bytes out: files, stdin and stdout, compression, line numbers, whole-or-nothing output."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, BinaryIO, Protocol, TypeVar

from rdtools.core.errors import BadLine, InputError, RdError
from rdtools.core.log import log, plural
from rdtools.core.manifest import read_through
from rdtools.core.rows import HUB, PARQUET_START, RowLines, hub_rows, parquet_rows

STDIN = "-"
DEFAULT_MAX_LINE = 64 * 2**20
READ_AHEAD = 2**20
_BLOCK_BYTES = 2**16  # of pipes the capacity; larger blocks leave the processor's cache
T = TypeVar("T")

_GZIP = b"\x1f\x8b"
_ZSTD = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")  # a frame, or the skippable one that pzstd begins with
_BOM = b"\xef\xbb\xbf"
_inputs: list[Lines] = []
"""Those being read, in the order in which they were opened."""


class ByteBlocks(Protocol):
    """A stream of bytes: a file, or rows."""

    def read1(self, size: int, /) -> bytes:
        """Return at most `size` bytes, those that are there; nothing at the end."""


class Lines:
    """The lines of one input, without their ends, numbered from 1; blank lines are passed over.

    `parse` runs a parser on the current line and deals with a `BadLine` as `on_error` says:
    "fail" raises `InputError` with file and line, "skip" counts it in `skipped`. `left_out` counts what
    records could not hold; with `strict` that is bad input.
    """

    def __init__(
        self,
        stream: ByteBlocks,
        source: str,
        *,
        max_line: int = DEFAULT_MAX_LINE,
        on_error: str = "fail",
        strict: bool = False,
        descriptor: int | None = None,
    ) -> None:
        """`descriptor` is that of a pipe or terminal that `stream` reads and holds nothing back from."""
        self.source = source
        self.number = 0
        self.skipped = 0
        self.left_out: Counter[tuple[str, str]] = Counter()
        self._stream = stream
        self._max_line = max_line
        self._skip = on_error == "skip"
        self._strict = strict
        self._pushed: list[tuple[int, bytes]] = []
        self._complete: deque[bytes] = deque()
        self._rest = bytearray()  # the beginning of a line
        self._in_long_line = False
        self._descriptor = descriptor

    def __iter__(self) -> Iterator[bytes]:
        while self._pushed:
            self.number, line = self._pushed.pop()
            yield line
        longest = self._max_line
        complete = self._complete
        while complete or self._fill():
            line = complete.popleft()
            self.number += 1
            if self.number == 1:
                line = line.removeprefix(_BOM)
            if len(line) > longest:
                self.bad(f"line is longer than {longest:,} bytes", "see --max-line")
                continue
            line = line.rstrip(b"\r")
            if line and not line.isspace():
                yield line

    def first(self) -> bytes | None:
        """Return the first line without consuming it, or None at the end of the input."""
        line = next(iter(self), None)
        if line is not None:
            self._pushed.append((self.number, line))
        return line

    def bad(self, problem: str, hint: str = "") -> None:
        """Report the current line as bad: raise, or count it where bad lines are skipped."""
        if not self._skip:
            raise InputError(self.source, self.number, problem, hint)
        self.skipped += 1

    def leave_out(self, noun: str, what: str) -> None:
        """Count a part of the current line that its record cannot hold: a `noun`, and `what` is with it.

        Raises:
            BadLine: the input is read strictly.
        """
        if self._strict:
            raise BadLine(f"{noun} {what}", "it is left out without --strict")
        self.left_out[noun, what] += 1

    def parse(self, parser: Callable[[bytes], T], line: bytes) -> T | None:
        """Return `parser(line)`, or None where the line was bad and is skipped."""
        try:
            return parser(line)
        except BadLine as error:
            self.bad(error.problem, error.hint)
            return None

    def parsed(self, parser: Callable[[bytes], T | None]) -> Iterator[T]:
        """Yield `parser(line)` of each line; bad lines are dealt with as in `parse`."""
        for line in self:
            try:
                value = parser(line)
            except BadLine as error:
                self.bad(error.problem, error.hint)
                continue
            if value is not None:
                yield value

    def awaits(self) -> int | None:
        """Return the descriptor that the next line must come from, None if it is here or cannot be told."""
        return None if self._pushed or self._complete or not self.number else self._descriptor

    def _fill(self) -> bool:
        """Read until there is a complete line, or one byte too much of a line; return False at the end."""
        complete = self._complete
        while not complete:
            block = self._read_block()
            if not block:
                complete.extend([bytes(self._rest)] if self._rest else [])
                self._rest.clear()
                return bool(complete)
            first, *others = block.split(b"\n")
            if not self._in_long_line:
                self._rest += first
            if others:
                if not self._in_long_line:
                    complete.append(bytes(self._rest))
                *whole, last = others
                complete.extend(whole)
                self._rest = bytearray(last)
                self._in_long_line = False
            if len(self._rest) > self._max_line:
                complete.append(bytes(self._rest[: self._max_line + 1]))
                self._rest.clear()
                self._in_long_line = True
        return True

    def _read_block(self) -> bytes:
        """Return the bytes that are there; wait for some if there are none."""
        try:
            return self._stream.read1(_BLOCK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(self.source, self.number + 1, f"compressed data is damaged: {error}") from error
        except OSError as error:
            raise RdError(f"{self.source}: cannot read: {error.strerror or error}") from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":  # zstandard is imported only where it is needed
                raise
            raise InputError(self.source, self.number + 1, f"compressed data is damaged: {error}") from error


@contextmanager
def open_lines(
    path: str, *, max_line: int = DEFAULT_MAX_LINE, on_error: str = "fail", strict: bool = False
) -> Iterator[Lines]:
    """Open FILE, `-` (stdin) or `hf:NAME` and yield its `Lines`, decompressed where it is gzip or zstd.

    A row of parquet or of a dataset of the hub is a line of JSON. Bad lines that were skipped, and what
    records could not hold, are counted on stderr when the block ends.
    """
    with _opened_lines(path) as (stream, source, descriptor):
        lines = Lines(
            stream, source, max_line=max_line, on_error=on_error, strict=strict, descriptor=descriptor
        )
        _inputs.append(lines)
        try:
            yield lines
        finally:
            _inputs.remove(lines)
    for (noun, what), count in lines.left_out.items():
        log.warning("%s: %s %s: left out", source, plural(count, noun), what)
    if lines.skipped:
        log.warning("%s: %s skipped", source, plural(lines.skipped, "bad line"))


@contextmanager
def open_bytes(path: str) -> Iterator[BinaryIO]:
    """Open FILE and yield its bytes, decompressed; errors of reading come as the libraries raise them."""
    with _opened(path) as (file, source):
        yield _decompressed(file, source)[0]


def awaited() -> int | None:
    """Return the descriptor that the next line of the input opened last must come from.

    None: the line is here already, or it cannot be told (a file, compressed data, no input).
    """
    return _inputs[-1].awaits() if _inputs else None


@contextmanager
def _opened_lines(path: str) -> Iterator[tuple[ByteBlocks, str, int | None]]:
    """Yield the stream of FILE or of a dataset of the hub, its name, and the descriptor of a plain pipe."""
    if path.startswith(HUB):
        yield RowLines(hub_rows(path)), path, None
        return
    with _opened(path) as (file, source):
        stream, plain = _decompressed(file, source)
        yield stream, source, _pipe(file) if plain else None


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, str]]:
    if path == STDIN:
        if sys.stdin is None:
            raise RdError("<stdin>: it is closed (give a FILE)")
        yield read_through(sys.stdin.buffer, "<stdin>"), "<stdin>"
        return
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise RdError(f"{path}: cannot open: {error.strerror}") from error
    with file:
        yield read_through(file, path), path


def _pipe(file: BinaryIO) -> int | None:
    """Return the descriptor of a file that may keep its reader waiting."""
    try:
        descriptor = file.fileno()
        return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else descriptor
    except (OSError, ValueError):  # no file of the system, or closed
        return None


def _decompressed(stream: BinaryIO, source: str) -> tuple[Any, bool]:
    """Recognise gzip, zstd and parquet by their first bytes, whatever the name says.

    Return whether it is none of them.
    """
    raw: Any = stream
    buffered: Any = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(raw)
    try:
        start = buffered.peek(5)[:5]
    except OSError:  # reading it reports what is wrong
        return buffered, False
    if _may_become(start):
        start = buffered.read(len(start))  # a pipe gave so little that it takes more to tell
        while _may_become(start) and (byte := buffered.read(1)):
            start += byte
        buffered = io.BufferedReader(_Available(buffered, start))
    if start == PARQUET_START:
        return RowLines(parquet_rows(buffered, source)), False
    if start.startswith(_GZIP):
        buffered = gzip.GzipFile(fileobj=_Available(buffered))
    elif start.startswith(_ZSTD):
        buffered = io.BufferedReader(_ZstdFrames(buffered))
    return io.BufferedReader(_Available(buffered), READ_AHEAD), not start.startswith((_GZIP, *_ZSTD))


def _may_become(start: bytes) -> bool:
    return any(magic != start and magic.startswith(start) for magic in (_GZIP, *_ZSTD, PARQUET_START))


class _Available(io.RawIOBase):
    """`start` and then a stream. A read takes what is there and does not wait for all that it asked for."""

    def __init__(self, stream: Any, start: bytes = b"") -> None:
        self._stream = stream
        self._start = start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Not readinto1: into a buffer larger than its own, BufferedReader reads once more though it has data.
        data = self._start[: len(buffer)] or self._stream.read1(len(buffer))
        self._start = self._start[len(data) :]
        buffer[: len(data)] = data
        return len(data)


class _ZstdFrames(io.RawIOBase):
    """zstd frames one after another, decompressed as they come; a frame that is cut short is an EOFError."""

    # A block of 4 bytes may stand for 128 KiB: taking little at a time bounds what a hostile file unfolds to.
    _STEP = 2**12

    def __init__(self, stream: Any) -> None:
        import zstandard

        self._stream = stream
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._inside = False
        self._compressed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            self._compressed = self._compressed or self._stream.read1(self._STEP)
            if not self._compressed:
                if self._inside:
                    raise EOFError("it ends within a frame")
                return 0
            self._ready = memoryview(self._frame.decompress(self._compressed))
            self._compressed = self._frame.unused_data
            self._inside = not self._frame.eof
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def unless_empty(items: Iterable[T]) -> Iterator[T] | None:
    """Return the items, or None where there are none; the first one is read for it."""
    for first in items:
        return chain([first], items)
    return None
