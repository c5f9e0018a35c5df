"""Where the scores of records come from, and what was done to them: what a number must be read with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from rdtools.core.log import log, plural
from rdtools.core.records import Record

CHANGES = ("transformations", "augmentation")
"""Fields of a record that say what was done to its scores, or to the texts that the teacher read."""

Origin = tuple[str, str, str]
"""The teacher, the scale, and the changes, such as `temperature=2.0`; "" where not stated."""


def origin(record: Record) -> Origin:
    changes = [word for name in CHANGES if name in record for word in _words(name, record[name])]  # type: ignore[literal-required]
    return record.get("teacher", ""), record.get("score_scale", ""), " ".join(changes)


def _words(name: str, value: Any) -> Iterator[str]:
    """Name what a field says, a word each: `temperature=2.0` for [{"temperature": 2.0}]."""
    for step in value if isinstance(value, list) else [value]:
        for key, setting in step.items() if isinstance(step, dict) else [(name, step)]:
            yield f"{key}={'_'.join(str(setting).split())}"


def common(origins: Iterable[Origin]) -> dict[str, str]:
    """Return teacher, score_scale and transformed, what all origins share, or else "mixed"."""
    columns = [set(column) for column in zip(*origins, strict=True)] or [{""}] * 3
    names = ("teacher", "score_scale", "transformed")
    return {
        name: min(found) if len(found) == 1 else "mixed" for name, found in zip(names, columns, strict=True)
    }


def warn_of_mixture(file: str, origins: Counter[Origin]) -> None:
    """Say which scores are read at one temperature, where they have more than one origin."""
    if len(origins) > 1:
        shown = [f"{_describe(one)}: {plural(count, 'record')}" for one, count in origins.most_common(3)]
        if len(origins) > len(shown):
            shown.append(f"{len(origins) - len(shown)} more")
        log.warning("%s: scores of %d origins, one temperature: %s", file, len(origins), "; ".join(shown))


def _describe(one: Origin) -> str:
    teacher, scale, changes = one
    return ", ".join([teacher or "no teacher named", scale or "no scale stated", *changes.split()])
