"""rd-label --embeddings, as it is installed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rdtools.formats.vectors import read_vector

DOCS = [{"doc_id": f"d{n}", "text": f"flow {'wing ' * n}".strip(), "kept": n} for n in range(1, 4)]
RECORDS = [
    {"query_id": "q1", "query": "wing flow", "docs": DOCS},
    {"query_id": "q2", "query": "flow", "docs": DOCS[1:]},
    {"query_id": "q3", "query": "jet", "docs": []},
]
INPUT = "".join(json.dumps(record) + "\n" for record in RECORDS)


def encoded(model, texts):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device="cpu").encode(texts, normalize_embeddings=True)


def check(output, model):
    for record in output[:2]:
        texts = [record["query"], *(doc["text"] for doc in record["docs"])]
        written = [record["query_embedding"], *(doc["embedding"] for doc in record["docs"])]
        for expected, vector in zip(encoded(model, texts), map(read_vector, written), strict=True):
            np.testing.assert_allclose(vector, expected, rtol=1e-3, atol=1e-6)
        for doc, vector in zip(record["docs"], written[1:], strict=True):
            assert read_vector(vector) @ read_vector(written[0]) == pytest.approx(doc["score"], abs=2e-3)
    assert "query_embedding" not in output[2]


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_they_are_those_of_sentence_transformers(run, tiny_be):
    label = ("rd-label", "--teacher", f"be:{tiny_be}")
    plain = lines(run(*label, stdin=INPUT, check=True).stdout)
    found = lines(run(*label, "--embeddings", stdin=INPUT, check=True).stdout)
    check(found, tiny_be)
    for record in found:
        record.pop("query_embedding", None)
        for doc in record["docs"]:
            del doc["embedding"]
    assert found == plain


def test_of_several_teachers_the_bi_encoder_has_them(run, tiny_be, tiny_ce):
    teachers = ("--teacher", f"ce:{tiny_ce}", "--teacher", f"be:{tiny_be}", "--normalize", "zscore")
    found = lines(run("rd-label", *teachers, "--embeddings", stdin=INPUT, check=True).stdout)
    vectors = [read_vector(doc["embedding"]) for doc in found[0]["docs"]]
    expected = encoded(tiny_be, [doc["text"] for doc in DOCS])
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-6)


def test_another_teacher_keeps_them_and_the_cache_changes_nothing(run, tiny_be, tiny_ce):
    label = ("rd-label", "--teacher", f"be:{tiny_be}", "--embeddings", "--cache", "c.db")
    first, second = (run(*label, stdin=INPUT, check=True).stdout for _ in range(2))
    assert first == second
    again = lines(run("rd-label", "--teacher", f"ce:{tiny_ce}", stdin=first, check=True).stdout)
    assert [doc["embedding"] for doc in again[0]["docs"]] == [
        doc["embedding"] for doc in lines(first)[0]["docs"]
    ]
    assert again[0]["query_embedding"] == lines(first)[0]["query_embedding"]


def test_those_of_an_index_are_taken(run, tiny_be, tmp_path):
    corpus = [{"_id": doc["doc_id"], "text": doc["text"]} for doc in DOCS]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in corpus))
    mine = (
        "rd-mine",
        "--corpus",
        "corpus.jsonl",
        "--from",
        f"dense:{tiny_be}",
        "--index",
        "index",
        "-n",
        "all",
    )
    run(*mine, stdin="q\twing\n", check=True)
    label = (
        "rd-label",
        "--teacher",
        f"be:{tiny_be}",
        "--corpus",
        "corpus.jsonl",
        "--index",
        "index",
        "--embeddings",
    )
    check(lines(run(*label, stdin=INPUT, check=True).stdout), tiny_be)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["bm25"], "--embeddings needs --teacher be:MODEL"),
        (["be:a", "be:b"], "--embeddings writes those of one --teacher be:MODEL, not of 2"),
        (["be:a", "-f", "trec"], "--embeddings needs -f jsonl, not trec"),
    ],
)
def test_where_there_are_none_to_write(run, options, message):
    teachers = [word for spec in options if ":" in spec or spec == "bm25" for word in ("--teacher", spec)]
    rest = [word for word in options if ":" not in word and word != "bm25"]
    found = run("rd-label", *teachers, *rest, "--embeddings", stdin=INPUT)
    assert (found.returncode, found.stderr) == (2, f"rd-label: {message}\nTry 'rd-label --help' for help.\n")
