"""TREC runs read by the block: what a careful reader would say of them, several times faster.

Only what is plain is read here: ASCII, six columns on every line, whole ranks, finite scores, each query's
lines together and no document twice. Anything else is left to the careful reader, from the beginning, so
that bad input has one voice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import compress, pairwise
from typing import BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from rdtools.core.errors import RdError
from rdtools.core.records import Qrels
from rdtools.core.streams import open_bytes
from rdtools.evaluate.rankings import Ranking, Run
from rdtools.formats import Reading
from rdtools.formats.records import MAX_SCORE

Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Singles = NDArray[np.float32]

BLOCK = 2**21
"""Bytes that are read at a time; the tables of their columns take eight times as much."""
_LONGEST_ID = 512
_QUERY, _Q0, _DOC, _RANK, _SCORE, _TAG = range(6)

_LETTER, _BLANK, _LINE_END, _OTHER = range(4)
_KIND = bytearray([_OTHER] * 33 + [_LETTER] * 94 + [_OTHER] * 129)
_KIND[ord("\t")] = _KIND[ord("\r")] = _KIND[ord(" ")] = _BLANK
_KIND[ord("\n")] = _LINE_END
_TO_COMMAS = bytes.maketrans(b"\t ", b",,")

_LOW_BYTES = np.array([2 ** (8 * count) - 1 for count in range(9)], np.uint64)
_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


class _NotPlainError(Exception):
    """Something that the careful reader has to look at."""


def read_plain_run(path: str, qrels: Qrels, reading: Reading) -> Run | None:
    """Read a TREC run in a regular file, or return None where it is not a plain one."""
    if reading.input_format not in (None, "trec") or not os.path.isfile(path):
        return None
    try:
        reader = _Reader(qrels, reading)
        with open_bytes(path) as stream:
            reader.read(stream)
    except RdError:
        raise
    except Exception:  # a damaged archive, an unreadable disk: the careful reader meets it again and tells
        return None
    return Run(reader.rankings, reader.tag, len(reader.seen) - reader.judged)


class _Reader:
    def __init__(self, qrels: Qrels, reading: Reading) -> None:
        self.rankings: dict[str, Ranking] = {}
        self.tag = ""
        self.seen: set[str] = set()
        self.judged = 0
        self._qrels = qrels
        self._reading = reading
        self._doc_ids, self._hashes = _judged_documents(qrels)

    def read(self, stream: BinaryIO) -> None:
        rest = b""
        while data := stream.read(max(BLOCK, len(rest))):
            rest += data
            if end := rest.rfind(b"\n") + 1:
                rest = rest[self._read_queries(rest[:end], whole=False) :]
            elif len(rest) > self._reading.max_line:
                raise _NotPlainError
        if rest:
            self._read_queries(rest if rest.endswith(b"\n") else rest + b"\n", whole=True)

    def _read_queries(self, lines: bytes, whole: bool) -> int:
        """Take in the queries of some lines, the last one only if it is `whole`; return their bytes."""
        starts, ends = _columns(lines, self._reading.max_line)
        if not self.seen:
            self._look_at_first_line(lines, starts[0], ends[0])
        words = _words(lines)
        _check_ranks(words, starts[:, _RANK], ends[:, _RANK])
        scores = _scores(lines, starts[:, _SCORE], ends[:, _SCORE])
        queries = _hash(words, starts[:, _QUERY], ends[:, _QUERY])
        docs = _hash(words, starts[:, _DOC], ends[:, _DOC])
        firsts = [0, *(np.flatnonzero(queries[1:] != queries[:-1]) + 1).tolist(), len(queries)]
        if not whole:
            firsts.pop()
        for first, last in pairwise(firsts):
            own = slice(first, last)
            query = _piece(lines, starts[own, _QUERY], ends[own, _QUERY], 0)
            if query != _piece(lines, starts[own, _QUERY], ends[own, _QUERY], -1):  # two ids of one hash
                raise _NotPlainError
            doc_id = partial(_piece, lines, starts[own, _DOC], ends[own, _DOC])
            self._read_query(query.decode(), docs[own], scores[own], doc_id)
        return len(lines) if whole else int(starts[firsts[-1], _QUERY])

    def _look_at_first_line(self, lines: bytes, starts: Places, ends: Places) -> None:
        """A format that was not named is TREC where the second column is Q0."""
        unnamed = self._reading.input_format is None
        if unnamed and (lines[starts[_Q0] : ends[_Q0]].upper() != b"Q0" or lines[:1] in b"{["):
            raise _NotPlainError
        self.tag = lines[starts[_TAG] : ends[_TAG]].decode()

    def _read_query(
        self, query_id: str, hashes: Hashes, scores: Singles, doc_id: Callable[[int], bytes]
    ) -> None:
        """Find the judged documents of a query by the hashes of their ids, (n,); `doc_id` is by row."""
        order = np.argsort(hashes)
        ordered = hashes[order]
        if query_id in self.seen or (ordered[1:] == ordered[:-1]).any():  # or two ids of one hash, again
            raise _NotPlainError
        self.seen.add(query_id)
        if query_id not in self._qrels:
            return
        self.judged += 1
        wanted = self._hashes[query_id]
        at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        found = ordered[at] == wanted
        rows = order[at[found]]
        doc_ids = list(compress(self._doc_ids[query_id], found.tolist()))
        if any(doc_id(row) != own.encode() for row, own in zip(rows.tolist(), doc_ids, strict=True)):
            raise _NotPlainError
        if (scores[:-1] > scores[1:]).all():
            places = (rows + 1).tolist()
        else:
            places = [_place(row, scores, doc_id) for row in rows.tolist()]
        by_place = sorted(zip(places, doc_ids, strict=True))
        self.rankings[query_id] = Ranking({own: place for place, own in by_place}, len(scores))


def _piece(lines: bytes, starts: Places, ends: Places, row: int) -> bytes:
    return lines[starts[row] : ends[row]]


def _place(row: int, scores: Singles, doc_id: Callable[[int], bytes]) -> int:
    """Return the place from 1 of a document: behind larger scores, and behind larger ids of its own score."""
    above = int((scores > scores[row]).sum())
    tied = np.flatnonzero(scores == scores[row]).tolist()
    return above + 1 + (sum(doc_id(other) > doc_id(row) for other in tied) if len(tied) > 1 else 0)


def _judged_documents(qrels: Qrels) -> tuple[dict[str, list[str]], dict[str, Hashes]]:
    """Return the judged documents of each query, and their hashes."""
    doc_ids = {query_id: list(grades) for query_id, grades in qrels.items()}
    encoded = [doc_id.encode() for own in doc_ids.values() for doc_id in own]
    lengths = np.array([len(doc_id) for doc_id in encoded], np.int64)
    ends = np.cumsum(lengths)
    hashes = _hash(_words(b"".join(encoded) + b" "), ends - lengths, ends)
    counts = np.cumsum([len(own) for own in doc_ids.values()])
    return doc_ids, dict(zip(doc_ids, np.split(hashes, counts[:-1]), strict=True))


def _columns(lines: bytes, max_line: int) -> tuple[Places, Places]:
    """Return where the six columns of n lines begin and end, two (n, 6)."""
    kind = np.frombuffer(lines.translate(_KIND), np.uint8)
    if kind.max() == _OTHER or kind[0] != _LETTER:
        raise _NotPlainError
    blank = kind != _LETTER
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    line_ends = np.flatnonzero(kind == _LINE_END)
    if len(edges) != 12 * len(line_ends) - 1:
        raise _NotPlainError
    ends, starts = edges[::2], np.concatenate([[0], edges[1::2]])
    starts, ends = starts.reshape(-1, 6), ends.reshape(-1, 6)
    together = (line_ends >= ends[:, _TAG]).all() and (line_ends[:-1] < starts[1:, _QUERY]).all()
    if not together or np.diff(line_ends, prepend=-1).max() - 1 > max_line:
        raise _NotPlainError
    return starts, ends


def _words(text: bytes) -> Hashes:
    """Return the eight bytes from each place of a text on as numbers, the first byte the lowest."""
    return np.ndarray(len(text), "<u8", text + bytes(8), strides=(1,))


def _check_ranks(words: Hashes, starts: Places, ends: Places) -> None:
    """Check that all ranks are of one to eight digits."""
    lengths = ends - starts
    if lengths.max() > 8:
        raise _NotPlainError
    # Of a digit, 0x30 to 0x39, and of that plus 6 the upper half is 3; ASCII plus 6 carries nothing over.
    word, seen = words[starts], _LOW_BYTES[lengths]
    upper, three = seen & np.uint64(0xF0F0F0F0F0F0F0F0), seen & np.uint64(0x3030303030303030)
    if ((word & upper) != three).any() or (((word + np.uint64(0x0606060606060606)) & upper) != three).any():
        raise _NotPlainError


def _scores(lines: bytes, starts: Places, ends: Places) -> Singles:
    """Read the scores of n lines, (n,). They are read as a JSON array, many times faster than one by one."""
    lengths = ends - starts + 1  # with the blank that follows
    shifts = starts - (np.cumsum(lengths) - lengths)
    places = np.arange(lengths.sum()) + np.repeat(shifts, lengths)
    text = np.frombuffer(lines, np.uint8)[places[:-1]].tobytes()
    if text.translate(None, b"0123456789+-.eE\t "):
        raise _NotPlainError
    scores = np.array(orjson.loads(b"[" + text.translate(_TO_COMMAS) + b"]"), np.float64)
    if not (abs(scores) <= MAX_SCORE).all():
        raise _NotPlainError
    return scores.astype(np.float32)


def _hash(words: Hashes, starts: Places, ends: Places) -> Hashes:
    """Hash n pieces of a text, of which `words` has the eight bytes from each place on."""
    lengths = ends - starts
    hashes = lengths.astype(np.uint64)
    if len(lengths) and lengths.max() > _LONGEST_ID:
        raise _NotPlainError
    for done in range(0, int(lengths.max(initial=0)), 8):
        word = words[np.minimum(starts + done, len(words) - 1)] & _LOW_BYTES[np.clip(lengths - done, 0, 8)]
        mixed = (hashes ^ word) * _ODD
        mixed ^= mixed >> _HALF
        # Bytes hash alike whatever stands beside them: past its end a piece is not mixed any more.
        hashes = np.where(lengths > done, mixed, hashes)
    return hashes
