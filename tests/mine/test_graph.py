"""`--from graph`: neighbours of positives, their merging, and what they are not."""

from __future__ import annotations

import numpy as np
import pytest
from bm25_by_formula import exact
from mined import miner_of, searched
from settings import resources

from rdtools.core.errors import UsageError
from rdtools.data.collection import Collection
from rdtools.mine.options import Selection
from rdtools.mine.sources import SearchRequest, SourceRanking, open_source


def setting_of(tmp_path, texts, **options):
    (tmp_path / "corpus.tsv").write_text("".join(f"{doc_id}\t{text}\n" for doc_id, text in texts.items()))
    return resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")), **options)


def request(positives, depth=10, query_id="q"):
    return SearchRequest({"query_id": query_id, "query": "not looked at", "docs": []}, depth, positives)


BY_HAND = {
    "jet": "jet", "j1": "jet", "j2": "jet filler filler", "a": "jet jet jet jet",
    "wing": "wing", "w1": "wing", "w2": "wing filler filler",
    "both": "wing jet", "none": "heat", "empty": "",
}  # fmt: skip


def test_neighbours_by_hand(tmp_path):
    source = open_source("graph", setting_of(tmp_path, BY_HAND))
    # BM25 of "jet": a has it four times, jet itself and j1 are the shortest, then both, then j2.
    assert searched(source, [request(["jet"])]) == [SourceRanking(["a", "j1", "both", "j2"])]
    assert searched(source, [request(["wing"])]) == [SourceRanking(["w1", "both", "w2"])]


def test_several_positives_merge_by_best_rank_then_larger_id_and_are_no_neighbours(tmp_path):
    source = open_source("graph", setting_of(tmp_path, BY_HAND))
    # best ranks: w1 and a 1, j1 and both (2 of wing's, 3 of jet's) 2, w2 3, j2 4
    merged = ["w1", "a", "j1", "both", "w2", "j2"]
    for positives in (["jet", "wing"], ["wing", "jet"], ["wing", "lost", "jet"]):
        assert searched(source, [request(positives)])[0].doc_ids == merged
    for depth in range(1, 7):
        assert searched(source, [request(["jet", "wing"], depth)])[0].doc_ids == merged[:depth]
    assert searched(source, [request(["jet", "a", "wing"])])[0].doc_ids == ["w1", "j1", "both", "w2", "j2"]


@pytest.mark.parametrize("positives", [[], ["lost"], ["empty"], ["none"]])
def test_without_a_positive_that_has_neighbours_nothing_is_found(tmp_path, positives):
    source = open_source("graph", setting_of(tmp_path, BY_HAND))
    assert searched(source, [request(positives)]) == [SourceRanking([])]


def test_bm25_neighbours_are_those_of_the_formula(tmp_path):
    rng = np.random.default_rng(3)
    words = "boundary layer flow plate wing heat jet nozzle shock".split()
    texts = {f"d{n}": " ".join(rng.choice(words, rng.integers(1, 9))) for n in range(40)}
    source = open_source("graph", setting_of(tmp_path, texts, k1=0.9, b=0.4))
    positives = ["d3", "d11", "d27"]
    best: dict[str, int] = {}
    for positive in positives:
        scores = np.array(exact(texts[positive], list(texts.values()), 0.9, 0.4), np.float32)
        found = [(score, doc_id) for score, doc_id in zip(scores, texts, strict=True) if score > 1e-6]
        ranking = [doc_id for _, doc_id in sorted(found, reverse=True) if doc_id not in positives]
        for rank, doc_id in enumerate(ranking):
            best[doc_id] = min(rank, best.get(doc_id, 99))
    by_id = sorted(best, reverse=True)
    expected = sorted(by_id, key=best.__getitem__)
    assert searched(source, [request(positives, 100)])[0].doc_ids == expected


