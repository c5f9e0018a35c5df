"""Whether test judgements leaked into training records: shared queries, relevant documents seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rdtools.core.folding import folded
from rdtools.core.log import log
from rdtools.core.records import Qrels, Record
from rdtools.data.datasets import open_judgements
from rdtools.formats import Reading


class Leakage:
    """Looks for the queries and the relevant documents of test judgements in the records that it is shown.

    They are found by the same id, or by equal text, but for case, white space and compatibility forms.

    Attributes:
        queries: ids of the test queries found.
        relevant_docs: ids found of documents that are relevant to any test query.
        judged_queries, judged_docs: how many of each there are to be found.
    """

    def __init__(
        self,
        qrels: Qrels,
        query_texts: Mapping[str, str] | None = None,
        doc_texts: Mapping[str, str] | None = None,
    ) -> None:
        """The texts are those of the test queries and their relevant documents, as far as they are known."""
        self._ids = qrels.keys()
        self._relevant = _relevant_docs(qrels)
        self._query_of_text = _by_text(query_texts or {}, self._ids)
        self._doc_of_text = _by_text(doc_texts or {}, self._relevant)
        self.judged_queries, self.judged_docs = len(qrels), len(self._relevant)
        self.restart()

    def restart(self) -> None:
        """Forget what was found."""
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
        """Yield the records, having looked at each."""
        for record in records:
            self.add(record)
            yield record

    def report(self, name: str) -> None:
        """Warn of what was found, or note that nothing was."""
        say = log.warning if self.queries or self.relevant_docs else log.info
        say(
            "%s: %s of its %s queries and %s of its %s relevant documents are in these records",
            name, *(f"{n:,}" for n in (len(self.queries), self.judged_queries)),
            *(f"{n:,}" for n in (len(self.relevant_docs), self.judged_docs)),
        )  # fmt: skip


def open_leakage(test: str, reading: Reading = Reading()) -> Leakage:
    """Read test judgements from a file, or with the texts of a dataset (DIR:test).

    Raises:
        UsageError: there is neither such a file nor such a dataset.
        RdError: there are no judgements.
    """
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
    """Folded text -> the ids of it, of those `ids` whose text is known and not empty."""
    found: dict[str, list[str]] = {}
    for one in ids:
        if text := folded(texts.get(one, "")):
            found.setdefault(text, []).append(one)
    return found
