"""Leakage of test data into training records: test queries, and documents relevant to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rdtools.core.folding import folded
from rdtools.core.log import log
from rdtools.core.records import Qrels, Record
from rdtools.data.datasets import open_judgements
from rdtools.formats import Reading


class Leakage:
    """Find the queries and relevant documents of test judgements in records.

    They are found by id, or by equal text, ignoring case, white space and compatibility forms.

    Attributes:
        queries: ids of the test queries found.
        relevant_docs: ids found of documents that are relevant to any test query.
        judged_queries, judged_docs: the numbers of test queries and of their relevant documents.
    """

    def __init__(
        self,
        qrels: Qrels,
        query_texts: Mapping[str, str] | None = None,
        doc_texts: Mapping[str, str] | None = None,
    ) -> None:
        """The texts, by id, are those of test queries and relevant documents, as far as known."""
        self._ids = qrels.keys()
        self._relevant = _relevant_docs(qrels)
        self._query_of_text = _by_text(query_texts or {}, self._ids)
        self._doc_of_text = _by_text(doc_texts or {}, self._relevant)
        self.judged_queries, self.judged_docs = len(qrels), len(self._relevant)
        self.restart()

    def restart(self) -> None:
        """Forget all that was found."""
        self.queries: set[str] = set()
        self.relevant_docs: set[str] = set()

    def add(self, record: Record) -> None:
        if record["query_id"] in self._ids:
            self.queries.add(record["query_id"])
        if self._query_of_text and "query" in record:
            self.queries.update(self._query_of_text.get(folded(record["query"]), ()))
        for doc in record["docs"]:
            if doc["doc_id"] in self._relevant:
                self.relevant_docs.add(doc["doc_id"])
            if self._doc_of_text and "text" in doc:
                self.relevant_docs.update(self._doc_of_text.get(folded(doc["text"]), ()))

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """Add each record, and yield it."""
        for record in records:
            self.add(record)
            yield record

    def report(self, name: str) -> None:
        """Print the counts: a warning if anything was found, else a note."""
        say = log.warning if self.queries or self.relevant_docs else log.info
        say(
            "%s: %s of its %s queries and %s of its %s relevant documents are in these records",
            name, *(f"{n:,}" for n in (len(self.queries), self.judged_queries)),
            *(f"{n:,}" for n in (len(self.relevant_docs), self.judged_docs)),
        )  # fmt: skip


def open_leakage(test: str, reading: Reading = Reading()) -> Leakage:
    """Read test judgements as `read_judgements` does; a dataset (DIR:test) adds its texts."""
    qrels, dataset = open_judgements(test, reading)
    if dataset is None:
        return Leakage(qrels)
    relevant = _relevant_docs(qrels)
    query_texts = {record["query_id"]: record["query"] for record in dataset.queries() if "query" in record}
    doc_texts = {doc_id: text for doc_id, text in dataset.documents() if doc_id in relevant}
    return Leakage(qrels, query_texts, doc_texts)


def _relevant_docs(qrels: Qrels) -> set[str]:
    return {doc_id for grades in qrels.values() for doc_id, grade in grades.items() if grade > 0}


def _by_text(texts: Mapping[str, str], ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the `ids` by their folded texts; ids without a text are left out."""
    found: dict[str, list[str]] = {}
    for one in ids:
        if text := folded(texts.get(one, "")):
            found.setdefault(text, []).append(one)
    return found
