"""Every parser against arbitrary bytes and against valid lines that were damaged; writers against readers.

What a parser may raise is an error that a user is meant to read. Few examples by default; for many

    RDTOOLS_FUZZ=20000 python -m pytest tests/test_fuzz.py

whose last line counts executions and crashes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_lines import LINES
from conftest import says_last
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdtools.core.errors import RdError
from rdtools.core.streams import open_lines
from rdtools.diagnose.correlation import read_metrics
from rdtools.evaluate.rankings import read_any_rankings, read_rankings
from rdtools.formats import Reading, Writing, encode, read_records
from rdtools.formats.qrels import read_qrels
from rdtools.formats.records import check_record, is_score
from rdtools.formats.runs import ranking
from rdtools.formats.table import READERS, WRITERS
from rdtools.formats.texts import read_corpus

EXAMPLES = int(os.environ.get("RDTOOLS_FUZZ", "25"))
fuzzed = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True)
Parser = Callable[[Path, str], object]


def corpus(path: Path, on_error: str) -> list[tuple[str, str]]:
    with open_lines(str(path), on_error=on_error) as lines:
        return list(read_corpus(lines))


def records(format: str | None) -> Parser:
    return lambda path, on_error: [
        check_record({**record})
        for record in read_records(
            [str(path)], Reading(input_format=format, max_line=5000, on_error=on_error)
        )
    ]


JUDGED = {"g": {"d1": 1, "12": 0}, "7": {"12": 2}}
PARSERS: dict[str, Parser] = {
    **{format: records(format) for format in READERS},
    "recognised": records(None),
    "corpus": corpus,
    "qrels": lambda path, on_error: read_qrels(str(path), Reading(max_line=5000, on_error=on_error)),
    "run": lambda path, on_error: read_rankings(str(path), JUDGED, Reading(max_line=5000, on_error=on_error)),
    "metrics": lambda path, on_error: read_metrics(str(path), Reading(max_line=5000, on_error=on_error)),
}
GOOD = [
    *(good for good, _ in LINES.values()), *(bad for _, lines in LINES.values() for _, bad, _ in lines),
    b"q1 0 d1 1", b"query-id\tcorpus-id\tscore", b"q1\td1\t2", b'{"_id":"d1","title":"t","text":"x"}',
    b"d1\ttext", b"run\tq1\tnDCG@10\t0.5",
]  # fmt: skip
PIECES = [
    b"", b"\0", b"\xff", b"\x1b[2J", b"\xef\xbb\xbf", b"\r", b"\t", b" ", b"\n", b'"', b"{", b"[" * 40, b"}", b"]", b":", b",",
    b"null", b"NaN", b"1e999", b"-0.0", b"1e-46", b"99999999999999999999", b"\\ud800", b"\xc2\xa0", b"\x1f\x8b", b"\x28\xb5\x2f\xfd",
    "\u2028".encode(), "١".encode(), b"Q0", b"true", b"[]", b"{}", b'"query_id":',
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A few lines, some bytes of which are cut out, doubled or replaced."""
    data = b"\n".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        end = min(end, start + 12)
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4) | st.just(data[start:end] * 2))
        data = data[:start] + piece + data[end:]
    return data


COUNTS: Counter[str] = Counter()


figure = says_last(lambda: f"fuzz: {COUNTS['executions']:,} executions, {COUNTS['crashes']} crashes")


@pytest.mark.parametrize("parser", PARSERS)
@fuzzed
@given(data=st.binary(max_size=200) | damaged(), on_error=st.sampled_from(["fail", "skip"]))
def test_only_errors_that_a_user_reads_come_out(tmp_path, parser, data, on_error):
    path = tmp_path / "in"
    path.write_bytes(data)
    COUNTS["executions"] += 1
    COUNTS["crashes"] += 1
    try:
        PARSERS[parser](path, on_error)
    except RdError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
    COUNTS["crashes"] -= 1


@fuzzed
@given(data=damaged())
def test_runs_read_by_the_block_are_those_read_by_the_line(tmp_path, data):
    path = tmp_path / "in"
    path.write_bytes(data)

    def outcome(read: Callable[..., object]) -> object:
        try:
            return read(str(path), JUDGED, Reading(input_format="trec"))
        except RdError as error:
            return str(error)

    assert outcome(read_rankings) == outcome(read_any_rankings)


# What a writer wrote is what its reader reads.

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ident = text.filter(bool)
number = st.floats(width=32, allow_nan=False, allow_infinity=False)
doc = st.fixed_dictionaries(
    {"doc_id": ident},
    optional={
        "text": text,
        "score": number,
        "relevance": st.integers(-3, 3),
        "rank": st.integers(1, 99),
        "source": text,
    },
)
record: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"query_id": ident, "docs": st.lists(doc, max_size=5, unique_by=lambda doc: doc["doc_id"])},
    optional={
        "query": text,
        "teacher": text,
        "score_scale": st.sampled_from(["logit", "unknown"]),
        "mine": st.none() | text,
    },
)


@fuzzed
@given(written=st.lists(record, max_size=3))
def test_records_come_back_as_they_were(tmp_path, written):
    path = tmp_path / "out"
    path.write_bytes(b"".join(encode(written, Writing())))
    assert list(read_records([str(path)], Reading(input_format="records"))) == written


@pytest.mark.parametrize("format", ["trec", "tsv"])
@fuzzed
@given(written=record)
def test_runs_come_back_in_their_order_with_their_scores(tmp_path, format, written):
    path = tmp_path / "out"
    try:
        path.write_bytes(b"".join(encode([written], Writing(format=format))))
    except RdError as error:
        assert any(what in str(error) for what in ("white space", "a tab or a line end", "has a NUL"))  # noqa: PT017
        return
    read = list(read_records([str(path)], Reading(input_format=format)))
    assert [(r["query_id"], ranking(r)) for r in read] == [
        (written["query_id"], ranked) for ranked in [ranking(written)] if ranked
    ]


@pytest.mark.parametrize("format", WRITERS)
@fuzzed
@given(written=st.lists(record, max_size=2, unique_by=lambda record: record["query_id"]))
def test_what_any_writer_writes_its_reader_reads(tmp_path, format, written):
    path = tmp_path / "out"
    try:
        path.write_bytes(b"".join(encode(written, Writing(format=format))))
    except RdError:
        return
    name = {"jsonl": "records"}.get(format, format)
    name = name if not name.startswith("sentence-transformers") else "sentence-transformers"
    if name in READERS:
        for again in read_records([str(path)], Reading(input_format=name)):
            assert all(is_score(doc["score"]) for doc in again["docs"] if "score" in doc)
