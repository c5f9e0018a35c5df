"""Entropies against hand-worked values and scipy, at extremes, and the cuts."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from rdtools.core.errors import BadLine, UsageError
from rdtools.core.records import Record
from rdtools.diagnose.cut import CUTS, cut_records, parse_cut
from rdtools.diagnose.diagnosis import COLUMNS, Diagnosis
from rdtools.diagnose.entropy import MEASURED, measure
from rdtools.diagnose.rows import rows_by_file, rows_by_query
from rdtools.formats.scored import scored

KAPPA = [column.name for column in COLUMNS].index("kappa")


def record(query_id: str, scores: list[float | None], scale: str | None = "logit") -> Any:
    docs = [{"doc_id": str(i)} | ({} if s is None else {"score": s}) for i, s in enumerate(scores)]
    own: Any = {"query_id": query_id, "docs": docs} | ({} if scale is None else {"score_scale": scale})
    return own


def columns(scores: list[float], temperature: float = 1.0) -> dict[str, float]:
    (row,) = measure(np.array(scores), np.array([len(scores)]), temperature)
    return dict(zip(MEASURED, row.tolist(), strict=True))


def measured(diagnosis: Diagnosis, name: str, records: list[Record]):
    """The two ways to measure a file, by turns: whole records, or only their scores."""
    if sum(name.encode()) % 2:
        return name, diagnosis.measure_queries(records, name)
    return name, diagnosis.measure_scores(map(scored, records), name)


def by_query(records: list[Record], temperature: float = 1.0):
    diagnosis = Diagnosis(temperature)
    return list(rows_by_query(diagnosis, [measured(diagnosis, "f", records)]))


def test_by_hand():
    """Scores 0, 0, ln 3: softmax 1/5, 1/5, 3/5; the pairs are 1/2, 3/4 and 3/4 sure.

    H₂(1/2) = 1 bit, H₂(3/4) = 2 − 3/4·log₂ 3 = 0.811278 bits.
    """
    unsure = 2 - 0.75 * math.log2(3)
    listwise = -(0.4 * math.log2(0.2) + 0.6 * math.log2(0.6))
    expected = {
        "pairwise_entropy_bits": (1 + 2 * unsure) / 3,
        "listwise_entropy_bits": listwise,
        "listwise_entropy_share": listwise / math.log2(3),
        "tied_pairs": 1 / 3,
        "margin": math.log(3),
        "kappa": (1 / 3) / (1 / 5),
        "log10_kappa": math.log10(5 / 3),
    }
    assert columns([0.0, math.log(3), 0.0]) == pytest.approx(expected)
    assert columns([0.0, 2 * math.log(3), 0.0], temperature=2) == pytest.approx(
        expected | {"margin": math.log(9)}
    )


scores = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=20)


@given(scores=scores, temperature=st.sampled_from([0.1, 1.0, 7.0]))
def test_against_scipy(scores, temperature):
    shares = softmax(np.array(scores) / temperature)
    sure = [1 / (1 + math.exp(-abs(a - b) / temperature)) for i, a in enumerate(scores) for b in scores[:i]]
    found = columns(scores, temperature)
    assert found["listwise_entropy_bits"] == pytest.approx(stats.entropy(shares, base=2), abs=1e-9)
    assert found["pairwise_entropy_bits"] == pytest.approx(
        np.mean([stats.entropy([p, 1 - p], base=2) for p in sure]), abs=1e-9
    )
    assert found["kappa"] == pytest.approx(1 / len(scores) / shares.min())
    assert found["log10_kappa"] == pytest.approx(math.log10(found["kappa"]), abs=1e-12)
    assert found["tied_pairs"] == pytest.approx(
        np.mean([a == b for i, a in enumerate(scores) for b in scores[:i]])
    )


extreme = st.lists(
    st.sampled_from([-3.4e38, -1e5, -1.0, 0.0, 1e-30, 1.0, 800.0, 3.4e38]), min_size=2, max_size=6
)


@given(
    scores=extreme,
    temperature=st.sampled_from([1e-300, 1e-3, 1.0, 1e300]),
    shift=st.sampled_from([0.0, 2.0**20]),
)
def test_extremes_stay_in_range(scores, temperature, shift):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = columns([score + shift for score in scores], temperature)
    n = len(scores)
    assert not any(map(math.isnan, found.values()))
    assert 0 <= found["pairwise_entropy_bits"] <= 1 + 1e-12
    assert 0 <= found["listwise_entropy_bits"] <= math.log2(n) + 1e-12
    assert 1 - 1e-12 <= found["kappa"] <= math.inf
    assert 0 <= found["log10_kappa"] <= math.inf


@pytest.mark.parametrize("score", [0.0, -7.5, 3.4e38])
def test_all_tied_is_all_unsure(score):
    assert columns([score] * 4) == pytest.approx(
        {
            "pairwise_entropy_bits": 1, "listwise_entropy_bits": 2, "listwise_entropy_share": 1,
            "tied_pairs": 1, "margin": 0, "kappa": 1, "log10_kappa": 0,
        }
    )  # fmt: skip


@settings(max_examples=100)
@given(lists=st.lists(st.lists(st.floats(-30, 30, width=32), max_size=20), min_size=1, max_size=20))
def test_a_query_does_not_depend_on_its_neighbours(lists):
    records = [record(str(number), scores) for number, scores in enumerate(lists)]
    assert by_query(records) == [row for one in records for row in by_query([one])]


def test_long_lists_are_computed_in_parts(monkeypatch):
    records = [record(str(q), np.random.default_rng(q).normal(size=9).tolist()) for q in range(20)]
    whole = by_query(records)
    monkeypatch.setattr("rdtools.diagnose.entropy._PAIRS", 200)
    assert by_query(records) == whole


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_pairs_that_do_not_fit_into_memory_are_computed_in_turn(monkeypatch, temperature):
    scores = np.random.default_rng(0).integers(0, 5, 40).astype(float).tolist()  # with ties
    whole = columns(scores, temperature)
    monkeypatch.setattr("rdtools.diagnose.entropy._MANY", 39)
    assert columns(scores, temperature) == pytest.approx(whole, rel=1e-14)


def test_what_is_undefined_is_counted():
    diagnosis = Diagnosis(2.0)
    lists: list[list[float | None]] = [[], [1.0], [None, None], [1.0, None, 3.0], [-1e4, 1e4]]
    records = [record(str(n), own) for n, own in enumerate(lists)]
    rows = list(rows_by_query(diagnosis, [measured(diagnosis, "f", records)]))
    assert [row["docs"] for row in rows] == [0, 1, 0, 2, 2]
    for row in rows[:3]:
        assert {row[name] for name in MEASURED} == {None}
    assert rows[3]["margin"] == 2
    assert rows[4]["kappa"] == math.inf
    assert rows[4]["log10_kappa"] == pytest.approx(1e4 / math.log(10) + math.log10(1 / 2))  # 2e4 over T = 2
    assert {row["temperature"] for row in rows} == {2.0}
    counts = (diagnosis.queries, diagnosis.docs, diagnosis.unscored, diagnosis.undefined, diagnosis.infinite)
    assert counts == (5, 5, 3, 3, 1)


def test_the_summary_is_means_and_the_median_of_kappa():
    records = [
        record("a", [0.0, 0.0]),
        record("b", [0.0, math.log(3)]),
        record("c", [0.0, math.log(9)]),
        record("d", []),
    ]
    diagnosis = Diagnosis(1.0)
    (row,) = rows_by_file(diagnosis, [measured(diagnosis, "f", records), measured(diagnosis, "empty", [])])
    rows = by_query(records)[:3]
    assert (row["file"], row["queries"], row["docs"], row["temperature"]) == ("f", 4, 6, 1.0)
    for name in MEASURED[:-2]:
        assert row[name] == pytest.approx(np.mean([one[name] for one in rows]))
    assert row["kappa"] == pytest.approx(2)  # 1, (1/2)/(1/4), (1/2)/(1/10)
    assert row["kappa_max"] == pytest.approx(5)
    assert row["log10_kappa"] == pytest.approx(math.log10(2))
    assert row["log10_kappa_max"] == pytest.approx(math.log10(5))


@pytest.mark.parametrize(
    ("own", "stated", "problem"),
    [
        ("rank", "logit", "ranks"),
        ("probability", None, "probabilities"),
        (None, None, "unknown scale"),
        ("unknown", "rank", "ranks"),
        ("unknown", "logit", None),
        (None, "bm25", None),
        ("log-probability", None, None),
        ("cosine", None, None),
        ("dot", "rank", None),
    ],
)
def test_scales(own, stated, problem):
    diagnosis = Diagnosis(1.0, stated)
    if problem is None:
        diagnosis.check(record("q", [1.0], own))
    else:
        with pytest.raises(BadLine, match=problem):
            diagnosis.check(record("q", [1.0], own))
        with pytest.raises(BadLine, match=problem):
            diagnosis.check_scores(scored(record("q", [None, 1.0], own)))
    diagnosis.check(record("q", [None], own))  # without scores there is nothing to refuse


VALUES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 100.0])  # Q1 3, median 5, Q3 7; fences -3 and 13


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("low", [1, 2, 3]),
        ("middle", [4, 5, 6, 7]),
        ("high", [8, 100]),
        ("below-median", [1, 2, 3, 4, 5]),
        ("above-median", [6, 7, 8, 100]),
        ("inlier", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("outlier", [100]),
        ("0:0.5", [1, 2, 3, 4, 5]),
        ("0.5:1", [6, 7, 8, 100]),
        ("0.25:0.75", [4, 5, 6, 7]),
    ],
)
def test_cuts_by_hand(name, kept):
    assert VALUES[parse_cut(name)(VALUES)].tolist() == kept


@given(values=st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1))
def test_cuts_part_the_values(values):
    array = np.array(values)
    for parts in (
        ["low", "middle", "high"],
        ["below-median", "above-median"],
        ["inlier", "outlier"],
        ["0:0.3", "0.3:1"],
    ):
        kept = np.array([parse_cut(part)(array) for part in parts])
        assert (kept.sum(axis=0) == 1).all()


@pytest.mark.parametrize("name", ["1:0", "0.5:0.5", "a:b", "-1:0.5", "0:2", "nan:1", "1:2:3", "lwo"])
def test_cuts_that_do_not_do(name):
    with pytest.raises(UsageError):
        parse_cut(name)


def test_a_cut_leaves_out_what_is_undefined_and_takes_infinite_as_largest():
    records = [record("a", [0.0, 1e5]), record("b", [0.0, 0.0]), record("c", []), record("d", [0.0, 1.0])]
    lines = list(cut_records(Diagnosis(1.0).measure_records(records), KAPPA, CUTS["high"]))
    assert [line[:15] for line in lines] == [b'{"query_id":"a"']
    assert list(cut_records(Diagnosis(1.0).measure_records([]), 1, CUTS["high"])) == []


@pytest.mark.parametrize("name", CUTS)
def test_cuts_of_infinite_values_are_silent(name):
    records = [record(str(n), [0.0, 1e5 * (n % 2)]) for n in range(9)] + [record("x", [0.0, 1e5])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(cut_records(Diagnosis(1.0).measure_records(records), KAPPA, CUTS[name]))


def test_columns():
    names = (
        "pairwise_entropy_bits", "listwise_entropy_bits", "listwise_entropy_share", "tied_pairs", "margin", "kappa",
        "log10_kappa",
    )  # fmt: skip
    assert names == MEASURED
    assert ("docs", *names) == tuple(column.name for column in COLUMNS)
    assert {column.name for column in COLUMNS if column.scale_free} == {"docs", "tied_pairs"}
