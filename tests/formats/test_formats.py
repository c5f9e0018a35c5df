"""Records, runs, queries, corpora and qrels: what is read, what is refused and in which words."""

from __future__ import annotations

import gzip
import json
import logging
import math
import re
import string
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rdtools.core.errors import BadLine, InputError, RdError
from rdtools.core.records import SCORE_SCALES
from rdtools.core.streams import open_lines
from rdtools.formats import Reading, encode_runs, read_records, writer
from rdtools.formats.qrels import read_qrels
from rdtools.formats.records import dump, parse_record
from rdtools.formats.runs import RunColumns
from rdtools.formats.table import READERS
from rdtools.formats.texts import read_corpus

Put = Callable[..., str]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file of these bytes, or lines, and return its path."""

    def write(*content: str | bytes, name: str = "in") -> str:
        path = tmp_path / name
        path.write_bytes(
            b"".join(part if isinstance(part, bytes) else part.encode() + b"\n" for part in content)
        )
        return str(path)

    return write


def read(path: str, **reading: Any) -> list[Any]:
    return list(read_records([path], Reading(**reading)))


def error(path: str, **reading: object) -> str:
    with pytest.raises(InputError) as info:
        read(path, **reading)
    return str(info.value).removeprefix(f"{path}:")


def corpus(path: str, on_error: str = "fail") -> list[tuple[str, str]]:
    with open_lines(path, on_error=on_error) as lines:
        return list(read_corpus(lines))


# --- records


def test_ids_are_strings_and_integers_become_strings(put):
    (record,) = read(put('{"query_id":7,"docs":[{"doc_id":-12},{"doc_id":"012"}]}'))
    assert record == {"query_id": "7", "docs": [{"doc_id": "-12"}, {"doc_id": "012"}]}


def test_known_fields_that_are_null_are_absent_and_unknown_ones_stay(put):
    line = (
        '{"query_id":"q","query":null,"teacher":null,"score_scale":null,"extra":null,"docs":'
        '[{"doc_id":"d","text":null,"relevance":null,"score":null,"rank":null,"source":null,"scores":null,"more":null}]}'
    )
    assert read(put(line)) == [{"query_id": "q", "extra": None, "docs": [{"doc_id": "d", "more": None}]}]
    assert read(put('{"query_id":"q","docs":null}')) == [{"query_id": "q", "docs": []}]


def test_unknown_fields_survive_to_the_byte(put):
    line = (
        '{"query_id":"q","z":{"b":[1,2.5,null,true],"a":"ü\\u0000"},'
        '"docs":[{"doc_id":"d","score":1.5,"meta":{"x":[{}]}}],"a":1e-7}'
    )
    (record,) = read(put(line))
    assert writer("jsonl")(record).decode() == line + "\n"


def test_a_whole_number_may_be_written_as_a_float(put):
    (record,) = read(put('{"query_id":"q","docs":[{"doc_id":"d","relevance":1.0,"rank":2}]}'))
    assert repr(record["docs"][0]) == "{'doc_id': 'd', 'relevance': 1, 'rank': 2}"


@pytest.mark.parametrize("query_id", ['"q"', "7"], ids=["correct", "corrected"])
@pytest.mark.parametrize("key", ["relevance", "rank"])
def test_whole_numbers_may_have_31_bits(put, key, query_id):
    line = f'{{"query_id":{query_id},"docs":[{{"doc_id":"d","{key}":%s}}]}}'
    for value in (63, 2**31, -(2**31), float(2**31)):
        assert read(put(line % value))[0]["docs"][0][key] == value
    for value in (2**31 + 1, -(2**31) - 1):
        assert error(put(line % value)) == f'1: "{key}" of document d must be a whole number, not {value}'


@pytest.mark.parametrize("query_id", ['"q"', "7"], ids=["correct", "corrected"])
def test_scores_may_be_as_large_as_a_float32(put, query_id):
    line = f'{{"query_id":{query_id},"docs":[{{"doc_id":"d","score":%r,"scores":{{"t":%r}}}}]}}'
    most = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
    for value in (most, -most):
        assert read(put(line % (value, value)))[0]["docs"] == [
            {"doc_id": "d", "score": value, "scores": {"t": value}}
        ]
    for value in (math.nextafter(most, math.inf), math.nextafter(-most, -math.inf)):
        said = error(put(line % (value, 0.0))).replace("e+", "e")  # as orjson's version writes it
        shown = repr(value).replace("e+", "e")
        assert said == f'1: "score" of document d must be a finite float32, not {shown}'


DEEP = "[" * 300 + "]" * 300


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", 'missing "query_id"'),
        ('{"query_id":null}', 'missing "query_id"'),
        ('{"query_id":""}', '"query_id" must be a string that is not empty, not ""'),
        ('{"query_id":true}', '"query_id" must be a string that is not empty, not true'),
        ('{"query_id":7.5}', '"query_id" must be a string that is not empty, not 7.5'),
        ('{"query_id":["q"]}', '"query_id" must be a string that is not empty, not ["q"]'),
        ('{"query_id":"q","query":5}', '"query" must be a string, not 5'),
        (f'{{"query_id":"q","query":{DEEP}}}', '"query" must be a string, not a value nested too deep'),
        (
            f'{{"query_id":"q","query":[{"1," * 50}1]}}',
            f'"query" must be a string, not [{"1," * 18}...',
        ),
        ('{"query_id":"q","teacher":{}}', '"teacher" must be a string, not {}'),
        ('{"query_id":"q","score_scale":1}', '"score_scale" must be a string, not 1'),
        (
            '{"query_id":"q","score_scale":"logits"}',
            'unknown "score_scale" "logits" '
            "(one of logit, probability, log-probability, cosine, dot, bm25, rank, unknown)",
        ),
        ('{"query_id":"q","docs":{}}', '"docs" must be a list, not {}'),
        ('{"query_id":"q","docs":["d"]}', 'a document must be an object, not "d" (such as {"doc_id": "d1"})'),
        ('{"query_id":"q","docs":[{}]}', 'missing "doc_id"'),
        ('{"query_id":"q","docs":[{"doc_id":"d"},{"doc_id":"d"}]}', 'duplicate doc_id "d" in one record'),
        ('{"query_id":"q","docs":[{"doc_id":7},{"doc_id":"7"}]}', 'duplicate doc_id "7" in one record'),
        ('{"query_id":"q","docs":[{"doc_id":"d","text":5}]}', '"text" of document d must be a string, not 5'),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","source":5}]}',
            '"source" of document d must be a string, not 5',
        ),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","score":"9.1"}]}',
            '"score" of document d must be a finite float32, not "9.1"',
        ),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","score":true}]}',
            '"score" of document d must be a finite float32, not true',
        ),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","score":1e39}]}',
            '"score" of document d must be a finite float32, not 1e39',
        ),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","relevance":0.5}]}',
            '"relevance" of document d must be a whole number, not 0.5',
        ),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","relevance":"1"}]}',
            '"relevance" of document d must be a whole number, not "1"',
        ),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","rank":1e30}]}',
            '"rank" of document d must be a whole number, not 1e30',
        ),
        (
            '{"query_id":"q","docs":[{"doc_id":"d","scores":{"t":"x"}}]}',
            '"scores" of document d must be numbers by teacher, not {"t":"x"}',
        ),
        ('{"query_id":"q"', "not valid JSON: unexpected end of data"),
        ('{"query_id":"q"} {}', "not valid JSON: unexpected content after document"),
    ],
)
def test_bad_records_are_named_and_said(put, line, message):
    good = '{"query_id":"g","docs":[]}'
    assert error(put(good, "", line, good)).replace("1e+", "1e") == f"3: {message}"  # as orjson writes it
    assert [record["query_id"] for record in read(put(line, good, line, good), on_error="skip")] == ["g", "g"]


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_scores_that_json_does_not_have_are_refused(put, score):
    path = put(f'{{"query_id":"q","docs":[{{"doc_id":"d","score":{score}}}]}}')
    assert error(path).startswith("1: not valid JSON: ")


@pytest.mark.parametrize(
    "line",
    [
        b'{"query_id":"\xff"}\n',
        b'{"query_id":"\\ud800"}\n',
        b'{"query_id":"\x00"}\n',
        b'{"query_id":"a"}\x00\n',
    ],
)
def test_invalid_utf8_lone_surrogates_and_raw_nul_are_not_json(put, line):
    assert error(put(line)).startswith("1: not valid JSON: ")


def test_lines_that_are_no_object_are_refused(put):
    assert error(put('{"query_id":"q"}', "[1]")) == "2: not a JSON object but [1]"


def test_bom_and_crlf_are_accepted(put):
    assert read(put(b'\xef\xbb\xbf{"query_id":"q"}\r\n')) == [{"query_id": "q", "docs": []}]


@pytest.mark.parametrize("depth", [253, 254, 300, 900, 1022])
def test_what_is_nested_as_deep_as_can_be_read_passes_unchanged(put, depth):
    line = f'{{"query_id":"q","docs":[],"x":{"[" * depth}0.1,"ö"{"]" * depth}}}\n'
    (record,) = read(put(line))
    assert writer("jsonl")(record) == line.encode()


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30 + 1])
@pytest.mark.parametrize("depth", [0, 300, 1000])
def test_integers_beyond_64_bits_pass_unchanged(put, number, depth):
    line = f'{{"query_id":"q","docs":[],"x":{"[" * depth}{number}{"]" * depth}}}\n'
    (record,) = read(put(line))
    assert writer("jsonl")(record) == line.encode()


def test_integers_beyond_64_bits_in_fields_of_ours(put):
    assert read(put(f'{{"query_id":{10**30}}}'))[0]["query_id"] == str(10**30)
    big = '{"query_id":"q","docs":[{"doc_id":"d","%s":%d}]}'
    assert (
        error(put(big % ("rank", 10**30)))
        == f'1: "rank" of document d must be a whole number, not 1{"0" * 30}'
    )
    assert error(put(big % ("score", 10**40))) == (
        f'1: "score" of document d must be a finite float32, not 1{"0" * 36}...'
    )
    too_long = "1" * 5000  # more digits than Python reads
    assert (
        error(put(f'{{"query_id":"q","x":{too_long}}}'))
        == "1: not valid JSON: number is infinity when parsed as double"
    )


def test_what_is_nested_deeper_is_bad_input(put):
    """Up to Python 3.12 some thousand levels are read, later some ten thousand."""
    message = error(put(f'{{"query_id":"q","x":{"[" * 60_000}{"]" * 60_000}}}'))
    assert re.fullmatch("1: not valid JSON: .*depth.* exceeded", message)  # in the words of orjson's version


def test_what_is_nested_too_deep_to_be_written_is_one_line():
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BadLine, match=r"^cannot be written as JSON: maximum recursion depth exceeded"):
        dump({"query_id": "q", "x": value})


def test_a_nul_is_not_written_into_a_run(put):
    records: list[Any] = [
        {"query_id": "q\0", "docs": []},
        {"query_id": "q", "docs": [{"doc_id": "d\0", "score": 1.0}]},
    ]
    for record in records:
        with pytest.raises(
            RdError, match=r"has a NUL, which a TREC run cannot hold \(use -f tsv or jsonl\)$"
        ):
            writer("trec")(record)


def float32(value: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"))
ID = st.text(st.characters(codec="utf-8"), min_size=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOAT32 | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=5,
)
DOC = st.fixed_dictionaries(
    {"doc_id": ID},
    optional={
        "text": TEXT,
        "relevance": st.integers(-(2**31), 2**31),
        "score": FLOAT32,
        "rank": st.integers(1, 2**31),
        "source": TEXT,
        "scores": st.dictionaries(TEXT, FLOAT32),
        "x-unknown": JSON,
    },
)
RECORD: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"query_id": ID, "docs": st.lists(DOC, max_size=4, unique_by=lambda doc: doc["doc_id"])},
    optional={
        "query": TEXT,
        "teacher": TEXT,
        "score_scale": st.sampled_from(SCORE_SCALES),
        "x-unknown": JSON,
    },
)


@settings(max_examples=50)
@given(records=st.lists(RECORD, max_size=4))
def test_records_round_trip_through_jsonl(tmp_path, records):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(map(writer("jsonl"), records)))
    assert read(str(path)) == records


VALUE = JSON | st.sampled_from([0.5, 1e39, 2**31 + 1, "", "a", True, 2.0])
FIELD = st.sampled_from(["doc_id", "text", "relevance", "score", "rank", "source", "scores", "x"])


@given(
    docs=st.lists(
        st.dictionaries(FIELD, VALUE)
        | st.builds(lambda doc_id, more: more | {"doc_id": doc_id}, st.sampled_from("abc"), DOC)
        | JSON,
        max_size=4,
    )
)
def test_documents_are_checked_together_as_they_are_one_by_one(docs):
    line = dump({"query_id": "q", "docs": docs})

    def outcome():
        try:
            return parse_record(line)
        except BadLine as error:
            return error.problem, error.hint

    with pytest.MonkeyPatch.context() as patch:
        together = outcome()
        patch.setattr("rdtools.formats.records._plain", lambda docs: False)
        assert outcome() == together


# --- several files, recognition


def test_several_files_each_have_their_own_format(put):
    paths = [
        put('{"query_id":"1"}', name="a"),
        put("2 Q0 d 1 0.5 tag", name="b"),
        put(gzip.compress(b"3\td\t0.5\n"), name="c"),
        put(name="empty"),
        put("4\tboundary layer", name="d"),
        put('{"_id":"5","text":"heat"}', name="e"),
        put("[6,12,40]", name="f"),
    ]
    assert [record["query_id"] for record in read_records(paths)] == list("123456")


@pytest.mark.parametrize("third", ["1", "12", "-3", "1000"])
def test_a_third_column_that_may_be_rank_score_or_id_is_asked_about(put, third):
    path = put(f"q\td\t{third}")
    expected = (
        f"1: the third column ({third}) may be a rank, a score or an id "
        "(give --input-format msmarco-run, tsv or msmarco-triples)"
    )
    assert error(path) == expected
    if int(third) > 0:
        (record,) = read(path, input_format="msmarco-run")
        assert record == {
            "query_id": "q",
            "docs": [{"doc_id": "d", "rank": int(third)}],
            "score_scale": "rank",
        }
    (record,) = read(path, input_format="tsv")
    assert record["docs"] == [{"doc_id": "d", "score": float(third)}]
    (record,) = read(path, input_format="msmarco-triples")
    assert record["docs"] == [{"doc_id": "d", "relevance": 1}, {"doc_id": third}]


@pytest.mark.parametrize("third", ["1.0", "1e3", "-2.5E-4", ".5"])
def test_a_point_or_an_exponent_makes_a_score(put, third):
    assert read(put(f"q\td\t{third}"))[0]["docs"] == [{"doc_id": "d", "score": float(third)}]


@pytest.mark.parametrize("line", ["a b c", "one", "q\td\tscore", "q 0 d 1", "q\t0\td\t1", "\x00\x01"])
def test_what_is_not_recognised_names_the_formats(put, line):
    assert error(put(line)) == f"1: format not recognised (give --input-format: {', '.join(READERS)})"


def test_a_bad_first_line_is_reported_or_skipped_by_the_reader_of_records(put):
    assert error(put('{"query_id":')).startswith("1: not valid JSON")
    assert read(put('{"query_id":', '{"query_id":"q"}'), on_error="skip") == [{"query_id": "q", "docs": []}]


# --- runs


def test_trec_run(put):
    path = put("q1 Q0 d2 1 9.5 bm25", "q1\tQ0\td1\t2\t-1e-3\tbm25", "q2 q0 d1 1 3 other")
    assert read(path) == [
        {
            "query_id": "q1",
            "docs": [{"doc_id": "d2", "score": 9.5, "rank": 1}, {"doc_id": "d1", "score": -0.001, "rank": 2}],
            "score_scale": "unknown",
            "tag": "bm25",
        },
        {
            "query_id": "q2",
            "docs": [{"doc_id": "d1", "score": 3.0, "rank": 1}],
            "score_scale": "unknown",
            "tag": "other",
        },
    ]


@pytest.mark.parametrize("second", ["0", "1", "Q1", "a", "x-y"])
@pytest.mark.parametrize("gap", [" ", "\t"])
def test_nobody_reads_the_second_column_of_a_trec_run(put, second, gap):
    path = put(gap.join(["q1", second, "d2", "1", "9.5", "bm25"]))
    (record,) = read(path)
    assert record["docs"] == [{"doc_id": "d2", "score": 9.5, "rank": 1}]
    assert read(path, input_format="trec") == [record]


@pytest.mark.parametrize("line", ["4\tis it 3 2.5 long", "4\tis 0 d2 1 2.5"])
def test_six_words_in_two_columns_are_a_query(put, line):
    (record,) = read(put(line))
    assert record == {"query_id": "4", "query": line[2:], "docs": []}


@pytest.mark.parametrize(
    ("format", "line", "message"),
    [
        ("trec", "q Q0 d 1 9.5", "a TREC run line has 6 columns (query_id Q0 doc_id rank score tag), not 5"),
        ("trec", "q Q0 d one 9.5 t", "rank 'one' is not a whole number"),
        ("trec", "q Q0 d 1_0 9.5 t", "rank '1_0' is not a whole number"),
        ("trec", f"q Q0 d {'9' * 5000} 9.5 t", f"rank '{'9' * 40}' is not a whole number"),
        ("trec", "q Q0 d 1 high t", "score 'high' is not a finite number"),
        ("trec", "q Q0 d 1 nan t", "score 'nan' is not a finite number"),
        ("trec", "q Q0 d 1 -inf t", "score '-inf' is not a finite number"),
        ("trec", "q Q0 d 1 1e39 t", "score '1e39' is not a finite number"),
        ("trec", "q Q0 d 1 1_0.5 t", "score '1_0.5' is not a finite number"),
        ("tsv", "q\td", "3 columns expected (query_id, doc_id, score, separated by tabs), not 2"),
        ("tsv", "q d 1.5", "3 columns expected (query_id, doc_id, score, separated by tabs), not 1"),
        ("tsv", "\td\t1.5", "an id is empty"),
        ("tsv", "q\t\t1.5", "an id is empty"),
        ("tsv", "query_id\tdoc_id\tscore", "score 'score' is not a finite number"),
        ("msmarco-run", "q\td\t1.5", "rank '1.5' is not a whole number"),
        ("msmarco-run", "q\td", "3 columns expected (query_id, doc_id, rank, separated by tabs), not 2"),
        ("tsv-queries", "q", "2 columns expected (id, text, separated by a tab)"),
        ("tsv-queries", "\ttext", "2 columns expected (id, text, separated by a tab)"),
    ],
)
def test_bad_lines_of_tables(put, format, line, message):
    assert error(put("", line), input_format=format) == f"2: {message}"
    assert read(put(line), input_format=format, on_error="skip") == []


@pytest.mark.parametrize("format", ["trec", "tsv", "msmarco-run", "tsv-queries", "gpl", "splade"])
def test_tables_must_be_utf8(put, format):
    assert error(put(b"\xff\n"), input_format=format) == "1: not valid UTF-8"


def test_the_lines_of_a_query_stand_together(put):
    path = put("a\td1\t1.5", "b\td1\t1.5", "a\td2\t1.0", "b\td2\t1.0", "c\td1\t1.0")
    assert error(path) == '3: the lines of query "a" are not together (sort by query first)'
    skipped = read(path, on_error="skip")
    assert [(record["query_id"], len(record["docs"])) for record in skipped] == [("a", 1), ("b", 2), ("c", 1)]
    merged = read(path, together=False)
    assert [(record["query_id"], len(record["docs"])) for record in merged] == [
        *(("a", 1), ("b", 1), ("a", 1), ("b", 1), ("c", 1))
    ]


def test_a_document_stands_once_in_a_run(put):
    path = put("a\td1\t1.5", "a\td1\t1.0", "a\td2\t0.5")
    assert error(path) == '2: duplicate document "d1" for query "a"'
    (record,) = read(path, on_error="skip")
    assert record["docs"] == [{"doc_id": "d1", "score": 1.5}, {"doc_id": "d2", "score": 0.5}]


def test_a_query_leaves_when_the_next_begins(put):
    stream = read_records([put("a\td1\t1.5", "b\td1\t1.5", "bad")])
    assert next(stream)["query_id"] == "a"


RANKED: Any = {
    "query_id": "q",
    "docs": [
        {"doc_id": "d1", "score": 1.0, "source": "bm25"},
        {"doc_id": "d3", "score": 2.5, "source": "bm25"},
        {"doc_id": "d10", "score": 1.0, "source": "dense:m o"},
        {"doc_id": "d9", "score": 1.0, "source": "bm25"},
        {"doc_id": "d0", "score": 7.0, "relevance": 1, "source": "qrels"},
        {"doc_id": "d8", "source": "random"},
    ],
}


def test_runs_are_written_best_first_ties_by_larger_id_without_added_positives():
    assert writer("trec")(RANKED).decode().splitlines() == [
        "q Q0 d3 1 2.5 bm25+dense:m_o+random",
        "q Q0 d9 2 1.0 bm25+dense:m_o+random",
        "q Q0 d10 3 1.0 bm25+dense:m_o+random",
        "q Q0 d1 4 1.0 bm25+dense:m_o+random",
    ]
    assert writer("tsv")(RANKED) == b"q\td3\t2.5\nq\td9\t1.0\nq\td10\t1.0\nq\td1\t1.0\n"


def test_without_scores_the_order_is_the_ranking():
    record: Any = {
        "query_id": "q",
        "docs": [{"doc_id": "b"}, {"doc_id": "p", "source": "qrels"}, {"doc_id": "a"}],
    }
    assert writer("tsv")(record) == b"q\tb\t2.0\nq\ta\t1.0\n"
    assert writer("trec")(record) == b"q Q0 b 1 2.0 rdtools\nq Q0 a 2 1.0 rdtools\n"


def test_without_scores_a_group_is_written_in_the_order_of_retrieval():
    """A positive that was found stands first in a group, and has its place in the run."""
    record: Any = {
        "query_id": "q",
        "docs": [
            {"doc_id": "p", "relevance": 1, "source": "random", "rank": 4},
            {"doc_id": "added", "relevance": 1, "source": "qrels"},
            {"doc_id": "b", "source": "random", "rank": 2},
            {"doc_id": "a", "source": "random", "rank": 1},
        ],
    }
    assert writer("tsv")(record) == b"q\ta\t3.0\nq\tb\t2.0\nq\tp\t1.0\n"
    record["docs"][0]["source"] = record["docs"][2]["source"] = "first"
    assert writer("tsv")(record) == b"q\tb\t3.0\nq\tp\t2.0\nq\ta\t1.0\n"
    del record["docs"][2]["source"]  # not of rd-mine
    assert writer("tsv")(record) == b"q\tp\t3.0\nq\tb\t2.0\nq\ta\t1.0\n"


def test_a_run_of_ranks_is_written_by_rank(tmp_path):
    (tmp_path / "run").write_text("q\td1\t3\nq\td2\t1\nq\td3\t2\n")
    (record,) = read(str(tmp_path / "run"), input_format="msmarco-run")
    assert writer("trec")(record).splitlines() == [
        b"q Q0 d2 1 -1.0 rdtools",
        b"q Q0 d3 2 -2.0 rdtools",
        b"q Q0 d1 3 -3.0 rdtools",
    ]


def test_the_tag_is_the_teacher_or_what_was_read():
    def written(docs: Any, **fields: Any) -> bytes:
        record: Any = {"query_id": "q", **fields, "docs": docs}
        return writer("trec")(record)

    doc = {"doc_id": "d", "score": 1, "source": "s"}
    assert written([doc], teacher="ce:a b") == b"q Q0 d 1 1.0 ce:a_b\n"
    assert written([{"doc_id": "d"}], tag="run1") == b"q Q0 d 1 1.0 run1\n"
    assert written([doc], teacher="\r") == b"q Q0 d 1 1.0 rdtools\n"


def test_records_without_found_documents_write_nothing():
    record: Any = {"query_id": "q", "docs": [{"doc_id": "d", "source": "qrels", "relevance": 1}]}
    assert writer("trec")(record) == writer("tsv")(record) == b""


@settings(max_examples=50)
@given(scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
@example([0.0])
@example([9.9e-05, 1.0])
@example([0.0001, -1e-07])
@example([1e15, 1e16])
@example([-1e16, 1e-320])
def test_each_score_of_a_run_is_the_shortest_text_of_its_number(scores):
    """Python's own, 1e-05 and 1e+16: faster writers have other forms, such as 1e-5, for some numbers."""
    run = RunColumns("q", [str(place) for place in range(len(scores))], scores, "t")
    lines = b"".join(encode_runs([run], "tsv")).decode().splitlines()
    assert [line.split("\t")[2] for line in lines] == list(map(repr, scores))


