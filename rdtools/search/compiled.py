"""Loops that numba compiles: those that numpy has not, or would pass over all of the data for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """Compile at the first call, and keep that on disk: beside the file, else in the user's cache folder."""
    try:
        return numba.njit(loop, cache=True, nogil=True)  # type: ignore[no-any-return]
    except RuntimeError:  # neither can be written
        return numba.njit(loop, nogil=True)  # type: ignore[no-any-return]
