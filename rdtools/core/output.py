"""The output of commands: stdout, or a file that appears whole or not at all."""

from __future__ import annotations

import gzip
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rdtools.core.arrival import has_arrived
from rdtools.core.atomic import beside
from rdtools.core.errors import RdError
from rdtools.core.flags import flag
from rdtools.core.log import printable
from rdtools.core.manifest import write_through
from rdtools.core.rows import PARQUET, ParquetSink
from rdtools.core.streams import STDIN

_BLOCK_LINES = 1024


class Output:
    """The output of a command. To stdout and pipes every `write` leaves the process at once."""

    def __init__(self, stream: BinaryIO, name: str, *, flush: bool = True) -> None:
        self._stream = stream
        self._name = name
        self._flush = flush

    def write(self, data: bytes) -> None:
        with _writing(self._name):
            self._stream.write(data)
            if self._flush:
                self._stream.flush()

    def write_lines(self, lines: Iterable[bytes]) -> None:
        """Write lines in blocks; what is there leaves at once if the input is waited for."""
        block: list[bytes] = []
        for line in lines:
            block.append(line)
            if len(block) == _BLOCK_LINES or not has_arrived():
                self.write(b"".join(block))
                block.clear()
        self.write(b"".join(block))


class Terminal(Output):
    """A terminal: it is shown control characters, as `ls` shows them, and never obeys those of the data."""

    def write(self, data: bytes) -> None:
        rows = data.decode(errors="backslashreplace").split("\n")
        shown = ("\t".join(map(printable, row.split("\t"))) for row in rows)
        super().write("\n".join(shown).encode())


def output_flag() -> Any:
    return flag(
        "--output",
        "-o",
        default=None,
        metavar="FILE",
        help="Write to FILE, whole or not at all (.gz, .zst, .parquet by name).",
    )


@contextmanager
def open_output(path: str | None) -> Iterator[Output]:
    """Open stdout, or FILE so that it appears whole or not at all (`.gz`, `.zst` and `.parquet` by name).

    What is written goes beside FILE and takes its name when the block ends without an error.
    """
    if path is None or path == STDIN:
        if sys.stdout is None:
            raise RdError("<stdout>: it is closed")
        stdout = write_through(sys.stdout.buffer, "<stdout>")
        yield (Terminal if sys.stdout.isatty() else Output)(stdout, "<stdout>")
        return
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise RdError(f"{path}: cannot write: it is a folder")
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):  # /dev/null, a named pipe
        with _open_for_writing(target, "wb", path) as file:
            yield Output(write_through(file, path), path)
        return
    with beside(target) as part:
        with _open_for_writing(part, "xb", path) as file:
            hashing = write_through(file, path)
            stream = _compressed(hashing, path)
            yield Output(stream, path, flush=False)
            with _writing(path):
                if stream is not hashing:
                    stream.close()
                file.flush()
                os.fsync(file.fileno())
        with _writing(path):
            os.replace(part, target)


@contextmanager
def _open_for_writing(target: Path, mode: str, name: str) -> Iterator[BinaryIO]:
    with _writing(name):
        file: Any = open(target, mode)  # noqa: SIM115
    try:
        yield file
    finally:
        with _writing(name):  # closing writes what a failed write left
            file.close()


@contextmanager
def spooling() -> Iterator[None]:
    """Report failures inside the block as failures of a temporary file; name the folder and TMPDIR."""
    try:
        yield
    except OSError as error:
        import tempfile  # no command waits for it to start

        problem = f"{tempfile.gettempdir()}: cannot write: {error.strerror or error}"
        raise RdError(f"temporary file in {problem} (TMPDIR names another folder)") from error


@contextmanager
def _writing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RdError(f"{name}: cannot write: {error.strerror or error}") from error


def _compressed(file: BinaryIO, path: str) -> BinaryIO:
    if path.endswith(PARQUET):
        return ParquetSink(file, path)  # type: ignore[return-value]
    if path.endswith(".gz"):
        # No name and no time in the header: the same input gives the same bytes.
        return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)  # type: ignore[return-value]
    if path.endswith(".zst"):
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False)  # type: ignore[return-value]
    return file
