"""How sure a teacher is of its order: entropies, ties, margin and κ of the scores of a query.

Everything is a function of one query's scored documents, s₁ … sₙ, on an interval scale, and of a
temperature T. All columns but `docs` are undefined with fewer than two documents. Chunks of queries
with equally many documents are computed together, each row by itself: a query's values do not
depend on which others came with it.
"""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import compress, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdtools.errors import BadLine, UsageError
from rdtools.formats import jsonl
from rdtools.records import Record
from rdtools.registry import check_name

MEASURED = (
    "pairwise_entropy_bits",
    "listwise_entropy_bits",
    "listwise_entropy_share",
    "tied_pairs",
    "margin",
    "kappa",
)
COLUMNS = ("docs", *MEASURED)
_UNDEFINED = [None] * len(MEASURED)

CHUNK = 1024
"""Queries that are read before they are computed."""
_PAIRS = 2**16
"""Pairs (i, j) of documents that are computed together at most: more would leave the processor's cache."""
_FAR = 800.0
"""Beyond this many temperatures e^−x is 0 in float64; infinite differences are cut back to it."""

_UNFIT = {
    "rank": ("ranks, whose differences mean nothing", "label with a teacher first"),
    "probability": ("probabilities, whose differences are no odds", "label with logits or log-probabilities"),
    "unknown": ("of unknown scale", "state it with --score-scale"),
}
"""Scales without the differences that an entropy needs, and what to do."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Chunk = tuple[list[Record], Floats]
Cut = Callable[[Floats], Flags]
"""Which of n defined values are kept, (n,) -> (n,)."""


def diagnose(scores: Floats, temperature: float) -> dict[str, Floats]:
    """Compute the measured columns of m queries with n ≥ 2 documents each.

    Args:
        scores: (m, n) float64, finite.
        temperature: T > 0, in the unit of the scores.

    Returns:
        Columns of (m,) float64:
        pairwise_entropy_bits: mean over i<j of H₂(σ((sᵢ−sⱼ)/T)), 0 to 1 bit.
        listwise_entropy_bits: entropy of softmax(s/T), 0 to log₂ n bits.
        listwise_entropy_share: the same as a share of log₂ n.
        tied_pairs: share of pairs i<j with sᵢ = sⱼ.
        margin: best score minus second best, in the unit of the scores.
        kappa: max over i of (1/n) / softmax(s/T)ᵢ, at least 1; infinite beyond float64.
    """
    _, n = scores.shape
    with np.errstate(over="ignore"):
        ordered = np.sort(scores, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        below = (ordered[:, -1:] - ordered) / temperature  # ≥ 0, 0 for the best
        depth = np.minimum(below, _FAR)
        weights = np.exp(-depth)
        total = weights.sum(axis=1)
        # −Σ p ln p with p = e^−depth / total
        listwise = (np.log(total) + (weights * depth).sum(axis=1) / total) / math.log(2)
        kappa = total / n * np.exp(below[:, 0])
        left, right = np.triu_indices(n, 1)
        # take keeps a row's pairs adjacent, so that their sum does not depend on how many rows there are
        gaps = ordered.take(right, axis=1) - ordered.take(left, axis=1)
        tied = (gaps == 0).mean(axis=1)
        pairwise = _binary_entropy_bits(gaps / temperature).mean(axis=1)
    return {
        "pairwise_entropy_bits": pairwise,
        "listwise_entropy_bits": listwise,
        "listwise_entropy_share": listwise / math.log2(n),
        "tied_pairs": tied,
        "margin": margin,
        "kappa": kappa,
    }


def _binary_entropy_bits(x: Floats) -> Floats:
    """H₂(σ(x)) for x ≥ 0: ln(1+e^−x) + x·e^−x/(1+e^−x) nats, which neither overflows nor cancels."""
    x = np.minimum(x, _FAR)
    small = np.exp(-x)
    x *= small  # in place: twice as fast as with an array for each step
    x /= 1 + small
    x += np.log1p(small)
    x /= math.log(2)
    return x


class Diagnosis:
    """Diagnoses records at one temperature, and counts what went by.

    Attributes:
        queries: records; docs: their scored documents.
        unscored: documents without a score, which do not count.
        undefined: records with fewer than two scored documents.
        infinite: records whose kappa is beyond the range of a float.
    """

    def __init__(self, temperature: float, score_scale: str | None = None) -> None:
        """`score_scale` is the scale of scores whose record does not say it."""
        self.temperature = temperature
        self.score_scale = score_scale
        self.queries = self.docs = self.unscored = self.undefined = self.infinite = 0

    def chunks(self, records: Iterable[Record]) -> Iterator[Chunk]:
        """Yield chunks of checked records with their COLUMNS, (m, 7) float64, NaN where undefined."""
        records = iter(records)
        while chunk := list(islice(records, CHUNK)):
            scores = [[doc["score"] for doc in record["docs"] if "score" in doc] for record in chunk]
            lengths = np.array([len(own) for own in scores])
            table = np.full((len(chunk), len(COLUMNS)), np.nan)
            table[:, 0] = lengths
            for rows in _alike(lengths):
                columns = diagnose(np.array([scores[row] for row in rows], np.float64), self.temperature)
                table[rows, 1:] = np.stack([columns[name] for name in MEASURED], axis=1)
            self.queries += len(chunk)
            self.docs += int(lengths.sum())
            self.unscored += sum(len(record["docs"]) for record in chunk) - int(lengths.sum())
            self.undefined += int((lengths < 2).sum())
            self.infinite += int(np.isinf(table[:, -1]).sum())
            yield chunk, table

    def query_rows(self, files: Iterable[tuple[str, Iterable[Record]]]) -> Iterator[dict[str, Any]]:
        """Yield one row a record: file, query_id, docs, MEASURED (None where undefined), temperature."""
        for file, records in files:
            for chunk, table in self.chunks(records):
                for record, (docs, *values) in zip(chunk, table.tolist(), strict=True):
                    yield {
                        "file": file, "query_id": record["query_id"], "docs": int(docs),
                        **dict(zip(MEASURED, values if docs > 1 else _UNDEFINED, strict=True)),
                        "temperature": self.temperature,
                    }  # fmt: skip

    def summary_rows(self, files: Iterable[tuple[str, Iterable[Record]]]) -> Iterator[dict[str, Any]]:
        """Yield one row a file that has records.

        It holds file, queries, docs (their sum), means of the measured columns over the records that have
        them, but the median of kappa and its maximum as kappa_max, and temperature.
        """
        for file, records in files:
            queries, docs = self.queries, self.docs
            sums, kappas = np.zeros(len(MEASURED)), array("d")
            for _, table in self.chunks(records):
                defined = table[table[:, 0] > 1, 1:]
                sums += defined.sum(axis=0)
                kappas.frombytes(defined[:, -1].tobytes())
            means = sums / len(kappas) if kappas else sums
            values = dict(zip(MEASURED, means.tolist() if kappas else _UNDEFINED, strict=True))
            if self.queries > queries:
                yield {
                    "file": file, "queries": self.queries - queries, "docs": self.docs - docs, **values,
                    "kappa": float(np.median(kappas)) if kappas else None,
                    "kappa_max": max(kappas, default=None),
                    "temperature": self.temperature,
                }  # fmt: skip

    def check(self, record: Record) -> None:
        """Raise `BadLine` where scores are ranks, probabilities, or of a scale that nobody stated."""
        scale = record.get("score_scale", "unknown")
        if scale == "unknown":
            scale = self.score_scale or scale
        if scale in _UNFIT and any("score" in doc for doc in record["docs"]):
            problem, hint = _UNFIT[scale]
            raise BadLine(f'the scores of query "{record["query_id"]}" are {problem}', hint)


def _alike(lengths: NDArray[np.int_]) -> Iterator[NDArray[np.int_]]:
    """Yield the rows of equally many documents, two or more, as few at a time as bounds their pairs."""
    for n in np.unique(lengths[lengths > 1]).tolist():
        rows = np.flatnonzero(lengths == n)
        step = max(1, _PAIRS // (n * n))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


CUTS: dict[str, Cut] = {
    "low": lambda x: x <= np.quantile(x, 0.25),
    "middle": lambda x: (x > np.quantile(x, 0.25)) & (x <= np.quantile(x, 0.75)),
    "high": lambda x: x > np.quantile(x, 0.75),
    "below-median": lambda x: x <= np.quantile(x, 0.5),
    "above-median": lambda x: x > np.quantile(x, 0.5),
    "inlier": lambda x: ~_outlying(x),
    "outlier": lambda x: _outlying(x),
}
"""Name -> which of the values are kept. Quantiles are linear between order statistics, numpy's default."""


