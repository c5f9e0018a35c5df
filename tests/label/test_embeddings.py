"""rd-label --embeddings, as it is installed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from settings import opened

from rdtools.core.errors import RdError
from rdtools.formats.vectors import forget_embeddings, read_vector, write_vector
from rdtools.label.labeler import Labeler
from rdtools.models.encoding import BiEncoder

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
        assert record.get("embedding_teacher") == (tiny_be if record["docs"] else None)
        forget_embeddings(record)
    assert found == plain


def test_each_query_is_encoded_once_for_its_scores_and_its_embedding(tiny_be, monkeypatch):
    asked, encode = [], BiEncoder.encode_queries

    def counted(encoder, queries, **options):
        asked.append([*queries])
        return encode(encoder, queries, **options)

    monkeypatch.setattr(BiEncoder, "encode_queries", counted)
    teacher = opened(f"be:{tiny_be}")
    check(list(Labeler([teacher], embedder=teacher).label(json.loads(json.dumps(RECORDS)))), tiny_be)
    assert asked == [["wing flow", "flow"]]


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
    mine = f"rd-mine --corpus corpus.jsonl --from dense:{tiny_be} --index index -n all".split()
    run(*mine, stdin="q\twing\n", check=True)
    label = f"rd-label --teacher be:{tiny_be} --corpus corpus.jsonl --index index --embeddings".split()
    check(lines(run(*label, stdin=INPUT, check=True).stdout), tiny_be)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["bm25"], "--embeddings needs --teacher be:MODEL"),
        (["be:a", "be:b"], "--embeddings writes those of one --teacher be:MODEL, not of 2"),
        (["be:a", "-f", "trec"], "--embeddings needs -f jsonl, not trec"),
        (
            ["be:a", "--augment-doc", "drop:0.5"],
            "--embeddings needs --augmented-text both (they are those of the record's texts)",
        ),
    ],
)
def test_where_there_are_none_to_write(run, options, message):
    specs = [word for word in options if word.startswith(("be:", "bm25"))]
    teachers = [word for spec in specs for word in ("--teacher", spec)]
    found = run("rd-label", *teachers, *options[len(specs) :], "--embeddings", stdin=INPUT)
    assert (found.returncode, found.stderr) == (2, f"rd-label: {message}\nTry 'rd-label --help' for help.\n")


def test_augmented_texts_lose_the_embeddings_of_the_former_ones(run, tiny_be):
    label = ("rd-label", "--teacher", f"be:{tiny_be}")
    augment = ("--augment-doc", "drop:0.5", "--augmented-text", "both")
    first = run(*label, "--embeddings", stdin=INPUT, check=True).stdout
    for record in lines(run(*label, *augment, stdin=first, check=True).stdout):
        assert not {"query_embedding", "embedding_teacher"} & record.keys()
        assert all("embedding" not in doc for doc in record["docs"])
    check(lines(run(*label, *augment, "--embeddings", stdin=first, check=True).stdout), tiny_be)


class Broken:
    """A teacher that scores, and has an embedding of one document only."""

    name, scale, needs_text = "broken", "cosine", True
    key: str | None = None

    def score(self, pairs):
        yield range(len(pairs)), [0.5] * len(pairs)

    def embeddings(self, pairs):
        good, bad = np.array([1.0, 0.0]), np.array([np.nan, 0.0])
        return {pair.query: good for pair in pairs}, {
            pair.text: good if pair.doc_id == "d1" else bad for pair in pairs
        }


def test_embeddings_that_do_not_fit_are_refused_or_left_out(caplog):
    teacher = Broken()
    with pytest.raises(RdError) as error:
        list(Labeler([teacher], embedder=teacher).label(json.loads(json.dumps(RECORDS))))
    assert str(error.value) == (
        'query "q1", document "d2": the embedding of broken does not fit float16 (try --dtype float32; --on-error '
        "skip leaves it out)"
    )
    labeler = Labeler([teacher], embedder=teacher, on_error="skip")
    first, *_ = labeler.label(json.loads(json.dumps(RECORDS)))
    assert [doc.get("embedding") for doc in first["docs"]] == [write_vector([1.0, 0.0]), None, None]
    assert first["query_embedding"] == write_vector([1.0, 0.0])
    labeler.report()
    assert "4 embeddings left out, which do not fit float16" in caplog.text


def test_programs_do_not_get_them(run, tiny_be):
    first = run("rd-label", "--teacher", f"be:{tiny_be}", "--embeddings", stdin=INPUT, check=True).stdout
    script = (
        "import sys\nfor line in sys.stdin: assert 'embedding' not in line; print(line, end='', flush=True)"
    )
    program = f"cmd:python3 -c '{script.replace(chr(39), chr(34))}'"
    found = run("rd-label", "--teacher", program, stdin=first, check=True)
    assert [record.get("query_embedding") for record in lines(found.stdout)] == [
        record.get("query_embedding") for record in lines(first)
    ]
