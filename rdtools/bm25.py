"""BM25 as Lucene defines it, exact for any k1 and b, over the arrays that bm25s builds.

score(q, d) = Σ_{t ∈ q} idf(t) · tf / (tf + k1·(1 − b + b·|d|/avgdl)),
idf(t) = ln(1 + (N − df + ½)/(df + ½)); a term that stands twice in the query counts twice.
Words are runs of two or more letters or digits, lower-cased, without English stop words, stemmed by
Snowball's English stemmer.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bm25s
import numpy as np
import Stemmer

from rdtools.indexes import index_folder, kept_index, load_index
from rdtools.log import bars_shown
from rdtools.setting import Setting

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STATISTICS = "statistics.json"


class Bm25:
    """An index of n texts, held by row.

    Attributes:
        k1, b: the parameters it was built with.
    """

    def __init__(self, index: Any, average_length: float) -> None:
        self._index = index
        self._average_length = average_length
        self._stem = Stemmer.Stemmer("english")
        self.k1: float = index.k1
        self.b: float = index.b

    @classmethod
    def build(cls, texts: Sequence[str], k1: float, b: float) -> Bm25:
        index = bm25s.BM25(method="lucene", k1=k1, b=b)
        tokens = _tokenize(texts, Stemmer.Stemmer("english"), return_ids=True)
        # An index needs a term and a document: this one, of no text, is never found.
        vocabulary = tokens.vocab or {"": 0}
        with np.errstate(invalid="ignore", divide="ignore"):  # where no text has a word, the mean length is 0
            index.index((tokens.ids or [[]], vocabulary), show_progress=bars_shown(), leave_progress=False)
        index.scores["num_docs"] = len(texts)
        return cls(index, sum(map(len, tokens.ids)) / max(len(texts), 1))

    def save(self, folder: Path) -> None:
        self._index.save(folder, show_progress=False)
        (folder / _STATISTICS).write_text(json.dumps({"average_length": self._average_length}))

    @classmethod
    def load(cls, folder: Path) -> Bm25:
        statistics = json.loads((folder / _STATISTICS).read_text())
        return cls(bm25s.BM25.load(folder, mmap=True, show_progress=False), statistics["average_length"])

    def scores(self, query: str) -> NDArray[np.float32]:
        """Return the scores of all texts, (n,) float32; 0 where no term of the query occurs."""
        arrays = self._index.scores
        scores = np.zeros(arrays["num_docs"], np.float32)
        for term in self._terms(query):
            postings = slice(arrays["indptr"][term], arrays["indptr"][term + 1])
            scores[arrays["indices"][postings]] += arrays["data"][postings]
        return scores

    def score_text(self, query: str, text: str) -> float:
        """Score any text by the statistics of the indexed ones."""
        words = _tokenize([text], self._stem, return_ids=False)[0]
        frequency = Counter(words)
        norm = self.k1 * (1 - self.b + self.b * len(words) / (self._average_length or 1))
        score = 0.0
        for word in _tokenize([query], self._stem, return_ids=False)[0]:
            tf = frequency[word]
            if tf and word in self._index.vocab_dict:
                score += self._idf(self._index.vocab_dict[word]) * tf / (tf + norm)
        return score

    def _idf(self, term: int) -> float:
        arrays = self._index.scores
        df = int(arrays["indptr"][term + 1] - arrays["indptr"][term])
        return math.log(1 + (arrays["num_docs"] - df + 0.5) / (df + 0.5))

    def _terms(self, query: str) -> list[int]:
        vocabulary = self._index.vocab_dict
        return [
            vocabulary[word]
            for word in _tokenize([query], self._stem, return_ids=False)[0]
            if word in vocabulary
        ]


def open_bm25(setting: Setting) -> Bm25:
    """Index the corpus, or load its index; with an index and no corpus, take that index as it is.

    Raises:
        RdError: see `kept_index`. UsageError: there is neither a corpus nor an index.
    """
    settings = {"k1": setting.k1, "b": setting.b, "analysis": "english"}
    if not setting.collection.has_corpus and setting.index is not None:
        folder = index_folder(setting.index, "bm25", settings)
        if folder.exists():
            return load_index(folder, Bm25.load)
    corpus = setting.collection.corpus

    def build() -> Bm25:
        return Bm25.build(corpus.texts, setting.k1, setting.b)

    return kept_index(setting.index, "bm25", settings, corpus, build, Bm25.save, Bm25.load)


def _tokenize(texts: Sequence[str], stemmer: Any, *, return_ids: bool) -> Any:
    return bm25s.tokenize(
        list(texts),
        stopwords="en",
        stemmer=stemmer,
        return_ids=return_ids,
        show_progress=False,
    )
