"""Collections: BEIR folders and their splits, explicit files, pydoc."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from rdtools.core.errors import BadLine, InputError, RdError, UsageError
from rdtools.data.collection import Collection
from rdtools.data.corpus import Corpus, find_text, require_text
from rdtools.data.datasets import open_dataset, read_judgements
from rdtools.data.pydoc import Pydoc, build, docstrings, split_of, split_summary


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "toy"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id":"d1","title":"Wings","text":"lift and drag"}\n{"_id":2,"title":"","text":"a jet"}\n'
    )
    with gzip.open(folder / "queries.jsonl.gz", "wt") as file:
        file.write(
            '{"_id":"q1","text":"lift","metadata":{"answer":"d1"}}\n{"_id":"q2","text":"jet","lang":"en"}\n'
        )
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\t2\t2\nq2\td1\t0\n")
    return folder


def test_a_split_brings_its_judgements_and_their_queries(beir):
    test = open_dataset(f"{beir}:test")
    assert test.qrels() == {"q2": {"2": 2, "d1": 0}}
    queries: list[Any] = list(test.queries())
    assert queries == [{"query_id": "q2", "query": "jet", "lang": "en", "docs": []}]
    assert dict(test.documents()) == {"d1": "Wings lift and drag", "2": "a jet"}


def test_without_a_split_all_queries_and_judgements(beir):
    whole = open_dataset(str(beir))
    assert [query["query_id"] for query in whole.queries()] == ["q1", "q2"]
    assert whole.qrels() == {"q1": {"d1": 1}, "q2": {"2": 2, "d1": 0}}
    assert read_judgements(f"{beir}:train") == {"q1": {"d1": 1}}


def test_unknown_datasets_and_splits_say_what_there_is(beir):
    with pytest.raises(UsageError, match=r"no split 'dev' in qrels/ \(choose from test, train\)"):
        open_dataset(f"{beir}:dev")
    with pytest.raises(
        UsageError,
        match=r"^dataset nowhere: no such folder \(give a folder in BEIR layout, pydoc, pydoc:SPLIT or irds:NAME\)$",
    ):
        open_dataset("nowhere")
    with pytest.raises(UsageError, match=r"no split 'dev' \(choose from train, test\)"):
        open_dataset("pydoc:dev")
    (beir / "corpus.jsonl").unlink()
    with pytest.raises(UsageError, match=r"corpus\.jsonl is missing"):
        list(open_dataset(str(beir)).documents())


def test_corpus_rows_go_by_descending_id_whatever_the_file():
    corpus = Corpus([("a", "1"), ("c", "3"), ("b", "2")])
    assert corpus.doc_ids == ["c", "b", "a"]
    assert corpus.row_of == {"c": 0, "b": 1, "a": 2}
    assert corpus.fingerprint == Corpus([("b", "2"), ("a", "1"), ("c", "3")]).fingerprint
    assert corpus.fingerprint != Corpus([("b", "2"), ("a", "13"), ("c", "")]).fingerprint
    with pytest.raises(RdError, match='doc_id "a" is repeated'):
        Corpus([("a", "1"), ("a", "2")])


def test_a_text_is_that_of_the_record_or_else_of_the_corpus():
    corpus = Corpus([("a", "of the corpus")])
    own: Any = {"doc_id": "a", "text": "own"}
    assert find_text(own, corpus) == require_text(own, None) == "own"
    assert find_text({"doc_id": "a"}, corpus) == require_text({"doc_id": "a"}, corpus) == "of the corpus"
    assert find_text({"doc_id": "b"}, corpus) is find_text({"doc_id": "a"}, None) is None
    with pytest.raises(BadLine, match=r'^document "b" is not in the corpus$'):
        require_text({"doc_id": "b"}, corpus)
    with pytest.raises(BadLine, match=r'^document "a" has no text$') as caught:
        require_text({"doc_id": "a"}, None, "give one")
    assert caught.value.hint == "give one"


def test_judgements_come_from_a_file_or_else_from_a_dataset(beir, tmp_path):
    (tmp_path / "qrels").write_text("q9 0 d9 1\n")
    assert read_judgements(str(tmp_path / "qrels")) == {"q9": {"d9": 1}}
    assert read_judgements(f"{beir}:test") == {"q2": {"2": 2, "d1": 0}}
    with pytest.raises(UsageError, match=r"^nowhere: no such file; dataset nowhere: no such folder"):
        read_judgements("nowhere")


def test_named_files_go_before_the_dataset(beir, tmp_path):
    (tmp_path / "c.tsv").write_text("d9\tother\n")
    (tmp_path / "q.tsv").write_text("q9\tany\n")
    (tmp_path / "qrels").write_text("q9 0 d9 1\n")
    collection = Collection(
        f"{beir}:test", str(tmp_path / "c.tsv"), str(tmp_path / "q.tsv"), str(tmp_path / "qrels")
    )
    assert collection.corpus.doc_ids == ["d9"]
    assert collection.qrels == {"q9": {"d9": 1}}
    assert [query["query_id"] for query in collection.queries([])] == ["q9"]


def test_complete_fills_in_texts_and_names_what_is_missing(beir):
    collection = Collection(f"{beir}:test")
    record: Any = {"query_id": "q2", "docs": [{"doc_id": "d1"}, {"doc_id": "2", "text": "own"}]}
    collection.complete(record)
    assert record["query"] == "jet"
    assert [doc["text"] for doc in record["docs"]] == ["Wings lift and drag", "own"]
    with pytest.raises(BadLine, match='document "d7" is not in the corpus'):
        collection.complete({"query_id": "q2", "docs": [{"doc_id": "d7"}]})
    with pytest.raises(BadLine, match='query "q7" has no text'):
        collection.complete({"query_id": "q7", "docs": []})
    with pytest.raises(BadLine, match='document "d1" has no text'):
        Collection().complete({"query_id": "q2", "query": "x", "docs": [{"doc_id": "d1"}]})


def test_a_bad_corpus_line_is_named(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"_id":"d1","text":"x"}\n{"_id":"d2"}\n')
    with pytest.raises(InputError, match=r'c\.jsonl:2: missing "text"'):
        Collection(corpus_path=str(tmp_path / "c.jsonl")).corpus  # noqa: B018


def test_reading_options_reach_the_files_of_a_dataset(beir):
    from rdtools.formats import Reading

    (beir / "corpus.jsonl").write_text('{"_id":"d1","text":"x"}\nbroken\n')
    assert Collection(str(beir), reading=Reading(on_error="skip")).corpus.doc_ids == ["d1"]


def test_the_format_of_the_input_is_not_that_of_the_queries_file(tmp_path):
    from rdtools.formats import Reading

    (tmp_path / "q.tsv").write_text("q9\tany\n")
    collection = Collection(queries_path=str(tmp_path / "q.tsv"), reading=Reading(input_format="msmarco-run"))
    assert [query["query"] for query in collection.queries([])] == ["any"]


# pydoc


def test_split_summary():
    assert split_summary("Return the mean.\n\nOf  all\nvalues.") == ("Return the mean.", "Of all values.")
    assert split_summary("Return the mean.") == ("", "")  # no body
    assert split_summary("Two lines\nof summary.\n\nBody.") == ("", "")
    assert split_summary("Constructor.\n\nBody.") == ("", "")  # too short to ask for
    assert split_summary("detach() -> file descriptor\n\nClose it.") == ("", "")  # a signature
    assert split_summary("Return the mean.\n\nDoes return the mean of x.") == ("", "")  # leaks


def test_build_joins_equal_summaries_and_drops_copies_of_a_query():
    documents, queries = build(
        {
            "m.f": "Return the mean.\n\nOf f.",
            "m.g": "return the MEAN.\n\nOf g.",
            "m.h": "Return the mean.",  # nothing but the query: no document
            "m.i": "Something else.",
        }
    )
    assert documents == {"m.f": "Of f.", "m.g": "Of g.", "m.i": "Something else."}
    assert queries == {"m.f": ("Return the mean.", ["m.f", "m.g"])}


def test_docstrings_are_parsed_not_imported(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text('"""Package."""\nraise SystemExit\n')
    (tmp_path / "pkg" / "mod.py").write_text(
        'class C:\n    """A class."""\n    def f(self):\n        """First."""\n'
        '    def f(self):\n        """Second."""\n'
        'try:\n    import x\nexcept ImportError:\n    def g():\n        """Fallback."""\n'
    )
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "t.py").write_text('"""Not these."""')
    (tmp_path / "broken.py").write_text("def (")
    assert docstrings(tmp_path) == {
        "pkg": "Package.",
        "pkg.mod.C": "A class.",
        "pkg.mod.C.f": "First.",
        "pkg.mod.C.f#2": "Second.",
        "pkg.mod.g": "Fallback.",
    }


@pytest.fixture(scope="module")
def pydoc():
    return Pydoc()


def test_pydoc_has_about_what_it_promises(pydoc):
    documents, queries = dict(pydoc.documents()), list(pydoc.queries())
    assert 6000 < len(documents) < 9000
    assert 1800 < len(queries) < 3000
    for query_id, relevant in pydoc.qrels().items():
        assert relevant, query_id
        assert all(doc_id in documents for doc_id in relevant)


def test_pydoc_leaks_no_summary(pydoc):
    documents, qrels = dict(pydoc.documents()), pydoc.qrels()
    asked = {query["query"].casefold() for query in pydoc.queries()}
    assert not asked & {text.casefold() for text in documents.values()}
    for query in pydoc.queries():
        for doc_id in qrels[query["query_id"]]:
            assert query["query"].rstrip(".").casefold() not in documents[doc_id].casefold()


def test_pydoc_splits_are_disjoint_whole_and_stable(pydoc):
    train, test = (Pydoc(split).qrels() for split in ("train", "test"))
    assert not set(train) & set(test)
    assert {**train, **test} == pydoc.qrels()
    assert 0.25 < len(test) / len(pydoc.qrels()) < 0.37
    # Pinned: a query must never change sides.
    names = ("heapq.heapreplace", "bz2.BZ2File.close", "ftplib")
    assert [split_of(name) for name in names] == ["train", "test", "train"]
