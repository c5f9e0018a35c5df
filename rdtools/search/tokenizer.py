"""The tokenizer of BM25: words without English stop words, stemmed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import Stemmer

if TYPE_CHECKING:
    from numpy.typing import NDArray

STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these "
    "they this to was will with".split()  # Lucene's
)
_BLOCK = 10_000  # texts whose tokens are held as Python numbers at once
_STOPPED = -1

_words = re.compile(r"\w\w+").findall


class Analyzer:
    """Turns a text into the stems of its words: runs of two or more letters, digits or _, in lower case."""

    def __init__(self) -> None:
        self._stemmer = Stemmer.Stemmer("english")  # threads must not share it

    def stems(self, text: str) -> list[str]:
        return self._stemmer.stemWords([word for word in _words(text.lower()) if word not in STOP_WORDS])  # type: ignore[no-any-return]


class Vocabulary(dict[str, int]):
    """The number of the stem of each word; a word is stemmed once.

    Attributes:
        stems: the stems in the order of their numbers, which is the order of their first appearance.
    """

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(STOP_WORDS, _STOPPED))
        self.stems: dict[str, int] = {}
        self._stem = Stemmer.Stemmer("english").stemWord

    def __missing__(self, word: str) -> int:
        number = self[word] = self.stems.setdefault(self._stem(word), len(self.stems))
        return number


def tokenize(
    texts: Iterable[str], vocabulary: Vocabulary
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Yield the terms of some texts, one text after another, and the number of terms of each text."""
    number = vocabulary.__getitem__
    texts = iter(texts)
    while True:
        block, ends = array("i"), array("q", [0])
        for text in islice(texts, _BLOCK):
            block.extend(map(number, _words(text.lower())))
            ends.append(len(block))
        if len(ends) == 1:
            return
        words = np.frombuffer(block, np.int32)
        kept = words != _STOPPED
        yield words[kept], np.diff(np.concatenate([[0], np.cumsum(kept)])[ends])
