"""How much of a test collection a training set has seen (`--check-against`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rdtools.core.records import Record
from rdtools.data.leakage import Leakage
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.entropy import Floats


class SharedWithTest(Diagnostic):
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
