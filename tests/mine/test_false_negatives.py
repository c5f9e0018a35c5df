"""Suspected false negatives: what margins and near-copies catch, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from mined import QUERY, Fixed, ids, miner_of

from rdtools.core.errors import UsageError
from rdtools.data.corpus import Corpus
from rdtools.mine.judged_query import JudgedQuery, jaccard, shingles
from rdtools.mine.options import Selection

TEXTS = {
    "p": "Heat flows from a hot plate to cold air.",
    "near": "heat flows from a hot plate, to warm air!",  # 5 of 9 runs shared
    "far": "heat flows in a hot plate",
    "same": "heat flows from a  HOT plate to cold air.",
    "short": "hot plate",
    "empty": "",
}
CORPUS = Corpus(TEXTS.items())
RANKED = ["near", "p", "far", "short", "empty"]
SCORES = [9.0, 8.0, 7.0, 2.0, 1.0]


def mined(qrels, sources=None, **selection):
    options = {"num_negatives": 2, "sampling": "top", **selection}
    miner = miner_of(sources or [Fixed(RANKED, SCORES)], Selection(**options), {"q": qrels}, CORPUS)
    return next(miner.mine([QUERY]))["docs"], list(miner.tally.lines())


def test_suspects_are_dropped_unless_told_otherwise():
    for treatment in ({}, {"false_negatives": "drop"}):
        docs, account = mined({"p": 1}, absolute_margin=1.5, **treatment)
        assert [doc["doc_id"] for doc in docs] == ["p", "short", "empty"]
        assert "2 candidates (1 query), 2 dropped by --absolute-margin (1 query)" in account[1]


def test_suspects_are_kept_and_counted():
    docs, account = mined({"p": 1}, absolute_margin=1.5, false_negatives="keep")
    assert docs == mined({"p": 1})[0]
    assert "4 candidates (1 query), 2 kept against --absolute-margin (1 query)" in account[1]


def test_suspects_become_positives_after_the_judged_ones_and_cost_no_negative():
    docs, account = mined({"p": 2}, absolute_margin=1.5, false_negatives="relabel")
    assert [(doc["doc_id"], doc.get("relevance"), doc.get("relabelled")) for doc in docs] == [
        ("p", 2, None), ("near", 1, True), ("far", 1, True), ("short", None, None), ("empty", None, None),
    ]  # fmt: skip
    assert docs[1] == {
        "doc_id": "near", "text": TEXTS["near"], "score": 9.0, "rank": 1, "source": "fixed",
        "relevance": 1, "relabelled": True,
    }  # fmt: skip
    assert account[0] == "1 query: 3 positives (1 query), 2 negatives (1 query)"
    assert "2 relabelled by --absolute-margin (1 query)" in account[1]


@pytest.mark.parametrize("grade", [0, -1])
def test_a_document_judged_not_relevant_is_never_relabelled(grade):
    docs, account = mined({"p": 1, "near": grade}, absolute_margin=1.5, false_negatives="relabel")
    assert [doc["doc_id"] for doc in docs] == ["p", "far", "short", "empty"]
    assert account[1] == (
        "fixed: 3 candidates (1 query), 1 dropped by --absolute-margin (1 query), "
        "1 left out, positives by id (1 query), 1 relabelled by --absolute-margin (1 query)"
    )
    docs, _ = mined({"p": 1, "near": grade}, absolute_margin=1.5, false_negatives="keep")
    assert (docs[1]["doc_id"], docs[1]["relevance"]) == ("near", grade)


def test_limits_drop_whatever_the_fate_of_suspects():
    for treatment in ("keep", "relabel"):
        docs, account = mined({"p": 1}, max_score=8.0, absolute_margin=1.5, false_negatives=treatment)
        assert "near" not in [doc["doc_id"] for doc in docs]
        assert "1 dropped by --max-score (1 query)" in account[1]


def test_in_a_ranking_suspects_keep_their_place_and_positives_are_none():
    selection = {"num_negatives": None, "absolute_margin": 1.5, "near_copies": 0.5}
    assert [doc["doc_id"] for doc in mined({"p": 1}, **selection)[0]] == ["p", "short", "empty"]
    docs, _ = mined({"p": 1}, **selection, false_negatives="relabel")
    assert [doc["doc_id"] for doc in docs] == RANKED
    assert [doc.get("relabelled") for doc in docs] == [True, None, True, None, None]


# near-copies


@pytest.mark.parametrize(("least", "caught"), [(5 / 9, True), (0.556, False), (1.0, False)])
def test_near_copies_share_at_least_this_much_with_a_positive(least, caught):
    # p and near have 7 runs of three words each, of which 5 are common: the last two differ
    docs, account = mined({"p": 1}, near_copies=least)
    assert ("near" not in [doc["doc_id"] for doc in docs]) is caught
    assert ("1 dropped by --near-copies (1 query)" in account[1]) is caught


def test_near_copies_of_any_positive_are_relabelled():
    docs, account = mined({"far": 1, "p": 1}, near_copies=0.5, false_negatives="relabel")
    assert [doc["doc_id"] for doc in docs] == ["far", "p", "near", "short", "empty"]
    assert "1 relabelled by --near-copies (1 query)" in account[1]


def test_what_a_margin_catches_is_not_counted_again():
    _, account = mined({"p": 1}, absolute_margin=0.0, near_copies=0.5)
    assert "3 candidates (1 query), 1 dropped by --absolute-margin (1 query)" in account[1]


def test_runs_of_three_words_and_their_similarity_by_hand():
    assert shingles("a b, c-d") == {("a", "b", "c"), ("b", "c", "d")}
    assert shingles("a b") == {("a", "b")}
    assert shingles("") == shingles("- !") == set()
    assert jaccard(shingles("a b c d"), shingles("a b c e")) == 1 / 3
    assert jaccard(shingles("a b c"), shingles("a b c a b c")) == 1 / 3
    assert jaccard(set(), set()) == jaccard(set(), shingles("a")) == 0.0


def test_similarity_takes_the_nearest_positive_and_nothing_without_texts():
    record: Any = {
        "query_id": "q",
        "docs": [{"doc_id": "x", "text": "HEAT flows from a hot-plate; to cold air"}],
    }
    assert JudgedQuery(record, {"far": 1, "p": 1}, CORPUS).similarity("x") == 1.0
    assert JudgedQuery(record, {}, CORPUS).similarity("x") == 0.0
    assert JudgedQuery(record, {"lost": 1, "empty": 1}, CORPUS).similarity("empty") == 0.0
    assert JudgedQuery(record, {"p": 1}, None).similarity("p") == 0.0


def test_what_cannot_be_compared_passes_and_is_counted():
    words = "passed uncompared, no text or no positive (1 query)"
    assert f"5 candidates (1 query), 5 {words}" in mined({}, near_copies=0.5)[1][1]
    assert "passed" not in mined({"p": 1}, near_copies=0.5)[1][1]
    miner = miner_of([Fixed(RANKED)], Selection(near_copies=0.5), {"q": {"p": 1}}, None)
    next(miner.mine([QUERY]))
    assert list(miner.tally.lines())[1] == (
        f"fixed: 4 candidates (1 query), 1 left out, positives by id (1 query), 4 {words}"
    )


def test_no_text_is_compared_unless_asked_for(monkeypatch):
    monkeypatch.setattr(JudgedQuery, "similarity", None)
    assert len(mined({"p": 1}, absolute_margin=0.0, num_negatives=3)[0]) == 4
    with pytest.raises(TypeError):
        mined({"p": 1}, near_copies=0.5)


def test_only_candidates_within_depth_and_range_are_compared(monkeypatch):
    compared = []

    def similarity(query, doc_id):
        compared.append(doc_id)
        return 0.0

    monkeypatch.setattr(JudgedQuery, "similarity", similarity)
    mined({"p": 1}, near_copies=0.5, depth=3, range_min=1)
    assert compared == ["far", "short"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near_copies": 0.0}, "--near-copies must be above 0 and at most 1, not 0"),
        ({"near_copies": 1.5}, "--near-copies must be above 0 and at most 1, not 1.5"),
        ({"sample": 0.0}, "--sample must be above 0 and at most 1, not 0"),
        ({"sample": float("nan")}, "--sample nan: a finite number is needed"),
        ({"pad": True, "num_negatives": None}, "--pad cannot be combined with -n all"),
        ({"range_min": 100}, "--range-min 100 skips all candidates of --depth 100"),
    ],
)  # fmt: skip
def test_selections_that_make_no_sense(options, message):
    with pytest.raises(UsageError) as caught:
        Selection(**options)
    assert str(caught.value).startswith(message)


# margins of several sources


def test_each_source_is_measured_by_its_own_scores_though_none_is_written():
    a = Fixed(["p", "near", "far"], [9.0, 8.0, 1.0], "a", "dot")
    b = Fixed(["short", "empty", "p"], [0.9, 0.2, 0.5], "b", "cosine")
    c = Fixed(["same"], None, "c")
    docs, account = mined({"p": 1}, [a, b], absolute_margin=2.0, num_negatives=9)
    assert [(doc["doc_id"], doc["source"], doc.get("score")) for doc in docs] == [
        ("p", "a", None), ("far", "a", None),
    ]  # fmt: skip
    docs, _ = mined({"p": 1}, [a, b], relative_margin=0.2, num_negatives=9)  # below 7.2, and below 0.4
    assert [doc["doc_id"] for doc in docs] == ["p", "far", "empty"]
    docs, account = mined({"far": 1}, [a, b, c], absolute_margin=0.0, num_negatives=9)
    # b scores no positive, c scores nothing: what they gave passes, and is counted
    assert [doc["doc_id"] for doc in docs] == ["far", "short", "empty", "same"]
    assert account[1] == "a: 2 dropped by --absolute-margin (1 query), 1 left out, positives by id (1 query)"
    assert account[2].startswith("b: 2 candidates (1 query), ")
    assert account[2].endswith(" (1 query), 2 passed unfiltered, no scored positive (1 query)")
    assert "1 candidates (1 query), " in account[3]
    assert account[3].endswith(" (1 query), 1 passed unfiltered, no scored positive (1 query)")


def test_depth_is_the_quota_of_each_source():
    a = Fixed(["p", "near", "far", "short"], [9.0, 8.0, 3.0, 2.0], "a")
    b = Fixed(["far", "near", "same", "short", "empty"], [5.0, 4.0, 3.0, 2.0, 1.0], "b")
    docs, _ = mined({"p": 1}, [a, b], depth=2, num_negatives=9)
    # a: past the positive; b: past what a gave, and past the copy of the positive
    assert ids({"docs": docs}) == ["p", "near", "far", "short", "empty"]
