"""Scores read without making documents: what comes out is what the parser of records gives, line by line."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz import PIECES, fuzzed

from rdtools.core.errors import BadLine
from rdtools.formats import records as record_lines
from rdtools.formats import scored

LINE = b'{"query_id":"q1","query":"wing flow","docs":[{"doc_id":"d1","text":"a b","score":2.5,"rank":1,"source":"bm25"},{"doc_id":"d2","relevance":1,"score":-0.25}],"teacher":"ce","score_scale":"logit"}'  # fmt: skip


def outcome(parser: Callable[[bytes], Any], line: bytes) -> tuple[Any, ...]:
    """What can be told of a line: its id, the bits of its scores, its provenance, or what is wrong with it."""
    try:
        record = parser(line)
    except BadLine as error:
        return error.problem, error.hint
    return record.query_id, [struct.pack("d", score) for score in record.scores], record.provenance


def same(line: bytes) -> bool:
    """Whether a line is read as the parser of records reads it."""
    return outcome(scored.parse_scored, line) == outcome(
        lambda line: scored.scored(record_lines.parse_record(line)), line
    )


def taken(line: bytes) -> bool:
    """Whether a line is read without an object of each of its documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored, "parse_record", None)
        try:
            return bool(scored.parse_scored(line))
        except TypeError:
            return False


