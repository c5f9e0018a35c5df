"""Rows of diagnostics, by query or by file, and their text."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from rdtools.core import tables
from rdtools.diagnose.bootstrap import intervals, quantile
from rdtools.diagnose.diagnosis import COLUMNS, Diagnosis, MeasuredFiles
from rdtools.diagnose.diagnostic import Column
from rdtools.diagnose.entropy import MEASURED, Floats

_TEXT_COLUMNS = ("file", "query_id", "run", "measure", "column", "method")
_DECIMALS = 4
"""In Markdown; other formats have full precision."""
_NOT_IN_MARKDOWN = ("kappa", "kappa_max", "kappa_low", "kappa_high")
"""Columns of up to 300 digits, of which Markdown, for people, has the logarithm only."""


def rows_by_query(diagnosis: Diagnosis, files: MeasuredFiles) -> Iterator[dict[str, Any]]:
    """Yield one row per record: file, query_id, docs, MEASURED (None where undefined), temperature, and the
    columns and settings of the diagnostics.
    """
    others = [column.name for column in diagnosis.columns[len(COLUMNS) :]]
    for file, chunks in files:
        for query_ids, table in chunks:
            for query_id, (docs, *values) in zip(query_ids, table.tolist(), strict=True):
                cells = [_defined(value) for value in values]
                yield {
                    "file": file, "query_id": query_id, "docs": int(docs),
                    **dict(zip(MEASURED, cells, strict=False)),
                    "temperature": diagnosis.temperature,
                    **dict(zip(others, cells[len(MEASURED) :], strict=True)),
                    **diagnosis.settings,
                }  # fmt: skip


def rows_by_file(
    diagnosis: Diagnosis, files: MeasuredFiles, confidence: float | None = None, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield one row per file that has records.

    It has file, queries, docs (their sum), the summary of each measured column over the records where it is
    defined (the mean, or its quantile), kappa_max, log10_kappa_max, temperature, and the columns, totals and
    settings of the diagnostics. With a `confidence`, for which `diagnosis` must keep all values, it also has
    the bounds of a bootstrap interval of each summary, COLUMN_low and COLUMN_high.
    """
    others = [column.name for column in diagnosis.columns[len(COLUMNS) :]]
    for file, chunks in files:
        queries, docs = diagnosis.queries, diagnosis.docs
        summary = _Summary(diagnosis.columns)
        for _, table in chunks:
            summary.add(table)
        totals = {name: value for one in diagnosis.diagnostics for name, value in one.totals().items()}
        if diagnosis.queries == queries:
            continue
        values = summary.values()
        row = {
            "file": file, "queries": diagnosis.queries - queries, "docs": diagnosis.docs - docs,
            **{name: values[name] for name in MEASURED},
            **{f"{name}_max": max(summary.held[name], default=None) for name in ("kappa", "log10_kappa")},
            "temperature": diagnosis.temperature,
            **{name: values[name] for name in others}, **totals, **diagnosis.settings,
        }  # fmt: skip
        if confidence is not None:
            row |= _bounds(diagnosis, confidence, seed)
        yield row


def _bounds(diagnosis: Diagnosis, confidence: float, seed: int) -> dict[str, Any]:
    """Return the bounds of all columns but docs, over the file that was measured last."""
    columns = diagnosis.columns[1:]
    _, parts = diagnosis.kept[-1]
    values = np.concatenate(parts)[:, 1:]
    bounds = intervals(values, [column.quantile for column in columns], confidence, seed)
    row: dict[str, Any] = {}
    for column, (low, high) in zip(columns, bounds.tolist(), strict=True):
        row |= {f"{column.name}_low": _defined(low), f"{column.name}_high": _defined(high)}
    return row | {"confidence": confidence}


class _Summary:
    """Sums of the columns that a mean summarises; all values of those that a quantile summarises."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._sums = np.zeros(len(columns))
        self._counts = np.zeros(len(columns), np.int64)
        self.held = {column.name: array("d") for column in columns if column.quantile is not None}

    def add(self, table: Floats) -> None:
        defined = ~np.isnan(table)
        self._counts += defined.sum(axis=0)
        self._sums += np.where(defined, table, 0).sum(axis=0)
        for place, column in enumerate(self._columns):
            if column.name in self.held:
                self.held[column.name].frombytes(table[defined[:, place], place].tobytes())

    def values(self) -> dict[str, float | None]:
        values: dict[str, float | None] = {}
        sums, counts = self._sums.tolist(), self._counts.tolist()
        for (name, share, _), total, count in zip(self._columns, sums, counts, strict=True):
            if not count:
                values[name] = None
            elif share is None:
                values[name] = total / count
            else:
                values[name] = quantile(np.sort(np.frombuffer(self.held[name])), share)
        return values


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def encode_rows(rows: Iterable[dict[str, Any]], format: str) -> Iterator[bytes]:
    """Yield the text of the rows as `tsv` or `markdown` with a header, or as `jsonl`.

    All rows have the columns of the first.
    """
    if format == "jsonl":
        yield from map(tables.jsonl, rows)
        return
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    if format == "markdown":
        names = [name for name in first if name not in _NOT_IN_MARKDOWN]
        cells = [[tables.format_cell(name, row[name], _DECIMALS) for name in names] for row in rows]
        yield tables.markdown_table(names, cells, sum(name in _TEXT_COLUMNS for name in names))
        return
    yield tables.tsv(first)
    for row in rows:
        yield tables.tsv(tables.format_cell(*item, -1) for item in row.items())
