"""BM25 computed from its formula, text by text: what the index is compared with."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable

import Stemmer

from rdtools.search.tokenizer import STOP_WORDS


def words(text: str) -> list[str]:
    stem = Stemmer.Stemmer("english").stemWord
    return [stem(w) for w in re.findall(r"\b\w\w+\b", text.lower()) if w not in STOP_WORDS]


def single(number: float) -> float:
    return array("f", [number])[0]


def plain(texts: list[str], k1: float, b: float) -> Callable[..., list[float]]:
    """The scores of all texts by query: in full precision, and as our float32, rounded where it says so."""
    docs = [Counter(words(text)) for text in texts]
    lengths = [sum(doc.values()) for doc in docs]
    average = sum(lengths) / max(len(docs), 1) or 1
    df = Counter(word for doc in docs for word in doc)

    def scores(query: str, rounded: bool) -> list[float]:
        keep: Callable[[float], float] = single if rounded else float
        totals = [0.0] * len(docs)
        for term in words(query):
            idf = keep(math.log(1 + (len(docs) - df[term] + 0.5) / (df[term] + 0.5)))
            for row, doc in enumerate(docs):
                if tf := doc[term]:
                    share = idf * (tf / (k1 * ((1 - b) + b * lengths[row] / average) + tf))
                    totals[row] = keep(totals[row] + keep(share))
        return totals

    return scores


def exact(query: str, texts: list[str], k1: float, b: float) -> list[float]:
    return plain(texts, k1, b)(query, rounded=False)
