"""Fold texts, to recognise equal ones."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=2**15)
def folded(text: str) -> str:
    """Return the text without what only looks different: case, white space and compatibility forms (NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
