"""Scores as they are written: float32 in as few digits as read back the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from rdtools.core.errors import BadLine
from rdtools.core.flags import flag
from rdtools.core.records import SCORE_SCALES, Record

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def has_scores(record: Record) -> bool:
    return any("score" in doc for doc in record["docs"])


def forget_scores(record: Record) -> None:
    """Remove what a record says about scores that are gone; its documents are not touched.

    An augmentation of the texts that it carries stays.
    """
    for key in ("teacher", "score_scale", "transformations"):
        record.pop(key, None)  # type: ignore[misc]
    augmentation = record.get("augmentation")
    if isinstance(augmentation, dict) and augmentation.get("text") == "teacher":
        del record["augmentation"]
        if "before" in augmentation:
            record["augmentation"] = augmentation["before"]


def scale_of(record: Record, stated: str | None) -> str:
    """Return the scale of a record's scores: its own, or else what --score-scale `stated`."""
    scale = record.get("score_scale", "unknown")
    return stated if stated is not None and scale == "unknown" else scale


def state_scale(records: Iterable[Record], stated: str | None) -> Iterator[Record]:
    """Yield the records; those with scores on a scale that they do not say get the one that is `stated`."""
    for record in records:
        if stated is not None and has_scores(record):
            record["score_scale"] = scale_of(record, stated)
        yield record


class OneScale:
    """Refuses records whose scores are not on the scale of those before them."""

    def __init__(self, stated: str | None, hint: str) -> None:
        """`stated` is the scale of scores that do not say theirs; `hint` says what to do with two."""
        self._stated, self._hint = stated, hint
        self._first = ""

    def check(self, record: Record) -> None:
        """Raise `BadLine` where there is a second scale."""
        if has_scores(record):
            self.check_scale(record["query_id"], scale_of(record, self._stated))

    def check_scale(self, query_id: str, scale: str) -> None:
        """Do so for a query whose scores are on `scale`."""
        self._first = self._first or scale
        if scale != self._first:
            problem = f'the scores of query "{query_id}" are {scale}, those before {self._first}'
            raise BadLine(problem, self._hint)


def score_scale_flag() -> Any:
    return flag(
        "--score-scale", default=None, metavar="SCALE", choices=SCORE_SCALES, kind="score scale",
        help=f"State the scale of scores that do not say it: {', '.join(SCORE_SCALES)}.",
    )  # fmt: skip


def floats(scores: ArrayLike) -> list[float]:
    """Return the numbers as Python floats whose shortest text is that of the float32; nan if not finite.

    >>> floats([9.31, 1 / 3])
    [9.31, 0.33333334]
    """
    import numpy as np  # both here, so that --help, which imports this module, does without
    import orjson

    # orjson writes a float32 with the fewest digits that give it back, and reads them as a float.
    text = orjson.dumps(np.ascontiguousarray(scores, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    numbers = cast("list[float]", orjson.loads(text))
    return [math.nan if one is None else one for one in numbers] if None in numbers else numbers
