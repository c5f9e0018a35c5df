"""The training files of other toolkits, line by line as their own code reads and writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdtools.core.errors import InputError, RdError
from rdtools.formats import Reading, Writing, encode, read_records, writer
from rdtools.formats.table import READERS, WRITERS


def read(tmp_path: Path, *lines: str, format: str | None = None) -> list[Any]:
    path = tmp_path / "in"
    path.write_text("".join(line + "\n" for line in lines))
    return list(read_records([str(path)], Reading(input_format=format)))


def error(tmp_path: Path, line: str, format: str | None = None) -> str:
    with pytest.raises(InputError) as info:
        read(tmp_path, line, format=format)
    return str(info.value).removeprefix(f"{tmp_path}/in:1: ")


def write(format: str, record: Any) -> list[str]:
    return b"".join(encode([record], Writing(format=format))).decode().splitlines()


def hash16(text: str) -> str:
    """The made-up id, stated independently."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest().hex()


TEA, GOOD, BAD = hash16("tea"), hash16("Tea is…"), hash16("Car…")

GOLDEN: dict[str, tuple[str, Any]] = {
    "paper-triples": (
        '{"query_id":"7","doc_id_a":"12","doc_id_b":["40","51"]}',
        {"query_id": "7", "docs": [{"doc_id": "12", "relevance": 1}, {"doc_id": "40"}, {"doc_id": "51"}]},
    ),
    "flagembedding": (
        '{"query":"tea","pos":["Tea is…"],"neg":["Car…"],"pos_scores":[9.1],"neg_scores":[-3.2]}',
        {
            "query_id": TEA,
            "query": "tea",
            "docs": [
                {"doc_id": GOOD, "text": "Tea is…", "score": 9.1, "relevance": 1},
                {"doc_id": BAD, "text": "Car…", "score": -3.2},
            ],
            "score_scale": "unknown",
        },
    ),
    "pylate": (
        '{"query_id":7,"document_ids":[12,40],"scores":[0.97,0.11]}',
        {
            "query_id": "7",
            "docs": [{"doc_id": "12", "score": 0.97}, {"doc_id": "40", "score": 0.11}],
            "score_scale": "unknown",
        },
    ),
    "tevatron": (
        '{"query_id":"7","query":"tea","positive_passages":[{"docid":"12","title":"","text":"Tea is…"}],'
        '"negative_passages":[{"docid":"40","title":"","text":"Car…"}]}',
        {
            "query_id": "7",
            "query": "tea",
            "docs": [
                {"doc_id": "12", "text": "Tea is…", "relevance": 1},
                {"doc_id": "40", "text": "Car…"},
            ],
        },
    ),
    "tevatron-ids": (
        '{"query_id":"7","query_text":"tea","positive_document_ids":["12"],"negative_document_ids":["40"]}',
        {"query_id": "7", "query": "tea", "docs": [{"doc_id": "12", "relevance": 1}, {"doc_id": "40"}]},
    ),
    "tevatron-kd": (
        '{"query_id":"7","query":"tea","passages":[{"docid":"12","title":"","text":"Tea is…"}],"scores":[4.2]}',
        {
            "query_id": "7",
            "query": "tea",
            "docs": [{"doc_id": "12", "text": "Tea is…", "score": 4.2}],
            "score_scale": "unknown",
        },
    ),
    "sentence-transformers": (
        '{"anchor":"tea","positive":"Tea is…","negative_1":"Car…","negative_2":"Cat…","scores":[9.1,-3.2,-4.0]}',
        {
            "query_id": TEA,
            "query": "tea",
            "docs": [
                {"doc_id": GOOD, "text": "Tea is…", "relevance": 1, "score": 9.1},
                {"doc_id": BAD, "text": "Car…", "score": -3.2},
                {"doc_id": hash16("Cat…"), "text": "Cat…", "score": -4.0},
            ],
            "score_scale": "unknown",
        },
    ),
    "colbert-triples": (
        "[7,12,40]",
        {"query_id": "7", "docs": [{"doc_id": "12", "relevance": 1}, {"doc_id": "40"}]},
    ),
    "colbert-nway": (
        "[7,[12,9.1],[40,-3.2]]",
        {
            "query_id": "7",
            "docs": [{"doc_id": "12", "score": 9.1}, {"doc_id": "40", "score": -3.2}],
            "score_scale": "unknown",
        },
    ),
    "colbert-scores": (
        "[7,[[9.1,12],[-3.2,40]]]",
        {
            "query_id": "7",
            "docs": [{"doc_id": "12", "score": 9.1}, {"doc_id": "40", "score": -3.2}],
            "score_scale": "unknown",
        },
    ),
    "msmarco-hard-negatives": (
        '{"qid":7,"pos":[12],"neg":{"bm25":[40,51],"ance":[60]}}',
        {
            "query_id": "7",
            "docs": [
                {"doc_id": "12", "relevance": 1},
                {"doc_id": "40", "source": "bm25", "rank": 1},
                {"doc_id": "51", "source": "bm25", "rank": 2},
                {"doc_id": "60", "source": "ance", "rank": 1},
            ],
        },
    ),
    "gpl": (
        "7\t12\t40\t12.3",
        {
            "query_id": "7",
            "docs": [{"doc_id": "12", "score": 0.0, "relevance": 1}, {"doc_id": "40", "score": -12.3}],
            "score_scale": "unknown",
        },
    ),
    "rank-llm": (
        '{"query":{"text":"tea","qid":"7"},"candidates":[{"docid":"12","score":9.1,"doc":{"text":"Tea is…"}},'
        '{"docid":"40","score":-3.2,"doc":{"text":"Car…"}}]}',
        {
            "query_id": "7",
            "query": "tea",
            "docs": [
                {"doc_id": "12", "rank": 1, "score": 9.1, "text": "Tea is…"},
                {"doc_id": "40", "rank": 2, "score": -3.2, "text": "Car…"},
            ],
            "score_scale": "unknown",
        },
    ),
    "jsonl-run": (
        '{"qid":"7","docno":"12","score":9.1,"rank":1}',
        {"query_id": "7", "docs": [{"doc_id": "12", "score": 9.1, "rank": 1}], "score_scale": "unknown"},
    ),
    "splade": (
        "tea\tTea is…\tCar…\t9.1\t-3.2",
        {
            "query_id": TEA,
            "query": "tea",
            "docs": [
                {"doc_id": GOOD, "text": "Tea is…", "score": 9.1, "relevance": 1},
                {"doc_id": BAD, "text": "Car…", "score": -3.2},
            ],
            "score_scale": "unknown",
        },
    ),
}