@pytest.mark.parametrize(
    ("format", "query_id", "doc_id", "problem"),
    [
        ("trec", "a b", "d", "id 'a b' has white space, which a TREC run cannot hold (use -f tsv or jsonl)"),
        (
            "trec",
            "q",
            "d\u2003",
            "id 'd\\u2003' has white space, which a TREC run cannot hold (use -f tsv or jsonl)",
        ),
        ("tsv", "q", "d\t1", "id 'd\\t1' has a tab or a line end, which TSV cannot hold (use -f jsonl)"),
        ("tsv", "q\n", "d", "id 'q\\n' has a tab or a line end, which TSV cannot hold (use -f jsonl)"),
    ],
)
def test_ids_that_a_run_cannot_hold_are_refused(format, query_id, doc_id, problem):
    with pytest.raises(RdError) as info:
        writer(format)({"query_id": query_id, "docs": [{"doc_id": doc_id}]})
    assert str(info.value) == f'query "{query_id}": {problem}'


WORD = st.text(string.ascii_letters + string.digits + "-_:.üß", min_size=1, max_size=8)


@pytest.mark.parametrize("format", ["trec", "tsv"])
@given(scores=st.dictionaries(WORD, FLOAT32, min_size=1, max_size=5), query_id=WORD)
@example(
    scores={"d": 1.401298464324817e-45, "e": 3.4028234663852886e38, "f": -0.0, "g": 16777216.0}, query_id="1"
)
def test_float32_scores_read_back_exactly(tmp_path, format, scores, query_id):
    record: Any = {
        "query_id": query_id,
        "docs": [{"doc_id": key, "score": value} for key, value in scores.items()],
    }
    path = tmp_path / "run"
    path.write_bytes(writer(format)(record))
    (back,) = read(str(path))  # recognised: a score is never written as if it were a rank
    assert back["query_id"] == query_id
    assert {doc["doc_id"]: float32(doc["score"]) for doc in back["docs"]} == scores
    written = [(doc["score"], doc["doc_id"]) for doc in back["docs"]]
    assert written == sorted(written, reverse=True)


