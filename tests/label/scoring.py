"""What a teacher says of pairs, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdtools.label.teachers import Teacher, TextPair


def scores(teacher: Teacher, pairs: Sequence[TextPair]) -> list[Any]:
    """Return a number for each pair, or None where the teacher gives no score."""
    found: list[float | None] = [None] * len(pairs)
    for places, values in teacher.score(pairs):
        for place, value in zip(places, values, strict=True):
            found[place] = value
    return found
