"""Systems: runs grouped by the fields of their names. Runs that differ only in the seed are one system."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from rdtools.core.errors import RdError, UsageError
from rdtools.core.streams import STDIN
from rdtools.evaluate.measures import Evaluator, Values

RUN, SEED, COLLECTION = "run", "seed", "collection"
"""Fields with a meaning: the system's name, the seed of a run, and the collection it was evaluated on."""
_FIELD = re.compile(r"\{(\w+)\}")
_COLUMNS = (
    *("query_id", "measure", "value", "deviation", "seeds", "contrast", "baseline", "delta", "low", "high"),
    *("p", "p_corrected", "equivalent", "p_equivalence", "p_equivalence_corrected"),
)


@dataclass(eq=False)
class System:
    """One system on one collection: a run, or one run for each seed.

    Attributes:
        name: unique among the systems of a collection.
        fields: the fields of its name, including the collection, without run and seed.
        evaluator: the judgements and measures of its runs.
        runs: seed -> values of that run; the seed is "" if names have none.
    """

    name: str
    fields: Mapping[str, str]
    evaluator: Evaluator
    runs: dict[str, Values] = field(default_factory=dict)
    _tables: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def collection(self) -> str:
        return self.fields.get(COLLECTION, "")

    @cached_property
    def queries(self) -> list[str]:
        """The evaluated queries.

        Raises:
            RdError: they differ between seeds.
        """
        first, *others = [list(next(iter(values.values()))) for values in self.runs.values()]
        if any(other != first for other in others):
            raise RdError(f"the seeds of {self.name} have different queries (leave out --run-queries-only)")
        return first

    def by_seed(self, measure: str) -> NDArray[np.float64]:
        """Return the values of a measure: (seeds, queries) float64."""
        if measure not in self._tables:
            rows = [[values[measure][query_id] for query_id in self.queries] for values in self.runs.values()]
            self._tables[measure] = np.array(rows, np.float64)
        return self._tables[measure]

    def means(self, measure: str) -> list[float]:
        """Return the measure over all queries for each seed."""
        return [self.evaluator.aggregate({measure: own[measure]})[measure] for own in self.runs.values()]


class NamePatterns:
    """Reads fields from the names of runs with the first of `patterns` that fits: `{loss}-{source}-s{seed}`.

    A seed is a whole number; any other field is text without a slash. A pattern fits the end of a path, with
    or without the extension.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """
        Raises:
            UsageError: a pattern has no field, repeats one, or has one with the name of a column.
        """
        self.patterns = list(patterns)
        self.fields: list[str] = []
        for pattern in patterns:
            own = _FIELD.findall(pattern)
            for name in own:
                if own.count(name) > 1 or not name.isidentifier() or name in _COLUMNS:
                    raise UsageError(
                        f"--fields {pattern}: {{{name}}}: invalid, repeated or reserved field name"
                    )
            if not set(own) - {SEED, COLLECTION}:
                raise UsageError(
                    f"--fields {pattern}: no field distinguishes systems (add one, such as {{run}})"
                )
            self.fields += [name for name in own if name not in self.fields]

    @property
    def shown(self) -> list[str]:
        """The fields printed after the run: all except run and seed, the collection first."""
        shown = [name for name in self.fields if name not in (RUN, SEED)]
        return sorted(shown, key=lambda name: name != COLLECTION)

    @property
    def has_seed(self) -> bool:
        return SEED in self.fields

    @property
    def has_run(self) -> bool:
        """True if the name of a system is read as it is, not joined from other fields."""
        return RUN in self.fields or not self.patterns

    def read(self, path: str, name: str) -> dict[str, str]:
        """Return all fields of a run's name, absent ones empty, and `run`: the field, or the others joined.

        Without patterns `run` is `name`.

        Raises:
            UsageError: no pattern fits, or one fits in two ways.
        """
        if not self.patterns:
            return {RUN: name}
        for pattern in self.patterns:
            if matched := _match(pattern, path):
                fields = {field: matched.get(field, "") for field in self.fields}
                words = [value for key, value in fields.items() if value and key not in (SEED, COLLECTION)]
                return {**fields, RUN: matched.get(RUN) or "-".join(words)}
        shown = "<stdin>" if path == STDIN else path
        raise UsageError(
            f"run {shown} does not fit --fields {' or '.join(self.patterns)} (add a pattern with --fields)"
        )


def _match(pattern: str, path: str) -> dict[str, str] | None:
    if path == STDIN:
        return None
    parts = PurePath(path).parts[-pattern.count("/") - 1 :]
    for tail in ("/".join([*parts[:-1], stem(path)]), "/".join(parts)):
        shortest, longest = (re.fullmatch(_expression(pattern, mark), tail) for mark in ("?", ""))
        if shortest and longest:
            if shortest.groups() != longest.groups():
                raise UsageError(
                    f"run {tail} fits --fields {pattern} in more than one way "
                    "(separate fields by a character that they do not contain: / . _)"
                )
            return shortest.groupdict()
    return None


def _expression(pattern: str, mark: str) -> str:
    """Return a pattern as a regular expression; fields match as much as possible, with mark ? as little."""
    words = _FIELD.split(pattern)  # text, name, text, …, name, text
    words[::2] = map(re.escape, words[::2])
    words[1::2] = [f"(?P<{name}>{'[0-9]+' if name == SEED else '[^/]+' + mark})" for name in words[1::2]]
    return "".join(words)


def fill_fields(template: str, fields: Mapping[str, str]) -> str:
    """Replace the fields in `qrels/{collection}.txt` by their values.

    Raises:
        UsageError: a field is unknown.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in fields:
            raise UsageError(f"{template}: unknown field {{{name}}} (name it in a --fields pattern)")
        return fields[name]

    return _FIELD.sub(value, template)


def add_run(
    systems: Iterable[System], fields: Mapping[str, str], evaluator: Evaluator, values: Values
) -> System:
    """Add a run to its system, one of `systems` or a new one, and return the system.

    Raises:
        UsageError: the name and seed are those of another run.
    """
    own = {name: value for name, value in fields.items() if name not in (RUN, SEED)}
    seed = fields.get(SEED, "")
    system = System(fields[RUN], own, evaluator)
    for other in systems:
        if (other.name, other.collection) == (system.name, system.collection):
            if other.fields != own or seed in other.runs:
                with_seed = f" with seed {seed}" if seed in other.runs and seed else ""
                raise UsageError(f"two runs have the name {system.name}{with_seed}")
            system = other
    system.runs[seed] = values
    return system


def run_names(paths: Sequence[str]) -> list[str]:
    """Name each run by its file stem, or by its path if stems are equal; the name of stdin is ""."""
    stems = ["" if path == STDIN else stem(path) for path in paths]
    return [stem if stems.count(stem) == 1 else path for stem, path in zip(stems, paths, strict=True)]


def stem(path: str) -> str:
    """Return the name of a file without folder, extension and compression suffix."""
    file = PurePath(path)
    return PurePath(file.stem).stem if file.suffix in (".gz", ".zst") else file.stem