@pytest.mark.parametrize("format", GOLDEN)
def test_golden_line_is_recognised_and_read(tmp_path, format):
    line, record = GOLDEN[format]
    assert read(tmp_path, line) == [record]
    assert read(tmp_path, line, format=format) == [record]


@pytest.mark.parametrize("format", GOLDEN)
def test_golden_line_is_written_back_to_the_byte(tmp_path, format):
    line, record = GOLDEN[format]
    assert write(format, record) == [line]


def test_every_peer_format_has_a_golden_line():
    others = {
        *("records", "trec", "tsv", "msmarco-run", "beir-queries", "tsv-queries"),  # test_formats.py
        *("paper-scores", "gpl-hard-negatives", "msmarco-triples", "msmarco-text-triples"),  # below
    }
    assert set(GOLDEN) | others == set(READERS)
    below = {
        "sentence-transformers-triplet",
        "sentence-transformers-list",
        "ms-swift",
        "gpl-hard-negatives",
        "msmarco-triples",
        "paper-scores",
    }
    assert set(GOLDEN) | below | {"jsonl", "trec", "tsv"} == set(WRITERS)


FULL: Any = {
    "query_id": "7",
    "query": "tea",
    "docs": [
        {"doc_id": "12", "text": "Tea is…", "relevance": 1, "score": 9.5, "source": "qrels"},
        {"doc_id": "40", "text": "Car…", "score": -3.25, "source": "bm25", "rank": 3},
        {"doc_id": "d9", "text": "Cup…", "relevance": 2, "score": 4.0, "source": "bm25", "rank": 1},
        {"doc_id": "51", "text": "Cat…", "relevance": 0, "score": -8.0, "source": "random", "rank": 2},
    ],
    "score_scale": "logit",
}
IDS = {"query_id": "7", "docs": [{"doc_id": "12", "relevance": 1}, {"doc_id": "40"}]}


