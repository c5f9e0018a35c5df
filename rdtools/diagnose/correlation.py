"""Correlation of diagnostics with effectiveness over queries: Pearson's and Spearman's, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

from rdtools.core.errors import BadLine, RdError
from rdtools.core.log import log
from rdtools.core.streams import open_lines
from rdtools.diagnose.diagnosis import Diagnosis, MeasuredFiles, MeasuredQueries
from rdtools.diagnose.entropy import Floats
from rdtools.formats import Reading
from rdtools.formats.records import identifier, is_score, parse_object, show
from rdtools.formats.runs import number
from rdtools.formats.texts import decode

Metrics = dict[tuple[str, str], dict[str, float]]
"""(run, measure) -> query_id -> value."""


def read_metrics(path: str, reading: Reading = Reading()) -> Metrics:
    """Read the output of `rd-eval --by-query`, TSV or JSONL: run, query_id, measure, value."""
    metrics: Metrics = {}
    with open_lines(path, max_line=reading.max_line, on_error=reading.on_error) as lines:
        first = lines.first()
        parse = _parse_object if first is not None and first.lstrip().startswith(b"{") else _parse_columns
        for run, query_id, measure, value in lines.parsed(parse):
            values = metrics.setdefault((run, measure), {})
            if query_id in values:
                lines.bad(f'duplicate {measure} of query "{query_id}" in run {run}')
            values[query_id] = value
    if not metrics:
        raise RdError(f"{path}: no measures by query (rd-eval --by-query writes them)")
    return metrics


_Value = tuple[str, str, str, float]


def _parse_columns(line: bytes) -> _Value:
    columns = decode(line).split("\t")
    if len(columns) != 4:
        problem = f"4 columns expected (run, query_id, measure, value, separated by tabs), not {len(columns)}"
        raise BadLine(problem, "rd-eval --by-query writes them")
    run, query_id, measure, value = columns
    return run, query_id, measure, number(value, "value")


def _parse_object(line: bytes) -> _Value:
    fields = parse_object(line)
    value = fields.get("value")
    if not is_score(value):
        raise BadLine(f'"value" must be a number, not {show(value)}')
    run, query_id, measure = (identifier(fields, key) for key in ("run", "query_id", "measure"))
    return run, query_id, measure, float(value)  # type: ignore[arg-type]


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's r of (n,) float64 each; NaN with fewer than two values, or if one side is constant."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    x, y = _centred(x), _centred(y)
    return float(np.clip((x @ y) / math.sqrt((x @ x) * (y @ y)), -1, 1))


def _centred(values: Floats) -> Floats:
    """Return the values minus their mean, in a unit whose squares neither overflow nor underflow."""
    values = values / abs(values).max()
    values = values - values.mean()
    return np.asarray(values / abs(values).max(), np.float64)


def spearman(x: Floats, y: Floats) -> float:
    """Spearman's ρ: Pearson's r of the ranks; ties have the mean of their ranks."""
    return pearson(_ranks(x), _ranks(y))


def _ranks(values: Floats) -> Floats:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    return ranks


def interval(r: float, n: int, confidence: float, *, ranks: bool = False) -> tuple[float, float]:
    """Return the bounds of a correlation r over n queries by Fisher's z: tanh(artanh r ± z_c · se).

    se = 1/√(n − 3) for Pearson's; √((1 + r²/2)/(n − 3)) for Spearman's (Bonett and Wright, 2000). NaN with
    fewer than four queries; r itself if |r| = 1.
    """
    if n < 4 or math.isnan(r):
        return math.nan, math.nan
    if abs(r) == 1:
        return r, r
    error = math.sqrt((1 + r * r / 2 if ranks else 1) / (n - 3))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach)


def correlations(
    diagnosis: Diagnosis, files: MeasuredFiles, metrics: Metrics, confidence: float
) -> Iterator[dict[str, Any]]:
    """Yield one row per file, run, measure and column.

    It has the number of queries with both values, Pearson's and Spearman's correlation over them, the bounds
    of each, then temperature and settings. A query with several records has the mean of their values.
    Infinite values do not count.
    """
    wanted = {query_id for by_query in metrics.values() for query_id in by_query}
    for file, chunks in files:
        before = diagnosis.queries
        values = _by_query(chunks, wanted)
        if diagnosis.queries == before:
            continue
        if not values:
            log.warning("%s: none of its queries has a measure", file)
        for (run, measure), by_query in metrics.items():
            shared = [query_id for query_id in by_query if query_id in values]
            effect = np.array([by_query[query_id] for query_id in shared], np.float64)
            table = np.array([values[query_id] for query_id in shared])
            for place, column in enumerate(diagnosis.columns):
                x = table[:, place] if len(shared) else effect
                finite = np.isfinite(x)
                yield {
                    "file": file, "run": run, "measure": measure, "column": column.name,
                    **_row(x[finite], effect[finite], confidence),
                    "temperature": diagnosis.temperature, **diagnosis.settings,
                }  # fmt: skip


def _row(x: Floats, y: Floats, confidence: float) -> dict[str, Any]:
    r, rho = pearson(x, y), spearman(x, y)
    bounds = [*interval(r, len(x), confidence), *interval(rho, len(x), confidence, ranks=True)]
    low, high, rho_low, rho_high = (None if math.isnan(bound) else bound for bound in bounds)
    return {
        "queries": len(x),
        "pearson": None if math.isnan(r) else r, "pearson_low": low, "pearson_high": high,
        "spearman": None if math.isnan(rho) else rho, "spearman_low": rho_low, "spearman_high": rho_high,
        "confidence": confidence,
    }  # fmt: skip


def _by_query(chunks: Iterable[MeasuredQueries], wanted: set[str]) -> dict[str, Floats]:
    """Return the mean values of each wanted query that was measured, (columns,) float64."""
    sums: dict[str, tuple[Floats, int]] = {}
    for query_ids, table in chunks:
        for query_id, row in zip(query_ids, table, strict=True):
            if query_id in wanted:
                total, count = sums.get(query_id, (np.zeros_like(row), 0))
                sums[query_id] = total + row, count + 1
    return {query_id: total / count for query_id, (total, count) in sums.items()}