def _outlying(values: Floats) -> Flags:
    low, high = np.quantile(values, [0.25, 0.75])
    reach = 1.5 * (high - low)
    flags: Flags = (values < low - reach) | (values > high + reach)
    return flags


def parse_cut(name: str) -> Cut:
    """Return one of CUTS by name, or `A:B`: what is above quantile A, or A is 0, and not above quantile B."""
    if name.count(":") != 1:
        check_name([*CUTS, "A:B"], name, "cut")
        return CUTS[name]
    try:
        low, high = map(float, name.split(":"))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 <= low < high <= 1:
        raise UsageError(f"cut {name!r}: A:B are two quantiles with 0 <= A < B <= 1, such as 0.1:0.9")
    return lambda x: ((x > np.quantile(x, low)) | (low == 0)) & (x <= np.quantile(x, high))


def cut_records(diagnosed: Iterable[Chunk], column: str, cut: Cut) -> Iterator[bytes]:
    """Yield the lines of the records that `cut` keeps by `column`, in order.

    The quantiles need all records first: these wait in a temporary file that has no name, while memory
    holds one number each. A record whose column is undefined is not kept.
    """
    place = COLUMNS.index(check_name(COLUMNS, column, "column"))
    values = array("d")
    with tempfile.TemporaryFile() as spool:
        for records, table in diagnosed:
            spool.writelines(map(jsonl.write, records))
            values.frombytes(table[:, place].tobytes())
        spool.seek(0)
        yield from compress(spool, _kept(np.frombuffer(values), cut))


def _kept(values: Floats, cut: Cut) -> Flags:
    kept: Flags = ~np.isnan(values)
    if kept.any():
        kept[kept] = cut(np.nan_to_num(values[kept]))  # quantiles need numbers: infinite is the largest
    return kept
