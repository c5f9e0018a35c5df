"""The dev set: judged queries and the documents that a student ranks for them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rdtools.core.errors import RdError
from rdtools.core.log import log, plural
from rdtools.core.randomness import generator
from rdtools.core.records import Doc, Qrels, Record
from rdtools.data.collection import Collection
from rdtools.data.corpus import Corpus
from rdtools.data.datasets import is_file, open_judgements
from rdtools.data.leakage import Leakage
from rdtools.formats import read_records
from rdtools.formats.vectors import forget_embeddings
from rdtools.search.bm25 import open_bm25
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from rdtools.train.students import Student

SMALL_CORPUS = 10_000
"""A bi-encoder searches a corpus of at most so many documents; a larger one is re-ranked."""
DEPTH = 100
"""BM25's first documents that are re-ranked."""
RETRIEVED = 1000
"""Documents of a query that count if a bi-encoder searches the corpus."""

Scores = Mapping[str, Mapping[str, float]]
"""query_id -> doc_id -> score as float32."""
DevMeasure = Callable[[Qrels, Scores], float]
"""The value of a run, as rd-eval gives it."""


@dataclass(frozen=True)
class DevSet:
    """Judged queries, and the documents that are ranked for each.

    Attributes:
        name: what messages call it.
        query_ids, queries: ids and texts.
        doc_ids, texts: all documents; a document with two texts is repeated.
        candidates: for each query the places of its documents; None where all queries rank all documents.
    """

    name: str
    qrels: Qrels
    query_ids: Sequence[str]
    queries: Sequence[str]
    doc_ids: Sequence[str]
    texts: Sequence[str]
    candidates: Sequence[Sequence[int]] | None

    @property
    def provenance(self) -> dict[str, Any]:
        """Return a hash of queries, documents and judgements, and their numbers."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.qrels, self.query_ids, self.queries, self.doc_ids, self.texts, self.candidates):
            digest.update(repr(part).encode())
        return {"fingerprint": digest.hexdigest(), "queries": len(self.qrels), "documents": len(self.texts)}

    def inputs(self, as_pairs: bool) -> int:
        """Return how many documents, or pairs of query and document, a measurement encodes."""
        if not as_pairs:
            return len(self.texts)
        if self.candidates is None:
            return len(self.queries) * len(self.texts)
        return sum(map(len, self.candidates))

    def run(self, student: Student) -> Scores:
        """Return the scores of the student."""
        found = student.rank(self.queries, self.texts, self.candidates)
        run: dict[str, dict[str, float]] = {}
        for number, (query_id, scores) in enumerate(zip(self.query_ids, found, strict=True)):
            if self.candidates is not None:
                places = self.candidates[number]
            else:
                scores, best = scores.topk(min(RETRIEVED, len(scores)))
                places = best.tolist()
            run[query_id] = dict(zip((self.doc_ids[place] for place in places), scores.tolist(), strict=True))
        return run


def open_dev_set(dev: str, collection: Collection, bi_encoder: bool) -> DevSet:
    """Open a file of records, whose missing texts `collection` gives, or a dataset such as `DIR:dev`.

    Raises:
        UsageError: it is neither. RdError: nothing in it is judged relevant.
    """
    name = f"--dev {dev}"
    if not is_file(dev):
        return _of_dataset(name, dev, collection, bi_encoder)
    has_texts = collection.has_corpus or collection.has_queries
    reading = replace(collection.reading, input_format=None)
    return dev_set_of_records(name, read_records([dev], reading, collection.complete if has_texts else None))


def dev_set_of_records(name: str, records: Iterable[Record]) -> DevSet:
    """Return the dev set of records: each query ranks the documents of its records, judged or not.

    Queries without a judged document are ignored, as rd-eval ignores them. What has no text cannot be ranked,
    and counts as rd-eval counts what is not in a run.

    Raises:
        RdError: nothing can be ranked, or nothing is relevant.
    """
    qrels: Qrels = {}
    queries: dict[str, str] = {}
    places: dict[str, dict[str, int]] = {}
    numbers: dict[tuple[str, str], int] = {}
    unread = 0
    for record in records:
        query_id, docs = record["query_id"], [doc for doc in record["docs"] if "text" in doc]
        grades = _grades(record["docs"])
        if not grades:
            continue
        qrels.setdefault(query_id, {}).update(grades)
        if not record.get("query"):
            docs = []
        unread += len(record["docs"]) - len(docs)
        if not docs:
            continue
        queries.setdefault(query_id, record["query"])
        own = places.setdefault(query_id, {})
        for doc in docs:
            own.setdefault(doc["doc_id"], numbers.setdefault((doc["doc_id"], doc["text"]), len(numbers)))
    candidates = [[*places[query_id].values()] for query_id in queries]
    doc_ids, texts = zip(*numbers, strict=True) if numbers else ((), ())
    if unread:
        log.warning(
            "%s: %s not ranked, without text or of a query without text (give --corpus or --dataset)",
            name, plural(unread, "document"),
        )  # fmt: skip
    if qrels and not queries:
        raise RdError(f"{name}: no judged query has a text and documents with a text")
    made = DevSet(name, qrels, [*queries], [*queries.values()], doc_ids, texts, candidates)
    pairs = sum(map(len, candidates))
    return _checked(made, f"{plural(pairs, 'document')} to re-rank")


def _of_dataset(name: str, dev: str, collection: Collection, bi_encoder: bool) -> DevSet:
    qrels, dataset = open_judgements(dev, replace(collection.reading, input_format=None))
    assert dataset is not None
    records = [record for record in dataset.queries() if record["query_id"] in qrels and "query" in record]
    query_ids, queries = [record["query_id"] for record in records], [record["query"] for record in records]
    own = Collection(dataset_id=dev, reading=collection.reading)
    corpus = own.corpus
    if bi_encoder and len(corpus) <= SMALL_CORPUS:
        made = DevSet(name, qrels, query_ids, queries, corpus.doc_ids, corpus.texts, None)
        return _checked(made, f"which search {plural(len(corpus), 'document')}")
    rows = [
        [int(row) for row in found]
        for found, _ in open_bm25(Resources(own)).search(queries, [DEPTH] * len(queries))
    ]
    made = _restricted(DevSet(name, qrels, query_ids, queries, corpus.doc_ids, corpus.texts, rows), corpus)
    return _checked(made, f"BM25's first {DEPTH} documents of each to re-rank")


def _restricted(whole: DevSet, corpus: Corpus) -> DevSet:
    """Return the dev set with only the documents of the corpus that are ranked for a query."""
    assert whole.candidates is not None
    used = sorted({row for rows in whole.candidates for row in rows})
    place_of = {row: place for place, row in enumerate(used)}
    return replace(
        whole,
        doc_ids=[corpus.doc_ids[row] for row in used],
        texts=[corpus.texts[row] for row in used],
        candidates=[[place_of[row] for row in rows] for rows in whole.candidates],
    )


def _checked(made: DevSet, task: str) -> DevSet:
    if not any(grade > 0 for grades in made.qrels.values() for grade in grades.values()):
        raise RdError(f"{made.name}: no query has a document with relevance > 0 (give judged queries)")
    log.info("%s: %s, %s", made.name, plural(len(made.qrels), "query"), task)
    return made


class HeldBack:
    """Holds back a share of the queries from a stream of records; they are kept in memory.

    Whether a query is held back depends only on (seed, query_id). A record without a relevant document, or
    with no other one, cannot be measured and stays in the stream.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._seed = seed
        self._records: list[Record] = []

    def rest(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records that are not held back."""
        for record in records:
            if self._is_drawn(record["query_id"]) and _measurable(record):
                forget_embeddings(record)  # they are large, and nothing here needs them
                self._records.append(record)
            else:
                yield record

    def dev_set(self) -> DevSet:
        name = f"--dev-share {self._share:g}"
        if not self._records:
            raise RdError(
                f"{name}: no query with a relevant document was held back (give --dev, or no dev set)"
            )
        return dev_set_of_records(name, self._records)

    def _is_drawn(self, query_id: str) -> bool:
        rng: random.Random = generator(self._seed, query_id, "dev")
        return rng.random() < self._share


def _measurable(record: Record) -> bool:
    docs: list[Doc] = [doc for doc in record["docs"] if "text" in doc]
    positives = sum(grade > 0 for grade in _grades(docs).values())
    return bool(record.get("query")) and 0 < positives < len(docs)


def _grades(docs: Iterable[Doc]) -> dict[str, int]:
    """Return the judgements in a record; what rd-mine relabelled was not judged."""
    return {
        doc["doc_id"]: doc["relevance"] for doc in docs if "relevance" in doc and not doc.get("relabelled")
    }


class DevLeakage:
    """Finds the queries of a dev set in the training records, by id or by text."""

    def __init__(self, dev_set: DevSet) -> None:
        self._name = dev_set.name
        self._found = Leakage(
            {query_id: {} for query_id in dev_set.qrels},
            dict(zip(dev_set.query_ids, dev_set.queries, strict=True)),
        )

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        return self._found.watch(records)

    def report(self) -> None:
        """Warn if a query was found."""
        if found := len(self._found.queries):
            log.warning(
                "%s: %s of its %s are in the training records (measure queries that are not trained on)",
                self._name, f"{found:,}", plural(self._found.judged_queries, "query"),
            )  # fmt: skip
