"""A running program that reads lines and writes lines, for the teachers that are programs."""

from __future__ import annotations

import hashlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import IO, Any

from rdtools.core.checksums import add_file
from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log, plural, printable
from rdtools.core.streams import awaited

_READ_BYTES = 2**16  # the capacity of a pipe
_PATIENCE_SECONDS = 2
_ENDED_EARLY = "did not read all of its input"


def words_of(teacher: str, argument: str) -> list[str]:
    """Return the program and the arguments of `--teacher cmd:ARGUMENT`, quotes resolved.

    Raises:
        UsageError: there is no program, or a quote is not closed.
    """
    try:
        argv = shlex.split(argument)
    except ValueError as error:
        raise UsageError(f"--teacher {teacher}:{argument}: {error}") from None
    if not argv:
        raise UsageError(f"--teacher {teacher} needs a program and its arguments: {teacher}:ARGV")
    return argv


def program_key(teacher: str, argv: Sequence[str], name: str | None) -> str:
    """Return what the answers of a program depend on: its `name`, if it has one, or its words.

    The contents of the files among the words count, so that answers of an older script are not used.
    """
    if name is not None:
        return f"{teacher} named {name}"
    digest = hashlib.blake2b(digest_size=16)
    for path in filter(os.path.isfile, argv):
        add_file(digest, path)
        digest.update(path.encode())
    return f"{teacher} {list(argv)} {digest.hexdigest()}"


class Program:
    """A process without a shell, whose stderr is ours.

    It starts when it is fed first; its stderr is copied to ours. One thread feeds and reads it in turns, and
    never waits for a pipe while the other one is ready. On exit from the `with` block the process is stopped.

    Args:
        timeout: the number of seconds in which it must read, write or end.
    """

    def __init__(
        self, argv: list[str], max_line: int, timeout: float | None = None, teacher: str = "cmd"
    ) -> None:
        self._argv = argv
        self._name = f"{teacher}:{shlex.join(argv)}"
        self._max_line = max_line
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = bytearray()

    def _start(self) -> None:
        log.debug("running %s", shlex.join(self._argv))
        try:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise RdError(f"{self._name}: cannot be run: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        self._messages = Thread(target=_pass_on, args=[self._process.stderr], daemon=True)
        self._messages.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._end()
            self._stdout.close()
            self._messages.join(_PATIENCE_SECONDS)  # its end is that of the last process that may write there

    def feed(self, data: bytes, *, wait: bool = True) -> Iterator[bytes]:
        """Write `data`, and yield the lines that the program writes until our next line of input is there.

        Without `wait`, only those that are there when all is written.
        """
        if self._process is None:
            if not data:
                return
            self._start()
        left = memoryview(data)
        while True:
            descriptor = None if left or not wait else awaited()
            reading: list[Any] = [self._stdout] if descriptor is None else [self._stdout, descriptor]
            seconds = self._timeout if left else 0 if descriptor is None else None
            readable, writable, _ = select.select(reading, [self._stdin] if left else [], [], seconds)
            if self._stdout in readable:
                lines = self._read()
                if lines is None:
                    raise self.ended(_ENDED_EARLY)
                yield from lines
            elif writable:
                left = left[self._write(left) :]
            elif left:
                raise self._silent()
            else:
                return

    def ask(self, data: Sequence[bytes]) -> Iterator[bytes]:
        """Write lines, and yield as many lines of the program, each as soon as it comes."""
        answers = 0
        for line in data:
            for answer in self.feed(line, wait=False):
                answers += 1
                yield answer
        while answers < len(data):
            lines = self._awaited()
            if lines is None:
                raise self.ended(f"wrote {answers:,} of {plural(len(data), 'answer')}")
            answers += len(lines)
            yield from lines

    def finish(self) -> Iterator[bytes]:
        """Close the program's input, and yield its remaining lines."""
        if self._process is None:
            return
        self._stdin.close()
        while (lines := self._awaited()) is not None:
            yield from lines
        if self._rest.strip():
            yield bytes(self._rest)

    def check_success(self) -> None:
        """Wait for the program to end; raise `RdError` if its exit status is not 0."""
        if self._process is None:
            return
        try:
            status = self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            raise self._silent() from None
        if status:
            raise self.ended("wrote all records")

    def failure(self, problem: str) -> RdError:
        """Stop the program; return the error that names it, the problem, and how it ended."""
        return RdError(f"{self._name}: {problem} (it {self._end()})")

    def ended(self, what_it_did: str) -> RdError:
        """Stop the program; return the error that says what it did and how it ended."""
        return RdError(f"{self._name} {what_it_did} and {self._end()}")

    def _silent(self) -> RdError:
        return self.failure(f"neither read nor wrote for {self._timeout:g} seconds, which --timeout allows")

    def _awaited(self) -> list[bytes] | None:
        """Return the complete lines of the next output, None at its end; wait for it."""
        if not select.select([self._stdout], [], [], self._timeout)[0]:
            raise self._silent()
        return self._read()

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
        if self._process is None:
            return "was not started"
        self._stdin.close()
        try:
            status = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "had to be stopped"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _pass_on(messages: IO[bytes]) -> None:
    """Copy a program's stderr to ours, what a terminal would obey as escapes."""
    decoder = getincrementaldecoder("utf-8")("backslashreplace")
    with messages:
        while data := os.read(messages.fileno(), _READ_BYTES):
            parts = re.split("([\\n\\r\\t])", decoder.decode(data))
            with suppress(OSError, ValueError):  # nobody reads ours: the program's is read all the same
                sys.stderr.write("".join(part if part in "\n\r\t" else printable(part) for part in parts))
                sys.stderr.flush()


@contextmanager
def _broken_pipe_is_an_error() -> Iterator[None]:
    """Ignore SIGPIPE, which elsewhere ends a command silently when the reader of its output is gone."""
    handler = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, handler)