def test_dense_neighbours_are_those_of_brute_force_alone_or_together(tmp_path, tiny_be):
    from sentence_transformers import SentenceTransformer

    texts = {f"d{n}": f"the flow of a {'wing ' * (n % 4)}{'jet ' * (n % 3)}{chr(97 + n)}" for n in range(20)}
    source = open_source(f"graph:dense:{tiny_be}", setting_of(tmp_path, texts))
    asked = [request(["d5", "d8"], 6), request([], 6), request(["d2"], 3), request(["d2", "lost"], 4)]
    together = searched(source, asked)
    assert [searched(source, [one])[0] for one in asked] == together
    embeddings = SentenceTransformer(tiny_be).encode(list(texts.values()), normalize_embeddings=True)
    names = np.array(list(texts))

    def ranking(positive, positives):
        order = np.argsort(-(embeddings @ embeddings[int(positive[1:])]))
        return [name for name in names[order] if name not in positives]

    ranks = [{name: rank for rank, name in enumerate(ranking(p, ["d5", "d8"]))} for p in ("d5", "d8")]
    names = np.array(sorted(names, reverse=True))
    expected = sorted((name for name in names if name in ranks[0]), key=lambda n: min(r[n] for r in ranks))
    assert together[0] == SourceRanking(expected[:6])
    assert together[1] == searched(source, [request([])])[0] == SourceRanking([])
    assert together[2].doc_ids == together[3].doc_ids[:3]


def test_sources_of_one_command_share_an_index_and_those_of_another_do_not(tmp_path, caplog):
    setting = setting_of(tmp_path, BY_HAND)
    caplog.set_level("INFO", "rdtools")
    for source in ("bm25", "graph"):
        open_source(source, setting)
    assert [message.split(" indexed")[0] for message in caplog.messages] == ["bm25: 10 documents"]
    changed = setting_of(tmp_path, {"jet": "jet", "new": "jet"})
    assert searched(open_source("graph", changed), [request(["jet"])])[0].doc_ids == ["new"]


def test_neighbours_have_a_rank_and_no_score_and_margins_cannot_judge_them(tmp_path):
    setting = setting_of(tmp_path, BY_HAND | {"copy": "JET"})
    selection = Selection(num_negatives=2, sampling="top", absolute_margin=0.0)
    corpus = setting.collection.corpus
    miner = miner_of([open_source("graph", setting)], selection, {"q": {"jet": 1, "both": -1}}, corpus)
    record = next(miner.mine([{"query_id": "q", "query": "x", "docs": []}]))
    # j1 and copy are the text of the positive; a judged document is a neighbour like any other
    assert record["docs"] == [
        {"doc_id": "jet", "text": "jet", "relevance": 1, "source": "qrels"},
        {"doc_id": "a", "text": "jet jet jet jet", "rank": 1, "source": "graph"},
        {"doc_id": "both", "text": "wing jet", "relevance": -1, "rank": 4, "source": "graph"},
    ]
    assert "score_scale" not in record
    assert list(miner.tally.lines())[1] == (
        "graph: 3 candidates (1 query), 2 left out, copies of a positive (1 query), "
        "3 passed unfiltered, no scored positive (1 query)"
    )


def test_a_query_without_positives_is_said_to_have_no_candidates(tmp_path):
    setting = setting_of(tmp_path, BY_HAND)
    miner = miner_of(
        [open_source("graph", setting)], Selection(num_negatives=2), {}, setting.collection.corpus
    )
    assert next(miner.mine([{"query_id": "q", "query": "jet", "docs": []}]))["docs"] == []
    assert list(miner.tally.lines()) == ["1 query: 2 negatives missing (1 query)", "graph: no candidates"]


@pytest.mark.parametrize("argument", ["bm25", "dense", "dense:", "random"])
def test_what_graph_takes(tmp_path, argument):
    with pytest.raises(
        UsageError, match=f"--from graph:{argument}: graph takes dense:MODEL, or nothing for BM25"
    ):
        open_source(f"graph:{argument}", setting_of(tmp_path, BY_HAND))
