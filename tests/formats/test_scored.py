"""Scores read without making documents: what comes out is what the parser of records gives, line by line."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import zstandard
from formats.test_fuzz import PIECES, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from rdtools.core.errors import RdError
from rdtools.core.records import Record
from rdtools.core.scores import Scores, has_scores, scores_of
from rdtools.core.streams import READ_AHEAD, Lines
from rdtools.formats import scored
from rdtools.formats.records import read_jsonl

FIRST = b'{"query_id":"first","docs":[]}\n'
"""A block begins after the first line."""
LINE = b'{"query_id":"q1","query":"wing flow","docs":[{"doc_id":"d1","text":"a b","score":2.5,"rank":1,"source":"bm25"},{"doc_id":"d2","relevance":1,"score":-0.25}],"teacher":"ce","score_scale":"logit"}'  # fmt: skip


@pytest.fixture(autouse=True)
def compiled_at_once(monkeypatch):
    monkeypatch.setattr(scored, "FEW", 1)


def read(reader: Callable[[Lines], Iterator[Record]], data: bytes, on_error: str) -> Any:
    """What can be told of the records: all but their documents, their scores, and how they end."""
    lines = Lines(io.BufferedReader(io.BytesIO(data), READ_AHEAD), "in", on_error=on_error)
    seen = []
    try:
        for record in reader(lines):
            others = {name: value for name, value in record.items() if name not in ("docs", "query")}
            seen.append(
                (
                    others,
                    [struct.pack("d", score) for score in scores_of(record)],
                    len(record["docs"]),
                    has_scores(record),
                )
            )
    except RdError as error:
        return seen, str(error)
    return seen, lines.skipped, lines.number


def taken(line: bytes) -> bool:
    """Whether a line was read without an object of each document."""
    lines = Lines(io.BufferedReader(io.BytesIO(FIRST + line + b"\n"), READ_AHEAD), "in")
    return [isinstance(record["docs"], Scores) for record in scored.read(lines)][-1]


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
@given(st.lists(lines(), max_size=4), st.sampled_from([b"\n", b"\r\n"]), st.sampled_from(["fail", "skip"]))
def test_records_and_errors_are_those_of_the_parser_of_records(given_lines, end, on_error):
    data = FIRST + end.join(given_lines)
    assert read(scored.read, data, on_error) == read(read_jsonl, data, on_error)


@fuzzed
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_score_is_the_float_that_it_was(score):
    line = orjson.dumps({"query_id": "q", "docs": [{"doc_id": "d", "score": score}]})
    assert read(scored.read, FIRST + line + b"\n", "fail")[0][1][1] == [struct.pack("d", score)]


def test_ordinary_records_are_taken_and_what_is_unclear_is_left_to_the_parser():
    assert taken(LINE)
    assert taken(json.dumps(json.loads(LINE)).encode())
    assert taken('{"query_id":"é","docs":[{"doc_id":"ü","text":"\\n\\"é","score":1e-05}]}'.encode())
    assert taken(b'{"query_id":"q","docs":[{"doc_id":"d","score":3},{"doc_id":"e"}],"more":{"a":[1]}}')
    for unclear in (
        LINE.replace(b"d2", b"d1"), LINE.replace(b"2.5", b"null"), LINE.replace(b'"d2"', b"2"),
        LINE.replace(b'"rank":1', b'"score":1'), LINE.replace(b'"ce"', b'"ce","docs":[]'), LINE.replace(b"2.5", b"02.5"),
        LINE.replace(b"2.5", b"12345678901234567890.5"), LINE.replace(b"d1", b"d\\u0031"), LINE.replace(b"bm25", b"\xff"),
    ):  # fmt: skip
        parsed = read(read_jsonl, FIRST + unclear + b"\n", "skip")
        assert read(scored.read, FIRST + unclear + b"\n", "skip") == parsed
        if len(parsed[0]) > 1:
            assert not taken(unclear)


PLACE = scored.FEW + 1001


def many(*last: bytes) -> bytes:
    """Records enough for some to be read in compiled code, and then `last`."""
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


def test_a_flood_of_blank_lines_or_of_long_ends_takes_little_memory():
    ends = [LINE[:-1] + b',"more":"%d%s"}' % (number, b"x" * 50_000) for number in range(400)]
    taken(LINE)
    tracemalloc.start()
    for data, count in ((FIRST + b"\n" * READ_AHEAD, 1), (FIRST + b"\n".join(ends), 401)):
        lines = Lines(io.BufferedReader(io.BytesIO(data), READ_AHEAD), "in")
        assert sum(1 for _ in scored.read(lines)) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20
