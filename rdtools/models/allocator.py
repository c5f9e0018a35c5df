"""Keep the memory of freed tensors in the process, on a CPU with the C library of GNU."""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


@cache
def keep_freed_memory() -> None:
    """Let malloc use large blocks again.

    By default it returns them to the kernel: those of 32 MB or more, and the free end of the heap. The kernel
    then has to clear every page of the next tensor, for up to a quarter of a model's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    # Before version 2.35 the threshold is 32 MB at most. Either call also stops malloc from raising it.
    if mallopt(_MMAP_THRESHOLD, 1 << 30) or mallopt(_MMAP_THRESHOLD, 32 << 20):
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
