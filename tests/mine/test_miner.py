"""Mining: positives, filters, sampling, sources, and the same bytes however the input is split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from mined import CORPUS, QUERY, Fixed, ids, mined, miner_of, searched
from settings import resources

from rdtools.core.errors import RdError, UsageError
from rdtools.data.collection import Collection
from rdtools.data.corpus import Corpus
from rdtools.formats import encode_runs, writer
from rdtools.formats.records import dump
from rdtools.formats.runs import RunColumns, ranking, run_columns
from rdtools.mine.judged_query import JudgedQuery
from rdtools.mine.options import Selection
from rdtools.mine.retrieval import Retrieval
from rdtools.mine.sources import SOURCES, SearchRequest, SourceRanking, open_source, search_index


def test_a_training_group_leads_with_all_positives_and_keeps_no_copy_of_them():
    source = Fixed(["d3", "d1", "copy", "d2", "d4"], [9.0, 8.0, 7.5, 7.0, 6.0])
    record, account = mined([source], {"d1": 1, "d7": 2, "d3": 0}, num_negatives=2)
    assert record["mine"] == [1]
    assert record["score_scale"] == "dot"
    assert record["docs"] == [
        {"doc_id": "d1", "text": "text 1", "relevance": 1, "score": 8.0, "rank": 2, "source": "fixed"},
        {"doc_id": "d7", "text": "text 7", "relevance": 2, "source": "qrels"},
        {"doc_id": "d3", "text": "text 3", "relevance": 0, "score": 9.0, "rank": 1, "source": "fixed"},
        {"doc_id": "d2", "text": "text 2", "score": 7.0, "rank": 4, "source": "fixed"},
    ]
    assert account == [
        "1 query: 2 positives (1 query), 2 negatives (1 query)",
        "fixed: 3 candidates (1 query), 1 left out, copies of a positive (1 query), "
        "1 left out, positives by id (1 query)",
    ]


def test_a_rank_beyond_the_depth_is_none():
    """d1 is the third of a source that gives two: a score it has, but the source did not return it."""
    source = Fixed(["d2", "d3", "d1", "d4"], [9.0, 8.0, 7.0, 6.0])
    record, _ = mined([source], {"d1": 1, "d3": 1}, num_negatives=2, depth=2)
    assert record["docs"] == [
        {"doc_id": "d1", "text": "text 1", "relevance": 1, "score": 7.0, "source": "qrels"},
        {"doc_id": "d3", "text": "text 3", "relevance": 1, "score": 8.0, "rank": 2, "source": "fixed"},
        {"doc_id": "d2", "text": "text 2", "score": 9.0, "rank": 1, "source": "fixed"},
        {"doc_id": "d4", "text": "text 4", "score": 6.0, "rank": 4, "source": "fixed"},
    ]


@pytest.mark.parametrize("source", ["records", "fixed"])
def test_a_judgement_replaces_the_grade_in_the_record(source):
    """d1 is no positive any more, d2 is one, and d3 has only its own grade."""
    own = {"d1": 2, "d2": 0, "d3": 1}
    docs = [{"doc_id": doc_id, "text": f"own {doc_id}", "relevance": grade} for doc_id, grade in own.items()]
    qrels = {"d1": 0, "d2": 3, "d4": 1}
    query = JudgedQuery(QUERY | {"docs": docs}, qrels, CORPUS)
    assert query.grades == {"d1": 0, "d2": 3, "d3": 1, "d4": 1}
    assert query.positives == ["d2", "d3", "d4"]
    miner = miner_of(
        [Fixed(["d1", "d2", "d5"], [3.0, 2.0, 1.0], source)], Selection(num_negatives=5), {"q": qrels}, CORPUS
    )
    (record,) = miner.mine([{**QUERY, "docs": docs}])
    found = {doc["doc_id"]: doc.get("relevance") for doc in record["docs"]}
    assert found == {"d2": 3, "d3": 1, "d4": 1, "d1": 0, "d5": None}


def test_retrieval_is_what_was_found_in_order_with_or_without_judgements():
    source = Fixed(["d3", "d1", "copy", "d2"], [9.0, 8.0, 7.5, 7.0])
    judged, _ = mined([source], {"d1": 1, "d7": 2}, num_negatives=None, depth=3)
    bare, _ = mined([source], num_negatives=None, depth=3)
    assert ids(judged) == ids(bare) == ["d3", "d1", "copy"]
    assert [doc.get("relevance") for doc in judged["docs"]] == [None, 1, None]
    added, _ = mined([source], {"d1": 1, "d7": 2}, num_negatives=None, depth=3, add_positives=True)
    assert added["docs"][3] == {"doc_id": "d7", "text": "text 7", "relevance": 2, "source": "qrels"}


QUERIES = [
    {"query_id": f"q{n}", "query": text, "docs": []} for n, text in enumerate(["flow", "plate wing", "of"])
]


@pytest.fixture
def ties(tmp_path):
    """A corpus with equal texts, and so ties."""
    corpus = tmp_path / "corpus.tsv"
    corpus.write_text("".join(f"d{n}\twing {'flow ' * (n % 5)}{'plate' * (n % 2)}\n" for n in range(40)))
    return resources(Collection(corpus_path=str(corpus)))


def retrieval(setting, sources=("bm25",), as_run=True, **options):
    opened = [open_source(source, setting) for source in sources]
    selection = Selection(num_negatives=None, **options)
    return Retrieval(opened, selection, {"q0": {"d4": 1}}, setting.collection.corpus, as_run)


def check_same_bytes(runs, records):
    for name in ("trec", "tsv"):
        written = b"".join(encode_runs(runs, name))
        assert written == b"".join(map(writer(name), records))
        assert len(written.splitlines()) > 10


@pytest.mark.parametrize("options", [{}, {"depth": 7}, {"depth": 12, "range_min": 3}])
def test_a_run_of_one_source_has_the_bytes_of_its_records_and_makes_none(ties, monkeypatch, options):
    by_record = retrieval(ties, as_run=False, **options)
    records = list(by_record.mine(QUERIES))
    monkeypatch.setattr(Retrieval, "_mined", None)
    by_columns = retrieval(ties, **options)
    runs = list(by_columns.runs(QUERIES))
    check_same_bytes(runs, records)
    assert [run[:3] for run in runs] == [run_columns(record)[:3] for record in records]
    assert list(by_columns.tally.lines()) == list(by_record.tally.lines())


@pytest.mark.parametrize(
    "options",
    [
        {"sources": ("bm25", "random"), "depth": 9},
        {"sources": ("random",), "depth": 9},
        {"add_positives": True, "depth": 9},
        {"min_score": 0.1, "depth": 9},
        {"near_copies": 0.9},
    ],
)
def test_other_runs_have_the_bytes_of_their_records_too(ties, options):
    check_same_bytes(
        list(retrieval(ties, **options).runs(QUERIES)), list(retrieval(ties, **options).mine(QUERIES))
    )


@pytest.mark.parametrize(
    ("name", "query_id", "doc_ids", "message"),
    [
        (
            "trec",
            "q",
            ["d 1"],
            r"id 'd 1' has white space, which a TREC run cannot hold \(use -f tsv or jsonl\)",
        ),
        ("trec", "q q", ["d"], "id 'q q' has white space"),
        ("tsv", "q", ["d\t1"], r"id 'd\\t1' has a tab or a line end, which TSV cannot hold \(use -f jsonl\)"),
    ],
)
def test_a_run_that_cannot_hold_an_id_names_the_query(name, query_id, doc_ids, message):
    with pytest.raises(RdError, match=f'^query "{query_id}": {message}'):
        list(encode_runs([RunColumns(query_id, doc_ids, [1.0] * len(doc_ids), "t")], name))


def test_depth_counts_after_positives_and_earlier_sources_and_ranks_stay():
    a = Fixed(["d1", "d2", "d3"], [3.0, 2.0, 1.0], "a")
    b = Fixed(["d2", "d3", "d4", "d5"], None, "b")
    record, _ = mined([a, b], {"d1": 1}, num_negatives=9, depth=2)
    assert [(doc["doc_id"], doc["source"], doc["rank"]) for doc in record["docs"]] == [
        ("d1", "a", 1), ("d2", "a", 2), ("d3", "a", 3), ("d4", "b", 3), ("d5", "b", 4),
    ]  # fmt: skip
    assert record["score_scale"] == "dot"  # one source scores, the other gives none
    both, _ = mined([a, Fixed(["d2"], [1.0], "c")], {"d1": 1}, num_negatives=9)
    assert "score_scale" not in both
    assert not any("score" in doc for doc in both["docs"])


def test_more_copies_of_a_positive_than_were_reckoned_with_cost_no_depth(tmp_path):
    rows = [f"c{n:02}\tWing flow" for n in range(40)] + [f"d{n}\twing jet" for n in range(6)]
    (tmp_path / "corpus.tsv").write_text("\n".join(["p\twing flow", *rows]) + "\n")
    setting = resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")))
    for name in ("bm25", "random", "graph"):
        selection = Selection(num_negatives=4, depth=4, sampling="top")
        miner = miner_of([open_source(name, setting)], selection, {"q": {"p": 1}}, setting.collection.corpus)
        docs = next(miner.mine([{"query_id": "q", "query": "wing flow", "docs": []}]))["docs"]
        assert [doc["doc_id"][0] for doc in docs] == ["p", "d", "d", "d", "d"], name
    assert "left out, copies of a positive" in list(miner.tally.lines())[1]


def test_top_takes_turns_between_sources():
    a = Fixed(["d1", "d2", "d3"], [3.0, 2.0, 1.0], "a")
    b = Fixed(["d2", "d4", "d5"], None, "b")
    record, _ = mined([a, b], num_negatives=3)
    assert [(doc["doc_id"], doc["source"]) for doc in record["docs"]] == [
        ("d1", "a"), ("d2", "a"), ("d4", "b"),
    ]  # fmt: skip


def test_a_group_as_a_run_has_all_documents_in_the_order_they_were_found():
    a = Fixed(["d1", "d2", "d3"], [3.0, 2.0, 1.0], "a")
    b = Fixed(["d4", "d5"], None, "b")
    record, _ = mined([a, b], {"d3": 1, "d9": 1}, num_negatives=4, as_run=True)
    assert ids(record) == ["d1", "d2", "d3", "d4", "d5", "d9"]
    assert [doc_id for doc_id, _ in ranking(record)] == ["d1", "d2", "d3", "d4", "d5"]  # d9 was not found
    whole, _ = mined([a, b], {"d3": 1, "d9": 1}, num_negatives=None, as_run=True)
    assert ranking(whole) == ranking(record)


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        ({"relative_margin": 0.5}, ["d5"]),  # s⁺ = −2: below −2 − 0.5·2 = −3
        ({"absolute_margin": 0.0}, ["d4", "d5"]),  # strictly below −2
        ({"absolute_margin": -0.5}, ["d3", "d4", "d5"]),
        ({"max_score": -2.0}, ["d3", "d4", "d5"]),
        ({"min_score": 0.0}, ["d2"]),
        ({"range_min": 2}, ["d4", "d5"]),
    ],
)
def test_filters(selection, kept):
    source = Fixed(["d2", "d1", "d3", "d4", "d5"], [1.0, -2.0, -2.0, -2.5, -4.0])
    record, _ = mined([source], {"d1": 1}, num_negatives=9, **selection)
    assert ids(record)[1:] == kept


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        ({"depth": {"": 1, "b:x": 2}}, "d1 d3 d4 d6"),
        ({"depth": {"b": 2, "b:y": 1, "": 1}}, "d1 d3 d4 d6"),
        ({"depth": {"b": 1}}, "d1 d2 d3 d6"),  # the default where nothing is stated
        ({"range_min": {"a": 1}}, "d2 d3 d4 d5 d6 d7"),
        ({"max_score": {"b:x": 0.7, "a": 5.0}}, "d2 d5 d6 d7"),
        ({"min_score": {"": 0.85, "a": 9.0}}, "d1 d3"),
        ({"relative_margin": {"a": 0.5}, "absolute_margin": {"b": 0.0}}, "d2 d5"),
    ],
)
def test_a_limit_may_be_stated_for_one_source(selection, kept):
    """The name of a source comes before its kind, and this before a number without a name."""
    a = Fixed(["d1", "d2", "d8"], [9.0, 4.0, 8.5], "a")
    b = Fixed(["d3", "d4", "d5", "d8"], [0.9, 0.8, 0.1, 0.5], "b:x", "cosine")
    other = Fixed(["d6", "d7", "d8"], [0.8, 0.7, 0.1], "b:y", "cosine")
    record, _ = mined([a, b, other], {"d8": 1}, num_negatives=9, **selection)
    assert " ".join(ids(record)[1:]) == kept


def test_candidates_that_a_bound_cannot_judge_are_counted():
    sources = [Fixed(["d1", "d2"], [3.0, 1.0], "a"), Fixed(["d3"], None, "b")]
    assert mined(sources, num_negatives=9, max_score=2.0)[1][1:] == [
        "a: 1 candidates (1 query), 1 dropped by --max-score (1 query)",
        "b: 1 candidates (1 query), 1 passed unfiltered, no score (1 query)",
    ]
    assert mined(sources, num_negatives=9, max_score={"a": 2.0})[1][2] == "b: 1 candidates (1 query)"


def test_margins_start_at_the_lowest_positive_and_pass_what_they_cannot_judge():
    source = Fixed(["d1", "d2", "d3", "d4"], [9.0, 8.0, 7.0, 1.0])
    record, _ = mined([source], {"d1": 1, "d3": 1}, num_negatives=9, absolute_margin=0.0)
    assert ids(record) == ["d1", "d3", "d4"]
    record, account = mined([source], {"d7": 1}, num_negatives=9, absolute_margin=0.0)
    assert ids(record) == ["d7", "d1", "d2", "d3", "d4"]
    assert "4 passed unfiltered, no scored positive (1 query)" in account[1]


def test_documents_outside_the_corpus_are_left_out_and_counted():
    record, account = mined([Fixed(["d1", "gone", "d2"])], {"lost": 1}, num_negatives=5)
    assert ids(record) == ["d1", "d2"]
    assert "1 left out, not in the corpus (1 query)" in account[1]
    assert "1 positives not in the corpus (1 query)" in account[0]


def test_empty_texts_are_copies_only_of_empty_positives():
    assert ids(mined([Fixed(["e", "d2"])], {"d1": 1}, num_negatives=5)[0]) == ["d1", "e", "d2"]


def test_no_text_writes_ids_only():
    record, _ = mined([Fixed(["d2"])], {"d1": 1}, no_text=True)
    assert not any("text" in doc for doc in record["docs"])


# sources


@pytest.fixture
def setting(tmp_path):
    rows = [f"d{n}\tword{n} {'boundary layer ' * (n % 3)}" for n in range(50)]
    (tmp_path / "corpus.tsv").write_text("\n".join(rows) + "\nx1\tboundary\nx2\tboundary\nx3\tboundary\n")
    return resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")))


def request(query="boundary", query_id="q", depth=10, positives=(), docs=()):
    return SearchRequest({"query_id": query_id, "query": query, "docs": list(docs)}, depth, positives)


def test_bm25_ties_go_to_the_larger_id_also_at_the_cut(setting):
    [found] = searched(open_source("bm25", setting), [request(depth=2, positives=["x1", "d0", "nowhere"])])
    assert found.doc_ids == ["x3", "x2"]
    assert found.positives == {"x1": found.scores[0], "d0": 0.0}


def test_bm25_finds_only_documents_with_a_term_of_the_query(setting):
    [found] = searched(open_source("bm25", setting), [request("word7 nothing", depth=50)])
    assert found.doc_ids == ["d7"]


def test_a_query_without_text_is_named(setting):
    with pytest.raises(RdError, match='query "q" has no text'):
        searched(open_source("bm25", setting), [SearchRequest({"query_id": "q", "docs": []}, 1)])


def test_random_draws_every_document_once_and_a_deeper_draw_begins_the_same(setting):
    source = open_source("random", setting)
    deep, short = (searched(source, [request(depth=depth)])[0] for depth in (100, 5))
    assert sorted(deep.doc_ids) == sorted(setting.collection.corpus.doc_ids)
    assert short.doc_ids == deep.doc_ids[:5]
    assert deep.scores is None
    other = searched(source, [request(query_id="other", depth=5)])[0]
    assert other.doc_ids != short.doc_ids
    first = Counter(searched(source, [request(query_id=str(n), depth=1)])[0].doc_ids[0] for n in range(5300))
    assert len(first) == 53
    assert max(first.values()) < 160


def test_dense_equals_brute_force_and_no_neighbour_changes_a_digit(setting, tiny_be):
    import numpy as np

    from rdtools.models.encoding import BiEncoder
    from rdtools.models.loading import load_bi_encoder
    from rdtools.models.options import ModelOptions

    source = open_source(f"dense:{tiny_be}", setting)
    queries = [
        request(query, str(n), depth=7) for n, query in enumerate(["boundary", "layer of word3", "flow"])
    ]
    together = searched(source, queries)
    assert [searched(source, [query])[0] for query in queries] == together
    encoder = BiEncoder(load_bi_encoder(tiny_be, ModelOptions(device="cpu")))
    corpus = setting.collection.corpus
    scores = (
        encoder.encode_queries([q.record["query"] for q in queries])
        @ encoder.encode_documents(corpus.texts).T
    )
    for found, row in zip(together, scores, strict=True):
        np.testing.assert_allclose(found.scores, np.sort(row)[::-1][:7], atol=1e-6)
        assert found.scores == sorted(found.scores, reverse=True)
        by_score = list(zip(found.scores, found.doc_ids, strict=True))
        assert by_score == sorted(by_score, reverse=True)  # ties, such as x3 = x2 = x1, by larger id
    assert source.scale == "cosine"


def test_runs_are_sources_whatever_their_format(setting, tmp_path):
    (tmp_path / "run.trec").write_text("q Q0 d1 1 2.5 t\nq Q0 d3 2 2.5 t\nr Q0 d2 1 1 t\n")
    (tmp_path / "run.tsv").write_text("q\td1\t1\nq\td3\t2\n")
    found = searched(open_source(f"run:{tmp_path}/run.trec", setting), [request(positives=["d1", "d9"])])[0]
    assert found == SourceRanking(["d3", "d1"], [2.5, 2.5], {"d1": 2.5})
    assert searched(open_source(f"run:{tmp_path}/run.trec", setting), [request(query_id="none")]) == [
        SourceRanking([])
    ]
    with pytest.raises(RdError, match="may be a rank, a score or an id"):
        open_source(f"run:{tmp_path}/run.tsv", setting)


def test_records_are_selected_again_untouched():
    docs = [
        {"doc_id": "p", "text": "p", "relevance": 1, "score": 2.0, "source": "qrels", "x": 1},
        {"doc_id": "a", "text": "a", "score": 1.0, "rank": 7, "source": "bm25", "y": 2},
        {"doc_id": "b", "text": "b", "score": 3.0, "rank": 1, "source": "bm25"},
    ]
    record = {"query_id": "q", "query": "x", "docs": docs, "teacher": "t", "score_scale": "logit"}
    source = open_source("records", resources(Collection()))
    miner = miner_of([source], Selection(num_negatives=5, sampling="top", absolute_margin=0.5), {}, None)
    assert next(miner.mine([record])) == {**record, "docs": [docs[0], docs[1]]}
    miner = miner_of([source], Selection(num_negatives=None), {}, None)
    assert next(miner.mine([record])) == {**record, "docs": [docs[2], docs[1]]}


@pytest.mark.parametrize("named", ["records", "run"])
def test_documents_without_a_score_are_counted_where_others_have_one(setting, tmp_path, named):
    docs = [{"doc_id": "d1", "score": 1.0}, {"doc_id": "d2"}, {"doc_id": "d3", "source": "qrels"}]
    record = {"query_id": "q", "query": "x", "docs": docs}
    (tmp_path / "run.jsonl").write_bytes(dump(record))
    source = open_source(named if named == "records" else f"run:{tmp_path}/run.jsonl", setting)
    miner = miner_of([source], Selection(num_negatives=None), {}, None)
    assert ids(next(miner.mine([record]))) == ["d1"]
    counted = "1 candidates (1 query), 1 left out, no score (1 query)"
    assert list(miner.tally.lines()) == ["1 query", f"{source.name}: {counted}"]


def test_new_sources_drop_the_old_scores(setting):
    record = {
        "query_id": "q", "query": "boundary", "docs": [{"doc_id": "d1", "score": 1.0}],
        "teacher": "t", "score_scale": "logit",
    }  # fmt: skip
    miner = miner_of(
        [open_source("random", setting)], Selection(num_negatives=1), {}, setting.collection.corpus
    )
    assert "teacher" not in (again := next(miner.mine([record])))
    assert "score_scale" not in again


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_refuses_a_wrong_argument_in_one_line(name, setting):
    """A source that takes no argument refuses one, a source that needs one refuses its absence."""
    with pytest.raises(UsageError, match=f"--from {name}"):
        [open_source(spec, setting) for spec in (name, f"{name}:argument")]


def test_misspelt_sources_suggest_the_near_one(setting):
    with pytest.raises(UsageError, match=r"unknown source 'bm52'; did you mean 'bm25'\?"):
        open_source("bm52", setting)


def test_records_and_another_source_keep_their_scales_apart(setting):
    record = {
        "query_id": "q", "query": "boundary", "docs": [{"doc_id": "d1", "score": -3.5}],
        "teacher": "t", "score_scale": "logit",
    }  # fmt: skip
    sources = [open_source("records", setting), open_source("bm25", setting)]
    miner = miner_of(sources, Selection(num_negatives=5, sampling="top"), {}, setting.collection.corpus)
    mined = next(miner.mine([record]))
    assert mined["docs"][0]["score"] == -3.5
    assert not any("score" in doc for doc in mined["docs"][1:])


def test_margins_over_a_run_of_records_start_at_added_positives_too(setting, tmp_path):
    (tmp_path / "run.jsonl").write_text(
        '{"query_id":"q","docs":[{"doc_id":"d1","score":3.5,"source":"qrels"},{"doc_id":"d2","score":9.1},'
        '{"doc_id":"d3","score":1.0}],"score_scale":"logit"}\n{"query_id":"none","docs":[]}\n'
    )
    source = open_source(f"run:{tmp_path}/run.jsonl", setting)
    selection = Selection(num_negatives=5, sampling="top", absolute_margin=0.0)
    miner = miner_of([source], selection, {"q": {"d1": 1}}, setting.collection.corpus)
    assert ids(next(miner.mine([QUERY]))) == ["d1", "d3"]


def test_a_run_of_ranks_is_a_source_when_its_format_is_named(setting, tmp_path):
    (tmp_path / "ms.run").write_text("q\td1\t3\nq\td2\t1\nq\td3\t2\n")  # lines in any order
    found = searched(open_source(f"run:msmarco-run:{tmp_path}/ms.run", setting), [request()])
    assert found == [SourceRanking(["d2", "d3", "d1"])]


def test_a_run_of_several_scales_is_refused(setting, tmp_path):
    lines = [
        f'{{"query_id":"{s}","docs":[{{"doc_id":"d1","score":1}}],"score_scale":"{s}"}}\n'
        for s in ("dot", "bm25")
    ]
    (tmp_path / "run.jsonl").write_text("".join(lines))
    with pytest.raises(RdError, match="scores on several scales: bm25, dot"):
        open_source(f"run:{tmp_path}/run.jsonl", setting)


def test_scores_that_are_not_finite_are_refused():
    class Index:
        def search(self, queries, depths):
            return [(np.array([1, 0]), np.array([1.0, np.inf], np.float32))]

        def score_rows(self, query, rows):
            return np.ones(len(rows), np.float32)

    corpus = Corpus([("a", "x"), ("b", "y")])
    with pytest.raises(RdError, match="a score of the model is not finite"):
        list(search_index(Index(), corpus, ["x"], [request()]))