@pytest.mark.parametrize(
    ("format", "lines"),
    [
        (
            "paper-triples",
            [
                '{"query_id":"7","doc_id_a":"12","doc_id_b":["40","51"]}',
                '{"query_id":"7","doc_id_a":"d9","doc_id_b":["40","51"]}',
            ],
        ),
        (
            "colbert-triples",
            ['["7","12","40"]', '["7","12","51"]', '["7","d9","40"]', '["7","d9","51"]'],
        ),
        ("colbert-nway", ['["7",["12",9.5],["d9",4.0],["40",-3.25],["51",-8.0]]']),
        ("colbert-scores", ['["7",[[9.5,"12"],[4.0,"d9"],[-3.25,"40"],[-8.0,"51"]]]']),
        ("gpl", ["7\t12\t40\t12.75", "7\t12\t51\t17.5", "7\td9\t40\t7.25", "7\td9\t51\t12.0"]),
        (
            "splade",
            [
                "tea\tTea is…\tCar…\t9.5\t-3.25",
                "tea\tTea is…\tCat…\t9.5\t-8.0",
                "tea\tCup…\tCar…\t4.0\t-3.25",
                "tea\tCup…\tCat…\t4.0\t-8.0",
            ],
        ),
        ("msmarco-hard-negatives", ['{"qid":"7","pos":["12","d9"],"neg":{"bm25":["40"],"random":["51"]}}']),
        ("gpl-hard-negatives", ['{"qid":"7","pos":["12","d9"],"neg":{"bm25":["40"],"random":["51"]}}']),
        (
            "flagembedding",
            [
                '{"query":"tea","pos":["Tea is…","Cup…"],"neg":["Car…","Cat…"],'
                '"pos_scores":[9.5,4.0],"neg_scores":[-3.25,-8.0]}'
            ],
        ),
        (
            "sentence-transformers",
            [
                '{"anchor":"tea","positive":"Tea is…","negative_1":"Car…","negative_2":"Cat…","scores":[9.5,-3.25,-8.0]}',
                '{"anchor":"tea","positive":"Cup…","negative_1":"Car…","negative_2":"Cat…","scores":[4.0,-3.25,-8.0]}',
            ],
        ),
        (
            "sentence-transformers-triplet",
            [
                '{"anchor":"tea","positive":"Tea is…","negative":"Car…","scores":[9.5,-3.25]}',
                '{"anchor":"tea","positive":"Tea is…","negative":"Cat…","scores":[9.5,-8.0]}',
                '{"anchor":"tea","positive":"Cup…","negative":"Car…","scores":[4.0,-3.25]}',
                '{"anchor":"tea","positive":"Cup…","negative":"Cat…","scores":[4.0,-8.0]}',
            ],
        ),
        (
            "sentence-transformers-list",
            ['{"query":"tea","docs":["Tea is…","Car…","Cup…","Cat…"],"scores":[9.5,-3.25,4.0,-8.0]}'],
        ),
        (
            "ms-swift",
            [
                '{"messages":[{"role":"user","content":"tea"}],'
                '"positive_messages":[[{"role":"assistant","content":"Tea is…"}],[{"role":"assistant","content":"Cup…"}]],'
                '"negative_messages":[[{"role":"assistant","content":"Car…"}],[{"role":"assistant","content":"Cat…"}]]}'
            ],
        ),
        ("pylate", ['{"query_id":"7","document_ids":["12","d9","40","51"],"scores":[9.5,4.0,-3.25,-8.0]}']),
        (
            "tevatron-kd",
            [
                '{"query_id":"7","query":"tea","passages":[{"docid":"12","title":"","text":"Tea is…"},'
                '{"docid":"d9","title":"","text":"Cup…"},{"docid":"40","title":"","text":"Car…"},'
                '{"docid":"51","title":"","text":"Cat…"}],"scores":[9.5,4.0,-3.25,-8.0]}'
            ],
        ),
        ("msmarco-triples", ["7\t12\t40", "7\t12\t51", "7\td9\t40", "7\td9\t51"]),
        (
            "rank-llm",
            [
                '{"query":{"text":"tea","qid":"7"},"candidates":[{"docid":"d9","score":4.0,"doc":{"text":"Cup…"}},'
                '{"docid":"40","score":-3.25,"doc":{"text":"Car…"}},{"docid":"51","score":-8.0,"doc":{"text":"Cat…"}}]}'
            ],
        ),
    ],
)
def test_a_full_record_is_written(format, lines):
    assert write(format, FULL) == lines


