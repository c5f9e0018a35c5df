"""What losses can use of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from rdtools.core.errors import BadLine, RdError
from rdtools.core.log import plural
from rdtools.core.records import Record
from rdtools.formats.vectors import checked_vector
from rdtools.train.losses.table import NEGATIVE, ORDER, PAIR, POSITIVE, Loss


class Document(NamedTuple):
    """One document of a group; `score` and `embedding` are the teacher's.

    They are None if the document has none, or no loss needs them.
    """

    doc_id: str
    text: str
    score: float | None
    positive: bool
    embedding: str | None = None


class Embeddings:
    """The embeddings of records: one dimension, written as text; `dimension` is 0 before the first."""

    def __init__(self) -> None:
        self.dimension = 0

    def check(self, record: Record) -> None:
        """Replace the embeddings of a record and its documents by their text.

        Raises:
            BadLine: one is invalid, or its dimension differs from that of the first.
        """
        self._check(record, "query_embedding", '"query_embedding"')
        for doc in record["docs"]:
            self._check(doc, "embedding", f'"embedding" of document {doc["doc_id"]}')

    def checked(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield records that nobody has checked; raise `RdError` where `check` finds a problem."""
        for record in records:
            try:
                self.check(record)
            except BadLine as error:
                raise error.for_query(record["query_id"]) from None
            yield record

    def _check(self, fields: Any, key: str, what: str) -> None:
        if fields.get(key) is None:
            fields.pop(key, None)
            return
        fields[key], dimension = checked_vector(fields[key], what)
        self.dimension = self.dimension or dimension
        if dimension != self.dimension:
            raise BadLine(
                f"{what} has {plural(dimension, 'dimension')}, the first embedding {self.dimension:,}",
                "label all records with one model",
            )


def can_use(loss: Loss, score: float | None, embedding: str | None) -> bool:
    """Return whether a loss can learn from a document with this score and this embedding."""
    if loss.needs_embeddings:
        return embedding is not None
    return score is not None or not loss.needs_teacher


def lacks(
    loss: Loss,
    record: Record,
    documents: list[Document],
    counts: Callable[[list[Document]], tuple[int, int]],
) -> str | None:
    """Say what a record lacks that a loss needs, or return None.

    `counts` gives the numbers of positives and negatives in a group of some documents.
    """
    documents = [document for document in documents if can_use(loss, document.score, document.embedding)]
    if loss.needs_embeddings and ("query_embedding" not in record or not documents):
        return "query without an embedding"
    positives = sum(document.positive for document in documents)
    if POSITIVE in loss.needs and not positives:
        return "query without a positive"
    if NEGATIVE in loss.needs and positives == len(documents) and not loss.in_batch:
        return "query without a negative"
    if (PAIR in loss.needs or ORDER in loss.needs) and sum(counts(documents)) < 2:
        return "query without two documents to compare"
    return None if documents else "query without a document to learn from"


def check_labelled(record: Record, scale: str) -> None:
    """Refuse to take the scores of a search for those of a teacher.

    Raises:
        RdError: the record names no teacher, and its scores are those of a source.
    """
    if "teacher" not in record and any("score" in doc and "source" in doc for doc in record["docs"]):
        raise RdError(
            f'query "{record["query_id"]}": no teacher named; its {scale} scores are those of the source '
            f"(label the records with rd-label, or state --score-scale {scale} to train on them)"
        )


HINTS = {
    "query without text": 'give --queries or --dataset, or records with "query"',
    "document without text": 'give --corpus or --dataset, or records with "text"',
    "document without score": "label the records with rd-label first",
    "document without embedding": "label the records with rd-label --embeddings first",
    "query without an embedding": "label the records with rd-label --embeddings first",
    "query without a positive": "this loss needs documents with relevance > 0; ranknet and kl do not",
    "query without a negative": "mine some with rd-mine",
    "query without two documents to compare": "mine more with rd-mine",
    "query without a document to learn from": "label the records with rd-label first",
}
