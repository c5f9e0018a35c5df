"""Measures records chunk by chunk: the columns of every query, then those of the diagnostics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from rdtools.core.arrival import batches
from rdtools.core.errors import BadLine
from rdtools.core.log import log, plural
from rdtools.core.provenance import Provenance, warn_if_mixed
from rdtools.core.records import Record
from rdtools.core.scores import OneScale
from rdtools.core.streams import STDIN
from rdtools.diagnose.columns import check_column
from rdtools.diagnose.diagnostic import Column, Diagnostic
from rdtools.diagnose.entropy import MEASURED, Floats, measure
from rdtools.formats import Reading, expected, read_records, read_scores
from rdtools.formats.scored import ScoredRecord, scored

COLUMNS = (
    Column("docs", scale_free=True),
    *(Column(name, 0.5 if name.endswith("kappa") else None, name == "tied_pairs") for name in MEASURED),
)
"""The columns of every query."""
_NO_TEMPERATURE = ("docs", "tied_pairs", "margin")
"""Columns that the temperature does not change."""
CHUNK = 1024
"""Records that are measured together."""
_PATIENCE = 0.1
"""So many seconds a record may wait for others, to be measured together."""

_UNFIT = {
    "rank": ("ranks, whose differences mean nothing", "label with a teacher first"),
    "probability": (
        "probabilities, whose differences are not log-odds",
        "label with logits or log-probabilities",
    ),
    "unknown": ("of unknown scale", "state it with --score-scale"),
}
"""Scales whose differences cannot be used, the problem and its remedy."""

MeasuredQueries = tuple[list[str], Floats]
"""The ids of m queries, and their values, (m, columns)."""
MeasuredFiles = Iterable[tuple[str, Iterable[MeasuredQueries]]]
"""The name of each file, and its queries in chunks."""


class Diagnosis:
    """Measures records at one temperature, and counts them.

    Attributes:
        columns: COLUMNS, then those of the diagnostics.
        settings: columns that say how the diagnostics measured.
        kept: if `keep` is set, each file that was measured and its values, (n, len(columns)) in parts.
        queries: records; docs: their scored documents.
        unscored: documents without a score, which do not count.
        undefined: records with fewer than two scored documents.
        infinite: records whose kappa is beyond the range of a float.
    """

    def __init__(
        self,
        temperature: float,
        score_scale: str | None = None,
        diagnostics: Sequence[Diagnostic] = (),
        *,
        keep: bool = False,
        cut_by: str | None = None,
        soon: bool = False,
    ) -> None:
        """`score_scale` is the scale of scores whose record does not say it. If `cut_by` names a column that
        depends on the scale, a second scale is refused. With `soon` a record is measured soon after it comes,
        and not only with CHUNK others; the last digits of sums may then depend on when records came.

        Raises:
            UsageError: there is no column `cut_by`.
        """
        self.temperature = temperature
        self.score_scale = score_scale
        self.diagnostics = diagnostics
        self.columns = (*COLUMNS, *(column for one in diagnostics for column in one.columns))
        depends_on_scale = cut_by is not None and not self.columns[self.place_of(cut_by)].scale_free
        self._warns_of_cosines = cut_by not in _NO_TEMPERATURE
        self._one_scale = OneScale(score_scale, "cut each scale by itself") if depends_on_scale else None
        self.settings = {name: value for one in diagnostics for name, value in one.settings.items()}
        self._patience = _PATIENCE if soon else None
        self.keep = keep
        self.kept: list[tuple[str, list[Floats]]] = []
        self._provenances: Counter[Provenance] = Counter()
        self.queries = self.docs = self.unscored = self.undefined = self.infinite = 0

    def place_of(self, column: str) -> int:
        """Return the place of a column in tables of values.

        Raises:
            UsageError: it is unknown, or the option that adds it is missing.
        """
        names = [one.name for one in self.columns]
        check_column(column, names)
        return names.index(column)

    def check(self, record: Record) -> None:
        """Raise `BadLine` if the scores are unfit (`check_scores`), or a diagnostic lacks something."""
        self.check_scores(scored(record))
        for one in self.diagnostics:
            one.check(record)

    def check_scores(self, record: ScoredRecord) -> None:
        """Raise `BadLine` if scores are ranks, probabilities, of an unknown scale, or of a second scale."""
        scale = self._scale(record.provenance)
        if self._one_scale is None and scale not in _UNFIT:
            return
        if all(score != score for score in record.scores):  # NaN: without scores their scale does not matter
            return
        if scale in _UNFIT:
            problem, hint = _UNFIT[scale]
            raise BadLine(f'the scores of query "{record.query_id}" are {problem}', hint)
        if self._one_scale is not None:
            self._one_scale.check_scale(record.query_id, scale)

    def _scale(self, provenance: Provenance) -> str:
        scale = provenance.scale or "unknown"
        return self.score_scale if scale == "unknown" and self.score_scale is not None else scale

    def measure_scores(self, records: Iterable[ScoredRecord], file: str = "") -> Iterator[MeasuredQueries]:
        """Yield the values of checked records of which only the scores were read, without diagnostics."""
        self._begin_file(file)
        for chunk in batches(records, CHUNK, self._patience):
            yield [record.query_id for record in chunk], self._measure(chunk)
        self._end_file(file)

    def measure_records(
        self, records: Iterable[Record], file: str = ""
    ) -> Iterator[tuple[list[Record], Floats]]:
        """Yield checked records in chunks with the values of all columns, NaN where undefined."""
        self._begin_file(file)
        for chunk in batches(records, CHUNK, self._patience):
            table = self._measure(list(map(scored, chunk)), [one.measure(chunk) for one in self.diagnostics])
            yield chunk, table
        self._end_file(file)

    def measure_queries(self, records: Iterable[Record], file: str = "") -> Iterator[MeasuredQueries]:
        """Yield the same values with the ids of the queries."""
        for chunk, table in self.measure_records(records, file):
            yield [record["query_id"] for record in chunk], table

    def _begin_file(self, file: str) -> None:
        self.kept.append((file, []))
        self._provenances = Counter()

    def _end_file(self, file: str) -> None:
        """Warn of scores that do not go together, or not with the temperature, the latter once."""
        warn_if_mixed(file or "input", self._provenances)
        scales = set(map(self._scale, self._provenances))
        if self._warns_of_cosines and self.temperature == 1 and "cosine" in scales:
            self._warns_of_cosines = False
            log.warning(
                "softmax over cosines is nearly uniform at temperature 1, so that entropies are near their "
                "maximum (rd-entropy --calibrate finds the --temperature)"
            )

    def _measure(self, records: Sequence[ScoredRecord], others: Sequence[Floats] = ()) -> Floats:
        """Measure and count a chunk; `others` are the values of the diagnostics."""
        scores, lengths, docs = _all_scores(records)
        measured = measure(scores, lengths, self.temperature)
        table = np.concatenate([lengths[:, None], measured, *others], axis=1)
        self.queries += len(records)
        self.docs += len(scores)
        self.unscored += docs - len(scores)
        self.undefined += int((lengths < 2).sum())
        self.infinite += int(np.isinf(measured[:, MEASURED.index("kappa")]).sum())
        self._provenances.update(compress((record.provenance for record in records), lengths.tolist()))
        if self.keep:
            self.kept[-1][1].append(table)
        return table

    def values_by_file(self) -> list[tuple[str, Floats]]:
        """Return the kept values of each file that had records, (n, columns), of all columns but docs."""
        return [(file, np.concatenate(parts)[:, 1:]) for file, parts in self.kept if parts]

    def report(self) -> None:
        """Log what does not count, or is undefined."""
        if self.unscored:
            log.info("%s without a score left out", plural(self.unscored, "document"))
        if self.undefined:
            undefined = plural(self.undefined, "record")
            log.info("%s with fewer than two scored documents: undefined, and in no --cut", undefined)
        if self.infinite:
            log.info("%s with a kappa beyond the range of a float", plural(self.infinite, "record"))
        for one in self.diagnostics:
            one.report()


def measured_files(diagnosis: Diagnosis, paths: Iterable[str], reading: Reading) -> MeasuredFiles:
    """Yield each file and its measured queries. Without diagnostics only the scores of documents are read."""
    for path in paths:
        name = "<stdin>" if path == STDIN else path
        if diagnosis.diagnostics:
            records = expected(read_records([path], reading, diagnosis.check), reading, name)
            yield name, diagnosis.measure_queries(records, name)
        else:
            scores = expected(read_scores([path], reading, diagnosis.check_scores), reading, name)
            yield name, diagnosis.measure_scores(scores, name)


def _all_scores(records: Sequence[ScoredRecord]) -> tuple[Floats, NDArray[np.int64], int]:
    """Return the scores of m records one record after another, the number of each, (m,), and of documents."""
    lengths = np.array([len(record.scores) for record in records], np.int64)
    docs = int(lengths.sum())
    scores = np.fromiter(chain.from_iterable(record.scores for record in records), np.float64, docs)
    has_score = ~np.isnan(scores)
    if not has_score.all():
        rows = np.repeat(np.arange(len(records)), lengths)[has_score]
        scores, lengths = scores[has_score], np.bincount(rows, minlength=len(records))
    return scores, lengths, docs
