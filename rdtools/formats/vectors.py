"""Embeddings in records: base64 (RFC 4648) of float16 numbers, little-endian; other tools may write lists."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

from rdtools.core.errors import BadLine

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_TYPE = np.dtype("<f2")


def write_vector(vector: ArrayLike) -> str:
    """Round an embedding to float16.

    Raises:
        BadLine: it is empty, or has a number that is not finite or beyond 65,504.
    """
    try:
        numbers = np.asarray(vector, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BadLine("an embedding is a list of numbers") from None
    with np.errstate(over="ignore"):
        rounded = numbers.astype(_TYPE)
    if rounded.ndim != 1 or not rounded.size:
        raise BadLine("an embedding is a list of numbers")
    if not np.isfinite(rounded).all():
        raise BadLine("an embedding does not fit float16")
    return b64encode(rounded.tobytes()).decode()


def read_vector(text: str) -> NDArray[np.float32]:
    """Return what `write_vector` has written."""
    return np.frombuffer(b64decode(text), _TYPE).astype(np.float32)


def checked_vector(value: Any) -> tuple[str, int]:
    """Return an embedding of a record as `write_vector` writes it, and how many numbers it has.

    Raises:
        BadLine: it is none.
    """
    if isinstance(value, list):
        return write_vector(value), len(value)
    try:
        vector = np.frombuffer(b64decode(value, validate=True), _TYPE)
    except (TypeError, ValueError):
        raise BadLine("an embedding is a list of numbers, or base64 of float16 numbers") from None
    if not vector.size or not np.isfinite(vector).all():
        raise BadLine("an embedding is empty, or has a number that is not finite")
    return value, len(vector)