def test_tevatron_passages_carry_scores(tmp_path):
    (line,) = write("tevatron", FULL)
    passages = json.loads(line)["positive_passages"]
    assert passages[0] == {"docid": "12", "title": "", "text": "Tea is…", "score": 9.5}
    (record,) = read(tmp_path, line)
    assert [(doc["doc_id"], doc["score"]) for doc in record["docs"]] == [
        *(("12", 9.5), ("d9", 4.0), ("40", -3.25), ("51", -8.0))
    ]


@pytest.mark.parametrize("format", sorted(set(WRITERS) - {"jsonl", "tsv", "trec"}))
def test_what_is_missing_is_said_in_one_line(format):
    if format in IDS_ONLY:
        assert write(format, IDS)
        return
    with pytest.raises(RdError) as error:
        write(format, IDS)
    assert str(error.value) in {
        'query "7": it has no query text, which this format needs (give --queries or --dataset)',
        'query "7": document "12" has no score, which this format needs (run rd-label first)',
    }


IDS_ONLY = {
    *("jsonl-run", "paper-triples", "colbert-triples"),
    *("msmarco-hard-negatives", "gpl-hard-negatives", "msmarco-triples"),
}


def test_no_text_is_said_where_only_the_documents_lack_it():
    record = {**IDS, "query": "tea"}
    message = 'query "7": document "12" has no text, which this format needs (leave out --no-text)'
    for format in (
        "tevatron",
        "sentence-transformers",
        "sentence-transformers-list",
        "flagembedding",
        "ms-swift",
    ):
        with pytest.raises(RdError) as error:
            write(format, record)
        assert str(error.value) == message


def test_scores_of_some_documents_only_are_left_out():
    record: Any = {"query_id": "7", "query": "tea", "docs": [dict(doc) for doc in FULL["docs"]]}
    del record["docs"][3]["score"]
    assert "pos_scores" not in json.loads(write("flagembedding", record)[0])
    assert json.loads(write("sentence-transformers-list", record)[0])["labels"] == [1, 0, 1, 0]


# --- the traps


def test_integer_and_string_ids_are_the_same_ids(tmp_path):
    integers = '{"qid":7,"pos":[12],"neg":{"bm25":[40]}}'
    strings = '{"qid":"7","pos":["12"],"neg":{"bm25":["40"]}}'
    assert read(tmp_path, integers) == read(tmp_path, strings)


