"""`cmd:ARGV`: any program that reads records and writes as many, in order, with a score for each document."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rdtools.core.errors import BadLine, RdError, UsageError
from rdtools.core.log import log, plural
from rdtools.core.output import spooling
from rdtools.core.records import SCORE_SCALES, Record
from rdtools.core.scores import floats, forget_scores
from rdtools.formats.records import dump, is_score, parse_json, parse_object, show
from rdtools.search.resources import Resources

_READ_BYTES = 2**16  # what a pipe holds
_HELD_BYTES = 2**24
_PATIENCE_SECONDS = 2
_ENDED_EARLY = "it ended, or read no further, before its input did"


class CommandTeacher:
    """One process scores the whole stream; it runs without a shell, and its stderr is ours.

    It may answer at once or hold everything back to the end of its input. It gets the records without
    scores that others gave; of what it writes, only `score` of the documents and `score_scale` count.
    """

    needs_text = True

    def __init__(self, argument: str, resources: Resources) -> None:
        try:
            self._argv = shlex.split(argument)
        except ValueError as error:
            raise UsageError(f"--teacher cmd:{argument}: {error}") from None
        if not self._argv:
            raise UsageError("--teacher cmd: it needs a program and its arguments, cmd:ARGV")
        self.name = f"cmd:{argument}"
        self._scale = resources.score_scale or "unknown"
        self._max_line = resources.reading.max_line

    def score_records(
        self, records: Iterable[tuple[Record, Any]]
    ) -> Iterator[tuple[Any, list[float | None], str]]:
        waiting = _Waiting()
        with _Program(self._argv, self._max_line) as program:
            for record, companion in records:
                doc_ids = [doc["doc_id"] for doc in record["docs"]]
                try:
                    waiting.push(dump([record["query_id"], doc_ids, companion]))
                except BadLine as error:
                    raise RdError(f'query "{record["query_id"]}": {error.problem}') from None
                for line in program.feed(dump(_unscored(record))):
                    yield self._answer(program, waiting, line)
            for line in program.finish():
                yield self._answer(program, waiting, line)
            if waiting:
                raise program.failure(f"it wrote {plural(waiting.popped, 'record')} of {waiting.pushed:,}")
            program.check_success()
        log.debug("%s: %s, exit status 0", self.name, plural(waiting.popped, "record"))

    def _answer(
        self, program: _Program, waiting: _Waiting, line: bytes
    ) -> tuple[Any, list[float | None], str]:
        if not waiting:
            raise program.failure(f"it wrote more than the {plural(waiting.popped, 'record')} it was given")
        query_id, doc_ids, companion = waiting.pop()
        try:
            scores, scale = _read_answer(line, query_id, doc_ids)
        except BadLine as error:
            raise program.failure(f"record {waiting.popped:,} of its output: {error.problem}") from None
        return companion, scores, scale or self._scale


def _unscored(record: Record) -> Record:
    """Return the record without scores, so that those which come back are the program's."""
    bare = record.copy()
    forget_scores(bare)
    bare["docs"] = [doc.copy() for doc in record["docs"]]
    for doc in bare["docs"]:
        doc.pop("score", None)
        doc.pop("scores", None)
    return bare


def _read_answer(line: bytes, query_id: str, doc_ids: list[str]) -> tuple[list[float | None], str | None]:
    """Return the scores and the scale of a line that must be about these documents; raise `BadLine`."""
    fields = parse_object(line)
    if str(fields.get("query_id")) != query_id:
        raise BadLine(f'"query_id" {show(fields.get("query_id"))} where {show(query_id)} is due')
    docs = fields.get("docs")
    if not isinstance(docs, list) or not all(isinstance(doc, dict) for doc in docs):
        raise BadLine(f'"docs" of query "{query_id}" must be a list of objects, not {show(docs)}')
    if [str(doc.get("doc_id")) for doc in docs] != doc_ids:
        raise BadLine(f'"docs" of query "{query_id}" are not those it was given, in their order')
    for doc in docs:
        if doc.get("score") is not None and not is_score(doc["score"]):
            raise BadLine(
                f'"score" of document "{doc["doc_id"]}" must be a finite float32, not {show(doc["score"])}'
            )
    scale = fields.get("score_scale")
    if scale is not None and scale not in SCORE_SCALES:
        raise BadLine(f'unknown "score_scale" {show(scale)}')
    written = iter(floats([doc["score"] for doc in docs if doc.get("score") is not None]))
    return [None if doc.get("score") is None else next(written) for doc in docs], scale


class _Program:
    """A process, fed and read by turns from one thread: neither side ever waits for a pipe that is full."""

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

    def __enter__(self) -> _Program:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self._stdout.close()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Write `data`, and yield the lines that come meanwhile."""
        left = memoryview(data)
        while True:
            # Once all is written: what is there already, without waiting for more.
            writing = [self._stdin] if left else []
            readable, writable, _ = select.select([self._stdout], writing, [], None if left else 0)
            if readable:
                lines = self._read()
                if lines is None:
                    raise self.failure(_ENDED_EARLY)
                yield from lines
            elif writable:
                left = left[self._write(left) :]
            elif not left:
                return

    def finish(self) -> Iterator[bytes]:
        """Close its input, and yield the lines that are still to come."""
        self._stdin.close()
        while (lines := self._read()) is not None:
            yield from lines
        if self._rest.strip():
            yield bytes(self._rest)

    def check_success(self) -> None:
        """Wait for its end; raise `RdError` where it says that it failed."""
        if self._process.wait():
            raise self.failure("it failed")

    def failure(self, problem: str) -> RdError:
        """Return the error that names the program, what is wrong, and how it ended."""
        return RdError(f"{self._name}: {problem} ({self._end()})")

    def _read(self) -> list[bytes] | None:
        """Return the lines that are whole by now, None at the end."""
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
            raise self.failure(_ENDED_EARLY) from None

    def _end(self) -> str:
        """See that the process is over, and say how it ended."""
        self._stdin.close()
        try:
            status = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "it was still running, and was stopped"
        return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


@contextmanager
def _broken_pipe_is_an_error() -> Iterator[None]:
    """Elsewhere SIGPIPE ends a command silently, as the reader of its output wants it."""
    handler = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, handler)


class _Waiting:
    """Lines, first in first out; those beyond 16 MiB wait in a temporary file.

    Attributes:
        pushed, popped: how many went in and came out.
    """

    def __init__(self) -> None:
        self.pushed = self.popped = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        with spooling():
            self._file: Any = tempfile.TemporaryFile(prefix="rdtools-")  # noqa: SIM115 (lives as long as this)
        self._read = self._written = 0  # places in the file

    def __len__(self) -> int:
        return self.pushed - self.popped

    def push(self, line: bytes) -> None:
        self.pushed += 1
        if self._read == self._written and self._held_bytes < _HELD_BYTES:
            self._held.append(line)
            self._held_bytes += len(line)
        else:
            with spooling():
                self._file.seek(self._written)
                self._written += self._file.write(line)

    def pop(self) -> Any:
        """Return the value that the first line holds."""
        self.popped += 1
        if self._held:
            line = self._held.popleft()
            self._held_bytes -= len(line)
            return parse_json(line)
        with spooling():  # this writes what the file still buffers
            self._file.seek(self._read)
        line = self._file.readline()
        self._read += len(line)
        if self._read == self._written:
            self._file.truncate(0)
            self._read = self._written = 0
        return parse_json(line)
