"""Provenance of a record's scores: the teacher, the scale, and what was done to the scores or the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rdtools.core.log import log, plural
from rdtools.core.records import Record

CHANGES = ("transformations", "augmentation")
"""Fields of a record that say what was done to its scores, or to the texts that the teacher read."""


class Provenance(NamedTuple):
    """The teacher, the scale and the changes, such as `temperature=2.0`; "" where a record states none."""

    teacher: str = ""
    scale: str = ""
    changes: str = ""


def provenance_of(record: Record) -> Provenance:
    changes = describe_changes(*(record.get(name, ()) for name in CHANGES))
    return Provenance(record.get("teacher", ""), record.get("score_scale", ""), changes)


def describe_changes(transformations: Any = (), augmentation: Any = ()) -> str:
    """Describe both fields in words without spaces: `temperature=2.0` for [{"temperature": 2.0}]."""
    values = zip(CHANGES, (transformations, augmentation), strict=True)
    return " ".join(word for name, value in values for word in _words(name, value))


def _words(name: str, value: Any) -> Iterator[str]:
    for step in value if isinstance(value, list | tuple) else [value]:
        for key, setting in step.items() if isinstance(step, dict) else [(name, step)]:
            yield f"{key}={'_'.join(str(setting).split())}"


def shared_provenance(provenances: Iterable[Provenance]) -> dict[str, str]:
    """Return teacher, score_scale and transformed: the value that all share, or else "mixed"."""
    fields = [set(values) for values in zip(*provenances, strict=True)] or [{""}] * 3
    names = ("teacher", "score_scale", "transformed")
    return {
        name: min(found) if len(found) == 1 else "mixed" for name, found in zip(names, fields, strict=True)
    }


def warn_if_mixed(file: str, counts: Counter[Provenance]) -> None:
    """Warn if one temperature applies to scores of several provenances; `counts` has the records of each."""
    if len(counts) > 1:
        shown = [f"{_describe(one)}: {plural(count, 'record')}" for one, count in counts.most_common(3)]
        if len(counts) > len(shown):
            shown.append(f"{len(counts) - len(shown)} more")
        log.warning(
            "%s: one temperature for scores of %d provenances: %s", file, len(counts), "; ".join(shown)
        )


def _describe(one: Provenance) -> str:
    teacher, scale, changes = one
    return ", ".join([teacher or "no teacher named", scale or "no scale stated", *changes.split()])
