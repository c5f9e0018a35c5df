"""The documents of a collection, in memory, by row and by id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from rdtools.core.errors import RdError
from rdtools.core.streams import open_lines
from rdtools.formats import Reading
from rdtools.formats.texts import read_corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


def read_corpus_file(path: str, reading: Reading = Reading()) -> Iterator[tuple[str, str]]:
    """Yield (doc_id, text) from BEIR JSONL or `doc_id⇥text`."""
    with open_lines(path, max_line=reading.max_line, on_error=reading.on_error) as lines:
        yield from read_corpus(lines)