# --- queries and corpora


def test_queries(put):
    line = '{"_id":7,"text":"heat","metadata":{"answer":1},"docs":5,"lang":"en"}'
    assert read(put(line)) == [{"query_id": "7", "query": "heat", "lang": "en", "docs": []}]
    expected = [{"query_id": "7", "query": "heat\tand more", "docs": []}]
    assert read(put("7\theat\tand more"), input_format="tsv-queries") == expected
    assert error(put('{"_id":"7","text":null}'), input_format="beir-queries") == '1: missing "text"'
    assert error(put('{"_id":"7"}')) == '1: missing "text"'
    assert error(put('{"_id":"7","text":5}')) == '1: "text" must be a string, not 5'


def test_corpus_texts_have_their_title_in_front(put):
    path = put(
        '{"_id":1,"title":"Wings","text":"Lift."}', '{"_id":"2","title":"","text":"Drag."}',
        '{"_id":"3","title":null,"text":"Flow."}', '{"doc_id":"4","text":"Heat."}',
    )  # fmt: skip
    assert corpus(path) == [("1", "Wings Lift."), ("2", "Drag."), ("3", "Flow."), ("4", "Heat.")]
    assert corpus(put("1\tLift.\tMore.", "2\t")) == [("1", "Lift.\tMore."), ("2", "")]
    assert corpus(put("")) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id":"1"}', 'missing "text"'),
        ('{"_id":"1","text":"x","title":5}', '"title" must be a string, not 5'),
        ('{"text":"x"}', 'missing "_id"'),
        ("[]", "not a JSON object but []"),
    ],
)
def test_bad_documents_are_named(put, line, message):
    path = put('{"_id":"0","text":"x"}', line)
    with pytest.raises(InputError) as info:
        corpus(path)
    assert str(info.value) == f"{path}:2: {message}"
    assert corpus(path, on_error="skip") == [("0", "x")]


