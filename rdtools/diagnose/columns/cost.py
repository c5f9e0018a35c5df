"""What a training set costs: pairs, distinct documents, words, hours (`--compare`)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rdtools.core.provenance import Origin, common, origin
from rdtools.core.records import Record
from rdtools.core.scores import has_scores
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.entropy import Floats


class Cost(Diagnostic):
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
