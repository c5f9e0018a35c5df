"""A running program that reads lines and writes lines, for the teacher `cmd:ARGV`."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rdtools.core.errors import RdError
from rdtools.core.log import log
from rdtools.core.streams import awaited

_READ_BYTES = 2**16  # the capacity of a pipe
_PATIENCE_SECONDS = 2
_ENDED_EARLY = "did not read all of its input"


class Program:
    """A process without a shell, whose stderr is ours.

    One thread feeds and reads it in turns, and never waits for a pipe while the other one is ready. On exit
    from the `with` block the process is stopped.
    """

    def __init__(self, argv: list[str], max_line: int) -> None:
        self._name = f"cmd:{shlex.join(argv)}"
        self._max_line = max_line
        log.debug("running %s", shlex.join(argv))
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise RdError(f"{self._name}: cannot be run: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        self._rest = bytearray()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self._stdout.close()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Write `data`, and yield the lines that the program writes until our next line of input is there."""
        left = memoryview(data)
        while True:
            writing = [self._stdin] if left else []
            descriptor = None if left else awaited()
            reading: list[Any] = [self._stdout] if descriptor is None else [self._stdout, descriptor]
            seconds = None if left or descriptor is not None else 0
            readable, writable, _ = select.select(reading, writing, [], seconds)
            if self._stdout in readable:
                lines = self._read()
                if lines is None:
                    raise self.ended(_ENDED_EARLY)
                yield from lines
            elif writable:
                left = left[self._write(left) :]
            else:
                return

    def finish(self) -> Iterator[bytes]:
        """Close the program's input, and yield its remaining lines."""
        self._stdin.close()
        while (lines := self._read()) is not None:
            yield from lines
        if self._rest.strip():
            yield bytes(self._rest)

    def check_success(self) -> None:
        """Wait for the program to end; raise `RdError` if its exit status is not 0."""
        if self._process.wait():
            raise self.ended("wrote all records")

    def failure(self, problem: str) -> RdError:
        """Stop the program; return the error that names it, the problem, and how it ended."""
        return RdError(f"{self._name}: {problem} (it {self._end()})")

    def ended(self, what_it_did: str) -> RdError:
        """Stop the program; return the error that says what it did and how it ended."""
        return RdError(f"{self._name} {what_it_did} and {self._end()}")

    def _read(self) -> list[bytes] | None:
        """Return the complete lines of the next output, None at its end."""
        data = os.read(self._stdout.fileno(), _READ_BYTES)
        self._rest += data
        if len(self._rest) > self._max_line + _READ_BYTES:
            raise self.failure(f"a line of its output is longer than {self._max_line:,} bytes")
        if not data:
            return None
        if b"\n" not in data:
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        return [line for line in lines if line.strip()]

    def _write(self, data: memoryview) -> int:
        try:
            with _broken_pipe_is_an_error():
                return os.write(self._stdin.fileno(), data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise self.ended(_ENDED_EARLY) from None

    def _end(self) -> str:
        """Stop the process if it still runs, and describe how it ended."""
        self._stdin.close()
        try:
            status = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "had to be stopped"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


@contextmanager
def _broken_pipe_is_an_error() -> Iterator[None]:
    """Ignore SIGPIPE, which elsewhere ends a command silently when the reader of its output is gone."""
    handler = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, handler)
