"""A corpus that stays on disk, in the folder of `--index`: sorted once, opened by many processes."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

import orjson

from rdtools.core.checked_folder import load_index, save_folder, to_be_made
from rdtools.core.log import log, plural
from rdtools.core.output import writing
from rdtools.core.strings_on_disk import StringsOnDisk, StringWriter
from rdtools.data.corpus import Corpus, add_to_fingerprint, repeated
from rdtools.formats import Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OBJECTS = 300
"""Bytes that a document takes in memory beside its text: objects, pointers, the id."""
_READ = 2**16
"""Bytes of a sorted part that are read at a time."""
_FINGERPRINT = "fingerprint"


class StoredCorpus(Corpus):
    """A corpus whose ids and texts are read from files where they are needed."""

    def __init__(self, folder: Path) -> None:
        self.doc_ids = self._ids = StringsOnDisk(folder, "ids")
        self.texts = StringsOnDisk(folder, "texts")
        if len(self.doc_ids) != len(self.texts):
            raise ValueError(f"it has {len(self.doc_ids):,} ids and {len(self.texts):,} texts")
        self._fingerprint = (folder / _FINGERPRINT).read_text()

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        return _RowOf(self._ids)

    def doc_ids_at(self, rows: NDArray[np.int64]) -> list[str]:
        return list(map(self.doc_ids.__getitem__, rows.tolist()))

    @property
    def fingerprint(self) -> str:
        return self._fingerprint


class _RowOf(Mapping[str, int]):
    """The row of each doc_id, found by bisection."""

    def __init__(self, doc_ids: StringsOnDisk) -> None:
        self._doc_ids = doc_ids

    def __getitem__(self, doc_id: str) -> int:
        n = len(self._doc_ids)
        # They descend: from the last one on they ascend.
        place = bisect_left(range(n), doc_id, key=lambda place: self._doc_ids[n - 1 - place])
        row = n - 1 - place
        if place == n or self._doc_ids[row] != doc_id:
            raise KeyError(doc_id)
        return row

    def __len__(self) -> int:
        return len(self._doc_ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._doc_ids)


def open_stored(
    directory: str, source: str, documents: Iterable[tuple[str, str]], memory: int, reading: Reading
) -> StoredCorpus:
    """Open the documents of the file `source` from `directory`, where they are first sorted and written.

    They are written anew where path, size or time of the file, or the limits of `reading`, are others.

    Raises:
        RdError: a doc_id is repeated; what is in `directory` is damaged.
    """
    status = os.stat(source)
    own = [os.path.realpath(source), status.st_size, status.st_mtime_ns, reading.max_line, reading.on_error]
    key = hashlib.blake2b(json.dumps(own).encode(), digest_size=6).hexdigest()
    folder = Path(directory) / f"corpus-{key}"
    made = False
    with to_be_made(folder, "writing") as needed:
        if needed:
            with writing(f"index {folder}"):
                made = save_folder(folder, {"kind": "corpus"}, lambda part: _write(part, documents, memory))
    corpus: StoredCorpus = load_index(folder, StoredCorpus, just_written=made)
    log.debug("%s: %s on disk", source, plural(len(corpus), "document"))
    return corpus


def _write(folder: Path, documents: Iterable[tuple[str, str]], memory: int) -> None:
    """Write ids and texts in descending order of the ids, and the fingerprint: a merge of sorted parts."""
    digest, last = hashlib.blake2b(digest_size=16), None
    with (
        tempfile.TemporaryFile(dir=folder) as file,
        StringWriter(folder, "ids") as ids,
        StringWriter(folder, "texts") as texts,
    ):
        parts = [_read(file, *part) for part in _sorted_parts(file, documents, memory)]
        file.flush()
        for doc_id, text in heapq.merge(*parts, reverse=True):
            if doc_id == last:
                raise repeated(doc_id)
            last = doc_id
            ids.add(doc_id)
            texts.add(text)
            add_to_fingerprint(digest, doc_id, text)
    (folder / _FINGERPRINT).write_text(digest.hexdigest())


def _sorted_parts(
    file: IO[bytes], documents: Iterable[tuple[str, str]], memory: int
) -> Iterator[tuple[int, int]]:
    """Write the documents in parts, each sorted and small enough for the memory; yield where a part lies."""
    rows: list[tuple[str, str]] = []
    size = 0
    for document in chain(documents, [None]):
        if document is not None:
            rows.append(document)
            size += len(document[1]) + _OBJECTS
        if rows and (document is None or size > memory // 2):
            start = file.tell()
            file.writelines(orjson.dumps(row) + b"\n" for row in sorted(rows, reverse=True))
            yield start, file.tell()
            rows, size = [], 0


def _read(file: IO[bytes], start: int, end: int) -> Iterator[tuple[str, str]]:
    unfinished: list[bytes] = []
    while start < end:
        read = os.pread(file.fileno(), min(_READ, end - start), start)
        start += len(read)
        *lines, last = read.split(b"\n")
        for line in lines:
            doc_id, text = orjson.loads(b"".join([*unfinished, line]))
            unfinished = []
            yield doc_id, text
        unfinished.append(last)
