"""BM25 against a computation of its own, by the formula, and the ranking with its ties."""

from __future__ import annotations

import math
import random
import re

import bm25s
import numpy as np
import pytest
import Stemmer

from rdtools.bm25 import Bm25
from rdtools.sources.ranked import best_rows

STOP_WORDS = set(bm25s.tokenization._infer_stopwords("en"))


def words(text: str) -> list[str]:
    stem = Stemmer.Stemmer("english").stemWord
    return [stem(w) for w in re.findall(r"\b\w\w+\b", text.lower()) if w not in STOP_WORDS]


def exact(query: str, texts: list[str], k1: float, b: float) -> list[float]:
    docs = [words(text) for text in texts]
    average = sum(map(len, docs)) / len(docs)
    scores = []
    for doc in docs:
        score = 0.0
        for term in words(query):
            df = sum(term in other for other in docs)
            idf = math.log(1 + (len(docs) - df + 0.5) / (df + 0.5))
            tf = doc.count(term)
            if tf:
                score += idf * tf / (tf + k1 * (1 - b + b * len(doc) / average))
        scores.append(score)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0), (0.0, 1.0)])
def test_scores_are_those_of_the_formula(k1, b):
    rng = random.Random(5)
    vocabulary = "boundary layers layer flowing flow plates wing wings the of heat jet jets nozzle".split()
    texts = [" ".join(rng.choices(vocabulary, k=rng.randint(0, 12))) for _ in range(60)]
    index = Bm25.build(texts, k1, b)
    for query in ("boundary layer flow", "jets jet jet of heat", "nothing known", ""):
        expected = exact(query, texts, k1, b)
        np.testing.assert_allclose(index.scores(query), expected, rtol=2e-6, atol=1e-7)
        one_by_one = [index.score_text(query, text) for text in texts]
        np.testing.assert_allclose(one_by_one, expected, rtol=1e-12)


def test_hand_worked():
    # N = 2, df = 1: idf = ln(1 + 1.5/1.5) = ln 2; |d| = avgdl = 1: tf/(tf + k1) = 1/2.2
    index = Bm25.build(["wing", "nozzle"], 1.2, 0.75)
    assert index.scores("wing").tolist() == pytest.approx([math.log(2) / 2.2, 0.0])


@pytest.mark.parametrize("texts", [[], [""], ["", "the of and"]])
def test_nothing_to_index_is_nothing_found(texts):
    index = Bm25.build(texts, 1.2, 0.75)
    assert index.scores("wing").tolist() == [0.0] * len(texts)
    assert index.score_text("wing", "wing") == 0.0


def test_saved_and_loaded_is_the_same(tmp_path):
    texts = ["boundary layer", "a jet and a nozzle", "wing"]
    index = Bm25.build(texts, 0.9, 0.4)
    index.save(tmp_path)
    again = Bm25.load(tmp_path)
    assert (again.k1, again.b) == (0.9, 0.4)
    assert again.scores("jet wing").tolist() == index.scores("jet wing").tolist()
    assert again.score_text("jet", "jet jet") == index.score_text("jet", "jet jet")


def test_best_rows_break_ties_by_row_also_at_the_cut():
    scores = np.array([1, 3, 2, 3, 2, 2, 0], np.float32)
    assert best_rows(scores, 4).tolist() == [1, 3, 2, 4]
    assert best_rows(scores, 100).tolist() == [1, 3, 2, 4, 5, 0, 6]
    assert best_rows(scores, 1).tolist() == [1]
    rng = np.random.default_rng(0)
    for _ in range(200):
        some = rng.integers(0, 5, rng.integers(1, 40)).astype(np.float32)
        depth = int(rng.integers(1, 45))
        expected = sorted(range(len(some)), key=lambda row: (-some[row], row))[:depth]
        assert best_rows(some, depth).tolist() == expected
