"""What decides between candidate training sets before a GPU hour is spent (`--compare`)."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rdtools.entropy import Floats
from rdtools.instruments import Instrument
from rdtools.leakage import Leakage
from rdtools.log import log, plural
from rdtools.origins import Origin, common, origin
from rdtools.records import Doc, Record
from rdtools.scores import has_scores

SUSPECTED = "suspected_false_negatives"


class Suspects(Instrument):
    """Columns of a record whose scored documents have scores s:

    supremum: the largest score.
    suspected_false_negatives: the share of its scored negatives with s ≥ s⁺ − M, s⁺ the lowest score of a
        positive (relevance above 0); undefined without a scored positive or a scored negative.
    """

    columns = {"supremum": None, SUSPECTED: None}  # noqa: RUF012

    def __init__(self, margin: float = 0.0) -> None:
        """`margin` is M, in the unit of the scores."""
        self.settings = {"suspect_margin": margin}
        self._margin = margin
        self._without = 0

    def measure(self, records: Sequence[Record]) -> Floats:
        table = np.array([self._of_record(record["docs"]) for record in records])
        self._without += int(np.isnan(table[:, 1]).sum())
        return table

    def _of_record(self, docs: Sequence[Doc]) -> tuple[float, float]:
        positives: list[float] = []
        negatives: list[float] = []
        for doc in docs:
            if "score" in doc:
                (positives if doc.get("relevance", 0) > 0 else negatives).append(doc["score"])
        supremum = max([*positives, *negatives], default=math.nan)
        if not positives or not negatives:
            return supremum, math.nan
        bound = min(positives) - self._margin
        return supremum, sum(score >= bound for score in negatives) / len(negatives)

    def report(self) -> None:
        if self._without:
            log.info(
                "%s without a scored positive and a scored negative: %s undefined",
                plural(self._without, "record"),
                SUSPECTED,
            )


class Cost(Instrument):
    """Totals of a file: what it takes to label it, or to train on it once.

    pairs: (query, document) pairs; distinct_docs; words: of the documents' texts, between white space, once
    a pair, undefined where a text is missing; hours: pairs at a speed, where one is given; teacher and
    score_scale, and in transformed what the records say was done to the scores, "mixed" where they differ.
    """

    def __init__(self, pairs_per_second: float | None = None) -> None:
        self._speed = pairs_per_second
        if pairs_per_second is not None:
            self.settings = {"pairs_per_second": pairs_per_second}
        self._begin()

    def _begin(self) -> None:
        self._pairs = self._words = self._texts = 0
        self._docs = DistinctIds()
        self._origins: set[Origin] = set()

    def measure(self, records: Sequence[Record]) -> Floats:
        for record in records:
            self._pairs += len(record["docs"])
            texts = [doc["text"] for doc in record["docs"] if "text" in doc]
            self._texts += len(texts)
            self._words += sum(len(text.split()) for text in texts)
            self._docs.add(doc["doc_id"] for doc in record["docs"])
        self._origins.update(origin(record) for record in records if has_scores(record))
        return np.empty((len(records), 0))

    def totals(self) -> dict[str, Any]:
        words = self._words if self._texts == self._pairs else None
        row: dict[str, Any] = {"pairs": self._pairs, "distinct_docs": len(self._docs), "words": words}
        if self._speed is not None:
            row["hours"] = self._pairs / self._speed / 3600
        row |= common(self._origins)
        self._begin()
        return row


class DistinctIds:
    """Counts distinct ids by hashes of 64 bits: 8 to 16 bytes an id, wrong once in 10⁶ files of 10⁷ ids."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._limit = 2**20

    def add(self, ids: Iterable[str]) -> None:
        self._hashes.extend(map(hash, ids))
        if len(self._hashes) > self._limit:
            self._hashes = array("q", np.unique(np.frombuffer(self._hashes, np.int64)).tobytes())
            self._limit = max(2**20, 2 * len(self._hashes))

    def __len__(self) -> int:
        return len(np.unique(np.frombuffer(self._hashes, np.int64)))


class Contamination(Instrument):
    """Totals of a file against test judgements: shared_queries, the test queries that are among its queries
    by id or by equal text, and relevant_docs_seen, the test queries' relevant documents in its records.
    """

    def __init__(self, leakage: Leakage) -> None:
        self._leakage = leakage

    def measure(self, records: Sequence[Record]) -> Floats:
        for record in records:
            self._leakage.add(record)
        return np.empty((len(records), 0))

    def totals(self) -> dict[str, Any]:
        leakage = self._leakage
        row = {
            "test_queries": leakage.judged_queries,
            "shared_queries": len(leakage.queries),
            "test_relevant_docs": leakage.judged_docs,
            "relevant_docs_seen": len(leakage.relevant_docs),
        }
        leakage.restart()
        return row
