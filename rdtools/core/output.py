"""The output of commands: stdout, or a file that appears whole or not at all."""

from __future__ import annotations

import gzip
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rdtools.core.arrival import has_arrived
from rdtools.core.atomic import beside
from rdtools.core.errors import RdError, UsageError
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
        with writing(self._name):
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

    What is written goes beside FILE and takes its name when the block ends without an error. A file that it
    replaces gives it owner, group and mode; symbolic links to that file stay.
    """
    number = None if path is None else _descriptor(path)
    if path is None or path == STDIN or number == 1:
        if sys.stdout is None:
            raise RdError("<stdout>: it is closed")
        stdout = write_through(sys.stdout.buffer, "<stdout>")
        yield (Terminal if sys.stdout.isatty() else Output)(stdout, "<stdout>")
        return
    there = _existing(path)
    if number is not None or (there is not None and not stat.S_ISREG(there.st_mode)):
        with _open_for_writing(path if number is None else number, path) as file:
            yield Output(write_through(file, path), path)  # /dev/null, a named pipe, or -o >(command)
        return
    target = Path(os.path.realpath(path))
    with ExitStack() as stack:
        with writing(path):
            part = stack.enter_context(beside(target))
        with _open_for_writing(part, path) as file:
            if there is not None:
                _keep_access(file.fileno(), there, path)
            hashing = write_through(file, path)
            stream = _compressed(hashing, path)
            yield Output(stream, path, flush=False)
            with writing(path):
                if stream is not hashing:
                    stream.close()
                file.flush()
                os.fsync(file.fileno())
        with writing(path):
            os.replace(part, target)


def refuse_same_file(one: str, path: str, other: str, output: str) -> None:
    """Refuse two options that name one file, which the second would replace.

    Raises:
        UsageError: they do.
    """
    if os.path.realpath(path) == os.path.realpath(output):
        raise UsageError(f"{one} and {other} are the same file: {output}")


_DESCRIPTOR = re.compile(r"/dev/(?:std(?P<name>out|err)|fd/(?P<number>[0-9]{1,4}))")


def _descriptor(path: str) -> int | None:
    """Return the number of the open file that a path such as /dev/stdout or /dev/fd/63 stands for, or None.

    Opened by its path, a file to which the shell appends would begin anew.
    """
    found = _DESCRIPTOR.fullmatch(path)
    if found is None:
        return None
    return {"out": 1, "err": 2}[found["name"]] if found["name"] else int(found["number"])


def _existing(path: str) -> os.stat_result | None:
    """Return the status of the file that FILE will replace, None if there is none.

    Raises:
        RdError: it is a folder, or may not be written.
    """
    try:
        there = os.stat(path)
    except OSError:
        return None
    if stat.S_ISDIR(there.st_mode):
        raise RdError(f"{path}: cannot write: it is a folder")
    if not os.access(path, os.W_OK):
        raise RdError(f"{path}: cannot write: Permission denied")
    return there


def _keep_access(descriptor: int, there: os.stat_result, name: str) -> None:
    """Give a new file the owner, the group and the mode of the one that it will replace."""
    new = os.fstat(descriptor)
    try:
        if (new.st_uid, new.st_gid) != (there.st_uid, there.st_gid):
            os.fchown(descriptor, there.st_uid, there.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(there.st_mode))
    except OSError as error:
        reason = error.strerror or error
        raise RdError(f"{name}: cannot keep its owner and mode: {reason} (remove it first)") from error


@contextmanager
def _open_for_writing(target: str | Path | int, name: str) -> Iterator[BinaryIO]:
    with writing(name):
        file: Any = open(os.dup(target) if isinstance(target, int) else target, "wb")  # noqa: SIM115
    try:
        yield file
    finally:
        with writing(name):  # closing writes what a failed write left
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


def new_spool() -> Path:
    """Make an empty temporary file with a name, for other processes to open."""
    import tempfile  # 4 ms that few commands need

    with spooling():
        handle, path = tempfile.mkstemp(prefix="rdtools-")
        os.close(handle)
    return Path(path)


@contextmanager
def writing(name: str | Path) -> Iterator[None]:
    """Report failures inside the block as failures to write what is called `name`."""
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

        return zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False)
    return file