@pytest.mark.parametrize("doc_id", ["012", "+1", "1.0", "١", "9" * 30, "d1", "-"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_ids_are_integers_only_if_all_of_the_file_are_plain_numbers(doc_id, place):
    ids = ["12", "40", "51"]
    numbers: list[Any] = [
        {"query_id": str(n), "docs": [{"doc_id": i, "score": 1.0}]} for n, i in enumerate(ids)
    ]
    ids[place] = doc_id
    mixed: list[Any] = [
        {"query_id": str(n), "docs": [{"doc_id": i, "score": 1.0}]} for n, i in enumerate(ids)
    ]
    lines = b"".join(encode(mixed, Writing(format="colbert-nway"))).splitlines()
    assert [json.loads(line) for line in lines] == [[str(n), [i, 1.0]] for n, i in enumerate(ids)]
    lines = b"".join(encode(numbers, Writing(format="colbert-nway"))).splitlines()
    assert [json.loads(line) for line in lines] == [[0, [12, 1.0]], [1, [40, 1.0]], [2, [51, 1.0]]]


@pytest.mark.parametrize("ids", ["[12, 40]", "['12', '40']", '[\\"12\\", \\"40\\"]'])
def test_pylate_lists_may_be_stored_as_strings(tmp_path, ids):
    line = f'{{"query_id":7,"document_ids":"{ids}","scores":"[0.97, 0.11]"}}'
    assert read(tmp_path, line) == [GOLDEN["pylate"][1]]


def test_pylate_strings_are_never_run(tmp_path):
    line = '{"query_id":7,"document_ids":"__import__(\'os\').getpid()","scores":[1.0]}'
    assert error(tmp_path, line).startswith(
        '"document_ids" must be a list, or one written out in a string, not "__imp'
    )


@pytest.mark.parametrize(
    ("line", "format"),
    [
        ("[7,[12,9.1],[40,-3.2]]", "colbert-nway"),
        ('[7,["d12",9],["d40",-3]]', "colbert-nway"),
        ("[7,[9.1,12],[-3.2,40]]", "colbert-scores"),
        ('[7,[9,"d12"],[-3,"d40"]]', "colbert-scores"),
        ("[7,[[9.1,12],[-3.2,40]]]", "colbert-scores"),
        ("[7,[[9,12],[-3,40]]]", "colbert-scores"),
    ],
)
def test_colbert_pairs_are_told_apart(tmp_path, line, format):
    (record,) = read(tmp_path, line)
    assert [doc["doc_id"].removeprefix("d") for doc in record["docs"]] == ["12", "40"]
    assert [round(doc["score"]) for doc in record["docs"]] == [9, -3]
    assert read(tmp_path, line, format=format) == [record]


def test_colbert_pairs_that_could_be_either_are_asked_about(tmp_path):
    assert error(tmp_path, "[7,[12,9],[40,3]]") == (
        "the pairs may be [doc_id, score] or [score, doc_id] (give --input-format colbert-nway or colbert-scores)"
    )
    (record,) = read(tmp_path, "[7,[12,9],[40,3]]", format="colbert-scores")
    assert record["docs"] == [{"score": 12, "doc_id": "9"}, {"score": 40, "doc_id": "3"}]


def test_colbert_lines_of_the_other_order_are_refused(tmp_path):
    with pytest.raises(InputError, match=r'in:2: "doc_id" must be a string that is not empty, not 9.1'):
        read(tmp_path, "[7,[12,9.1]]", "[7,[9.1,12]]")


def test_colbert_may_have_many_negatives_without_scores(tmp_path):
    (record,) = read(tmp_path, "[7,12,40,51]")
    assert [(doc["doc_id"], doc.get("relevance")) for doc in record["docs"]] == [
        ("12", 1),
        ("40", None),
        ("51", None),
    ]


def test_flagembedding_scores_keep_their_order_and_count(tmp_path):
    line = '{"query":"q","pos":["a","b"],"neg":["c"],"pos_scores":[1,2],"neg_scores":[3],"prompt":"p","type":"t"}'
    (record,) = read(tmp_path, line)
    assert [(doc["text"], doc["score"]) for doc in record["docs"]] == [("a", 1), ("b", 2), ("c", 3)]
    assert (record["prompt"], record["type"]) == ("p", "t")
    assert json.loads(write("flagembedding", record)[0]) == json.loads(line)
    line = '{"query":"q","pos":["a","b"],"neg":["c"],"pos_scores":[1],"neg_scores":[3]}'
    assert error(tmp_path, line) == '"pos_scores" must be a list of 2 scores, one per document, not 1'


@pytest.mark.parametrize(
    "none", ["", ',"pos_scores":null,"neg_scores":null', ',"pos_scores":[],"neg_scores":[]']
)
def test_flagembedding_may_have_no_scores(tmp_path, none):
    (record,) = read(tmp_path, f'{{"query":"q","pos":["a"],"neg":["c"]{none}}}')
    assert [set(doc) for doc in record["docs"]] == [{"doc_id", "text", "relevance"}, {"doc_id", "text"}]
    assert "score_scale" not in record


def test_a_positive_among_its_negatives_stays_a_positive(tmp_path):
    (record,) = read(tmp_path, '{"query":"q","pos":["a"],"neg":["a","b","b"]}')
    assert [(doc["text"], doc.get("relevance")) for doc in record["docs"]] == [("a", 1), ("b", None)]
    (record,) = read(tmp_path, '{"qid":7,"pos":[12],"neg":{"bm25":[12,40],"ance":[40,51]}}')
    found = [(doc["doc_id"], doc.get("source"), doc.get("rank")) for doc in record["docs"]]
    assert found == [("12", None, None), ("40", "bm25", 2), ("51", "ance", 2)]


def test_hard_negatives_with_cross_encoder_scores(tmp_path):
    line = '{"qid":7,"pos":[{"pid":12,"ce-score":9.5}],"neg":{"bm25":[{"pid":40,"ce-score":-1.5}]}}'
    (record,) = read(tmp_path, line)
    assert [(doc["doc_id"], doc["score"]) for doc in record["docs"]] == [("12", 9.5), ("40", -1.5)]


@pytest.mark.parametrize(
    ("line", "docs"),
    [
        ('{"anchor":"q","positive":"a"}', [("a", 1, None)]),
        ('{"anchor":"q","positive":"a","label":1}', [("a", 1, None)]),
        ('{"anchor":"q","positive":"a","label":0}', [("a", 0, None)]),
        ('{"anchor":"q","positive":"a","label":0.5}', [("a", None, 0.5)]),
        ('{"anchor":"q","positive":"a","score":0.75}', [("a", None, 0.75)]),
        ('{"anchor":"q","positive":"a","negative":"b"}', [("a", 1, None), ("b", None, None)]),
        ('{"query":"q","answer":"a","negative":"b"}', [("a", 1, None), ("b", None, None)]),
        ('{"anchor":"q","positive":"a","negative":"b","score":12.5}', [("a", 1, 0.0), ("b", None, -12.5)]),
        ('{"anchor":"q","positive":"a","negative":"b","label":[2.5,1.0]}', [("a", 1, 2.5), ("b", None, 1.0)]),
        (
            '{"query":"q","positive":"a","negative_1":"b","negative_2":"c","label":[1.5,2.5]}',
            [("a", 1, 0.0), ("b", None, -1.5), ("c", None, -2.5)],
        ),
        ('{"query":"q","docs":["a","b"],"labels":[1,0]}', [("a", 1, None), ("b", 0, None)]),
        ('{"query":"q","docs":["a","b"],"labels":[1.0,0.5]}', [("a", None, 1.0), ("b", None, 0.5)]),
        ('{"query":"q","docs":["a","b"],"scores":[4.5,0.5]}', [("a", None, 4.5), ("b", None, 0.5)]),
    ],
)
def test_sentence_transformers_rows(tmp_path, line, docs):
    (record,) = read(tmp_path, line)
    assert record["query"] == "q"
    assert [(doc["text"], doc.get("relevance"), doc.get("score")) for doc in record["docs"]] == docs


def test_tevatron_kd_without_docids_and_titles(tmp_path):
    line = '{"query_id":"7","query":"tea","passages":[{"title":"","text":"Tea is…"},{"title":"Car","text":"Wheels"}],"scores":[4.2,1]}'
    (record,) = read(tmp_path, line)
    assert record["docs"] == [
        {"doc_id": GOOD, "text": "Tea is…", "score": 4.2},
        {"doc_id": hash16("Car Wheels"), "text": "Car Wheels", "title": "Car", "score": 1},
    ]


def test_tevatron_texts_as_mine_with_no_negatives(tmp_path):
    line = '{"query_id":7,"query":"tea","positive_passages":[{"docid":12,"text":"x"}],"negative_passages":[],"answers":["y"]}'
    assert read(tmp_path, line) == [
        {
            "answers": ["y"],
            "query_id": "7",
            "query": "tea",
            "docs": [{"doc_id": "12", "text": "x", "relevance": 1}],
        }
    ]


def test_paper_triples_with_one_negative(tmp_path):
    (record,) = read(tmp_path, '{"query_id":7,"doc_id_a":12,"doc_id_b":40}')
    assert record == {"query_id": "7", "docs": [{"doc_id": "12", "relevance": 1}, {"doc_id": "40"}]}


def test_paper_scores_are_one_object(tmp_path):
    assert read(tmp_path, '{"7":{"12":9.1,"40":-3.2},"8":{"12":1}}') == [
        GOLDEN["colbert-nway"][1],
        {"query_id": "8", "docs": [{"doc_id": "12", "score": 1}], "score_scale": "unknown"},
    ]


def test_a_pickle_is_refused_in_one_line(tmp_path):
    import pickle

    path = tmp_path / "scores.pkl"
    path.write_bytes(pickle.dumps({7: {12: 9.1}}))
    with pytest.raises(InputError) as error:
        list(read_records([str(path)]))
    assert str(error.value) == f"{path}:1: a pickle, which is never opened (write it as JSON lines or TSV)"


def test_fields_that_no_format_knows_stay_and_docs_is_not_overwritten(tmp_path):
    (record,) = read(
        tmp_path, '{"query_id":7,"document_ids":[12],"scores":[1.5],"docs":5,"note":null}', format="pylate"
    )
    assert record == {
        "note": None, "query_id": "7", "docs": [{"doc_id": "12", "score": 1.5}], "score_scale": "unknown"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"query_id":7,"document_ids":[12],"scores":[1,2]}',
            '"scores" must be a list of 1 scores, one per document, not 2',
        ),
        (
            '{"query_id":7,"document_ids":[12],"scores":["x"]}',
            '"score" of document 12 must be a finite float32, not "x"',
        ),
        ('{"query_id":7,"document_ids":5,"scores":[1]}', '"document_ids" must be a list, not 5'),
        (
            '{"query_id":"","document_ids":[1],"scores":[1]}',
            '"query_id" must be a string that is not empty, not ""',
        ),
        ('{"query":"q","pos":[5],"neg":[]}', "a document must be a text, not 5"),
        ('{"query":5,"pos":["a"],"neg":[]}', '"query" must be a string, not 5'),
        ('{"qid":7,"pos":[12],"neg":[40]}', '"neg" must be an object of lists of ids by system, not [40]'),
        ('{"query_id":7,"query":"q","passages":[{"title":""}],"scores":[1]}', 'missing "text"'),
        ('{"query_id":7,"doc_id_a":null,"doc_id_b":4}', 'missing "doc_id"'),
        ("[7]", "expected [query_id, positive id, negative id, …], not [7]"),
        ("[7,[12,9.1],5]", "expected [query_id, [doc_id, score], …]; 5 is no pair"),
        ("[true,1,2]", '"query_id" must be a string that is not empty, not true'),
        ("a\tb\tc\t1.5\tx", "format not recognised"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, line, message):
    assert error(tmp_path, line).split(" (give --input-format")[0] == message


def test_tabs_in_ids_are_refused_where_tsv_cannot_hold_them():
    record = {"query_id": "a\tb", "docs": [dict(doc) for doc in FULL["docs"]]}
    with pytest.raises(RdError, match="id 'a\\\\tb' has a tab or a line end, which TSV cannot hold"):
        write("gpl", record)


# --- round trips: what a format carries comes back

WORD = st.text("abc019-._é ", min_size=1, max_size=5)
DOC: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"doc_id": WORD, "text": WORD, "score": st.floats(width=32, allow_nan=False, allow_infinity=False)},
    optional={"relevance": st.just(1)},
)
RECORD: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "query_id": WORD,
        "query": WORD,
        "docs": st.lists(
            DOC, min_size=1, max_size=5, unique_by=(lambda doc: doc["doc_id"], lambda doc: doc["text"])
        ),
    }
)
CARRIES = {
    "tevatron": ("query_id", "query", "doc_id", "text", "score", "relevance"),
    "tevatron-ids": ("query_id", "query", "doc_id", "relevance"),
    "tevatron-kd": ("query_id", "query", "doc_id", "text", "score"),
    "flagembedding": ("query", "text", "score", "relevance"),
    "sentence-transformers-list": ("query", "text", "score"),
    "pylate": ("query_id", "doc_id", "score"),
    "colbert-nway": ("query_id", "doc_id", "score"),
    "colbert-scores": ("query_id", "doc_id", "score"),
    "msmarco-hard-negatives": ("query_id", "doc_id", "relevance"),
    "gpl-hard-negatives": ("query_id", "doc_id", "relevance"),
}


