"""Systems: what runs are runs of, by the fields of their names. Runs that differ in a seed only are one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdtools.core.errors import RdError, UsageError
from rdtools.core.streams import STDIN
from rdtools.evaluate.measures import Evaluator, Values

RUN, SEED, COLLECTION = "run", "seed", "collection"
"""Fields with a meaning: the system's name, what its runs differ in, and which judgements are its own."""
_FIELD = re.compile(r"\{(\w+)\}")
_COLUMNS = ("query_id", "measure", "value", "deviation", "seeds", "delta", "p", "p_corrected", "equivalent")


@dataclass(eq=False)
class System:
    """One system on one collection: a run, or as many as there are seeds.

    Attributes:
        name: what it is called; no two systems of a collection share one.
        fields: what its name says, the collection included, without run and seed.
        evaluator: what its runs were evaluated with.
        runs: seed -> values of that run; "" is the seed where names have none.
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
        """The queries that count.

        Raises:
            RdError: they are not the same for all seeds.
        """
        first, *others = [list(next(iter(values.values()))) for values in self.runs.values()]
        if any(other != first for other in others):
            raise RdError(f"the seeds of {self.name} have different queries (leave out --run-queries-only)")
        return first

    def by_seed(self, measure: str) -> NDArray[np.float64]:
        """Return the values of a measure, (seeds, queries) float64."""
        if measure not in self._tables:
            rows = [[values[measure][query_id] for query_id in self.queries] for values in self.runs.values()]
            self._tables[measure] = np.array(rows, np.float64)
        return self._tables[measure]

    def means(self, measure: str) -> list[float]:
        """Return the measure over all queries, of each seed."""
        return [self.evaluator.aggregate({measure: own[measure]})[measure] for own in self.runs.values()]


class Names:
    """Reads fields from the names of runs: `{loss}-{source}-s{seed}`, the first of `patterns` that fits.

    A seed is a whole number, another field any text without a slash. A pattern fits the end of a path, with
    or without the extension.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """
        Raises:
            UsageError: a pattern has no field, one twice, or one with the name of a column.
        """
        self.patterns = list(patterns)
        self.fields: list[str] = []
        for pattern in patterns:
            own = _FIELD.findall(pattern)
            for name in own:
                if own.count(name) > 1 or not name.isidentifier() or name in _COLUMNS:
                    raise UsageError(f"--fields {pattern}: {{{name}}} is no name for a field here")
            if not set(own) - {SEED, COLLECTION}:
                raise UsageError(
                    f"--fields {pattern}: a field that tells systems apart is missing (such as {{run}})"
                )
            self.fields += [name for name in own if name not in self.fields]

    @property
    def shown(self) -> list[str]:
        """The fields that rows have besides the run: all but run and seed, the collection first."""
        shown = [name for name in self.fields if name not in (RUN, SEED)]
        return sorted(shown, key=lambda name: name != COLLECTION)

    def read(self, path: str) -> dict[str, str]:
        """Return all fields of a run's name, those it lacks empty, and `run` (or else others, joined).

        Raises:
            UsageError: no pattern fits, or one fits in two ways.
        """
        for pattern in self.patterns:
            if found := _match(pattern, path):
                fields = {name: found.get(name, "") for name in self.fields}
                words = [value for name, value in fields.items() if value and name not in (SEED, COLLECTION)]
                return {**fields, RUN: found.get(RUN) or "-".join(words)}
        shown = "<stdin>" if path == STDIN else path
        raise UsageError(
            f"run {shown} does not fit --fields {' or '.join(self.patterns)} (a further --fields may)"
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
                    "(between fields, names need a mark that the fields do not have: / . _)"
                )
            return shortest.groupdict()
    return None


def _expression(pattern: str, mark: str) -> str:
    """Return a pattern as a regular expression, its fields as long, or with mark ? as short, as can be."""
    words = _FIELD.split(pattern)  # text, name, text, …, name, text
    words[::2] = map(re.escape, words[::2])
    words[1::2] = [f"(?P<{name}>{'[0-9]+' if name == SEED else '[^/]+' + mark})" for name in words[1::2]]
    return "".join(words)


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Put fields into the braces of `qrels/{collection}.txt`.

    Raises:
        UsageError: there is no such field.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in fields:
            raise UsageError(f"{template}: no field {{{name}}} (--fields reads fields from names of runs)")
        return fields[name]

    return _FIELD.sub(value, template)


def mean_rows(systems: Sequence[System], names: Names | None) -> list[dict[str, Any]]:
    """One row a system and measure: run, fields, measure, value; where there are seeds, deviation and seeds.

    The value is the mean over the seeds, the deviation their sample standard deviation (n−1), None for one.
    """
    return [
        {**_begin(system, names), "measure": measure, **_over_seeds(np.array(system.means(measure)), names)}
        for system in systems
        for measure in system.evaluator.measures
    ]


def query_rows(systems: Sequence[System], names: Names | None) -> Iterator[dict[str, Any]]:
    """One row a system, query and measure: run, fields, query_id, measure, value, as in `mean_rows`."""
    for system in systems:
        values = {measure: system.by_seed(measure) for measure in system.evaluator.measures}
        for place, query_id in enumerate(system.queries):
            for measure, by_seed in values.items():
                yield {
                    **_begin(system, names), "query_id": query_id, "measure": measure,
                    **_over_seeds(by_seed[:, place], names),
                }  # fmt: skip


def _begin(system: System, names: Names | None) -> dict[str, Any]:
    return {"run": system.name, **{name: system.fields[name] for name in (names.shown if names else ())}}


def _over_seeds(values: NDArray[np.float64], names: Names | None) -> dict[str, Any]:
    if names is None or SEED not in names.fields:
        return {"value": float(values[0])}
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"value": float(values.mean()), "deviation": deviation, "seeds": len(values)}


def add_run(
    systems: Iterable[System], fields: Mapping[str, str], evaluator: Evaluator, values: Values
) -> System:
    """Add a run to the one of `systems` that it is a run of, or to a new one, and return that.

    Raises:
        UsageError: there is a run of that name, and seed, already.
    """
    own = {name: value for name, value in fields.items() if name not in (RUN, SEED)}
    seed = fields.get(SEED, "")
    system = System(fields[RUN], own, evaluator)
    for other in systems:
        if (other.name, other.collection) == (system.name, system.collection):
            if other.fields != own or seed in other.runs:
                with_seed = f" with seed {seed}" if seed in other.runs and seed else ""
                raise UsageError(f"two runs are called {system.name}{with_seed}")
            system = other
    system.runs[seed] = values
    return system


def run_names(paths: Sequence[str]) -> list[str]:
    """Name runs by file, without folder and extension, or in full where names clash; stdin is ""."""
    stems = ["" if path == STDIN else stem(path) for path in paths]
    return [stem if stems.count(stem) == 1 else path for stem, path in zip(stems, paths, strict=True)]


def stem(path: str) -> str:
    """Return the name of a file without folder and extension, nor that of its compression."""
    file = PurePath(path)
    return PurePath(file.stem).stem if file.suffix in (".gz", ".zst") else file.stem
