"""BM25 against computations of its own, by the formula: scores, rankings with their ties, texts that are not there."""

from __future__ import annotations

import math
import random
import shutil

import bm25s
import numpy as np
import pytest
import Stemmer
from bm25_by_formula import plain, words
from hypothesis import given, settings
from hypothesis import strategies as st

from rdtools.core.errors import RdError
from rdtools.search import bm25 as module
from rdtools.search import tokenizer
from rdtools.search.bm25 import Bm25, save_bm25
from rdtools.search.bm25_build import CountedTexts
from rdtools.search.tokenizer import Analyzer, Vocabulary, tokenize

PARAMETERS = [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0), (0.0, 1.0)]
WORDS = "boundary layers layer flowing flow plates wing wings the of heat jet jets nozzle".split()


@pytest.fixture(autouse=True, params=["numpy", "compiled loops"])
def searching(request, monkeypatch):
    """The way small indexes are searched at first, and that of others."""
    if request.param == "compiled loops":
        monkeypatch.setattr(module, "_SOON", -1)


def ranking(scores: list[float], depth: int) -> list[tuple[int, float]]:
    found = [(row, score) for row, score in enumerate(scores) if score > 0]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:depth]


def searched(index: Bm25, queries: list[str], depths: list[int]) -> list[list[tuple[int, float]]]:
    return [
        list(zip(rows.tolist(), scores.tolist(), strict=True))
        for rows, scores in index.search(queries, depths)
    ]


def some_texts(n: int, longest: int = 12) -> list[str]:
    rng = random.Random(5)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, longest))) for _ in range(n)]


@pytest.mark.parametrize(("k1", "b"), PARAMETERS)
def test_scores_and_rankings_are_those_of_the_formula(k1, b):
    texts = some_texts(60)
    scores, index = plain(texts, k1, b), Bm25.build(texts, k1, b)
    queries = ["boundary layer flow", "jets jet jet of heat", "nothing known", "", "the"]
    for query in queries:
        exact = scores(query, rounded=False)
        np.testing.assert_allclose(index.score_rows(query, range(60)), exact, rtol=2e-6, atol=1e-7)
        np.testing.assert_allclose([index.score_text(query, text) for text in texts], exact, rtol=1e-12)
        single_precision = scores(query, rounded=True)
        assert index.score_rows(query, range(60)).tolist() == single_precision
        for depth in (1, 7, 1000):
            assert searched(index, [query], [depth]) == [ranking(single_precision, depth)]


def test_hand_worked():
    # N = 2, df = 1: idf = ln(1 + 1.5/1.5) = ln 2; |d| = avgdl = 1: tf/(tf + k1) = 1/2.2
    index = Bm25.build(["wing", "nozzle"], 1.2, 0.75)
    [[(row, score)]] = searched(index, ["wing"], [5])
    assert row == 0
    assert score == pytest.approx(math.log(2) / 2.2)
    assert index.score_rows("wing", [0, 1]).tolist() == pytest.approx([math.log(2) / 2.2, 0.0])


@pytest.mark.parametrize("texts", [[], [""], ["", "the of and"], ["nozzle"]])
def test_nothing_to_find_is_nothing_found(texts, tmp_path):
    index = Bm25.build(texts, 1.2, 0.75)
    save_bm25(CountedTexts(texts, 1.2, 0.75), tmp_path)
    for each in (index, Bm25.load(tmp_path)):
        assert searched(each, ["wing", ""], [5, 1]) == [[], []]
        assert each.score_rows("wing", range(len(texts))).tolist() == [0.0] * len(texts)
        assert each.score_text("wing", "wing") == 0.0
    assert list(index.search([], [])) == []


def test_saved_and_loaded_is_the_same(tmp_path):
    texts = ["boundary layer", "a jet and a nozzle", "wing", "Größe_2 ﬁn"]
    index = Bm25.build(texts, 0.9, 0.4)
    save_bm25(CountedTexts(texts, 0.9, 0.4), tmp_path)
    again = Bm25.load(tmp_path)
    assert (again.k1, again.b) == (0.9, 0.4)
    queries = ["jet wing", "größe_2", "layers"]
    assert searched(again, queries, [9] * 3) == searched(index, queries, [9] * 3)
    assert [len(found) for found in searched(again, queries, [9] * 3)] == [2, 1, 1]
    assert again.score_text("jet", "jet jet") == index.score_text("jet", "jet jet") > 0


