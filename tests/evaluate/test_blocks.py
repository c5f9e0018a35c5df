"""TREC runs read by the block against the careful reader, on plain runs and on all others."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdtools.core.errors import InputError
from rdtools.evaluate import blocks
from rdtools.evaluate.blocks import read_plain_run
from rdtools.evaluate.rankings import Ranking, Run, read_any_run, read_run
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
rankings = st.dictionaries(
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


@settings(max_examples=200, deadline=None)
@given(
    run=rankings, end=st.sampled_from(["\n", "\r\n"]), blank=st.sampled_from([" ", "\t", "  "]),
    block=st.sampled_from([1, 64, 300, 2**20]), format=st.sampled_from([None, "trec"]),
)  # fmt: skip
def test_plain_runs_are_read_as_by_the_careful_reader(tmp_path_factory, run, end, blank, block, format):
    path = write(tmp_path_factory.mktemp("run") / "run", run, end, blank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        plain = read_plain_run(str(path), QRELS, Reading(input_format=format))
    assert plain == read_any_run(str(path), QRELS, Reading(input_format="trec"))
    assert [list(own.places) for own in plain.rankings.values()] == [
        sorted(own.places, key=own.places.get) for own in plain.rankings.values()
    ]


def test_a_tie_by_hand(tmp_path):
    """d10, d1 and d2 tie: d2 goes before d10, and d10 before d1; the unjudged d3 goes first."""
    path = write(tmp_path / "run", {"q1": {"d10": 1.0, "d1": 1.0, "d3": 2.0, "d2": 1.0}})
    assert read_plain_run(str(path), QRELS, Reading()) == Run(
        {"q1": Ranking({"d2": 2, "d1": 4}, 4)}, "tag", 0
    )


def test_compressed_runs_are_plain(tmp_path):
    path = write(tmp_path / "run", {"q1": {"d1": 1.0}, "q9": {"d1": 1.0}})
    (tmp_path / "packed").write_bytes(gzip.compress(path.read_bytes()))
    expected = Run({"q1": Ranking({"d1": 1}, 1)}, "tag", 1)
    assert read_plain_run(str(tmp_path / "packed"), QRELS, Reading()) == expected
    (tmp_path / "cut").write_bytes(gzip.compress(path.read_bytes())[:-9])
    assert read_plain_run(str(tmp_path / "cut"), QRELS, Reading()) is None
    with pytest.raises(InputError, match="compressed data is damaged"):
        read_run(str(tmp_path / "cut"), QRELS, Reading())


def test_judgements_without_documents_and_with_a_long_id(tmp_path):
    path = write(tmp_path / "run", {"q1": {"d1": 1.0}})
    assert read_plain_run(str(path), {"q1": {}}, Reading()) == Run({"q1": Ranking({}, 1)}, "tag", 0)
    assert read_plain_run(str(path), {"q1": {"d" * 600: 1}}, Reading()) is None
    assert read_run(str(path), {"q1": {"d" * 600: 1, "d1": 0}}, Reading()).rankings["q1"].places == {"d1": 1}


def test_an_empty_file_is_plain(tmp_path):
    (tmp_path / "run").touch()
    assert read_plain_run(str(tmp_path / "run"), QRELS, Reading()) == Run({}, "", 0)


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
        " " + GOOD,
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
        GOOD.replace("1.5", "+1.5"),
        GOOD.replace("1.5", ".5"),
        GOOD.replace("d2 2", "d2 two"),
        GOOD.replace("d2 2", "d2 2.0"),
        GOOD.replace("d2 2", "d2 -2"),
        GOOD.replace("d2 2", "d2 123456789"),
        GOOD.replace("d2 2", "d2 /"),
        GOOD.replace("d2 2", "d2 :"),
        GOOD.replace("d1", "é"),
        GOOD.replace("d1", "d\x0b1"),
        GOOD.replace("d1", "d" * 600),
        "\ufeff" + GOOD,
        GOOD.replace(" Q0 ", " 0 "),
        "{" + GOOD,
        GOOD.replace("\n", "\r"),
        "q1\td1\t2.5\n",
        '{"query_id":"q1","docs":[{"doc_id":"d1"}]}\n',
    ],
)
def test_what_is_not_plain_is_left_to_the_careful_reader(tmp_path, text):
    path = tmp_path / "run"
    path.write_bytes(text.encode())
    assert read_plain_run(str(path), QRELS, Reading()) is None


def test_long_lines_pipes_and_other_formats_are_not_plain(tmp_path):
    path = tmp_path / "run"
    path.write_text(GOOD)
    assert read_plain_run(str(path), QRELS, Reading()) is not None
    assert read_plain_run(str(path), QRELS, Reading(max_line=18)) is not None
    assert read_plain_run(str(path), QRELS, Reading(max_line=17)) is None
    assert read_plain_run(str(path), QRELS, Reading(input_format="tsv")) is None
    assert read_plain_run("-", QRELS, Reading()) is None
    assert read_plain_run("/dev/null", QRELS, Reading()) is None


def test_bad_lines_are_told_or_skipped_as_ever(tmp_path):
    path = tmp_path / "run"
    path.write_text(GOOD + "q2 Q0 d1 1 x tag\n")
    with pytest.raises(InputError, match=r"run:3: score 'x' is not a finite number$"):
        read_run(str(path), QRELS, Reading())
    run = read_run(str(path), QRELS, Reading(on_error="skip"))
    assert run == Run({"q1": Ranking({"d1": 1, "d2": 2}, 2)}, "tag", 0)


def test_two_ids_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_hash", lambda words, starts, ends: (ends - starts).astype("u8"))
    path = write(tmp_path / "run", {"q1": {"d7": 1.0}})
    assert read_plain_run(str(path), QRELS, Reading()) is None
    assert read_run(str(path), QRELS, Reading()).rankings == {"q1": Ranking({}, 1)}


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 200), st.integers(0, 3), st.sampled_from([*"\n\t\r 01.-eQ\"{[,d\x0b", "\n\n", "é", "q2 "])
        ),
        max_size=4,
    )
)  # fmt: skip
def test_whatever_the_bytes_both_readers_say_the_same(tmp_path_factory, changes):
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

    assert outcome(read_run) == outcome(read_any_run)
