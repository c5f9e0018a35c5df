"""Embeddings in records: base64 (RFC 4648) of float16 numbers, little-endian; other tools may write lists."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

from rdtools.core.errors import BadLine
from rdtools.core.records import Record

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_TYPE = np.dtype("<f2")


def write_vector(vector: ArrayLike) -> str | None:
    """Round an embedding to float16; None if it has a number that is not finite or beyond 65,504."""
    with np.errstate(over="ignore"):
        rounded = np.asarray(vector, np.float64).astype(_TYPE)
    return b64encode(rounded.tobytes()).decode() if np.isfinite(rounded).all() else None


def read_vector(text: str) -> NDArray[np.float32]:
    """Return what `write_vector` has written."""
    return np.frombuffer(b64decode(text), _TYPE).astype(np.float32)


def checked_vector(value: Any, what: str) -> tuple[str, int]:
    """Return an embedding of a record as `write_vector` writes it, and its dimension.

    Raises:
        BadLine: it is invalid; `what` names it.
    """
    if isinstance(value, list) and all(type(x) in (int, float) for x in value):
        try:
            text, dimension = write_vector(value), len(value)
        except OverflowError:  # an integer beyond the floats
            text, dimension = None, 0
        if text is None:
            raise BadLine(f"{what} has a number that does not fit float16")
    else:
        try:
            vector = np.frombuffer(b64decode(value, validate=True), _TYPE)
        except (TypeError, ValueError):
            raise BadLine(f"{what} is no list of numbers and no base64 of float16 numbers") from None
        if not np.isfinite(vector).all():
            raise BadLine(f"{what} has a number that is not finite")
        text, dimension = value, len(vector)
    if not dimension:
        raise BadLine(f"{what} is empty")
    return text, dimension


def forget_embeddings(record: Record) -> None:
    """Remove the embeddings of a record and of its documents."""
    for key in ("query_embedding", "embedding_teacher"):
        record.pop(key, None)  # type: ignore[misc]
    for doc in record["docs"]:
        doc.pop("embedding", None)