UNFIT = {
    "starts: descending": ("starts", lambda a: a[::-1].copy(), "starts are not those of its terms"),
    "starts: too few": ("starts", lambda a: a[:-1], "starts are not those of its terms"),
    "starts: too far": ("starts", lambda a: a + (a == a[-1]), r"it has 5 rows and 5 impacts, not 6"),
    "rows: too few": ("rows", lambda a: a[:-1], "it has 4 rows and 5 impacts, not 5"),
    "rows: of another type": ("rows", lambda a: a.astype(np.int64), "rows has another type or shape"),
    "impacts: too many": ("impacts", lambda a: np.repeat(a, 2), "it has 5 rows and 10 impacts, not 5"),
    "impacts: of another shape": ("impacts", lambda a: a[:, None], "impacts has another type or shape"),
    "line_of_term: too large": ("line_of_term", lambda a: a + 9, "line_of_term has places out of bounds"),
    "line_of_term: too small": ("line_of_term", lambda a: a - 9, "line_of_term has places out of bounds"),
    "rows: negative": ("rows", lambda a: a - 1, "the rows of a term are out of order"),
    "rows: too large": ("rows", lambda a: a + 11, "the rows of a term are out of order"),
    "rows: out of order": ("rows", lambda a: a[::-1].copy(), "the rows of a term are out of order"),
    "lines: by column": ("lines", lambda a: np.asfortranarray(np.tile(a, (2, 1))), "lines has another type"),
}


@pytest.mark.parametrize("damage", UNFIT)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path, damage):
    """Also where the checksums fit: the compiled loops check no bounds."""
    name, change, says = UNFIT[damage]
    save_bm25(CountedTexts(["wing", "wing jet", "heat", "nozzle"] + ["the"] * 8, 1.2, 0.75), tmp_path)
    file = tmp_path / f"{name}.npy"
    np.save(file, change(np.load(file)))
    with pytest.raises(ValueError, match=says):
        Bm25.load(tmp_path)


@pytest.mark.parametrize("words", ["wing", "wing\njet\nheat\nheat", "a\nb\nc\nd\ne", ""])
def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path, words):
    save_bm25(CountedTexts(["wing jet", "heat", "nozzle"], 1.2, 0.75), tmp_path)
    (tmp_path / "vocabulary.txt").write_text(words)
    with pytest.raises(ValueError, match=r"vocabulary.txt has \d terms, not 4"):
        Bm25.load(tmp_path)


@pytest.fixture(scope="module")
def three_blocks(tmp_path_factory):
    """An index whose term "wing" is in one row of each of three blocks."""
    texts = ["filler"] * 140_000
    for at in (5, 70_000, 139_999):
        texts[at] = "wing"
    texts[4] = "jet"
    folder = tmp_path_factory.mktemp("blocks")
    save_bm25(CountedTexts(texts, 1.2, 0.75), folder)
    return folder


@pytest.mark.parametrize("row", [-1, -(2**31), 2**31 - 1, 140_000, 69_999, 3])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_out_of_bounds_or_order_is_not_read_but_refused(tmp_path, three_blocks, row, place):
    """Rows are read only when a query needs them."""
    shutil.copytree(three_blocks, tmp_path, dirs_exist_ok=True)
    rows, starts = np.load(tmp_path / "rows.npy"), np.load(tmp_path / "starts.npy")
    stems = (tmp_path / "vocabulary.txt").read_text().split("\n")
    term = stems.index("wing")
    own = slice(starts[term], starts[term + 1])
    assert rows[own].tolist() == [5, 70_000, 139_999]
    rows[starts[term] + place] = row
    np.save(tmp_path / "rows.npy", rows)
    index = Bm25.load(tmp_path)
    [[(found, score)]] = searched(index, ["jet"], [9])
    assert found == 4
    assert score == pytest.approx(index.score_text("jet", "jet"), rel=1e-6)
    in_order = [row // 2**16 for row in rows[own]] == sorted(row // 2**16 for row in rows[own])
    if in_order and 0 <= row < 140_000:
        assert {found for found, _ in searched(index, ["wing"], [9])[0]} == set(rows[own].tolist())
    else:
        with pytest.raises(RdError, match=rf"index {tmp_path}: it is damaged: the rows of a term are out of"):
            searched(index, ["jet", "wing"], [9, 9])


@pytest.mark.parametrize("memory", [1, 2_000, 20_000])
def test_less_memory_makes_the_same_bytes(tmp_path, monkeypatch, memory):
    """Blocks of 7 texts, which wait in a file; some terms, or a single one, are merged at a time."""
    monkeypatch.setattr(tokenizer, "_BLOCK", 7)
    texts = some_texts(200)
    for name, counted in {
        "whole": CountedTexts(texts, 1.2, 0.75),
        "part": CountedTexts(texts, 1.2, 0.75, memory),
    }.items():
        (tmp_path / name).mkdir()
        save_bm25(counted, tmp_path / name)
        joined = counted.postings()
        assert {each: getattr(joined, each).tobytes() for each in joined._fields} == {
            each: np.load(tmp_path / name / f"{each}.npy").tobytes() for each in joined._fields
        }
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "part" / file.name).read_bytes(), file.name


