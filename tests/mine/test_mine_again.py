"""Records that are mined, labelled and mined again: a teacher's ranked pool, and the paper's ensemble."""

from __future__ import annotations

from typing import Any

import pytest
from mined import miner_of
from settings import resources

from rdtools.data.collection import Collection
from rdtools.formats.records import dump, parse_record
from rdtools.label.labeler import Labeler
from rdtools.mine.options import Selection
from rdtools.mine.sources import open_source

DOCUMENTS = {f"d{n:02}": f"{'wing ' * (n % 4)}{'flow ' * (n % 3)}number{n}" for n in range(60)}
QUERIES = [("q1", "wing flow"), ("q2", "flow number7"), ("q3", "number9"), ("q4", "nothing of it")]
QRELS = {"q1": {"d05": 1, "d11": 2, "d17": 0}, "q2": {"d30": 1}, "q3": {"d09": 1, "lost": 1}}


@pytest.mark.parametrize("num_negatives", [None, 5])
def test_what_was_relabelled_and_is_judged_now_is_a_judgement(setting, num_negatives):
    docs: list[Any] = [
        {"doc_id": "d05", "text": "x"},
        {"doc_id": "d17", "text": "y"},
        {"doc_id": "d40", "text": "z"},
    ]
    for doc in docs:
        doc |= {"relevance": 1, "relabelled": True, "score": 1.0}
    record = {"query_id": "q1", "query": "wing", "docs": docs, "score_scale": "logit", "teacher": "T"}
    (again,), _ = mine([parse_record(dump(record))], ["records"], setting, num_negatives=num_negatives)
    found = {doc["doc_id"]: (doc.get("relevance"), doc.get("relabelled")) for doc in again["docs"]}
    assert found["d05"] == (1, None)
    assert found.get("d17", (0, None)) == (0, None)
    assert found["d40"] == (1, True)


class Teacher:
    """Scores by the document's number, and knows no document whose number ends in 0."""

    name, scale, needs_text = "teacher", "logit", True
    key: str | None = None

    def score(self, pairs):
        numbers = [int(pair.doc_id[1:]) for pair in pairs]
        yield range(len(pairs)), [float(number * 37 % 60) / 4 if number % 10 else None for number in numbers]


def score_of(doc_id):
    return float(int(doc_id[1:]) * 37 % 60) / 4


