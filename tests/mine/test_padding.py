"""Padding, the share of queries, and the arithmetic of the paper's own miners."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from mined import QUERY, Fixed, miner_of

from rdtools.core.errors import UsageError
from rdtools.data.corpus import Corpus
from rdtools.mine.options import Selection

CORPUS = Corpus(
    [(f"d{n}", f"text {n}") for n in range(10)]
    + [("copy", "TEXT  1"), ("twin", "text 2"), ("e1", ""), ("e2", " ")]
)


def mined(source, qrels, corpus=CORPUS, query_id="q", **selection):
    miner = miner_of([source], Selection(**{"sampling": "top", **selection}), {query_id: qrels}, corpus)
    docs = next(miner.mine([{**QUERY, "query_id": query_id}]))["docs"]
    return docs, list(miner.tally.lines())


def negatives(docs):
    return [doc["doc_id"] for doc in docs if doc.get("relevance", 0) <= 0]


def padding(docs):
    return [doc["doc_id"] for doc in docs if doc["source"] == "random"]


def test_missing_negatives_come_from_the_corpus_and_are_counted():
    docs, account = mined(Fixed(["d1", "d3"], [2.0, 1.0]), {"d1": 1}, num_negatives=4, pad=True)
    assert [doc["doc_id"] for doc in docs[:2]] == ["d1", "d3"]
    assert len(docs) == 5
    for doc in docs[2:]:
        assert doc["source"] == "random"
        assert doc["text"] == CORPUS.texts[CORPUS.row_of[doc["doc_id"]]]
        assert 1 <= doc["rank"] <= len(CORPUS)
        assert "score" not in doc
    assert account[0] == (
        "1 query: 1 positives (1 query), 4 negatives (1 query), 3 negatives that --pad drew (1 query)"
    )
    assert mined(Fixed(["d1", "d3"], [2.0, 1.0]), {"d1": 1}, num_negatives=4)[0] == docs[:2]


def test_enough_negatives_are_not_padded():
    source = Fixed(["d1", "d2", "d3"], [3.0, 2.0, 1.0])
    for n in (0, 1, 2, 3):
        assert mined(source, {}, num_negatives=n, pad=True)[0] == mined(source, {}, num_negatives=n)[0]


@pytest.mark.parametrize("seed", range(5))
def test_padding_is_no_positive_no_copy_and_comes_once(seed):
    docs, account = mined(
        Fixed(["d3"], [1.0]), {"d1": 1, "d4": 2, "d5": 0}, num_negatives=99, pad=True, seed=seed
    )
    # left: d0, d2 or its twin, d5, d6 to d9, one of the empty; never copy, which is d1's text
    found = negatives(docs)
    assert len(found) == len(set(found)) == 9
    assert {"d0", "d3", "d5", "d6", "d7", "d8", "d9"} < set(found)
    assert len({"d2", "twin"} & set(found)) == len({"e1", "e2"} & set(found)) == 1
    assert next(doc for doc in docs if doc["doc_id"] == "d5")["relevance"] == 0
    assert account[0].endswith("90 negatives missing (1 query), 8 negatives that --pad drew (1 query)")


@pytest.mark.parametrize(
    "options", [{"max_score": 0.5}, {"min_score": 99.0}, {"absolute_margin": 0.5}, {"range_min": 4}]
)
def test_what_a_filter_kept_out_does_not_come_back_as_padding(options):
    source = Fixed(["d1", "d3", "d6", "d7", "d8"], [1.0, 0.9, 0.8, 0.7, 0.6])
    docs, _ = mined(source, {"d1": 1}, num_negatives=99, pad=True, **options)
    assert negatives(docs) == padding(docs)
    assert len({"d2", "twin"} & set(padding(docs))) == len({"e1", "e2"} & set(padding(docs))) == 1
    assert set(padding(docs)) - {"d2", "twin", "e1", "e2"} == {"d0", "d4", "d5", "d9"}


def test_near_copies_do_not_come_in_as_padding():
    corpus = Corpus([("d1", "one two three"), ("d2", "One, two, three."), ("d3", "one two four")])
    for treatment in ("drop", "keep", "relabel"):
        docs, _ = mined(
            Fixed([]),
            {"d1": 1},
            corpus,
            num_negatives=9,
            pad=True,
            near_copies=0.9,
            false_negatives=treatment,
        )
        assert negatives(docs) == ["d3"]


def test_padding_depends_on_seed_and_query_alone_and_reaches_every_document():
    def drawn(query_id="q", seed=0):
        return padding(mined(Fixed([]), {}, query_id=query_id, seed=seed, num_negatives=3, pad=True)[0])

    assert drawn() == drawn()
    assert len({tuple(drawn(seed=seed)) for seed in range(10)}) > 5
    counts = Counter(doc_id for n in range(400) for doc_id in drawn(str(n)))
    assert set(counts) == set(CORPUS.doc_ids)
    assert max(counts[f"d{n}"] for n in range(10)) < 140  # 3 of 14 each time: about 86


def test_padding_needs_a_corpus():
    with pytest.raises(UsageError, match=r"--pad needs a corpus \(give --dataset or --corpus\)"):
        miner_of([Fixed([])], Selection(pad=True), {}, None)


# a share of the queries


def sampled(queries, **selection):
    miner = miner_of([Fixed(["d3"])], Selection(num_negatives=1, **selection), {}, CORPUS)
    records = miner.mine({"query_id": query_id, "query": "x", "docs": []} for query_id in queries)
    return [record["query_id"] for record in records], next(miner.tally.lines())


def test_a_share_of_the_queries_is_drawn_by_id_and_a_larger_one_contains_it():
    queries = [str(n) for n in range(1000)]
    third, account = sampled(queries, sample=0.3)
    assert third == [q for q in queries if random.Random(f"0\t{q}\tsample").random() < 0.3]
    assert account.startswith(f"{len(third)} queries ({1000 - len(third)} left out by --sample): ")
    assert 250 < len(third) < 350
    assert set(third) < set(sampled(queries, sample=0.4)[0])
    assert sampled(queries[:500], sample=0.3)[0] + sampled(queries[500:], sample=0.3)[0] == third
    assert sampled(queries, sample=0.3, seed=1)[0] != third
    assert sampled(queries)[0] == queries


# --paper-compat, against the formulas of the paper's scripts

PAPER = {"paper_compat": True, "sampling": Selection().sampling}


@pytest.mark.parametrize("seed", range(8))
def test_the_paper_draws_from_the_whole_pool_positives_and_copies_included(seed):
    """mine_negatives.py: the n of a group are any n of the first subset_depth, whoever they are."""
    ranked = ["d4", "copy", "d1", "d3", "d2", "twin", "d6"]
    docs, account = mined(Fixed(ranked), {"d1": 1, "d2": 1}, num_negatives=3, depth=6, seed=seed, **PAPER)
    rng = random.Random(f"{seed}\tq\tnegatives")
    keys = {doc_id: rng.random() for doc_id in ranked[:6]}
    drawn = sorted(sorted(keys, key=keys.__getitem__, reverse=True)[:3], key=ranked.index)
    assert [doc["doc_id"] for doc in docs] == ["d1", "d2", *(d for d in drawn if d not in ("d1", "d2"))]
    taken = len({"d1", "d2"} & set(drawn))
    assert (f"{taken} positives drawn as negatives" in account[0]) is (taken > 0)
    assert (f"{taken} negatives missing" in account[0]) is (taken > 0)


def test_a_positive_or_a_copy_is_drawn_as_often_as_any_other_document():
    ranked = ["d1", "copy", "d3", "d4"]
    drawn: Counter[str] = Counter()
    for seed in range(800):
        docs, account = mined(Fixed(ranked), {"d1": 1}, num_negatives=1, seed=seed, **PAPER)
        drawn.update(negatives(docs) or ["d1"])
        assert len(docs) == 1 + ("positives drawn as negatives" not in account[0])
    assert all(0.2 < drawn[doc_id] / 800 < 0.3 for doc_id in ranked)


def test_the_paper_keeps_a_score_that_is_just_at_the_margin():
    """create_harder_negatives.py: dropped is what scores above min(positives) − margin."""
    scores = {"d1": 9.0, "d2": 4.0, "d3": 3.5, "d4": 3.6, "d5": 8.5, "d6": -1.0}
    threshold = min(scores["d1"], scores["d2"]) - 0.5
    kept = [doc_id for doc_id, score in scores.items() if not score > threshold]
    source = Fixed(list(scores), list(scores.values()))
    qrels = {"d1": 1, "d2": 1}
    docs, _ = mined(source, qrels, num_negatives=9, absolute_margin=0.5, **PAPER)
    assert negatives(docs) == kept == ["d3", "d6"]
    docs, _ = mined(source, qrels, num_negatives=9, absolute_margin=0.5)
    assert negatives(docs) == ["d6"]


@pytest.mark.parametrize("seed", range(8))
def test_the_paper_pads_with_any_documents_of_the_corpus(seed):
    """random.sample(all_docs, missing): positives, copies and what is there already may be among them."""
    docs, account = mined(Fixed(["d3"]), {"d1": 1}, num_negatives=6, pad=True, seed=seed, **PAPER)
    rng = random.Random(f"{seed}\tq\tpadding")
    array = list(CORPUS.doc_ids)
    for place in range(5):
        other = place + int(rng.random() * (len(array) - place))
        array[place], array[other] = array[other], array[place]
    assert negatives(docs) == ["d3", *(doc_id for doc_id in array[:5] if doc_id not in ("d1", "d3"))]
    missing = len({"d1", "d3"} & set(array[:5]))
    assert (f"{missing} negatives missing" in account[0]) is (missing > 0)


def test_without_the_switch_none_of_this_happens():
    ranked = ["d1", "copy", "d3", "d4"]
    for seed in range(20):
        docs, account = mined(Fixed(ranked), {"d1": 1}, num_negatives=2, seed=seed)
        assert negatives(docs) == ["d3", "d4"]
        assert "drawn" not in account[0]
