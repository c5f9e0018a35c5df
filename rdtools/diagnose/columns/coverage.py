"""How much of a run's documents a training set holds (`--coverage RUN`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rdtools.core.log import log, plural
from rdtools.core.records import Record
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.columns.cost import DistinctIds
from rdtools.diagnose.entropy import Floats
from rdtools.formats import Reading, read_records
from rdtools.formats.runs import ranking
from rdtools.search.resources import Resources


class Coverage(Diagnostic):
    """coverage of a record: |S ∩ R|/|R| with S its documents and R the run's documents for its query;
    undefined where the run lacks the query.

    Totals of a file, with S all its documents and R those of the run for whatever query (Parry et al.,
    2505.21058):

    coverage_of_run: |S ∩ R|/|R|.
    coverage_over_random: that, divided by |S|/N, which a set of |S| documents drawn at random from the N of
        the collection is expected to cover; where the collection is known.
    """

    def __init__(self, run: Mapping[str, Sequence[str]], corpus_size: int | None = None) -> None:
        """`run` has the doc_ids of each query."""
        self.columns = {"coverage": None}
        self._run = {query_id: frozenset(doc_ids) for query_id, doc_ids in run.items()}
        self._of_run = frozenset().union(*self._run.values())
        self._corpus_size = corpus_size
        self._without = 0
        self._begin()

    def _begin(self) -> None:
        self._covered: set[str] = set()
        self._distinct = DistinctIds()

    def measure(self, records: Sequence[Record]) -> Floats:
        shares = []
        for record in records:
            own = {doc["doc_id"] for doc in record["docs"]}
            self._covered |= own & self._of_run
            self._distinct.add(own)
            wanted = self._run.get(record["query_id"])
            shares.append(len(own & wanted) / len(wanted) if wanted else np.nan)
        table = np.array(shares)[:, None]
        self._without += int(np.isnan(table).sum())
        return table

    def totals(self) -> dict[str, Any]:
        share = len(self._covered) / len(self._of_run) if self._of_run else None
        row: dict[str, Any] = {"coverage_of_run": share}
        if self._corpus_size is not None:
            expected = len(self._distinct) / self._corpus_size if self._corpus_size else 0
            row["coverage_over_random"] = share / expected if share is not None and expected else None
        self._begin()
        return row

    def report(self) -> None:
        if self._without:
            log.info("%s not in the run: coverage undefined", plural(self._without, "query"))


def open_coverage(path: str, resources: Resources) -> Coverage:
    """Read the run; the size of the collection is known where `resources` bring a corpus."""
    collection = resources.collection
    size = len(collection.corpus) if collection.has_corpus else None
    return Coverage(read_documents(path, resources.reading), size)


def read_documents(path: str, reading: Reading) -> dict[str, list[str]]:
    """Return the doc_ids that a run found for each query, its lines in any order; positives that were added
    do not count.
    """
    found: dict[str, list[str]] = {}
    for record in read_records([path], replace(reading, together=False)):
        found.setdefault(record["query_id"], []).extend(doc_id for doc_id, _ in ranking(record))
    return found
