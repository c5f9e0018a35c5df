"""Scores out of JSON lines, compiled: what rd-entropy reads of records without an object for each document.

It takes records as our own commands and most others write them, and passes over what their documents hold
beside `doc_id` and `score`. A line with anything that it does not know, or that is wrong, is left alone: the
parser of formats/jsonl.py, which knows all of JSON, has the last word on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rdtools.search.bm25_loops import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

_MOST = 256
"""Documents of a record at most: each is compared with those before it."""
_TOO_LARGE = 2**53
"""Whole numbers below are exact as float64."""
_SHORTEST = len('"score":0')
_EXACT = np.array([10.0**power for power in range(23)])
"""The powers of ten that a float64 holds, so that one rounding makes a number of digits and exponent."""

_QUOTE, _BACKSLASH, _MINUS, _POINT, _NEWLINE, _SPACE = b'"\\-.\n '
_COMMA, _OPEN, _CLOSE, _LIST, _END_OF_LIST = b",{}[]"
_ZERO, _NINE, _PLUS, _SMALL_E, _LARGE_E = b"09+eE"


def _bytes(text: bytes) -> Bytes:
    return np.frombuffer(text, np.uint8)


_START, _QUERY, _DOCS = _bytes(b'{"query_id":'), _bytes(b'"query":'), _bytes(b'"docs":')
_NAMES = [b'"doc_id":', b'"score":', b'"text":', b'"source":', b'"rank":', b'"relevance":']
_FIELDS, _FIELD_ENDS = _bytes(b"".join(_NAMES)), np.cumsum([0, *map(len, _NAMES)])
_HAS_ID, _HAS_SCORE, _HAS_TEXT, _HAS_SOURCE, _HAS_RANK, _HAS_RELEVANCE = (1 << bit for bit in range(6))
_ESCAPED = np.isin(np.arange(256), _bytes(b'"\\/bfnrt'))
_STOPS = (np.arange(256) < _SPACE) | np.isin(np.arange(256), _bytes(b'"\\'))


class Scanned(NamedTuple):
    """The lines of a block, m of them, and the scores in them."""

    scores: NDArray[np.float64]
    """Of the lines that were taken, one after another."""
    ends: NDArray[np.int32]
    """(m, 6): where the line ends, where its query_id begins and ends, where its documents end, how many
    these are (-1: the line was not taken) and how many of them have a score."""


def scan(block: bytes) -> Scanned:
    """Take the scores out of whole lines, each with its end, 2 GiB at most; none where they are not UTF-8."""
    ends = np.empty((block.count(b"\n"), 6), np.int32)
    scores = np.empty(len(block) // _SHORTEST)
    filled = _scan(_bytes(block), scores, ends)
    if not _is_utf8(block):
        ends[:, 4:] = -1, 0
    return Scanned(scores[:filled], ends)


def _is_utf8(block: bytes) -> bool:
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


@compiled
def _scan(data: Bytes, scores: NDArray[np.float64], ends: NDArray[np.int32]) -> int:
    hashes = np.empty(_MOST, np.uint64)
    at = filled = 0
    for line in range(len(ends)):
        start = at
        ends[line, 1], ends[line, 2], at = _head(data, start)
        docs, scored = -1, 0
        if at >= 0:
            docs, scored, at = _docs(data, at, scores[filled:], hashes)
            filled += scored
        ends[line, 3], ends[line, 4], ends[line, 5] = at, docs, scored
        at = max(at, start)
        while data[at] != _NEWLINE:
            at += 1
        at += 1
        ends[line, 0] = at
    return filled


@compiled
def _head(data: Bytes, start: int) -> tuple[int, int, int]:
    """Pass over `{"query_id":"…","query":"…","docs":`: where the id begins and ends, and the end, or -1."""
    id_start = _known(data, start, _START)
    _, id_end = _identity(data, id_start)
    at = _next(data, id_end, _COMMA)
    text = _string(data, _known(data, at, _QUERY))
    if text >= 0:
        at = _next(data, text, _COMMA)
    return id_start + 1, id_end - 1, _known(data, at, _DOCS)


@compiled
def _docs(
    data: Bytes, at: int, scores: NDArray[np.float64], hashes: NDArray[np.uint64]
) -> tuple[int, int, int]:
    """Pass over a list of documents and keep the scores: how many of both there are, and the end, or -1."""
    docs = scored = 0
    if data[at] != _LIST:
        return -1, 0, -1
    at += 1
    if data[at] == _END_OF_LIST:
        return 0, 0, at + 1
    while docs < _MOST:
        identity, score, has_score, at = _doc(data, at)
        if at < 0:
            return -1, 0, -1
        for before in hashes[:docs]:
            if before == identity:
                return -1, 0, -1
        hashes[docs] = identity
        docs += 1
        if has_score:
            scores[scored] = score
            scored += 1
        if data[at] == _END_OF_LIST:
            return docs, scored, at + 1
        at = _next(data, at, _COMMA)
        if at < 0:
            return -1, 0, -1
    return -1, 0, -1


@compiled
def _doc(data: Bytes, start: int) -> tuple[np.uint64, float, bool, int]:
    """Pass over a document: a hash of its id, its score, whether it has one, and the end, or -1."""
    identity, score = np.uint64(0), 0.0
    seen = 0
    at = _next(data, start, _OPEN)
    while at >= 0:
        field, at = _field(data, at)
        if field == 0 or seen & field:  # of a name that stands twice, the last counts
            break
        seen |= field
        if field == _HAS_ID:
            identity, at = _identity(data, at)
        elif field == _HAS_SCORE:
            score, at = _number(data, at)
        elif field in (_HAS_TEXT, _HAS_SOURCE):
            at = _string(data, at)
        else:
            at = _whole_number(data, at)
        if at < 0:
            break
        if data[at] == _CLOSE:
            return identity, score, (seen & _HAS_SCORE) > 0, at + 1 if seen & _HAS_ID else -1
        at = _next(data, at, _COMMA)
    return identity, score, False, -1


@compiled
def _field(data: Bytes, at: int) -> tuple[int, int]:
    """Tell which field begins here, 0 for one that is not known, and where its value does."""
    for field in range(len(_FIELD_ENDS) - 1):
        end = _known(data, at, _FIELDS[_FIELD_ENDS[field] : _FIELD_ENDS[field + 1]])
        if end >= 0:
            return 1 << field, end
    return 0, -1


@compiled
def _known(data: Bytes, at: int, word: Bytes) -> int:
    """Pass over a name and its colon; -1 where something else stands."""
    if at < 0:
        return -1
    for byte in word:
        if data[at] != byte:
            return -1
        at += 1
    return at + 1 if data[at] == _SPACE else at


@compiled
def _next(data: Bytes, at: int, mark: int) -> int:
    """Pass over one mark, and a space after it; -1 where something else stands."""
    if at < 0 or data[at] != mark:
        return -1
    return at + 2 if data[at + 1] == _SPACE else at + 1


@compiled
def _string(data: Bytes, at: int) -> int:
    """Pass over a string; -1 where it holds a control character or an escape by number."""
    if at < 0 or data[at] != _QUOTE:
        return -1
    at += 1
    while True:
        while not _STOPS[data[at]]:
            at += 1
        if data[at] == _QUOTE:
            return at + 1
        if data[at] != _BACKSLASH or not _ESCAPED[data[at + 1]]:
            return -1
        at += 2


@compiled
def _identity(data: Bytes, at: int) -> tuple[np.uint64, int]:
    """Pass over an id and hash it (FNV-1a); -1 where it is empty, or written with escapes."""
    value = np.uint64(14695981039346656037)
    end = _string(data, at)
    if end < at + len('"a"'):
        return value, -1
    for place in range(at + 1, end - 1):
        if data[place] == _BACKSLASH:
            return value, -1
        value = (value ^ np.uint64(data[place])) * np.uint64(1099511628211)
    return value, end


@compiled
def _digits(data: Bytes, at: int, value: int) -> tuple[int, int]:
    """Pass over digits, which go on the end of `value`; -1 where there is none, or too many for a float64."""
    start = at
    while _ZERO <= data[at] <= _NINE and value < _TOO_LARGE:
        value = value * 10 + (data[at] - _ZERO)
        at += 1
    return value, at if at > start and value < _TOO_LARGE else -1


@compiled
def _whole(data: Bytes, at: int) -> tuple[int, int]:
    """Pass over the digits of a whole number without a sign."""
    value, end = _digits(data, at, 0)
    return value, -1 if end > at + 1 and data[at] == _ZERO else end


@compiled
def _whole_number(data: Bytes, at: int) -> int:
    """Pass over a whole number of at most nine digits; -1 for others."""
    start = at + 1 if data[at] == _MINUS else at
    _, end = _whole(data, start)
    return -1 if end > start + 9 else end


@compiled
def _number(data: Bytes, at: int) -> tuple[float, int]:
    """Pass over a number that is exact as so many digits times or over a power of ten; -1 for others."""
    negative = data[at] == _MINUS
    mantissa, at = _whole(data, at + 1 if negative else at)
    exponent = 0
    if at >= 0 and data[at] == _POINT:
        start = at + 1
        mantissa, at = _digits(data, start, mantissa)
        exponent = start - at
    if at >= 0 and (data[at] == _SMALL_E or data[at] == _LARGE_E):
        at += 1
        sign = -1 if data[at] == _MINUS else 1
        if data[at] == _MINUS or data[at] == _PLUS:
            at += 1
        power, at = _digits(data, at, 0)
        exponent += sign * power
    if at < 0 or exponent < -22 or exponent > 22:
        return 0.0, -1
    if negative and mantissa == 0:  # -0 is the integer 0, -0.0 is not
        return 0.0, -1
    value = mantissa / _EXACT[-exponent] if exponent < 0 else mantissa * _EXACT[exponent]
    return -value if negative else value, at