@pytest.fixture
def setting(tmp_path):
    (tmp_path / "corpus.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in DOCUMENTS.items()))
    return resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")))


def mine(records, sources, setting, **selection):
    opened = [open_source(source, setting) for source in sources]
    miner = miner_of(opened, Selection(**selection), QRELS, setting.collection.corpus)
    return [parse_record(dump(record)) for record in miner.mine(records)], list(miner.tally.lines())


def label(records):
    return [parse_record(dump(record)) for record in Labeler([Teacher()]).label(records)]


def queries():
    return [{"query_id": query_id, "query": text, "docs": []} for query_id, text in QUERIES]


def test_a_pool_that_a_teacher_ranks(setting):
    """The paper's "Cross-Encoder": BM25's first 100, ranked again, the best of them."""
    pool, _ = mine(queries(), ["bm25"], setting, num_negatives=None, depth=20, add_positives=True)
    labelled = label(pool)
    again, _ = mine(labelled, ["records"], setting, num_negatives=15, sampling="top")
    for before, record in zip(labelled, again, strict=True):
        relevant = {d for d in QRELS.get(record["query_id"], {}) if d in ("d05", "d11", "d30", "d09")}
        positives = [doc["doc_id"] for doc in record["docs"][: len(relevant)]]
        assert set(positives) == relevant
        assert [doc.get("score") for doc in record["docs"][: len(positives)]] == [
            None if doc_id == "d30" else score_of(doc_id) for doc_id in positives
        ]
        there = [doc["doc_id"] for doc in before["docs"] if "score" in doc and doc["doc_id"] not in positives]
        best = sorted(sorted(there, reverse=True), key=score_of, reverse=True)[:15]
        assert [doc["doc_id"] for doc in record["docs"][len(positives) :]] == best
        assert record["score_scale"] == "logit"
        assert record["teacher"] == "teacher"
        untouched = {doc["doc_id"]: doc for doc in before["docs"]}
        assert all(doc == untouched[doc["doc_id"]] for doc in record["docs"])


def test_the_ensemble_of_the_paper(setting):
    """Ten of each system, a margin of the teacher's scores, and random documents for what is missing."""
    pool, _ = mine(
        queries(), ["bm25", "graph", "random"], setting, num_negatives=None, depth=10, add_positives=True
    )
    labelled = label(pool)
    options = {"num_negatives": 15, "absolute_margin": 0.5, "pad": True}
    again, account = mine(labelled, ["records"], setting, **options)
    padded = 0
    for before, record in zip(labelled, again, strict=True):
        grades = QRELS.get(record["query_id"], {})
        positives = [doc for doc in record["docs"] if doc.get("relevance", 0) > 0]
        negatives = record["docs"][len(positives) :]
        assert {doc["doc_id"] for doc in positives} == {d for d, g in grades.items() if g > 0} - {"lost"}
        assert len(negatives) == 15
        scored = [doc["score"] for doc in positives if "score" in doc]
        mined = [doc for doc in negatives if "score" in doc]
        there = [doc for doc in before["docs"] if "score" in doc and grades.get(doc["doc_id"], 0) <= 0]
        allowed = [doc for doc in there if not scored or doc["score"] < min(scored) - 0.5]
        assert len(mined) == min(15, len(allowed))
        assert all(doc in allowed for doc in mined)
        new = [doc for doc in negatives if "score" not in doc]
        assert all(doc["source"] == "random" and doc["text"] for doc in new)
        assert not {doc["doc_id"] for doc in new} & {doc["doc_id"] for doc in there}
        padded += len(new)
    assert padded > 0
    assert f"{padded} negatives that --pad drew" in account[0]
    assert mine(labelled[:2], ["records"], setting, **options)[0] == again[:2]
    last = label(again)[0]["docs"][-1]
    assert (last["source"], last["score"]) == ("random", score_of(last["doc_id"]))


def test_relabelled_documents_are_positives_from_then_on(setting):
    pool, _ = mine(queries()[:1], ["bm25"], setting, num_negatives=None, depth=20, add_positives=True)
    once, _ = mine(
        label(pool), ["records"], setting, num_negatives=4, absolute_margin=0.5, false_negatives="relabel"
    )
    relabelled = [doc["doc_id"] for doc in once[0]["docs"] if doc.get("relabelled")]
    assert relabelled
    assert all(score_of(doc_id) >= min(score_of("d05"), score_of("d11")) - 0.5 for doc_id in relabelled)
    twice, _ = mine(once, ["records"], setting, num_negatives=4, sampling="top")
    assert {doc["doc_id"] for doc in twice[0]["docs"] if doc.get("relevance", 0) > 0} == {
        "d05", "d11", *relabelled,
    }  # fmt: skip


def test_random_has_two_meanings(setting):
    """Any documents of the corpus, or any of a deep pool."""
    whole, _ = mine(queries()[:1], ["random"], setting, num_negatives=20)
    pool, _ = mine(queries()[:1], ["bm25"], setting, num_negatives=20, depth=10000)
    found, _ = mine(queries()[:1], ["bm25"], setting, num_negatives=None, depth=10000)
    ranks = [doc["rank"] for doc in pool[0]["docs"][2:]]
    assert len(ranks) == 20
    assert ranks == sorted(ranks)
    assert ranks[-1] > 30
    assert {doc["doc_id"] for doc in pool[0]["docs"]} <= {doc["doc_id"] for doc in found[0]["docs"]}
    assert any("wing" not in doc["text"] and "flow" not in doc["text"] for doc in whole[0]["docs"][2:])


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_splitting_the_input_changes_nothing(setting, share):
    options = {
        "num_negatives": 8, "depth": 5, "pad": True, "near_copies": 0.6, "relative_margin": 0.05,
        "false_negatives": "relabel", "sample": share,
    }  # fmt: skip
    many = [{"query_id": f"q{n}", "query": text, "docs": []} for n, (_, text) in enumerate(QUERIES * 5)]
    whole, _ = mine(many, ["bm25", "graph", "random"], setting, **options)
    parts = [mine(part, ["bm25", "graph", "random"], setting, **options)[0] for part in (many[:3], many[3:])]
    assert parts[0] + parts[1] == whole
    assert [
        one for record in many for one in mine([record], ["bm25", "graph", "random"], setting, **options)[0]
    ] == whole


# traps of real collections


def test_documents_judged_not_relevant_may_be_negatives_and_keep_their_grade(tmp_path):
    """Cranfield judges a query's source document -1; TREC judges many 0."""
    (tmp_path / "corpus.tsv").write_text("source\twing flow wing\na\twing\nb\tflow\np\twing flow\n")
    setting = resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")))
    judged = {"q": {"source": -1, "a": 0, "p": 1}}
    miner = miner_of(
        [open_source("bm25", setting)], Selection(sampling="top"), judged, setting.collection.corpus
    )
    docs = next(miner.mine([{"query_id": "q", "query": "wing flow", "docs": []}]))["docs"]
    assert [(doc["doc_id"], doc.get("relevance")) for doc in docs] == [
        ("p", 1), ("source", -1), ("b", None), ("a", 0),
    ]  # fmt: skip


def test_only_judgements_below_one_are_no_positives(tmp_path):
    (tmp_path / "corpus.tsv").write_text("source\twing flow\na\twing\n")
    setting = resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")))
    sources = [open_source("bm25", setting), open_source("graph", setting)]
    miner = miner_of(
        sources,
        Selection(sampling="top", absolute_margin=0.0),
        {"q": {"source": -1}},
        setting.collection.corpus,
    )
    docs = next(miner.mine([{"query_id": "q", "query": "wing flow", "docs": []}]))["docs"]
    assert [(doc["doc_id"], doc.get("relevance")) for doc in docs] == [("source", -1), ("a", None)]
    assert list(miner.tally.lines()) == [
        "1 query: 2 negatives (1 query), 13 negatives missing (1 query)",
        "bm25: 2 candidates (1 query), 2 passed unfiltered, no scored positive (1 query)",
        "graph: no candidates",
    ]


@pytest.mark.parametrize("source", ["bm25", "random", "graph"])
def test_empty_and_equal_documents_and_a_corpus_below_the_depth(tmp_path, source):
    rows = ["p\twing flow", "p2\tWING  flow", "e1\t", "e2\t ", "a\twing jet", "a2\twing jet", "b\tflow"]
    (tmp_path / "corpus.tsv").write_text("\n".join(rows) + "\n")
    setting = resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")))
    miner = miner_of(
        [open_source(source, setting)],
        Selection(depth=1000),
        {"q": {"p": 1, "lost": 3}},
        setting.collection.corpus,
    )
    docs = next(miner.mine([{"query_id": "q", "query": "wing flow", "docs": []}]))["docs"]
    assert docs[0]["doc_id"] == "p"
    expected = {"a", "a2", "b"} | ({"e1", "e2"} if source == "random" else set())
    assert {doc["doc_id"] for doc in docs[1:]} == expected
    lines = list(miner.tally.lines())
    assert "1 positives not in the corpus (1 query)" in lines[0]
    assert "1 left out, copies of a positive (1 query)" in lines[1]
