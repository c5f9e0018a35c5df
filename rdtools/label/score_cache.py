"""`--cache FILE`: teacher scores that survive crashes, in SQLite.

A score is remembered as soon as its batch is done. The key is a hash of the teacher's key (kind,
weights, precision, length) and of both texts, so that no score of another model is ever taken.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Sequence

from rdtools.core.errors import RdError

_APPLICATION_ID = 0x72644C61  # "rdLa"
_LAYOUT = 1
_AT_ONCE = 500
_WAIT_SECONDS = 60


def score_key(teacher_key: str, query: str, text: str) -> bytes:
    digest = hashlib.blake2b(
        f"{len(teacher_key)} {len(query)} {teacher_key}{query}{text}".encode(), digest_size=16
    )
    return digest.digest()


class ScoreCache:
    """A file of scores by key. Several processes may use it at once; a writer waits for the other."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
            self._open()
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _open(self) -> None:
        # Asked first: where another process is making the cache, its table comes after what marks it as one.
        empty = not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        layout = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if not empty and (application, layout) != (_APPLICATION_ID, _LAYOUT):
            raise RdError(f"cache {self._path}: not a score cache of this version (give another --cache)")
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID"
        )

    def _write_ahead(self) -> None:
        # Of all statements, this one fails at once, whatever the timeout, while another process writes.
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
        """Return the scores of those keys that are known."""
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
        return known

    def put(self, scores: Iterable[tuple[bytes, float]]) -> None:
        """Remember scores: all of them, or, if the process dies, none."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", scores)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _problem(self, error: sqlite3.Error) -> RdError:
        return RdError(f"cache {self._path}: {error}")
