"""Augmentation: properties of each kind, seeds, and who reads what."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdtools.core.errors import UsageError
from rdtools.label.augment import AUGMENTATIONS, Augmentation, Step, crop, drop, parse_step, shuffle

words = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=30)
shares = st.floats(0, 1, exclude_min=True)


@given(words, shares, st.integers(0, 99))
def test_drop_keeps_the_order_and_at_least_one(words, share, seed):
    left = iter(words)
    kept = drop(words, share, random.Random(seed))
    assert kept
    assert all(word in left for word in kept)  # a subsequence


@given(words, shares, st.integers(0, 99))
def test_crop_keeps_one_run_of_the_length_asked_for(words, share, seed):
    kept = crop(words, share, random.Random(seed))
    assert len(kept) == max(1, len(words) - int(share * len(words)))
    assert any(words[start : start + len(kept)] == kept for start in range(len(words)))


@given(shares, st.integers(0, 99))
def test_shuffle_moves_no_more_than_its_share(share, seed):
    words = [str(n) for n in range(20)]
    shuffled = shuffle(words, share, random.Random(seed))
    assert sorted(shuffled) == sorted(words)
    assert sum(a != b for a, b in zip(words, shuffled, strict=True)) <= int(share * 20)


def test_kinds_do_something_and_reach_everywhere():
    text = [str(n) for n in range(10)]
    starts = {crop(text, 0.5, random.Random(seed))[0] for seed in range(200)}
    assert starts == {"0", "1", "2", "3", "4", "5"}
    dropped = [len(drop(text, 0.3, random.Random(seed))) for seed in range(400)]
    assert sum(dropped) / 400 == pytest.approx(7, abs=0.3)
    survivors = {drop(text, 1.0, random.Random(seed))[0] for seed in range(200)}
    assert survivors == set(text)
    orders = {tuple(shuffle(["a", "b", "c"], 1.0, random.Random(seed))) for seed in range(200)}
    assert len(orders) == 6


RECORD: Any = {
    "query_id": "q",
    "query": "heat transfer in the boundary layer",
    "docs": [{"doc_id": d, "text": "the flow of air over a flat plate", "x": 1} for d in ("a", "b")],
}


def test_texts_depend_on_seed_query_and_document_and_nothing_else():
    both = Augmentation(query=(Step("shuffle", 1.0),), doc=(Step("drop", 0.4), Step("shuffle", 1.0)))
    one: Any = both.apply(RECORD)
    assert both.apply(RECORD | {"docs": RECORD["docs"][1:]})["docs"] == one["docs"][1:]
    assert one["docs"][0]["text"] != one["docs"][1]["text"]  # equal texts of two documents
    assert both.apply(RECORD | {"query_id": "r"}) != {**one, "query_id": "r"}
    assert Augmentation(query=both.query, doc=both.doc, seed=1).apply(RECORD) != one
    assert one["docs"][0]["x"] == 1
    assert RECORD["docs"][0]["text"] == "the flow of air over a flat plate"  # the original is untouched


def test_a_text_that_is_pinned():
    """What a seed gives must not change from one version to the next."""
    text = Augmentation(doc=(Step("drop", 0.3), Step("crop", 0.5), Step("shuffle", 1.0))).apply(RECORD)
    assert [doc["text"] for doc in text["docs"]] == ["of over a", "air a over"]
    assert text["query"] == RECORD["query"]


def test_no_steps_no_copy_and_no_words_no_change():
    assert Augmentation().apply(RECORD) is RECORD
    blank: Any = {"query_id": "q", "query": " ", "docs": [{"doc_id": "d", "text": ""}]}
    everything = tuple(Step(kind, 1.0) for kind in AUGMENTATIONS)
    assert Augmentation(query=everything, doc=everything).apply(blank) == blank


def test_provenance():
    steps = Augmentation(
        query=(Step("drop", 0.1),),
        doc=(Step("crop", 0.5), Step("shuffle", 1.0)),
        seed=3,
        augmented_text="both",
    )
    assert steps.provenance() == {
        "query": ["drop:0.1"], "doc": ["crop:0.5", "shuffle:1.0"], "text": "both", "seed": 3,
    }  # fmt: skip
    assert Augmentation(query=(Step("drop", 0.1),)).provenance() == {
        "query": ["drop:0.1"],
        "text": "teacher",
        "seed": 0,
    }


@pytest.mark.parametrize("text", ["drop", "drop:", "drop:0", "drop:1.1", "drop:-1", "drop:nan", "drop:x"])
def test_shares_out_of_range_are_usage_errors(text):
    with pytest.raises(
        UsageError, match=f"^--augment-doc {text}: give a share above 0 and at most 1, such as drop:0.1$"
    ):
        parse_step("--augment-doc", text)


def test_kinds_are_checked():
    assert parse_step("--augment-doc", "crop:0.25") == Step("crop", 0.25)
    with pytest.raises(UsageError, match=r"^unknown augmentation 'dorp'; did you mean 'drop'"):
        parse_step("--augment-doc", "dorp:0.5")
