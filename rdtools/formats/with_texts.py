"""The texts of a training file that holds ids only, as its library reads them (`--with-texts`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rdtools.core.errors import BadLine, RdError
from rdtools.core.output import Output, open_output, spooling
from rdtools.core.records import Record
from rdtools.formats.peers.parts import query_text, single_spaced, title_and_text
from rdtools.formats.records import dump, parse_json


@contextmanager
def open_texts(name: str, folder: str) -> Iterator[TextFiles]:
    """Open the files of format `name` in a folder; each appears whole, or not at all."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RdError(f"{folder}: cannot make the folder: {error.strerror}") from error
    kind = {"pylate": PylateTexts, "tevatron-ids": TevatronCorpus}.get(name, ColbertTexts)
    with ExitStack() as stack:
        texts = kind({one: stack.enter_context(open_output(f"{folder}/{one}")) for one in kind.names})
        yield texts
        texts.finish()


class TextFiles(ABC):
    """Writes each query and each document once. Memory holds their ids.

    Attributes:
        names: the files.
        renumbers: ids of the training file are numbers that these files give.
        has_numbers: ids of the training file are integers.
    """

    names: tuple[str, ...]
    renumbers = False

    def __init__(self, files: dict[str, Output]) -> None:
        self.has_numbers = False
        self._files = files
        self._queries: dict[str, int] = {}
        self._docs: dict[str, int] = {}

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """Write the new texts of each record, and yield it as the training file has it.

        Raises:
            RdError: a text is missing, or the files cannot hold it.
        """
        for record in records:
            try:
                yield self._add(record)
            except BadLine as error:
                raise error.for_query(record["query_id"]) from None

    def _add(self, record: Record) -> Record:
        if record["query_id"] not in self._queries:
            self._add_query(record["query_id"], query_text(record))
            self._queries[record["query_id"]] = len(self._queries)
        for doc in record["docs"]:
            if doc["doc_id"] not in self._docs:
                self._add_doc(doc["doc_id"], *title_and_text(doc))
                self._docs[doc["doc_id"]] = len(self._docs)
        return record

    @abstractmethod
    def _add_query(self, query_id: str, text: str) -> None: ...

    @abstractmethod
    def _add_doc(self, doc_id: str, title: str, text: str) -> None: ...

    def finish(self) -> None:
        """Write what had to wait for the last record."""
        return


class PylateTexts(TextFiles):
    """`{"query_id", "text"}` and `{"document_id", "text"}`, with ids of the type of the training file's."""

    names = ("queries.jsonl", "documents.jsonl")

    def __init__(self, files: dict[str, Output]) -> None:
        super().__init__(files)
        import tempfile

        with spooling():
            self._waiting = tempfile.TemporaryFile()  # noqa: SIM115

    def _add_query(self, query_id: str, text: str) -> None:
        self._wait("queries.jsonl", "query_id", query_id, text)

    def _add_doc(self, doc_id: str, title: str, text: str) -> None:
        self._wait("documents.jsonl", "document_id", doc_id, f"{title} {text}".strip() if title else text)

    def _wait(self, *fields: str) -> None:
        with spooling():
            self._waiting.write(dump(fields))

    def finish(self) -> None:
        with spooling(), self._waiting:
            self._waiting.seek(0)
            for line in self._waiting:
                file, key, identifier, text = parse_json(line)
                self._files[file].write(
                    dump({key: int(identifier) if self.has_numbers else identifier, "text": text})
                )


class TevatronCorpus(TextFiles):
    """`{"docid", "title", "text"}`; the training file has the texts of queries."""

    names = ("corpus.jsonl",)

    def _add_query(self, query_id: str, text: str) -> None:
        pass

    def _add_doc(self, doc_id: str, title: str, text: str) -> None:
        self._files["corpus.jsonl"].write(dump({"docid": doc_id, "title": title, "text": text}))


class ColbertTexts(TextFiles):
    """`queries.tsv` and `collection.tsv`, whose ids are line numbers from 0, as ColBERT wants them.

    `query_ids.tsv` and `doc_ids.tsv` have the ids of the records: number⇥id.
    """

    names = ("queries.tsv", "collection.tsv", "query_ids.tsv", "doc_ids.tsv")
    renumbers = True

    def _add(self, record: Record) -> Record:
        super()._add(record)
        docs = [{**doc, "doc_id": self._docs[doc["doc_id"]]} for doc in record["docs"]]
        return {**record, "query_id": self._queries[record["query_id"]], "docs": docs}  # type: ignore[typeddict-item]

    def _add_query(self, query_id: str, text: str) -> None:
        self._write_row("queries.tsv", "query_ids.tsv", len(self._queries), query_id, text)

    def _add_doc(self, doc_id: str, title: str, text: str) -> None:
        self._write_row("collection.tsv", "doc_ids.tsv", len(self._docs), doc_id, f"{title} {text}")

    def _write_row(self, texts: str, ids: str, number: int, identifier: str, text: str) -> None:
        self._files[texts].write(f"{number}\t{single_spaced(text)}\n".encode())
        self._files[ids].write(f"{number}\t{identifier}\n".encode())
