"""Rows of results: run, fields, measure and value, with tests and letters, and their output as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdtools.core import tables
from rdtools.core.log import log
from rdtools.core.registry import check_name, resolve
from rdtools.evaluate.comparisons import Comparisons, compare_pairs, say_level
from rdtools.evaluate.equivalence import LETTERINGS, Pair, assign_letters, paper_p_values
from rdtools.evaluate.layout import Layout
from rdtools.evaluate.options import CORRECTIONS, TESTS, BaselineOptions, EquivalenceOptions
from rdtools.evaluate.significance import compare_systems
from rdtools.evaluate.systems import NamePatterns, System

Rows = list[dict[str, Any]]


def mean_rows(systems: Sequence[System], patterns: NamePatterns) -> Rows:
    """Return one row for each system and measure: run, fields, measure, value, deviation and seeds.

    The value is the mean over seeds, the deviation their sample standard deviation (n−1), None for one seed.
    Deviation and seeds are absent if names have no seed.
    """
    return [
        {
            **_name_columns(system, patterns), "measure": measure,
            **_over_seeds(np.array(system.means(measure)), patterns),
        }
        for system, measure in _cells(systems)
    ]  # fmt: skip


def query_rows(systems: Sequence[System], patterns: NamePatterns) -> Rows:
    """Return one row for each system, query and measure: like `mean_rows`, with the query_id."""
    rows = []
    for system in systems:
        values = {measure: system.by_seed(measure) for measure in system.evaluator.measures}
        for place, query_id in enumerate(system.queries):
            for measure, by_seed in values.items():
                row = {**_name_columns(system, patterns), "query_id": query_id, "measure": measure}
                rows.append(row | _over_seeds(by_seed[:, place], patterns))
    return rows


def _name_columns(system: System, patterns: NamePatterns) -> dict[str, Any]:
    return {"run": system.name, **{name: system.fields[name] for name in patterns.shown}}


def _over_seeds(values: NDArray[np.float64], patterns: NamePatterns) -> dict[str, Any]:
    if not patterns.has_seed:
        return {"value": float(values[0])}
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"value": float(values.mean()), "deviation": deviation, "seeds": len(values)}


def _cells(systems: Iterable[System]) -> Iterator[tuple[System, str]]:
    """Yield the system and the measure of each row of means."""
    return ((system, measure) for system in systems for measure in system.evaluator.measures)


def add_tests(rows: Rows, systems: Sequence[System], baseline: str, options: BaselineOptions) -> None:
    """Add delta, p and p_corrected to rows of means: tests against the system named `baseline`."""
    check_name(dict.fromkeys(system.name for system in systems), baseline, "run")
    test = resolve(TESTS, options.test, "test")
    if options.test != "t" and any(len(system.runs) > 1 for system in systems):
        log.warning(
            "--test %s ignores the variance between seeds: p holds for these runs, not for further seeds "
            "(--test t counts it)",
            options.test,
        )
    correct = resolve(CORRECTIONS, options.correction, "correction")
    p_values = compare_systems(systems, baseline, test, correct, options.seed)
    cells = list(zip(rows, _cells(systems), strict=True))
    means = {(s.collection, measure): row["value"] for row, (s, measure) in cells if s.name == baseline}
    for row, (system, measure) in cells:
        p, corrected = p_values.get((system, measure), (None, None))
        delta = None if p is None else row["value"] - means[system.collection, measure]
        row.update(delta=delta, p=p, p_corrected=corrected)


def add_letters(
    rows: Rows, systems: Sequence[System], options: EquivalenceOptions, baseline: str | None = None
) -> None:
    """Add the letters of equivalence to rows of means, if the options ask for them.

    With a bound and a `baseline`, add low, high, p_equivalence and p_equivalence_corrected: run minus
    baseline. They are None where the two are not compared.
    """
    if options.method is None:
        return
    lettering, within = LETTERINGS[options.method], options.within
    columns: dict[tuple[System, str], dict[str, Any]] = {}
    if options.method == "paper":
        p_values = paper_p_values(systems, options.equivalence, within)
    else:
        pairs, compared = compare_pairs(systems, options)
        p_values = dict(zip(pairs, compared.p_equivalence_corrected, strict=True))
        if baseline is not None:
            columns = _against(baseline, pairs, compared)
            say_level(compared.level)
    letters = assign_letters(systems, lettering, p_values, options.alpha, within)
    none = dict.fromkeys(("low", "high", "p_equivalence", "p_equivalence_corrected"))
    for row, cell in zip(rows, _cells(systems), strict=True):
        row["equivalent"] = letters[cell]
        if baseline is not None and options.method == "tost":
            row.update(columns.get(cell, none))


def _against(
    baseline: str, pairs: Sequence[Pair], compared: Comparisons
) -> dict[tuple[System, str], dict[str, Any]]:
    """Return the interval and the tests of equivalence of each system minus the baseline."""
    columns = {}
    for index, (one, other, measure) in enumerate(pairs):
        if baseline in (one.name, other.name):
            estimate = compared.estimates[index]
            system, signed = (other, -estimate) if one.name == baseline else (one, estimate)
            low, high = signed.interval(compared.level)
            columns[system, measure] = {"low": low, "high": high, **compared.equivalence_columns(index)}
    return columns


def tsv_lines(rows: Rows, layout: Layout, places: int) -> bytes:
    """Write one line per row, cells separated by tabs, without header."""
    return b"".join(tables.tsv(tables.format_cell(*cell, places) for cell in row.items()) for row in rows)


def json_lines(rows: Rows, layout: Layout, places: int) -> bytes:
    """Write one JSON object per row, with all decimals."""
    return b"".join(map(tables.jsonl, rows))