def carried(record: Any, fields: tuple[str, ...]) -> tuple[Any, Any]:
    query = {key: record[key] for key in ("query_id", "query") if key in fields}
    docs = {tuple((key, doc.get(key)) for key in ("doc_id", "text", "score", "relevance") if key in fields)
            for doc in record["docs"]}  # fmt: skip
    return query, docs


@pytest.mark.parametrize("format", CARRIES)
@settings(max_examples=40)
@given(record=RECORD)
def test_what_a_format_carries_comes_back(tmp_path, format, record):
    path = tmp_path / "in"
    path.write_bytes(writer(format)(record))
    reader = "sentence-transformers" if format.startswith("sentence") else format
    (back,) = read_records([str(path)], Reading(input_format=reader))
    if format.startswith("tevatron"):  # texts are stripped, as of any corpus
        record["docs"] = [{**doc, "text": doc["text"].strip()} for doc in record["docs"]]
    assert carried(back, CARRIES[format]) == carried(record, CARRIES[format])
    assert len(back["docs"]) == len(record["docs"])


PAIRED = (
    "sentence-transformers-triplet",
    "sentence-transformers",
    "gpl",
    "splade",
    "paper-triples",
    "colbert-triples",
)


@pytest.mark.parametrize("format", PAIRED)
def test_pairs_come_back_as_pairs(tmp_path, format):
    reader = "sentence-transformers" if format.startswith("sentence") else format
    for record in read(tmp_path, *write(format, FULL), format=reader):
        positive, *negatives = record["docs"]
        assert positive["relevance"] == 1
        assert positive.get("text", positive["doc_id"]) in {"12", "d9", "Tea is…", "Cup…"}
        assert {doc.get("text", doc["doc_id"]) for doc in negatives} <= {"40", "51", "Car…", "Cat…"}
        if "score" in positive:
            original = {doc[key]: doc["score"] for doc in FULL["docs"] for key in ("doc_id", "text")}
            for doc in negatives:
                margin = (
                    original[positive.get("text", positive["doc_id"])]
                    - original[doc.get("text", doc["doc_id"])]
                )
                assert positive["score"] - doc["score"] == margin


