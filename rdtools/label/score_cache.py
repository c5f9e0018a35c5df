"""`--cache FILE`: teacher scores in an SQLite file, which survive crashes.

Scores are saved batch by batch. The key of a score is a hash of the teacher's key (kind, weights, precision,
length) and of both texts, so a score of another model is never returned. The answers of programs and of
models that rank lists are saved whole, under a hash of the teacher's key and of all that was asked.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rdtools.core.errors import RdError
from rdtools.formats.records import is_score

_APPLICATION_ID = 0x72644C61  # "rdLa"
_LAYOUT = 1
_AT_ONCE = 500
_WAIT_SECONDS = 60


def score_key(teacher_key: str, query: str, text: str) -> bytes:
    """Return the key of a score, 16 bytes."""
    digest = hashlib.blake2b(
        f"{len(teacher_key)} {len(query)} {teacher_key}{query}{text}".encode(), digest_size=16
    )
    return digest.digest()


def answer_key(teacher_key: str, question: bytes) -> bytes:
    """Return the key of an answer, 16 bytes."""
    start = f"answer {len(teacher_key)} {teacher_key}".encode()
    return hashlib.blake2b(start + question, digest_size=16).digest()


def _address(path: str) -> str:
    """Return what SQLite opens for a file of any name: `:memory:`, for instance, has a meaning of its own.

    A complete cache can be used where nothing may be written, such as on a mounted image.
    """
    return Path(path).absolute().as_uri() + ("?immutable=1" if _is_protected(path) else "")


def _is_protected(path: str) -> bool:
    folder = os.path.dirname(path) or "."
    return os.path.isfile(path) and not (os.access(path, os.W_OK) and os.access(folder, os.W_OK))


class ScoreCache:
    """A file of scores and answers by key. Several processes may use it; writers wait for each other."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(
                _address(path), timeout=_WAIT_SECONDS, isolation_level=None, uri=True
            )
            self._open()
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _open(self) -> None:
        # Look for tables first: a process that creates the file marks it as a cache before it adds the table.
        empty = not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        layout = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if not empty and (application, layout) != (_APPLICATION_ID, _LAYOUT):
            raise RdError(f"cache {self._path}: not a score cache of this version (give another --cache)")
        if _is_protected(self._path):
            return
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID"
        )
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID"
        )

    def _write_ahead(self) -> None:
        # While another process writes, this statement fails at once, whatever the timeout.
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        """Return the scores of the keys that have one."""
        known: dict[bytes, float] = {}
        try:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                known.update(
                    self._connection.execute(f"SELECT key, score FROM scores WHERE key IN ({marks})", some)
                )
        except sqlite3.Error as error:
            raise self._problem(error) from error
        if not all(map(is_score, known.values())):
            raise RdError(f"cache {self._path}: it has a score that is not a number (give another --cache)")
        return known

    def put(self, scores: Iterable[tuple[bytes, float]]) -> None:
        """Save all scores; none of them if the process dies meanwhile."""
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", scores)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def answer(self, key: bytes) -> bytes | None:
        """Return the answer of a key, None if it has none."""
        try:
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._problem(error) from error
        if row is not None and not isinstance(row[0], bytes):
            raise RdError(f"cache {self._path}: it has an answer that is not bytes (give another --cache)")
        return None if row is None else row[0]

    def put_answer(self, key: bytes, answer: bytes) -> None:
        try:
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _problem(self, error: sqlite3.Error) -> RdError:
        return RdError(f"cache {self._path}: {error}")
