"""Collections: a corpus, queries and judgements, from files or from a dataset (`--dataset`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rdtools.core.errors import BadLine, RdError, UsageError
from rdtools.core.log import log, track
from rdtools.core.records import Qrels, Record
from rdtools.data.corpus import Corpus, read_corpus_file, require_text
from rdtools.data.datasets import Dataset, open_dataset
from rdtools.data.options import CorpusOptions
from rdtools.formats import Reading, read_records
from rdtools.formats.qrels import read_qrels

_FIELDS = {"dataset": "dataset_id", "corpus": "corpus_path", "queries": "queries_path", "qrels": "qrels_path"}


def open_collection(
    where: CorpusOptions, reading: Reading = Reading(), store: str | None = None, memory: int = 0
) -> Collection:
    """Return the collection that the options name; nothing is read yet.

    A corpus file of more than an eighth of `memory` bytes is kept in the folder `store`, if there is one.
    """
    paths = {_FIELDS[option]: value for option, value in vars(where).items()}
    return Collection(**paths, reading=reading, store=store, memory=memory)


@dataclass(frozen=True)
class Collection:
    """The corpus, queries and judgements that the options name; each is read when it is first used.

    A file replaces the same part of the dataset.
    """

    dataset_id: str | None = None
    corpus_path: str | None = None
    queries_path: str | None = None
    qrels_path: str | None = None
    reading: Reading = Reading()
    store: str | None = None
    memory: int = 0

    @cached_property
    def dataset(self) -> Dataset | None:
        return open_dataset(self.dataset_id, self.reading) if self.dataset_id is not None else None

    @property
    def has_corpus(self) -> bool:
        return self.corpus_path is not None or self.dataset_id is not None

    @property
    def has_queries(self) -> bool:
        return self.queries_path is not None or self.dataset_id is not None

    @cached_property
    def corpus(self) -> Corpus:
        file = self.corpus_path
        if file is not None:
            documents: Iterable[tuple[str, str]] = read_corpus_file(file, self.reading)
        elif self.dataset is not None:
            documents, file = self.dataset.documents(), getattr(self.dataset, "corpus_file", None)
        else:
            raise UsageError("a corpus is needed (give --dataset or --corpus)")
        documents = track(documents, "reading corpus", "doc")
        if self.store is not None and file is not None and self._is_large(file):
            from rdtools.data.stored_corpus import open_stored

            corpus: Corpus = open_stored(self.store, file, documents, self.memory, self.reading)
        else:
            corpus = Corpus(documents)
        if not len(corpus):
            name = self.corpus_path or self.dataset_id
            raise RdError(f"{name}: no documents (give another --corpus or --dataset)")
        return corpus

    def _is_large(self, file: str) -> bool:
        return os.path.isfile(file) and os.path.getsize(file) > self.memory // 8

    @cached_property
    def qrels(self) -> Qrels:
        if self.qrels_path is not None:
            return read_qrels(self.qrels_path, self.reading)
        return self.dataset.qrels() if self.dataset is not None else {}

    def queries(
        self, paths: Sequence[str], check: Callable[[Record], None] | None = None
    ) -> Iterable[Record]:
        """Yield queries as records: from FILES (- is stdin), --queries, the dataset, or else stdin.

        `check` is called with the queries of files, as in `read_records`, and not with those of a dataset.
        """
        if paths:
            return read_records(paths, self.reading, check)
        if self.queries_path is not None:
            return read_records([self.queries_path], replace(self.reading, input_format=None), check)
        return self.dataset.queries() if self.dataset is not None else read_records([], self.reading, check)

    @cached_property
    def _query_texts(self) -> dict[str, str]:
        records = self.queries([]) if self.has_queries else ()
        return {record["query_id"]: record["query"] for record in records if "query" in record}

    def report_unread(self) -> None:
        """Say which of the options brought nothing, because records have their texts."""
        read = {name for name in ("corpus", "qrels", "_query_texts") if name in vars(self)}
        for option, path, parts in (
            ("--corpus", self.corpus_path, {"corpus"}),
            ("--queries", self.queries_path, {"_query_texts"}),
            ("--dataset", self.dataset_id, {"corpus", "qrels", "_query_texts"}),
        ):
            if path is not None and not read & parts:
                log.info("%s %s was not needed: the records have all texts", option, path)

    def complete(self, record: Record) -> None:
        """Fill in the missing texts of a record: the query's and the documents'.

        Raises:
            BadLine: a text is missing in the collection too.
        """
        if "query" not in record:
            text = self._query_texts.get(record["query_id"])
            if text is None:
                raise BadLine(f'query "{record["query_id"]}" has no text', "give --queries or --dataset")
            record["query"] = text
        for doc in record["docs"]:
            if "text" not in doc:
                doc["text"] = require_text(doc, self.corpus if self.has_corpus else None)