def test_paper_scores_are_written_as_one_object(tmp_path):
    records: list[Any] = [
        {"query_id": "7", "docs": [{"doc_id": "12", "score": 9.5}, {"doc_id": "40", "score": -3.0}]},
        {"query_id": '"9', "docs": [{"doc_id": "51", "score": -0.25}]},
    ]
    data = b"".join(encode(iter(records), Writing(format="paper-scores")))
    assert data == b'{"7":{"12":9.5,"40":-3.0},"\\"9":{"51":-0.25}}\n'
    (tmp_path / "scores.json").write_bytes(data)
    back = read_records([str(tmp_path / "scores.json")], Reading(input_format="paper-scores"))
    assert list(back) == [{**record, "score_scale": "unknown"} for record in records]
    assert b"".join(encode(iter([]), Writing(format="paper-scores"))) == b"{}\n"


def test_a_query_that_stands_twice_is_no_key_twice():
    record: Any = {"query_id": "q", "docs": [{"doc_id": "d", "score": 1.0}]}
    with pytest.raises(RdError, match=r'^query "q" is repeated; paper-scores allows one record per query$'):
        list(encode([record, record], Writing(format="paper-scores")))
    assert len(b"".join(encode([record, record], Writing(format="trec"))).splitlines()) == 2


def test_splade_has_no_empty_columns():
    docs = [
        {"doc_id": "a", "text": " ", "relevance": 1, "score": 1.0},
        {"doc_id": "b", "text": "b", "score": 0.0},
    ]
    with pytest.raises(RdError, match="an empty text, which this format cannot hold"):
        write("splade", {"query_id": "q", "query": "tea", "docs": docs})
