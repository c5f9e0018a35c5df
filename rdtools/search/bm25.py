"""BM25 as Lucene defines it, exact for any k1 and b.

score(q, d) = Σ_{t ∈ q} idf(t) · tf / (tf + k1·(1 − b + b·|d|/avgdl)),
idf(t) = ln(1 + (N − df + ½)/(df + ½)); a term repeated in the query counts again.
A term's impact on a text, one summand, is computed in float64 and stored as float32; impacts are added up in
float32, in the order of the query.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rdtools.core.checked_folder import DamagedIndexError, load_index
from rdtools.core.log import track
from rdtools.search import RankedRows
from rdtools.search.arrays import open_array, release
from rdtools.search.bm25_build import CountedTexts
from rdtools.search.bm25_postings import FEW, Postings, best_rows, inverse_document_frequency
from rdtools.search.index_folder import index_folder, load_or_build
from rdtools.search.resources import Resources
from rdtools.search.tokenizer import Analyzer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PARTS = 4  # of a batch for each thread, so that no thread waits long for another
_KEYS = 2**23  # of all queries searched together: 64 MiB
_SOON = 2**26  # rows that numpy reads in less time than compiled loops take to load
_STATISTICS = "statistics.json"
_VOCABULARY = "vocabulary.txt"


class Bm25:
    """An index of n texts, by row.

    Attributes:
        k1, b: the parameters of the index.
    """

    def __init__(
        self, postings: Postings, term_of_stem: dict[str, int], k1: float, b: float, average_length: float
    ) -> None:
        for array in postings:
            array.flags.writeable = False  # like arrays from a file, so that the loops are compiled once
        self._postings = postings
        self._term_of_stem = term_of_stem
        self._average_length = average_length
        self._analyzer = Analyzer()
        self._folder = Path()
        self._asked = 0
        self.k1 = k1
        self.b = b

    def __len__(self) -> int:
        return int(self._postings.lines.shape[1])

    @classmethod
    def build(cls, texts: Iterable[str], k1: float, b: float) -> Bm25:
        return cls.of(CountedTexts(texts, k1, b))

    @classmethod
    def of(cls, counted: CountedTexts) -> Bm25:
        return cls(counted.postings(), counted.term_of_stem, counted.k1, counted.b, counted.average_length)

    @classmethod
    def load(cls, folder: Path) -> Bm25:
        """Open a saved index; its arrays stay on disk, and queries read the parts that they need.

        Raises:
            ValueError: its files do not fit together.
        """
        postings = Postings(*(open_array(_file(folder, name)) for name in Postings._fields))
        postings.check()
        stems = (folder / _VOCABULARY).read_text(encoding="utf-8").split("\n")
        count = len(postings.line_of_term)
        terms = dict(zip(stems, range(count), strict=False))
        if len(terms) != count or len(stems) != max(count, 1):
            raise ValueError(f"{_VOCABULARY} has {len(terms):,} terms, not {count:,}")
        index = cls(postings, terms, **json.loads((folder / _STATISTICS).read_text()))
        index._folder = folder
        return index

    def search(self, queries: Sequence[str], depths: Sequence[int]) -> Iterator[RankedRows]:
        """Yield the ranking of each query to its own depth: the rows with a term of the query.

        Threads, one for each processor that this process may use, search a few queries at a time, ahead of
        the reader of the rankings. No ranking depends on the other queries.
        """
        release(self._postings.rows)
        release(self._postings.impacts)
        room = min(2 * max(depths, default=0) + 1024, len(self))
        share = max(1, min(-(-len(queries) // (_PARTS * _processors())), _KEYS // max(room, 1)))
        terms = [self._terms(query) for query in queries]
        starts = range(0, len(queries), share)
        parts = [(terms[start : start + share], depths[start : start + share], room) for start in starts]
        return chain.from_iterable(
            self._threads.map(self._search, *zip(*parts, strict=True)) if parts else ()
        )

    def _search(self, terms: Sequence[list[int]], depths: Sequence[int], room: int) -> list[RankedRows]:
        self._asked += len(terms)
        if len(self) <= FEW and self._asked * len(self) <= _SOON:
            return [_ranked(best_rows(self._postings, *own)) for own in zip(terms, depths, strict=True)]
        from rdtools.search.bm25_loops import find_best

        keys = np.empty((len(terms), room), np.int64)
        counts = find_best(
            self._postings,
            np.array([term for own in terms for term in own], np.int32),
            np.cumsum([0, *map(len, terms)]),
            np.minimum(np.array(depths, np.int64), len(self)),
            keys,
        )
        if (counts < 0).any():
            raise DamagedIndexError(self._folder, "the rows of a term are out of order")
        return [_ranked(np.sort(own[:count])) for own, count in zip(keys, counts, strict=True)]

    def score_rows(self, query: str, rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the scores of the texts at `rows`; 0 for a text without a term of the query."""
        wanted = np.array(rows, np.int32)
        scores = np.zeros(len(wanted), np.float32)
        for term in self._terms(query) if len(wanted) else ():
            own = slice(*self._postings.starts[term : term + 2])
            there, impacts = self._postings.rows[own], self._postings.impacts[own]
            places = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
            scores += np.where(there[places] == wanted, impacts[places], np.float32(0))
        return scores

    def score_text(self, query: str, text: str) -> float:
        """Return the score of any text, by the statistics of the indexed texts."""
        words = self._analyzer.stems(text)
        frequency = Counter(words)
        norm = self.k1 * (1 - self.b + self.b * len(words) / (self._average_length or 1))
        score = 0.0
        for word in self._analyzer.stems(query):
            tf = frequency[word]
            term = self._term_of_stem.get(word)
            if tf and term is not None:
                start, end = self._postings.starts[term : term + 2].tolist()
                score += inverse_document_frequency(end - start, len(self)) * tf / (tf + norm)
        return score

    def _terms(self, query: str) -> list[int]:
        terms = map(self._term_of_stem.get, self._analyzer.stems(query))
        return [term for term in terms if term is not None]

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_processors())


