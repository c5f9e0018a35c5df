"""Correlations against scipy and published variances; files of measures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rdtools.core.errors import InputError, RdError
from rdtools.diagnose.correlation import correlations, interval, pearson, read_metrics, spearman
from rdtools.diagnose.diagnosis import Diagnosis

values = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30)


@given(pairs=values)
def test_against_scipy(pairs):
    x, y = np.array(pairs, float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(pearson(x, y))
        assert math.isnan(spearman(x, y))
    else:
        assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_values_far_from_one(unit):
    """As kappa has them: the correlation does not depend on the unit."""
    x, y = np.array([1.0, 2.0, 4.0]), np.array([3.0, 1.0, 2.0])
    assert pearson(x * unit, y) == pytest.approx(stats.pearsonr(x, y).statistic)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_fishers_interval_is_scipys(confidence):
    x, y = np.random.default_rng(1).normal(size=(2, 40))
    y += x
    expected = stats.pearsonr(x, y).confidence_interval(confidence)
    assert interval(pearson(x, y), 40, confidence) == pytest.approx((expected.low, expected.high))


def test_bonett_and_wrights_interval():
    """r 0.6 of 50: artanh 0.693147 ± 1.959964 · √(1.18/47) = 0.310556, and tanh of both bounds."""
    assert interval(0.6, 50, 0.95, ranks=True) == pytest.approx(
        (math.tanh(0.3825914), math.tanh(1.0037030)), abs=1e-6
    )


def test_an_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = stats.multivariate_normal(cov=[[1, 0.5], [0.5, 1]])
    hits = rho_hits = 0
    for _ in range(400):
        x, y = truth.rvs(60, random_state=rng).T
        low, high = interval(pearson(x, y), 60, 0.9)
        hits += low <= 0.5 <= high
        low, high = interval(spearman(x, y), 60, 0.9, ranks=True)
        rho_hits += low <= 6 / math.pi * math.asin(0.25) <= high  # Spearman's ρ of a normal with r = 1/2
    assert 0.86 < hits / 400 < 0.94
    assert 0.86 < rho_hits / 400 < 0.94


def test_intervals_that_are_undefined():
    assert all(map(math.isnan, interval(0.5, 3, 0.95)))
    assert all(map(math.isnan, interval(math.nan, 30, 0.95)))
    assert interval(-1.0, 30, 0.95) == (-1, -1)


def record(query_id, gap):
    docs = [{"doc_id": "a", "score": 0.0}, {"doc_id": "b", "score": gap}]
    return {"query_id": query_id, "docs": docs, "score_scale": "logit"}


def test_rows():
    records = [record(str(i), float(i)) for i in range(6)] + [record("5", 7.0), record("unjudged", 1.0)]
    metrics = {
        ("run", "AP"): {str(i): i / 10 for i in range(6)} | {"missing": 1.0},
        ("run", "RR"): {"0": 1.0},
    }
    diagnosis = Diagnosis(1.0)
    files = [(name, diagnosis.measure_queries(own, name)) for name, own in (("f", records), ("empty", []))]
    rows = list(correlations(diagnosis, files, metrics, 0.95))
    by_column = {(row["measure"], row["column"]): row for row in rows}
    assert len(rows) == len(by_column) == 2 * 8
    margin = by_column["AP", "margin"]
    x, y = [0, 1, 2, 3, 4, 6], [0, 0.1, 0.2, 0.3, 0.4, 0.5]  # query 5 has two records, of margins 5 and 7
    assert margin["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert margin["spearman"] == pytest.approx(1)
    assert (margin["file"], margin["run"], margin["queries"], margin["temperature"]) == ("f", "run", 6, 1.0)
    assert by_column["AP", "docs"]["pearson"] is None
    assert (by_column["RR", "margin"]["queries"], by_column["RR", "margin"]["pearson"]) == (1, None)


def test_tsv_and_jsonl_are_read(tmp_path):
    (tmp_path / "tsv").write_text("bm25\tq1\tnDCG@10\t0.5\nbm25\tq2\tnDCG@10\t0.0\n")
    (tmp_path / "jsonl").write_text(
        '{"run":"bm25","query_id":"q1","measure":"nDCG@10","value":0.5}\n'
        '{"run":"bm25","query_id":"q2","measure":"nDCG@10","value":0}\n'
    )
    expected = {("bm25", "nDCG@10"): {"q1": 0.5, "q2": 0.0}}
    assert read_metrics(str(tmp_path / "tsv")) == read_metrics(str(tmp_path / "jsonl")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bm25\tnDCG@10\t0.5\n", "x:1: 4 columns expected"),
        ("bm25\tq\tAP\tgood\n", "x:1: value 'good' is not a finite number"),
        ("r\tq\tAP\t1\nr\tq\tAP\t1\n", 'x:2: duplicate AP of query "q" in run r'),
        (
            '{"run":"r","query_id":"q","measure":"AP","value":null}\n',
            'x:1: "value" must be a number, not null',
        ),
    ],
)
def test_bad_measures(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text(text)
    with pytest.raises(InputError) as error:
        read_metrics("x")
    assert str(error.value).startswith(message)


def test_no_measures(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(RdError, match="no measures by query"):
        read_metrics(str(tmp_path / "x"))
