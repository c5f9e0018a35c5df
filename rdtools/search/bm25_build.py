"""Build the postings of BM25 in bounded memory: count the terms of texts block by block, then merge.

numpy sorts the terms of a block. What does not fit in the memory waits in a temporary file; the merge makes
the postings of some terms at a time, from all blocks. The result does not depend on the memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from rdtools.core.output import spooling
from rdtools.search.arrays import ArrayWriter, save_array
from rdtools.search.bm25_postings import Postings, inverse_document_frequency
from rdtools.search.tokenizer import Vocabulary, tokenize

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
_FREQUENT = 8  # a term in more than 1 of 8 documents has a line, which is faster to add as a whole


@dataclass(frozen=True)
class ColumnOnDisk:
    """A part of a file as an array of which slices are read."""

    file: IO[bytes]
    start: int
    dtype: np.dtype[Any]
    size: int

    def __getitem__(self, own: slice) -> NDArray[Any]:
        self.file.seek(self.start + own.start * self.dtype.itemsize)
        count = min(own.stop, self.size) - own.start
        return np.frombuffer(self.file.read(count * self.dtype.itemsize), self.dtype)


class PostingsBlock(NamedTuple):
    """The postings of some texts, by term and row."""

    terms: NDArray[np.int32] | ColumnOnDisk
    """(terms,) ascending."""
    starts: NDArray[np.int64] | ColumnOnDisk
    """(terms + 1,) the first posting of each."""
    rows: NDArray[Any] | ColumnOnDisk
    """(postings,) counted from the first of these texts."""
    frequencies: NDArray[Any] | ColumnOnDisk
    """(postings,)"""
    texts: int


class CountedTexts:
    """The terms of n texts, counted, of which the postings can be made.

    Attributes:
        k1, b: BM25's parameters.
        average_length: of the texts, in terms.
        term_of_stem: the terms, numbered from 0.
    """

    def __init__(self, texts: Iterable[str], k1: float, b: float, memory: int = sys.maxsize) -> None:
        """`memory`, in bytes, is that of the counts and of the merge; the vocabulary comes on top."""
        self.k1, self.b = k1, b
        self._most = max(1, memory // 64)  # postings, of 8 bytes, that are merged at once; two parts are held
        self._blocks: list[PostingsBlock] = []
        vocabulary, held = Vocabulary(), 0
        lengths, counts = [np.zeros(0, np.int64)], np.zeros(0, np.int64)
        file: IO[bytes] | None = None
        for tokens, own_lengths in tokenize(texts, vocabulary):
            terms, starts, rows, frequencies = _columns(tokens, own_lengths)
            block = PostingsBlock(terms, starts, rows, frequencies, len(own_lengths))
            lengths.append(own_lengths)
            counts = np.append(counts, np.zeros(len(vocabulary.stems) - len(counts), np.int64))
            counts[terms] += np.diff(starts)
            held += terms.nbytes + starts.nbytes + rows.nbytes + frequencies.nbytes
            if held > memory // 8:
                with spooling():
                    file = file or tempfile.TemporaryFile()  # noqa: SIM115
                    block = block._replace(
                        terms=_written(terms, file), starts=_written(starts, file),
                        rows=_written(rows, file), frequencies=_written(frequencies, file),
                    )  # fmt: skip
            self._blocks.append(block)
        self.term_of_stem = vocabulary.stems
        self._lengths = np.concatenate(lengths)
        self.average_length = float(self._lengths.mean()) if len(self._lengths) else 0.0
        n = len(self._lengths)
        self._idf = np.array([inverse_document_frequency(count, n) for count in counts.tolist()], np.float32)
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        frequent = np.flatnonzero(counts * _FREQUENT > n)
        self._line_of_term = np.full(len(counts), -1, np.int32)
        self._line_of_term[frequent] = np.arange(len(frequent))

    def postings(self) -> Postings:
        """Make the postings in memory."""
        parts = list(self._merged())
        lines = [line for part in parts for line in self._lines(part)]
        return Postings(
            self._starts,
            _joined([part.rows for part in parts], np.int32),
            _joined([part.impacts for part in parts], np.float32),
            self._line_of_term,
            np.array(lines) if lines else np.zeros((0, len(self._lengths)), np.float32),
        )

    def save(self, folder: Path) -> None:
        """Write the arrays of the postings, NAME.npy, some terms at a time."""
        total, frequent = int(self._starts[-1]), int((self._line_of_term >= 0).sum())
        with (
            ArrayWriter(folder / "rows.npy", np.int32, (total,)) as rows,
            ArrayWriter(folder / "impacts.npy", np.float32, (total,)) as impacts,
            ArrayWriter(folder / "lines.npy", np.float32, (frequent, len(self._lengths))) as lines,
        ):
            for part in self._merged():
                rows.write(part.rows)
                impacts.write(part.impacts)
                for line in self._lines(part):
                    lines.write(line)
        save_array(folder / "starts.npy", self._starts)
        save_array(folder / "line_of_term.npy", self._line_of_term)

    def _merged(self) -> Iterator[_Part]:
        """Yield the postings of some terms at a time; impacts are computed in float64."""
        norms = self.k1 * ((1 - self.b) + self.b * self._lengths / (self.average_length or 1))
        low, terms = 0, len(self._idf)
        merged = [0] * len(self._blocks)  # the terms of each block that earlier parts have
        while low < terms:
            begin = self._starts[low]
            high = max(low + 1, int(np.searchsorted(self._starts, begin + self._most, "right")) - 1)
            size = self._starts[high] - begin
            part = _Part(low, high, np.empty(size, np.int32), np.empty(size, np.float32))
            free, first_row = self._starts[low:high] - begin, 0
            for number, block in enumerate(self._blocks):
                left = merged[number]
                here = block.terms[left : left + high - low]
                here = here[: np.searchsorted(here, high)]
                merged[number] += len(here)
                starts = block.starts[left : left + len(here) + 1]
                own, counts = slice(int(starts[0]), int(starts[-1])), np.diff(starts)
                # The postings of a term follow those that earlier blocks have of it.
                places = np.arange(own.start, own.stop) + np.repeat(free[here - low] - starts[:-1], counts)
                free[here - low] += counts
                part.rows[places] = rows = first_row + block.rows[own].astype(np.int32)
                tf = block.frequencies[own].astype(np.float64)
                part.impacts[places] = np.repeat(self._idf[here], counts) * (tf / (norms[rows] + tf))
                first_row += block.texts
            yield part
            low = high

    def _lines(self, part: _Part) -> Iterator[NDArray[np.float32]]:
        """Yield the lines of the frequent terms of a part, (n,), in their order."""
        for term in part.first + np.flatnonzero(self._line_of_term[part.first : part.end] >= 0):
            own = slice(*(self._starts[term : term + 2] - self._starts[part.first]))
            line = np.zeros(len(self._lengths), np.float32)
            line[part.rows[own]] = part.impacts[own]
            yield line


class _Part(NamedTuple):
    """The postings of the terms from `first` to before `end`."""

    first: int
    end: int
    rows: NDArray[np.int32]
    impacts: NDArray[np.float32]


def _columns(
    tokens: NDArray[np.int32], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Return the first four fields of a `PostingsBlock`, of the terms of one text after another."""
    n = len(lengths)
    keys = tokens * np.int64(n) + np.repeat(np.arange(n), lengths)
    keys, frequencies = np.unique(keys, return_counts=True)
    terms, starts = np.unique(keys // n, return_index=True)
    starts = np.append(starts, len(keys))
    return terms.astype(np.int32), starts, _compact(keys % n), _compact(frequencies)


def _joined(parts: list[NDArray[Scalar]], dtype: type[Scalar]) -> NDArray[Scalar]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros(0, dtype), *parts])


def _compact(numbers: NDArray[np.int64]) -> NDArray[Any]:
    return numbers.astype(np.min_scalar_type(numbers.max(initial=0)))


def _written(column: NDArray[Any], file: IO[bytes]) -> ColumnOnDisk:
    """Append a column to a file, to be read from there."""
    start = file.seek(0, os.SEEK_END)
    file.write(column.tobytes())
    return ColumnOnDisk(file, start, column.dtype, len(column))