def open_bm25(resources: Resources) -> Bm25:
    """Index the corpus or load its index; without a corpus, load the index unchecked.

    Raises:
        RdError: see `load_or_build`. UsageError: there is neither a corpus nor an index.
    """
    settings = {
        "k1": resources.search.k1,
        "b": resources.search.b,
        "analysis": "english",
        "arrays": list(Postings._fields),
    }
    if not resources.collection.has_corpus and resources.search.index is not None:
        folder = index_folder(resources.search.index, "bm25", settings)
        if folder.exists():
            return load_index(folder, Bm25.load, verify=resources.search.verify)
    corpus = resources.collection.corpus

    def count() -> CountedTexts:
        texts = track(corpus.texts, "indexing", "doc")
        return CountedTexts(texts, resources.search.k1, resources.search.b, resources.search.memory_bytes)

    return load_or_build(resources.search, "bm25", settings, corpus, count, Bm25.of, save_bm25, Bm25.load)


def save_bm25(counted: CountedTexts, folder: Path) -> None:
    """Write what `Bm25.load` reads."""
    counted.save(folder)
    (folder / _VOCABULARY).write_text("\n".join(counted.term_of_stem), encoding="utf-8")
    statistics = {"k1": counted.k1, "b": counted.b, "average_length": counted.average_length}
    (folder / _STATISTICS).write_text(json.dumps(statistics))


def _ranked(keys: NDArray[np.int64]) -> RankedRows:
    """Return the rows and scores of keys, see `bm25_loops.find_best`."""
    return keys & 0xFFFFFFFF, (-(keys >> 32)).astype(np.int32).view(np.float32)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _processors() -> int:
    """Return the number of processors that this process may use, as `taskset` sets it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
