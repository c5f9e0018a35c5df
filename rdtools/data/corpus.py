"""The documents of a collection, by row and by id; the text of a document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rdtools.core.errors import BadLine, RdError
from rdtools.core.records import Doc
from rdtools.core.streams import open_lines
from rdtools.formats import Reading
from rdtools.formats.texts import read_corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Corpus:
    """Documents, a row each, in descending order of doc_id: the smaller row wins a tie. They are in memory.

    Attributes:
        doc_ids: n ids, descending as strings.
        texts: n texts, in the same order.
    """

    doc_ids: Sequence[str]
    texts: Sequence[str]

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        rows = sorted(documents, reverse=True)
        self.doc_ids = [doc_id for doc_id, _ in rows]
        self.texts = [text for _, text in rows]
        for before, after in pairwise(self.doc_ids):
            if before == after:
                raise repeated(after)

    def __len__(self) -> int:
        return len(self.doc_ids)

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        return {doc_id: row for row, doc_id in enumerate(self.doc_ids)}

    def doc_ids_at(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the ids of an array of rows."""
        found: list[str] = self._doc_id_array[rows].tolist()  # a third of the time of one by one
        return found

    @cached_property
    def _doc_id_array(self) -> NDArray[np.object_]:
        import numpy as np  # here, so that rd-eval starts without it

        return np.array(self.doc_ids, object)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all ids and texts, which tells whether a saved index belongs to this corpus."""
        digest = hashlib.blake2b(digest_size=16)
        for doc_id, text in zip(self.doc_ids, self.texts, strict=True):
            add_to_fingerprint(digest, doc_id, text)
        return digest.hexdigest()


def add_to_fingerprint(digest: Any, doc_id: str, text: str) -> None:
    digest.update(f"{len(doc_id)} {len(text)} {doc_id}{text}".encode())


def repeated(doc_id: str) -> RdError:
    return RdError(f'corpus: doc_id "{doc_id}" is repeated')


def find_text(doc: Doc, corpus: Corpus | None) -> str | None:
    """Return the text of a document: its own, or else that of the corpus; None if neither has one."""
    if "text" in doc:
        return doc["text"]
    row = None if corpus is None else corpus.row_of.get(doc["doc_id"])
    return None if corpus is None or row is None else corpus.texts[row]


def require_text(doc: Doc, corpus: Corpus | None, hint: str = "give --corpus or --dataset") -> str:
    """Return the text of a document as `find_text` does.

    Raises:
        BadLine: there is no text. `hint` tells how to give one if there is no corpus.
    """
    text = find_text(doc, corpus)
    if text is not None:
        return text
    if corpus is None:
        raise BadLine(f'document "{doc["doc_id"]}" has no text', hint)
    raise BadLine(f'document "{doc["doc_id"]}" is not in the corpus')


def read_corpus_file(path: str, reading: Reading = Reading()) -> Iterator[tuple[str, str]]:
    """Yield (doc_id, text) from BEIR JSONL or `doc_id⇥text`."""
    with open_lines(path, max_line=reading.max_line, on_error=reading.on_error) as lines:
        yield from read_corpus(lines)
