"""Collections: a corpus, queries and judgements, from files or under one name (`--dataset`).

A dataset is an object with `documents()`, `queries()` and `qrels()`; a new kind is one module and one
line in DATASETS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rdtools.errors import BadLine, RdError, UsageError
from rdtools.formats import Reading, read_records
from rdtools.formats.qrels import read_qrels
from rdtools.formats.texts import read_corpus
from rdtools.log import track
from rdtools.records import Qrels, Record
from rdtools.registry import resolve, split_spec
from rdtools.streams import open_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DATASETS = {
    "pydoc": "rdtools.collections.pydoc:Pydoc",
    "irds": "rdtools.collections.irds:IrDataset",
}


class Dataset(Protocol):
    def documents(self) -> Iterable[tuple[str, str]]:
        """Yield (doc_id, text)."""

    def queries(self) -> Iterable[Record]:
        """Yield queries as records without docs."""

    def qrels(self) -> Qrels: ...


class Corpus:
    """Documents held in memory, by row. Rows go by descending doc_id, so a smaller row wins a tie.

    Attributes:
        doc_ids: n ids, descending as strings.
        texts: n texts, in the same order.
    """

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        rows = sorted(documents, reverse=True)
        self.doc_ids = [doc_id for doc_id, _ in rows]
        self.texts = [text for _, text in rows]
        for before, after in pairwise(self.doc_ids):
            if before == after:
                raise RdError(f'corpus: doc_id "{after}" stands twice')

    def __len__(self) -> int:
        return len(self.doc_ids)

    @cached_property
    def row_of(self) -> dict[str, int]:
        return {doc_id: row for row, doc_id in enumerate(self.doc_ids)}

    @cached_property
    def doc_id_array(self) -> NDArray[np.object_]:
        """`doc_ids` to be picked from by an array of rows."""
        import numpy as np  # here, so that rd-eval starts without it

        return np.array(self.doc_ids, object)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all ids and texts: what an index that is kept was built from."""
        digest = hashlib.blake2b(digest_size=16)
        for doc_id, text in zip(self.doc_ids, self.texts, strict=True):
            digest.update(f"{len(doc_id)} {len(text)} {doc_id}{text}".encode())
        return digest.hexdigest()


def open_dataset(dataset: str, reading: Reading = Reading()) -> Dataset:
    """Open `pydoc:test`, `irds:NAME` or a folder in BEIR layout, `DIR` or `DIR:SPLIT`."""
    name, argument = split_spec(dataset)
    if name in DATASETS:
        opened: Dataset = resolve(DATASETS, name, "dataset")(argument)
        return opened
    from rdtools.collections.beir import BeirFolder

    folder, colon, split = dataset.rpartition(":")
    if Path(dataset).is_dir() or not colon:
        folder, split = dataset, ""
    if not folder or not Path(folder).is_dir():
        kinds = ", ".join(f"{kind}[:…]" for kind in DATASETS)
        raise UsageError(f"dataset {dataset}: no such folder (give a folder in BEIR layout, or {kinds})")
    return BeirFolder(Path(folder), split, reading)


@dataclass(frozen=True)
class Collection:
    """What `--dataset`, `--corpus`, `--queries` and `--qrels` name together, each part read when asked for.

    A file that is named goes before the same part of the dataset.
    """

    dataset_id: str | None = None
    corpus_path: str | None = None
    queries_path: str | None = None
    qrels_path: str | None = None
    reading: Reading = Reading()

    @cached_property
    def dataset(self) -> Dataset | None:
        return open_dataset(self.dataset_id, self.reading) if self.dataset_id is not None else None

    @property
    def has_corpus(self) -> bool:
        return self.corpus_path is not None or self.dataset_id is not None

    @cached_property
    def corpus(self) -> Corpus:
        if self.corpus_path is not None:
            documents: Iterable[tuple[str, str]] = read_corpus_file(self.corpus_path, self.reading)
        elif self.dataset is not None:
            documents = self.dataset.documents()
        else:
            raise UsageError("a corpus is needed (give --dataset or --corpus)")
        corpus = Corpus(track(documents, "reading corpus", "doc"))
        if not len(corpus):
            name = self.corpus_path or self.dataset_id
            raise RdError(f"{name}: no documents (give another --corpus or --dataset)")
        return corpus

    @cached_property
    def qrels(self) -> Qrels:
        if self.qrels_path is not None:
            return read_qrels(self.qrels_path, self.reading)
        return self.dataset.qrels() if self.dataset is not None else {}

    def queries(
        self, paths: Sequence[str], check: Callable[[Record], None] | None = None
    ) -> Iterable[Record]:
        """Yield queries as records: from FILES (- is stdin), --queries, the dataset, or else stdin.

        `check` looks at those of files, as in `read_records`; queries of a dataset always have their text.
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

    def complete(self, record: Record) -> None:
        """Fill in the texts that a record lacks: its query's, and its documents'.

        Raises:
            BadLine: a text is nowhere to be had.
        """
        if "query" not in record:
            text = self._query_texts.get(record["query_id"])
            if text is None:
                raise BadLine(f'query "{record["query_id"]}" has no text', "give --queries or --dataset")
            record["query"] = text
        for doc in record["docs"]:
            if "text" not in doc:
                if not self.has_corpus:
                    raise BadLine(f'document "{doc["doc_id"]}" has no text', "give --corpus or --dataset")
                row = self.corpus.row_of.get(doc["doc_id"])
                if row is None:
                    raise BadLine(f'document "{doc["doc_id"]}" is not in the corpus')
                doc["text"] = self.corpus.texts[row]

    @property
    def has_queries(self) -> bool:
        return self.queries_path is not None or self.dataset_id is not None


def load_qrels(dataset: str) -> Qrels:
    """Return the judgements of a dataset: query_id -> doc_id -> grade."""
    return open_dataset(dataset).qrels()


def read_corpus_file(path: str, reading: Reading = Reading()) -> Iterator[tuple[str, str]]:
    """Yield (doc_id, text) from BEIR JSONL or `doc_id⇥text`."""
    with open_lines(path, max_line=reading.max_line, on_error=reading.on_error) as lines:
        yield from read_corpus(lines)
