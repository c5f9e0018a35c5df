"""The fast reader of grouped TREC runs against the reader of all runs, on valid and on invalid files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdtools.core.errors import InputError
from rdtools.evaluate import rankings
from rdtools.evaluate.rankings import Ranking, Run, read_any_rankings, read_grouped_trec, read_rankings
from rdtools.formats import Reading

QRELS = {
    "q1": {"d1": 1, "d2": 0, "doc-with-a-long-name": 2, "é": 1, "a b": 1, "": 0},
    "q2": {"d1": 2},
    "query-of-more-than-eight-bytes-1": {"d3": 1, "d4": 1},
    "nobody": {"d9": 1},
}
query_ids = st.sampled_from(
    ["q1", "q2", "query-of-more-than-eight-bytes-1", "query-of-more-than-eight-bytes-2"]
)
doc_ids = st.sampled_from(
    ["d1", "d2", "d3", "d4", "d10", "doc-with-a-long-name", "doc-with-a-long-nama", "x" * 40]
)
scores = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.000000001, 16777216.0, 16777217.0, -2.5, 1e-50, 3]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-1e30, 1e30),
)
runs = st.dictionaries(
    query_ids, st.dictionaries(doc_ids, scores, min_size=1, max_size=8), min_size=1, max_size=4
)


def write(path: Path, run: dict[str, dict[str, float]], end: str = "\n", blank: str = " ") -> Path:
    lines = [
        blank.join([query, "Q0", doc, str(rank), repr(score), "tag"])
        for query, docs in run.items()
        for rank, (doc, score) in enumerate(docs.items())
    ]
    path.write_bytes(end.join(lines).encode() + (end.encode() if len(lines) % 2 else b""))
    return path


@settings(max_examples=200)
@given(
    run=runs, end=st.sampled_from(["\n", "\r\n"]), blank=st.sampled_from([" ", "\t", "  "]),
    block=st.sampled_from([1, 64, 300, 2**20]), format=st.sampled_from([None, "trec"]),
)  # fmt: skip
def test_both_readers_return_the_same_rankings(tmp_path_factory, run, end, blank, block, format):
    path = write(tmp_path_factory.mktemp("run") / "run", run, end, blank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankings, "BLOCK", block)
        fast = read_grouped_trec(str(path), QRELS, Reading(input_format=format))
    assert fast == read_any_rankings(str(path), QRELS, Reading(input_format="trec"))
    assert [list(own.ranks) for own in fast.rankings.values()] == [
        sorted(own.ranks, key=own.ranks.__getitem__) for own in fast.rankings.values()
    ]


def test_a_tie_by_hand(tmp_path):
    """d10, d1 and d2 tie: d2 goes before d10, and d10 before d1; the unjudged d3 goes first."""
    path = write(tmp_path / "run", {"q1": {"d10": 1.0, "d1": 1.0, "d3": 2.0, "d2": 1.0}})
    assert read_grouped_trec(str(path), QRELS, Reading()) == Run(
        {"q1": Ranking({"d2": 2, "d1": 4}, 4)}, "tag", 0
    )


def test_the_fast_reader_reads_compressed_runs(tmp_path):
    path = write(tmp_path / "run", {"q1": {"d1": 1.0}, "q9": {"d1": 1.0}})
    (tmp_path / "packed").write_bytes(gzip.compress(path.read_bytes()))
    expected = Run({"q1": Ranking({"d1": 1}, 1)}, "tag", 1)
    assert read_grouped_trec(str(tmp_path / "packed"), QRELS, Reading()) == expected
    (tmp_path / "cut").write_bytes(gzip.compress(path.read_bytes())[:-9])
    assert read_grouped_trec(str(tmp_path / "cut"), QRELS, Reading()) is None
    with pytest.raises(InputError, match="compressed data is damaged"):
        read_rankings(str(tmp_path / "cut"), QRELS, Reading())


def test_judgements_without_documents_and_with_a_long_id(tmp_path):
    path = write(tmp_path / "run", {"q1": {"d1": 1.0}})
    assert read_grouped_trec(str(path), {"q1": {}}, Reading()) == Run({"q1": Ranking({}, 1)}, "tag", 0)
    assert read_grouped_trec(str(path), {"q1": {"d" * 600: 1, "d1": 0}}, Reading()) == Run(
        {"q1": Ranking({"d1": 1}, 1)}, "tag", 0
    )


def test_an_empty_file(tmp_path):
    (tmp_path / "run").touch()
    assert read_rankings(str(tmp_path / "run"), QRELS, Reading()) == Run({}, "", 0)
    assert read_rankings(str(tmp_path / "run"), QRELS, Reading(input_format="trec")) == Run({}, "", 0)


GOOD = "q1 Q0 d1 1 2.5 tag\nq1 Q0 d2 2 1.5 tag\n"


@pytest.mark.parametrize(
    "text",
    [
        "q1 Q0 d1 1 2.5\n" + GOOD,  # five columns
        "q1 Q0 d1 1 2.5 tag more\nq1 Q0 d2 2 1.5\n",  # seven and five
        "q1 Q0 d1 1 2.5 tag q1\nQ0 d2 2 1.5 tag\n",  # twelve, on two lines
        "q1 Q0 d1 1 2.5 tag q1 Q0 d2 2 1.5 tag\n",  # twelve on one
        "\n" + GOOD,
        GOOD + "\n" + GOOD.replace("q1", "q2"),
        GOOD + GOOD,  # documents twice
        GOOD + "q2 Q0 d1 1 1 t\nq1 Q0 d3 1 1 t\n",  # q1 again
        GOOD.replace("1.5", "nan"),
        GOOD.replace("1.5", "inf"),
        GOOD.replace("1.5", "1e39"),
        GOOD.replace("1.5", "1_5"),
        GOOD.replace("1.5", '"5"'),
        GOOD.replace("1.5", "true"),
        GOOD.replace("1.5", "1,5"),
        GOOD.replace("1.5", "[5]"),
        GOOD.replace("1.5", "1-5"),
        GOOD.replace("d2 2", "d2 two"),
        GOOD.replace("d2 2", "d2 2.0"),
        GOOD.replace("d2 2", "d2 -2"),
        GOOD.replace("d2 2", "d2 1234567890"),
        GOOD.replace("d2 2", "d2 /"),
        GOOD.replace("d2 2", "d2 :"),
        GOOD.replace("d1", "d\x0b1"),
        GOOD.replace("d1", "d\x1c1"),
        GOOD.replace("d1", "é"),
        GOOD.replace("1.5", "+1.5"),
        GOOD.replace("1.5", ".5"),
        GOOD.replace("1.5", "1e999"),
        "\ufeff" + GOOD,
        "{" + GOOD,
        GOOD.replace("\n", "\r"),
        "q1\td1\t2.5\n",
        '{"query_id":"q1","docs":[{"doc_id":"d1"}]}\n',
    ],
)
def test_the_fast_reader_refuses_irregular_files(tmp_path, text):
    path = tmp_path / "run"
    path.write_bytes(text.encode())
    assert read_grouped_trec(str(path), QRELS, Reading()) is None


def test_the_fast_reader_takes_any_second_column(tmp_path):
    path = tmp_path / "run"
    path.write_text(GOOD.replace(" Q0 ", " 0 "))
    fast = read_grouped_trec(str(path), QRELS, Reading())
    assert fast is not None
    assert fast == read_any_rankings(str(path), QRELS, Reading())


def test_the_fast_reader_refuses_long_lines_pipes_and_other_formats(tmp_path):
    path = tmp_path / "run"
    path.write_text(GOOD)
    assert read_grouped_trec(str(path), QRELS, Reading()) is not None
    assert read_grouped_trec(str(path), QRELS, Reading(max_line=rankings.BLOCK - 1)) is None
    assert read_rankings(str(path), QRELS, Reading(max_line=18)).rankings["q1"].size == 2
    with pytest.raises(InputError, match="run:1: line is longer than 17 bytes"):
        read_rankings(str(path), QRELS, Reading(max_line=17))
    assert read_grouped_trec(str(path), QRELS, Reading(input_format="tsv")) is None
    assert read_grouped_trec("-", QRELS, Reading()) is None
    assert read_grouped_trec("/dev/null", QRELS, Reading()) is None


def test_bad_lines_are_reported_or_skipped(tmp_path):
    path = tmp_path / "run"
    path.write_text(GOOD + "q2 Q0 d1 1 x tag\n")
    with pytest.raises(InputError, match=r"run:3: score 'x' is not a finite number$"):
        read_rankings(str(path), QRELS, Reading())
    run = read_rankings(str(path), QRELS, Reading(on_error="skip"))
    assert run == Run({"q1": Ranking({"d1": 1, "d2": 2}, 2)}, "tag", 0)


GOOD_AS_WELL = [
    GOOD.replace("d1", "d" * 600),
    GOOD.replace("1.5", "1E0"),
    GOOD.replace("1.5", "-0"),
    GOOD.replace("\n", "\r\n"),
    " " + GOOD,
    GOOD.replace("d1", "d\x0b"),
    GOOD.removesuffix("\n"),
]


@pytest.mark.parametrize("text", GOOD_AS_WELL)
def test_the_fast_reader_reads_all_valid_columns(tmp_path, text):
    path = tmp_path / "run"
    path.write_bytes(text.encode())
    fast = read_grouped_trec(str(path), QRELS, Reading())
    assert fast == read_any_rankings(str(path), QRELS, Reading())
    assert fast.rankings["q1"].size == 2


def test_the_fast_reader_refuses_a_long_line_wherever_a_block_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(rankings, "BLOCK", 20)
    path = tmp_path / "run"
    for length in (1, 10, 40, 60):
        path.write_text(GOOD + GOOD.replace("q1", "q2").replace("tag", "t" * length))
        longest = max(map(len, path.read_text().splitlines()))
        for max_line in (60, 70, 90, 200):
            reading = Reading(max_line=max_line)
            fast = read_grouped_trec(str(path), QRELS, reading)
            if longest > max_line:
                assert fast is None
            elif fast is not None or max_line == 200:
                assert fast == read_any_rankings(str(path), QRELS, reading)


@pytest.mark.parametrize("max_line", [60, 200, 330])
def test_a_line_of_several_blocks_is_never_longer_than_the_limit(tmp_path, monkeypatch, max_line):
    """Blocks grow with the line that they belong to: one of 20 bytes, then as many as were read before."""
    monkeypatch.setattr(rankings, "BLOCK", 20)
    path = tmp_path / "run"
    read = set()
    for length in range(20, 420, 7):
        line = f"q1 Q0 {'d' * (length - 16)} 3 0.5 tag"
        assert len(line) == length
        path.write_text(GOOD + line + "\n" + GOOD.replace("q1", "q2"))
        fast = read_grouped_trec(str(path), QRELS, Reading(max_line=max_line))
        if fast is not None:
            assert length <= max_line
            assert fast == read_any_rankings(str(path), QRELS, Reading(max_line=max_line))
            read.add(length)
    assert read


@pytest.mark.parametrize("rank", ["123456789", "000000001"])
def test_a_rank_of_nine_characters_is_read_fast_and_a_longer_one_checked(tmp_path, rank):
    path = tmp_path / "run"
    path.write_text(GOOD.replace("d2 2", f"d2 {rank}"))
    assert read_grouped_trec(str(path), QRELS, Reading()) == read_any_rankings(str(path), QRELS, Reading())
    path.write_text(GOOD.replace("d2 2", f"d2 9{rank}"))
    with pytest.raises(InputError, match=rf"run:2: rank '9{rank}' is not a whole number$"):
        read_rankings(str(path), QRELS, Reading())


def test_many_ties_and_queries_and_documents_without_judgements(tmp_path):
    docs = {f"d{number}": 1.0 for number in range(50)}
    path = write(tmp_path / "run", {"q1": docs, "q3": docs})
    qrels = {"q1": {f"d{number}": 1 for number in range(0, 60, 3)}}
    assert read_grouped_trec(str(path), qrels, Reading()) == read_any_rankings(str(path), qrels, Reading())


@settings(max_examples=300)
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 200), st.integers(0, 3), st.sampled_from([*"\n\t\r 01.-eQ\"{[,d\x0b", "\n\n", "é", "q2 "])
        ),
        max_size=4,
    )
)  # fmt: skip
def test_both_readers_agree_on_any_bytes(tmp_path_factory, changes):
    text = "".join(
        f"{query} Q0 d{doc} {doc} {9.5 - doc / 2} tag\n" for query in ("q1", "q2") for doc in range(1, 5)
    )
    for place, length, new in changes:
        text = text[:place] + new + text[place + length :]
    path = tmp_path_factory.mktemp("run") / "run"
    path.write_bytes(text.encode())

    def outcome(read):
        try:
            return read(str(path), QRELS, Reading())
        except InputError as error:
            return str(error)

    assert outcome(read_rankings) == outcome(read_any_rankings)
