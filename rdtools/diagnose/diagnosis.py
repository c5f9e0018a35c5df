"""rd-entropy's room: records -> rows of diagnostics, by query or by file, chunk by chunk."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from rdtools.core.errors import BadLine
from rdtools.core.log import log, plural
from rdtools.core.provenance import Origin, origin, warn_of_mixture
from rdtools.core.records import Record
from rdtools.core.scores import OneScale, has_scores, scale_of, scores_of
from rdtools.diagnose.bootstrap import intervals, quantile
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.entropy import MEASURED, Floats, measure

COLUMNS = ("docs", *MEASURED)
SCALE_FREE = frozenset({"docs", "tied_pairs", "diameter", "dimension", "density", "coverage"})
"""Columns that do not depend on the unit of the scores."""
_UNDEFINED = [None] * len(MEASURED)

CHUNK = 1024
"""Records that are read before they are computed."""

_UNFIT = {
    "rank": ("ranks, whose differences mean nothing", "label with a teacher first"),
    "probability": ("probabilities, whose differences are no odds", "label with logits or log-probabilities"),
    "unknown": ("of unknown scale", "state it with --score-scale"),
}
"""Scales without the differences that an entropy needs, and what to do."""

Files = Iterable[tuple[str, Iterable[Record]]]
Chunk = tuple[list[Record], Floats]


class Diagnosis:
    """Diagnoses records at one temperature with `instruments`, and counts what went by.

    Attributes:
        columns: what is measured of a record: COLUMNS, then those of the instruments.
        quantiles: column -> the quantile that stands for it in a summary; None: the mean.
        kept: the values of each file that went by, (n, len(columns)) in parts, where `keep` is set.
        queries: records; docs: their scored documents.
        unscored: documents without a score, which do not count.
        undefined: records with fewer than two scored documents.
        infinite: records whose kappa is beyond the range of a float.
    """

    def __init__(
        self,
        temperature: float,
        score_scale: str | None = None,
        instruments: Sequence[Diagnostic] = (),
        *,
        keep: bool = False,
        one_scale: bool = False,
    ) -> None:
        """`score_scale` is the scale of scores whose record does not say it; `one_scale` refuses a second."""
        self.temperature = temperature
        self.score_scale = score_scale
        self._one_scale = OneScale(score_scale, "cut each scale by itself") if one_scale else None
        self.instruments = instruments
        own = {name: quantile for one in instruments for name, quantile in one.columns.items()}
        self.quantiles: dict[str, float | None] = {**dict.fromkeys(COLUMNS), "kappa": 0.5, **own}
        self.columns = tuple(self.quantiles)
        self.settings = {name: value for one in instruments for name, value in one.settings.items()}
        self.keep = keep
        self.kept: list[tuple[str, list[Floats]]] = []
        self.queries = self.docs = self.unscored = self.undefined = self.infinite = 0

    def check(self, record: Record) -> None:
        """Raise `BadLine` where scores are ranks, probabilities, of a scale nobody stated, or of a second."""
        scale = scale_of(record, self.score_scale)
        if scale in _UNFIT and has_scores(record):
            problem, hint = _UNFIT[scale]
            raise BadLine(f'the scores of query "{record["query_id"]}" are {problem}', hint)
        if self._one_scale is not None:
            self._one_scale.check(record)
        for instrument in self.instruments:
            instrument.check(record)

    def chunks(self, records: Iterable[Record], file: str = "") -> Iterator[Chunk]:
        """Yield chunks of checked records with their `columns`, (m, len(columns)), NaN where undefined."""
        kept: list[Floats] = []
        self.kept.append((file, kept))
        origins: Counter[Origin] = Counter()
        records = iter(records)
        while chunk := list(islice(records, CHUNK)):
            scores = [scores_of(record) for record in chunk]
            lengths = np.array([len(own) for own in scores], np.float64)[:, None]
            parts = [lengths, measure(scores, self.temperature)]
            table = np.concatenate([*parts, *(one.measure(chunk) for one in self.instruments)], axis=1)
            docs = int(lengths.sum())
            self.queries += len(chunk)
            self.docs += docs
            self.unscored += sum(len(record["docs"]) for record in chunk) - docs
            self.undefined += int((lengths < 2).sum())
            self.infinite += int(np.isinf(table[:, len(COLUMNS) - 1]).sum())
            origins.update(origin(record) for record, own in zip(chunk, scores, strict=True) if own)
            if self.keep:
                kept.append(table)
            yield chunk, table
        warn_of_mixture(file or "input", origins)

    def query_rows(self, files: Files) -> Iterator[dict[str, Any]]:
        """Yield one row a record: file, query_id, docs, MEASURED (None where undefined), temperature, and
        the columns and settings of the instruments.
        """
        others, first = self.columns[len(COLUMNS) :], len(MEASURED)
        for file, records in files:
            for chunk, table in self.chunks(records, file):
                for record, (docs, *values) in zip(chunk, table.tolist(), strict=True):
                    yield {
                        "file": file, "query_id": record["query_id"], "docs": int(docs),
                        **dict(zip(MEASURED, values if docs > 1 else _UNDEFINED, strict=False)),
                        "temperature": self.temperature,
                        **dict(zip(others, map(_defined, values[first:]), strict=True)),
                        **self.settings,
                    }  # fmt: skip

    def summary_rows(
        self, files: Files, confidence: float | None = None, seed: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Yield one row a file that has records.

        It holds file, queries, docs (their sum), what stands for each measured column over the records
        that have it (the mean, or the quantile that `quantiles` says), kappa_max, temperature, the
        columns, totals and settings of the instruments, and with a `confidence` the bounds of an interval
        by bootstrap over the records, COLUMN_low and COLUMN_high. For these all values must be kept.
        """
        others = self.columns[len(COLUMNS) :]
        for file, records in files:
            queries, docs = self.queries, self.docs
            summary = _Summary(self.quantiles)
            for _, table in self.chunks(records, file):
                summary.add(table)
            totals = {name: value for one in self.instruments for name, value in one.totals().items()}
            if self.queries == queries:
                continue
            values = summary.values()
            row = {
                "file": file, "queries": self.queries - queries, "docs": self.docs - docs,
                **{name: values[name] for name in MEASURED},
                "kappa_max": max(summary.held["kappa"], default=None),
                "temperature": self.temperature,
                **{name: values[name] for name in others}, **totals, **self.settings,
            }  # fmt: skip
            if confidence is not None:
                row |= self._intervals(confidence, seed)
            yield row

    def _intervals(self, confidence: float, seed: int) -> dict[str, Any]:
        """Return the bounds of every column but docs, over the file that went by last."""
        table = np.concatenate(self.kept[-1][1])
        bounds = intervals(table[:, 1:], list(self.quantiles.values())[1:], confidence, seed)
        row: dict[str, Any] = {}
        for name, (low, high) in zip(self.columns[1:], bounds.tolist(), strict=True):
            row |= {f"{name}_low": _defined(low), f"{name}_high": _defined(high)}
        return row | {"confidence": confidence}

    def distributions(self) -> tuple[list[str], list[tuple[str, Floats]]]:
        """Return the measured columns and, of each file that had records, its values of them."""
        names = list(self.columns[1:])
        return names, [(file, np.concatenate(parts)[:, 1:]) for file, parts in self.kept if parts]

    def report(self) -> None:
        """Say on stderr what does not count, or is undefined."""
        if self.unscored:
            log.info("%s without a score left out", plural(self.unscored, "document"))
        if self.undefined:
            undefined = plural(self.undefined, "record")
            log.info("%s with fewer than two scored documents: undefined, and in no --cut", undefined)
        if self.infinite:
            log.info("%s with a kappa beyond the range of a float", plural(self.infinite, "record"))
        for instrument in self.instruments:
            instrument.report()


class _Summary:
    """Sums of the columns that are averaged; all values of those that a quantile stands for."""

    def __init__(self, quantiles: Mapping[str, float | None]) -> None:
        self._quantiles = quantiles
        self._sums = np.zeros(len(quantiles))
        self._counts = np.zeros(len(quantiles), np.int64)
        self.held = {name: array("d") for name, share in quantiles.items() if share is not None}

    def add(self, table: Floats) -> None:
        defined = ~np.isnan(table)
        self._counts += defined.sum(axis=0)
        self._sums += np.where(defined, table, 0).sum(axis=0)
        for place, name in enumerate(self._quantiles):
            if name in self.held:
                self.held[name].frombytes(table[defined[:, place], place].tobytes())

    def values(self) -> dict[str, float | None]:
        values: dict[str, float | None] = {}
        sums, counts = self._sums.tolist(), self._counts.tolist()
        for (name, share), total, count in zip(self._quantiles.items(), sums, counts, strict=True):
            if not count:
                values[name] = None
            elif share is None:
                values[name] = total / count
            else:
                values[name] = quantile(np.sort(np.frombuffer(self.held[name])), share)
        return values


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