scores = (
    st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(10**16), 10**16)
    | st.floats(-50, 50).map(lambda x: round(x, 4))
)  # fmt: skip
docs = st.fixed_dictionaries(
    {"doc_id": st.sampled_from(["d1", "d2", "d\N{GREEK SMALL LETTER ALPHA}", 'd"3', "d/4", "d 5", "", 6])},
    optional={
        "score": scores, "text": st.text(max_size=8) | st.just('a\\"/\n\t\u2028'), "source": st.sampled_from(["bm25", ""]),
        "rank": st.integers(-1, 2**32), "relevance": st.integers(-2, 4) | st.booleans(), "scores": st.just({"ce": 1.5}),
    },
)  # fmt: skip
records = st.fixed_dictionaries(
    {"query_id": st.sampled_from(["q1", "q2", 3, "", "q\\"]), "docs": st.lists(docs, max_size=4)},
    optional={
        "query": st.text(max_size=8), "teacher": st.sampled_from(["ce", "b\\e", '"docs"']),
        "score_scale": st.sampled_from(["logit", "cosine", "none"]), "more": st.integers(0, 9) | st.just({"docs": [1]}),
        "transformations": st.just([{"temperature": 2.0}]),
    },
)  # fmt: skip
written = st.sampled_from(
    [orjson.dumps, lambda value: json.dumps(value).encode(), lambda value: json.dumps(value, ensure_ascii=False).encode()]
)  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line of a record, of which now and then a few bytes are cut out, doubled or replaced."""
    data = draw(written)(draw(records)) if draw(st.booleans()) else LINE
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        end = min(end, start + 3)
        piece = draw(
            st.sampled_from([*PIECES, b"0", b"-0", b".", b"e", b"5", b"\\"]) | st.just(data[start:end] * 2)
        )
        data = data[:start] + piece + data[end:]
    return data


@fuzzed
@given(lines())
def test_records_and_errors_are_those_of_the_parser_of_records(line):
    assert same(line)


@fuzzed
@given(st.floats(allow_nan=False) | st.integers(-(2**70), 2**70))
def test_a_score_is_the_float_that_it_was(score):
    assert same(json.dumps({"query_id": "q", "docs": [{"doc_id": "d", "score": score}]}).encode())


VALUES = [
    b"null", b"true", b"1", b"-0", b"-0.0", b"1.0", b"1e2", b"1.5", b"01", b"1.", b"1e999", b"1e-999", b"1e39", b"9" * 400,
    b"9007199254740993", b"2147483648", b"2147483649", b"18446744073709551616", b'""', b'"a"', b'"1"', b"NaN", b"[]", b"{}", b"[1]", b'{"a":1}',
    b'{"a":true}', b'{"a":null}', b'{"a":1,"a":"x"}', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\xff"', b'"\xed\xa0\x80"', b'"\x01"', b'"\\x"', b'"\x00"', b'[{"a":1e999}]',
    b"[" * 1100 + b"]" * 1100, b"[" * 900 + b"]" * 900, b'{"a":' * 1100 + b"1" + b"}" * 1100, b'"logit"', b'"rank"', b'"a","teacher":null', b'[{"doc_id":"a"},{"doc_id":"a"}]',
    b'[{"doc_id":""}]', b'[{"doc_id":7}]', b'[{"doc_id":"7"},{"doc_id":7}]', b'[{"doc_id":"a","score":1,"score":null}]', b'[{"temperature":2.0}]', b'{"text":"teacher","before":{"a":[1]}}',
]  # fmt: skip


@pytest.mark.parametrize(
    "field", "query_id query docs teacher score_scale transformations augmentation tag other".split()
)
@pytest.mark.parametrize("value", VALUES)
def test_whatever_a_field_holds_both_say_the_same(field, value):
    for line in (
        b'{"query_id":"q","docs":[{"doc_id":"d","score":1}],"%s":%s}',
        b'{"%s":%s,"query_id":"q","docs":[]}',
        b'{"%s":%s}',
    ):
        assert same(line % (field.encode(), value))


@pytest.mark.parametrize("field", "doc_id text relevance score rank source relabelled scores other".split())
@pytest.mark.parametrize("value", VALUES)
def test_whatever_a_field_of_a_document_holds_both_say_the_same(field, value):
    for doc in (b'{"doc_id":"d","%s":%s}', b'{"%s":%s,"doc_id":"d","score":1}', b'{"doc_id":"d"},{"%s":%s}'):
        assert same(b'{"query_id":"q","docs":[' + doc % (field.encode(), value) + b"]}")


@pytest.mark.parametrize(
    "line",
    [
        b"\xef\xbb\xbf" + LINE,
        LINE + b"x",
        LINE + b" ",
        b"\x0c" + LINE,
        b" " + LINE,
        LINE + b"\0",
        b"",
        b"[]",
        b"1",
        b"{}",
        LINE.replace(b"query_id", b"query\\u005fid"),
        LINE.replace(b"teacher", b"\xff"),
    ],
)
def test_whatever_stands_around_a_record_both_say_the_same(line):
    assert same(line)


def test_ordinary_records_are_taken():
    assert taken(LINE)
    assert taken(json.dumps(json.loads(LINE)).encode())
    assert taken('{"query_id":"é","docs":[{"doc_id":"ü","text":"\\n\\"é","score":1e-05}]}'.encode())
    assert not taken(LINE.replace(b"d2", b"d1"))


PLACE = 1001


def many(*last: bytes) -> bytes:
    records = [LINE.replace(b"q1", b"q%d" % number) for number in range(PLACE - 1)]
    return b"\n".join([*records, *last])


BAD = LINE[:-1], f":{PLACE}: not valid JSON: "
RANKS = (
    LINE.replace(b"logit", b"rank"),
    f':{PLACE}: the scores of query "q1" are ranks, whose differences mean nothing (label with a teacher first)\n',
)


@pytest.mark.parametrize(("line", "says"), [BAD, RANKS], ids=["bad", "ranks"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_a_bad_line_behind_many_good_ones_is_named_or_skipped(run, tmp_path, compress, line, says):
    (tmp_path / "in").write_bytes(compress(many(line, b"", LINE + b"\r", LINE)))
    done = run("rd-entropy", "in")
    assert done.returncode == 1
    assert done.stderr.startswith(f"rd-entropy: in{says}")
    skipped = run("rd-entropy", "--on-error", "skip", stdin=(tmp_path / "in").read_bytes(), check=True)
    assert skipped.stdout.splitlines()[1].split("\t")[:3] == ["<stdin>", str(PLACE + 1), str(2 * (PLACE + 1))]
    assert skipped.stderr == "rd-entropy: warning: <stdin>: 1 bad line skipped\n"


def test_many_records_have_the_rows_of_few(run, tmp_path):
    left = LINE.replace(b'"d2"', b'"d\\u0032"').replace(b"q1", b"left")
    (tmp_path / "many.jsonl").write_bytes(many(left, LINE))
    (tmp_path / "few.jsonl").write_bytes(LINE)
    rows = run("rd-entropy", "-q", "many.jsonl", check=True).stdout.splitlines()[1:]
    (row,) = run("rd-entropy", "-q", "few.jsonl", check=True).stdout.splitlines()[1:]
    _, _, *values = row.split("\t")
    ids = [*(f"q{number}" for number in range(PLACE - 1)), "left", "q1"]
    assert [line.split("\t")[1:] for line in rows] == [[query_id, *values] for query_id in ids]
