"""Whether test judgements leaked into training records: shared queries, relevant documents seen."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping

from rdtools.collections import open_dataset
from rdtools.errors import RdError, UsageError
from rdtools.formats import Reading
from rdtools.formats.qrels import read_qrels
from rdtools.records import Qrels, Record


class Leakage:
    """Looks for the queries and the relevant documents of test judgements in the records that it is shown.

    Attributes:
        queries: ids of the test queries found, by the same id or by equal text (NFKC, case and white space
            folded).
        relevant_docs: ids of documents that are relevant to any test query and stand in a record.
        judged_queries, judged_docs: how many of each there are to be found.
    """

    def __init__(self, qrels: Qrels, query_texts: Mapping[str, str] | None = None) -> None:
        """`query_texts` are those of the test queries, as far as they are known."""
        self._ids = qrels.keys()
        texts = query_texts or {}
        self._id_of_text = {_folded(text): query_id for query_id, text in texts.items() if query_id in qrels}
        self._relevant = {doc for grades in qrels.values() for doc, grade in grades.items() if grade > 0}
        self.judged_queries, self.judged_docs = len(qrels), len(self._relevant)
        self.restart()

    def restart(self) -> None:
        """Forget what was found."""
        self.queries: set[str] = set()
        self.relevant_docs: set[str] = set()

    def add(self, record: Record) -> None:
        if record["query_id"] in self._ids:
            self.queries.add(record["query_id"])
        if self._id_of_text and "query" in record:
            same = self._id_of_text.get(_folded(record["query"]))
            if same is not None:
                self.queries.add(same)
        self.relevant_docs.update(d["doc_id"] for d in record["docs"] if d["doc_id"] in self._relevant)


def open_leakage(test: str, reading: Reading = Reading()) -> Leakage:
    """Read test judgements from a file, or with the texts of their queries from a dataset (DIR:test).

    Raises:
        UsageError: there is neither such a file nor such a dataset.
        RdError: there are no judgements.
    """
    if os.path.isfile(test):
        qrels, texts = read_qrels(test, reading), {}
    else:
        try:
            dataset = open_dataset(test, reading)
        except UsageError as error:
            raise UsageError(f"{test}: no such file; {error}") from None
        qrels = dataset.qrels()
        texts = {record["query_id"]: record["query"] for record in dataset.queries() if "query" in record}
    if not qrels:
        raise RdError(f"{test}: no judgements")
    return Leakage(qrels, texts)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