def test_a_block_that_waits_in_a_file_keeps_no_array(monkeypatch):
    monkeypatch.setattr(tokenizer, "_BLOCK", 7)
    blocks = CountedTexts(some_texts(200), 1.2, 0.75, memory=1)._blocks
    assert len(blocks) == 29
    assert not [column for block in blocks for column in block if isinstance(column, np.ndarray)]


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.0, 1.0)])
def test_rankings_reach_over_blocks_of_rows(k1, b):
    """More rows than the loops hold at once; with k1 = 0 every score is one of few, so that ties decide."""
    texts = some_texts(70_000, longest=3)
    for row in range(0, 70_000, 700):
        texts[row] += " rare"
    scores, index = plain(texts, k1, b), Bm25.build(texts, k1, b)
    queries = ["rare", "jet nozzle", "rare heat", "wing rare flow rare"]
    depths = [1000, 50, 2500, 80_000]
    expected = [ranking(scores(query, True), depth) for query, depth in zip(queries, depths, strict=True)]
    assert searched(index, queries, depths) == expected


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), max_size=12),
    st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), max_size=9),
    st.integers(1, 14),
    st.sampled_from(PARAMETERS),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_no_ranking_depends_on_the_batch_or_the_threads(texts, queries, depth, parameters, processors):
    scores, index = plain(texts, *parameters), Bm25.build(texts, *parameters)
    depths = [depth + place for place in range(len(queries))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_processors", lambda: processors)
        together = searched(index, queries, depths)
    assert together == [
        ranking(scores(query, True), each) for query, each in zip(queries, depths, strict=True)
    ]


def test_a_batch_that_needs_much_room_is_searched_in_parts(monkeypatch):
    index = Bm25.build(some_texts(300), 1.2, 0.75)
    queries = ["wing jet", "heat", "boundary flow"] * 5
    whole = searched(index, queries, [50] * 15)
    monkeypatch.setattr(module, "_KEYS", 300)  # room for one query
    assert searched(index, queries, [50] * 15) == whole


def test_words_are_those_of_bm25s():
    texts = [
        *some_texts(20),
        "The U.S. isn't naïve: x2 a_b  ß Éclair's İstanbul",
        "running RUNS ran _ __ 7 77",
    ]
    stems = Analyzer().stems
    expected = bm25s.tokenize(
        texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    assert [stems(text) for text in texts] == expected
    vocabulary = Vocabulary()
    ((tokens, lengths),) = tokenize(texts, vocabulary)
    names = list(vocabulary.stems)
    assert [names[token] for token in tokens] == [word for text in expected for word in text]
    assert lengths.tolist() == [len(text) for text in expected]


def test_scores_are_those_of_bm25s_to_the_last_bit():
    texts, queries = some_texts(400, longest=40), ["boundary layer flow", "jets jet jet of heat", "wing"]
    index, peer = Bm25.build(texts, 0.9, 0.4), bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    peer.index([words(text) for text in texts], show_progress=False)
    # NumPy 1 promotes a float32 scalar times a Python float to float64, so that bm25s rounds elsewhere.
    ulps = 0 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 2
    for query in queries:
        theirs = peer.get_scores([word for word in words(query) if word in peer.vocab_dict])
        np.testing.assert_array_max_ulp(index.score_rows(query, range(400)), theirs, ulps)