# --- qrels


def test_qrels_of_all_kinds(put):
    expected = {"q1": {"d1": 1, "d2": 0}, "q2": {"d1": -2}}
    trec = put("q1 0 d1 1", "q1\t0\td2\t0", "q2 Q0 d1 -2")
    beir = put("query-id\tcorpus-id\tscore", "q1\td1\t1", "q1\td2\t0", "q2\td1\t-2", name="b")
    bare = put("q1\td1\t1", "q1\td2\t0", "q2\td1\t-2", name="c")
    records = put(
        '{"query_id":"q1","docs":[{"doc_id":"d1","relevance":1},{"doc_id":"d2","relevance":0},{"doc_id":"d3"}]}',
        '{"query_id":"q2","docs":[{"doc_id":"d1","relevance":-2}]}',
        name="d",
    )
    assert read_qrels(trec) == read_qrels(beir) == read_qrels(bare) == read_qrels(records) == expected
    assert read_qrels(put("")) == {}


def test_beir_ids_may_hold_spaces(put):
    assert read_qrels(put("query-id\tcorpus-id\tscore", "a b\tc d\t2")) == {"a b": {"c d": 2}}


@pytest.mark.parametrize(
    "header", ["query-id\tcorpus-id\tscore", "query_id\tdoc_id\trelevance", "Query-ID\tx\ty"]
)
def test_a_header_is_passed_over_on_the_first_line_only(put, header):
    assert read_qrels(put("", header, "q\td\t1")) == {"q": {"d": 1}}
    path = put("q\td\t1", header)
    with pytest.raises(InputError, match=r":2: grade '\w+' is not a whole number$"):
        read_qrels(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q d", "a judgement has 4 columns (query_id 0 doc_id grade) or 3 (query-id corpus-id score), not 2"),
        (
            "q 0 d 1 x",
            "a judgement has 4 columns (query_id 0 doc_id grade) or 3 (query-id corpus-id score), not 5",
        ),
        ("q 0 d high", "grade 'high' is not a whole number"),
        ("q 0 d 1.5", "grade '1.5' is not a whole number"),
        ("q 0 d 1_0", "grade '1_0' is not a whole number"),
        ("q 0 d 99999999999", "grade '99999999999' is not a whole number"),
        ("\td\t1", "an id is empty"),
        (b"q 0 \xff 1\n", "not valid UTF-8"),
        ("q 0 d1 2", 'document "d1" is judged 1 and 2 for query "q"'),
    ],
)
def test_bad_judgements(put, line, message):
    path = put("q 0 d1 1", "q 0 d1 1", line)
    with pytest.raises(InputError) as info:
        read_qrels(path)
    assert str(info.value) == f"{path}:3: {message}"
    assert read_qrels(path, Reading(on_error="skip")) == {"q": {"d1": 1}}


