"""Test judgements in training records: found by id and by text, and said on stderr."""

from __future__ import annotations

import json

import pytest

from rdtools.core.errors import RdError, UsageError
from rdtools.data.leakage import Leakage, open_leakage

QRELS = {"t1": {"a": 1, "b": 0}, "t2": {"c": 2}, "t3": {"e": 1}}


def record(query_id, query, *docs):
    return {"query_id": query_id, "query": query, "docs": [{"doc_id": i, "text": text} for i, text in docs]}


def test_queries_and_relevant_documents_are_found_by_id():
    leakage = Leakage(QRELS)
    records = [record("t1", "?", ("b", "x"), ("c", "y")), record("q9", "Wing Drag", ("z", "Jet"))]
    assert list(leakage.watch(records)) == records
    assert (leakage.queries, leakage.relevant_docs) == ({"t1"}, {"c"})  # b is judged, but not relevant
    assert (leakage.judged_queries, leakage.judged_docs) == (3, 3)


def test_equal_texts_are_found_under_other_ids():
    leakage = Leakage(
        QRELS, {"t2": "wing  drag", "t3": "", "zz": "unjudged"}, {"a": "the JET", "b": "x", "e": ""}
    )
    leakage.add(record("q9", "Wing Drag", ("z", "The ｊｅｔ"), ("y", "x"), ("w", "")))
    assert (leakage.queries, leakage.relevant_docs) == ({"t2"}, {"a"})
    leakage.restart()
    assert (leakage.queries, leakage.relevant_docs) == (set(), set())


def test_what_was_found_is_a_warning_and_nothing_a_note(caplog):
    caplog.set_level("INFO", logger="rdtools")
    leakage = Leakage(QRELS)
    leakage.report("test.tsv")
    leakage.add(record("t1", "?", ("c", "y")))
    leakage.report("test.tsv")
    assert [(entry.levelname, entry.getMessage()) for entry in caplog.records] == [
        ("INFO", "test.tsv: 0 of its 3 queries and 0 of its 3 relevant documents are in these records"),
        ("WARNING", "test.tsv: 1 of its 3 queries and 1 of its 3 relevant documents are in these records"),
    ]


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    corpus = [("a", "Jet"), ("b", "wing"), ("c", "drag")]
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": i, "title": "", "text": t}) + "\n" for i, t in corpus)
    )
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "t1", "text": "speed"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nt1\ta\t1\nt1\tb\t0\n")
    return folder


def test_a_dataset_brings_its_texts_and_a_file_its_ids(beir):
    same_texts = record("other", "SPEED", ("x", "jet"), ("y", "wing"))
    leakage = open_leakage(f"{beir}:test")
    leakage.add(same_texts)
    assert (leakage.queries, leakage.relevant_docs) == ({"t1"}, {"a"})
    leakage = open_leakage(str(beir / "qrels" / "test.tsv"))
    leakage.add(same_texts)
    assert (leakage.queries, leakage.relevant_docs) == (set(), set())


def test_judgements_that_are_not_there(tmp_path):
    with pytest.raises(
        UsageError, match=r"^nowhere\.tsv: no such file; dataset nowhere\.tsv: no such folder"
    ):
        open_leakage("nowhere.tsv")
    (tmp_path / "empty").touch()
    with pytest.raises(RdError, match=r"empty: no judgements$"):
        open_leakage(str(tmp_path / "empty"))
