"""What a format cannot hold: it is left out and counted on stderr, and refused with --strict."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from rdtools.core.errors import RdError
from rdtools.formats import Writing, encode
from rdtools.formats.table import FORMATS, WRITERS


def doc(name: str, score: float | None = None, *, positive: bool = False) -> dict[str, Any]:
    fields: dict[str, Any] = {"doc_id": name, "text": f"text of {name}"}
    if positive:
        fields["relevance"] = 1
    return fields if score is None else {**fields, "score": score}


def record(query_id: str, *docs: dict[str, Any]) -> str:
    return json.dumps({"query_id": query_id, "query": f"query {query_id}", "docs": docs}) + "\n"


WHOLE = record("q1", doc("a", 3.0, positive=True), doc("b", 1.0), doc("c", 0.5))
NO_POSITIVE = record("q2", doc("d", 2.0), doc("e", 1.0))
NO_NEGATIVE = record("q3", doc("f", 2.0, positive=True))
NO_DOCS = record("q4")
INPUT = WHOLE + NO_POSITIVE + NO_NEGATIVE + NO_DOCS
RECORDS = ("rd-mine", "--from", "records", "-n", "all", "-f")

PAIRS = "2 queries without a positive, 1 query without a negative"
LEFT_OUT = {
    "trec": "1 query without a ranking",
    "tsv": "1 query without a ranking",
    "jsonl-run": "1 query without a ranking",
    "tevatron": PAIRS,
    "tevatron-ids": PAIRS,
    "tevatron-kd": "1 query without a document",
    "pylate": "1 query without a document",
    "colbert-triples": PAIRS,
    "colbert-nway": "1 query without a document",
    "colbert-scores": "1 query without a document",
    "paper-triples": "2 queries without a positive",
    "paper-scores": "1 query without a document",
    "msmarco-hard-negatives": "2 queries without a positive",
    "gpl-hard-negatives": "2 queries without a positive",
    "gpl": PAIRS,
    "msmarco-triples": PAIRS,
    "splade": PAIRS,
    "flagembedding": PAIRS,
    "ms-swift": "2 queries without a positive",
    "rank-llm": "1 query without a document",
    "sentence-transformers": PAIRS,
    "sentence-transformers-triplet": PAIRS,
    "sentence-transformers-list": "1 query without a document",
}


def test_the_table_has_every_format():
    assert {*LEFT_OUT, "jsonl"} == {*WRITERS}


Encoded = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def encoded(caplog, monkeypatch) -> Encoded:
    """Return the lines of records in a format, and what is said on stderr."""
    monkeypatch.setattr(logging.getLogger("rdtools"), "propagate", True)

    def encode_lines(format: str, records: str, strict: bool = False) -> tuple[str, list[str]]:
        caplog.clear()
        parsed = [json.loads(line) for line in records.splitlines()]
        return b"".join(encode(parsed, Writing(format=format), strict)).decode(), caplog.messages[:]

    return encode_lines


def counted(format: str, left_out: str) -> list[str]:
    return [f"{format} cannot hold, so these are left out: {left_out}"]


@pytest.mark.parametrize("format", LEFT_OUT)
def test_queries_that_a_format_cannot_hold_are_counted(encoded, format):
    lines, said = encoded(format, INPUT)
    assert said == counted(format, LEFT_OUT[format])
    whole, said = encoded(format, WHOLE)
    assert said == []
    if not FORMATS[format].frame[0]:
        assert lines.startswith(whole)
    for queries in ('"pos":[]', '"positive_passages":[]', '"negative_passages":[]', '"neg":[]'):
        assert queries not in lines


@pytest.mark.parametrize("format", LEFT_OUT)
def test_strict_refuses_them(encoded, format):
    with pytest.raises(RdError) as error:
        encoded(format, INPUT, strict=True)
    first = LEFT_OUT[format].split(",")[0].split(" ", 2)[2]
    query_id = "q2" if first == "without a positive" else "q4"
    message = f'query "{query_id}": {format} cannot hold a query {first} (without --strict it is left out)'
    assert str(error.value) == message
    assert encoded(format, WHOLE, strict=True) == encoded(format, WHOLE)


def test_the_commands_count_and_refuse(run, tmp_path):
    done = run(*RECORDS, "flagembedding", "-o", "out", stdin=INPUT, check=True)
    assert f"rd-mine: warning: {counted('flagembedding', PAIRS)[0]}\n" in done.stderr
    (tmp_path / "out").unlink()
    done = run(*RECORDS, "flagembedding", "--strict", "-o", "out", stdin=INPUT)
    message = (
        'query "q2": flagembedding cannot hold a query without a positive (without --strict it is left out)'
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"rd-mine: {message}")
    assert not (tmp_path / "out").exists()
    done = run(*RECORDS, "trec", stdin=INPUT, check=True)
    assert f"rd-mine: warning: {counted('trec', '1 query without a ranking')[0]}\n" in done.stderr
    assert run(*RECORDS, "jsonl", "--strict", stdin=INPUT, check=True).stdout.count("\n") == 4


def test_a_file_without_any_query_is_an_error(encoded):
    with pytest.raises(RdError) as error:
        encoded("flagembedding", NO_POSITIVE)
    assert str(error.value) == "flagembedding can hold none of the queries: 1 query without a positive"
    assert encoded("trec", NO_DOCS) == ("", counted("trec", "1 query without a ranking"))


def test_the_first_query_decides_how_many_negatives_the_others_have(encoded):
    longer = record("q2", doc("d", 1.0, positive=True), *(doc(f"e{n}", 0.5) for n in range(4)))
    shorter = record("q3", doc("f", 1.0, positive=True), doc("g", 0.5))
    lines, said = encoded("sentence-transformers", WHOLE + longer + shorter)
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [{*row} for row in rows] == [{"anchor", "positive", "negative_1", "negative_2", "scores"}] * 2
    beyond, fewer = (
        "2 negatives beyond the 2 of the first query",
        "1 query with fewer negatives than the first (2)",
    )
    assert said == counted("sentence-transformers", f"{beyond}, {fewer}")


EVEN = [name for name, each in FORMATS.items() if "scores" in each.even]


@pytest.mark.parametrize("format", EVEN)
def test_all_queries_have_scores_or_none(encoded, format):
    some = record("q2", doc("d", 2.0, positive=True), doc("e"), doc("f", 1.0))
    none = record("q3", doc("g", positive=True), doc("h"), doc("i"))
    lines, said = encoded(format, WHOLE + some + none)
    assert said == counted(format, "2 queries with unscored documents, which the first has not")
    assert lines == encoded(format, WHOLE)[0]
    lines, said = encoded(format, some + WHOLE + none)
    because = "some of its documents have none, 1 list of scores, as documents of the first query have none"
    assert said == counted(format, f"1 list of scores, as {because}")
    assert "scores" not in lines
    with pytest.raises(RdError, match="cannot hold a list of scores, as some of its documents have none"):
        encoded(format, some, strict=True)


@pytest.mark.parametrize("format", ["pylate", "tevatron-kd", "colbert-nway", "gpl", "rank-llm", "trec"])
def test_documents_without_a_score_are_left_out_among_others_with_one(encoded, format):
    some = record("q2", doc("d", 2.0, positive=True), doc("e"), doc("f", 1.0))
    none = record("q3", doc("g", positive=True), doc("h"), doc("i"))
    lines, said = encoded(format, WHOLE + some)
    assert said == counted(format, "1 document without a score")
    assert lines == encoded(format, WHOLE + some.replace(json.dumps(doc("e")) + ", ", ""))[0]
    if "scores" in FORMATS[format].needs:
        what = "positive" if format == "gpl" else "document"
        said = encoded(format, WHOLE + none)[1]
        assert said == counted(format, f"3 documents without a score, 1 query without a {what}")
        with pytest.raises(RdError, match="has no score, which this format needs"):
            encoded(format, none)


def test_a_repeated_passage_with_another_score_is_counted(run, tmp_path):
    line = '{"query":"q","pos":["a"],"neg":["b","b"],"pos_scores":[3.0],"neg_scores":[1.0,2.0]}\n'
    done = run("rd-label", "--teacher", "qrels", stdin=line, check=True)
    message = "<stdin>: 1 repeated document with another score: left out"
    assert f"rd-label: warning: {message}\n" in done.stderr
    refused = run("rd-label", "--teacher", "qrels", "--strict", stdin=line)
    message = "<stdin>:1: repeated document with another score (it is left out without --strict)"
    assert (refused.returncode, refused.stderr) == (1, f"rd-label: {message}\n")
    same = line.replace("[1.0,2.0]", "[1.0,1.0]")
    assert "repeated" not in run("rd-label", "--teacher", "qrels", stdin=same, check=True).stderr


# Texts that belong to ids


def numbers(*rows: str) -> list[Any]:
    return [json.loads(row) for row in rows]


def test_colbert_gets_numbered_queries_and_a_numbered_collection(run, tmp_path):
    other = record("q9", doc("c", 1.0, positive=True), doc("z", 0.5))
    run(
        *RECORDS,
        "colbert-triples",
        "--with-texts",
        "texts",
        "-o",
        "triples.jsonl",
        stdin=WHOLE + other,
        check=True,
    )
    texts = {file.name: file.read_text() for file in (tmp_path / "texts").iterdir()}
    assert texts == {
        "queries.tsv": "0\tquery q1\n1\tquery q9\n",
        "query_ids.tsv": "0\tq1\n1\tq9\n",
        "collection.tsv": "0\ttext of a\n1\ttext of b\n2\ttext of c\n3\ttext of z\n",
        "doc_ids.tsv": "0\ta\n1\tb\n2\tc\n3\tz\n",
    }
    assert numbers(*(tmp_path / "triples.jsonl").read_text().splitlines()) == [
        [0, 0, 1],
        [0, 0, 2],
        [1, 2, 3],
    ]


@pytest.mark.parametrize("prefix", ["", "d"])
def test_texts_of_pylate_have_ids_of_the_same_type(run, tmp_path, prefix):
    line = record("7", doc("12", 3.0), doc(f"{prefix}40", 9.0, positive=True))
    run(*RECORDS, "pylate", "--with-texts", "texts", "-o", "train.jsonl", stdin=line, check=True)

    def rows(name: str) -> list[Any]:
        return [json.loads(row) for row in (tmp_path / name).read_text().splitlines()]

    as_id = str if prefix else int
    ids = [as_id(f"{prefix}40"), as_id("12")]
    assert rows("train.jsonl") == [{"query_id": as_id("7"), "document_ids": ids, "scores": [9.0, 3.0]}]
    assert rows("texts/queries.jsonl") == [{"query_id": as_id("7"), "text": "query 7"}]
    assert rows("texts/documents.jsonl") == [
        {"document_id": ids[0], "text": f"text of {prefix}40"}, {"document_id": ids[1], "text": "text of 12"}
    ]  # fmt: skip
    again = run(
        "rd-label", "train.jsonl", "--teacher", "bm25", "--corpus", "texts/documents.jsonl",
        "--queries", "texts/queries.jsonl", check=True,
    )  # fmt: skip
    assert [doc["text"] for doc in json.loads(again.stdout)["docs"]] == [f"text of {prefix}40", "text of 12"]


def test_the_corpus_of_tevatron_ids_has_titles(run, tmp_path):
    passage = '{"docid":"1","title":"Tea","text":"Leaves"}'
    line = f'{{"query_id":"7","query":"tea","positive_passages":[{passage}],"negative_passages":[{{"docid":"2","title":"","text":"Car"}}]}}\n'
    run(*RECORDS, "tevatron-ids", "--with-texts", "texts", stdin=line, check=True)
    assert (
        tmp_path / "texts" / "corpus.jsonl"
    ).read_text() == f'{passage}\n{{"docid":"2","title":"","text":"Car"}}\n'


def test_formats_with_texts_need_no_others(run):
    done = run(*RECORDS, "flagembedding", "--with-texts", "texts", stdin=WHOLE)
    assert done.returncode == 2
    assert done.stderr.startswith("rd-mine: --with-texts needs -f pylate, tevatron-ids, colbert-triples, ")


# Titles, texts from a collection, options that bring nothing


@pytest.mark.parametrize("format", ["tevatron", "tevatron-kd"])
def test_titles_of_tevatron_survive(run, format):
    passages = (
        '{"docid":"1","title":"Tea","text":"Leaves","score":2.0}',
        '{"docid":"2","title":"","text":"Car","score":1.0}',
    )
    line = f'{{"query_id":"7","query":"tea","positive_passages":[{passages[0]}],"negative_passages":[{passages[1]}]}}\n'
    records = run(*RECORDS, "jsonl", stdin=line, check=True).stdout
    assert json.loads(records)["docs"][0]["text"] == "Tea Leaves"  # what models read
    written = json.loads(run(*RECORDS, format, stdin=records, check=True).stdout)
    first = (written["positive_passages"] if format == "tevatron" else written["passages"])[0]
    assert (first["title"], first["text"]) == ("Tea", "Leaves")


def test_texts_come_from_the_collection_where_the_format_needs_them(run, tmp_path):
    (tmp_path / "c.tsv").write_text("a\tTea\nb\tCar\n")
    (tmp_path / "q.tsv").write_text("1\ttea?\n")
    (tmp_path / "qrels").write_text("1 0 a 1\n")
    options = (
        "rd-label",
        "--teacher",
        "run:run",
        "--corpus",
        "c.tsv",
        "--queries",
        "q.tsv",
        "-f",
        "rank-llm",
    )
    (tmp_path / "run").write_text("1 0 a 1 9.5 x\n1 0 b 2 1.0 x\n")
    request = json.loads(run(*options, "run", check=True).stdout)
    assert [candidate["doc"]["text"] for candidate in request["candidates"]] == ["Tea", "Car"]


def test_a_corpus_that_no_record_needs_is_named(run, tmp_path):
    (tmp_path / "c.tsv").write_text("a\tTea\n")
    done = run("rd-label", "--teacher", "qrels", "--corpus", "c.tsv", stdin=WHOLE, check=True)
    assert "rd-label: --corpus c.tsv was not needed: the records have all texts\n" in done.stderr