@pytest.fixture
def logged(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rdtools"), "propagate", True)
    caplog.set_level(logging.DEBUG, "rdtools")
    return caplog


def test_skipped_judgements_are_counted(put, logged):
    path = put("q 0 d 1", "bad")
    read_qrels(path, Reading(on_error="skip"))
    assert logged.messages == [f"{path}: 1 bad line skipped"]


# --- whatever the bytes are, the only way to fail is one line


SEEDS = [
    b'{"query_id":"q1","query":"x","docs":[{"doc_id":"d7","text":"t","relevance":1,"score":9.31,"rank":2}]}\n',
    b"q Q0 d 1 9.5 tag\n",
    b"q\td\t1.5\n",
    b"q 0 d 1\n",
    b'{"_id":"1","title":"a","text":"b"}\n',
    b'{"query":"tea","pos":["Tea"],"neg":["Car"],"pos_scores":[9.1],"neg_scores":[-3.2]}\n',
    b'{"query_id":7,"document_ids":"[12,40]","scores":[0.97,0.11]}\n',
    b'{"query_id":"7","query":"tea","positive_passages":[{"docid":"1","text":"x"}],"negative_passages":[]}\n',
    b'{"anchor":"tea","positive":"Tea","negative":"Car","score":12.3}\n',
    b'{"query":"q","docs":["a","b"],"labels":[1,0]}\n',
    b'{"qid":7,"pos":[12],"neg":{"bm25":[40,51]}}\n',
    b'{"query_id":"7","query":"tea","passages":[{"title":"","text":"x"}],"scores":[4.2]}\n',
    b"[7,[12,9.1],[40,-3.2]]\n",
    b"[7,[[9.1,12]]]\n",
    b"7\t12\t40\t12.3\n",
    b'{"7":{"12":9.1}}\n',
]
VALUES = st.sampled_from(
    [b"null", b"[]", b"{}", b"1e999", b"1e39", b"-1", b'""', b'"x"', b"true", b"[[]]", b'{"a":1}', b"[1,[2]]"]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid line with a value or a byte exchanged, in some way or other."""
    line = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        end = draw(st.integers(start, min(len(line), start + 6)))
        line = line[:start] + draw(VALUES | st.binary(max_size=3)) + line[end:]
    return line


@st.composite
def reshaped(draw: st.DrawFn) -> bytes:
    """Valid JSON that has the fields of a format, but any values."""
    seed = json.loads(draw(st.sampled_from([seed for seed in SEEDS if seed.startswith(b"{")])))
    values = JSON | st.floats() | st.integers(-(10**30), 10**30)
    changed = {key: draw(st.just(value) | values) for key, value in seed.items()}
    return json.dumps(changed).encode() + b"\n"


ANY_BYTES = st.lists(mutated() | reshaped() | st.binary(max_size=40), max_size=3).map(b"".join)


@settings(max_examples=400)
@given(content=ANY_BYTES, on_error=st.sampled_from(["fail", "skip"]))
@example(content=b'{"query_id":7,"document_ids":"' + b"(" * 3000 + b'","scores":[1]}\n', on_error="fail")
@example(content=b'{"query_id":7,"document_ids":"[1]","scores":"[' + b"9" * 400 + b']"}\n', on_error="fail")
@example(content=b'{"query_id":7,"document_ids":"{1:2}","scores":"[1]"}\n', on_error="fail")
@example(content=b'{"anchor":"q","positive":"a","label":' + DEEP.encode() + b"}\n", on_error="fail")
@example(content=b"[7,{}]\n", on_error="fail")
@example(content=b"[]\n", on_error="fail")
@example(content=b"[[],[[]]]\n", on_error="fail")
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path, content, on_error):
    path = tmp_path / "in"
    path.write_bytes(content)
    reading = [Reading(input_format=name, on_error=on_error) for name in [None, *READERS]]
    attempts: list[Callable[[], object]] = [
        partial(lambda each: list(read_records([str(path)], each)), each) for each in reading
    ]
    attempts += [lambda: read_qrels(str(path), reading[0]), lambda: corpus(str(path), on_error)]
    for attempt in attempts:
        try:
            records = attempt()
        except RdError:
            continue
        check_whole(records)


def check_whole(records: object) -> None:
    """What came through is what every command relies on."""
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return  # a corpus or qrels
    for record in records:
        assert isinstance(record["query_id"], str)
        assert record["query_id"]
        assert len({doc["doc_id"] for doc in record["docs"]}) == len(record["docs"])
        assert all(math.isfinite(doc.get("score", 0)) for doc in record["docs"])
        try:
            line = writer("jsonl")(record)
        except RdError:  # integers beyond 64 bits
            continue
        assert json.loads(line) == record
