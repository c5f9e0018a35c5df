"""Diagnostics against independent formulas, scikit-learn and scipy, and by hand."""

from __future__ import annotations

import itertools
import logging
import math
import os
import statistics
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax
from settings import resources
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from rdtools.core.errors import BadLine, RdError, UsageError
from rdtools.core.provenance import Provenance, provenance_of
from rdtools.core.records import Record
from rdtools.data.corpus import Corpus
from rdtools.data.leakage import Leakage, open_leakage
from rdtools.diagnose.columns.check_against import CheckAgainst
from rdtools.diagnose.columns.cost import Cost, DistinctIds
from rdtools.diagnose.columns.coverage import Coverage, read_documents
from rdtools.diagnose.columns.false_negatives import SuspectedFalseNegatives
from rdtools.diagnose.columns.geometry import Geometry, GeometryOptions
from rdtools.diagnose.columns.score_shares import ScoreShares
from rdtools.diagnose.columns.student_kl import StudentKl, StudentRunOptions, read_student_scores
from rdtools.diagnose.diagnosis import Diagnosis
from rdtools.diagnose.entropy import kl_bits
from rdtools.diagnose.nearest import NearestNeighbours
from rdtools.diagnose.points import diameter, knn_density, two_nn_dimension
from rdtools.diagnose.rows import rows_by_file
from rdtools.formats import Reading


def record(query_id: str, scores: list[float | None], positives: int = 0, **fields) -> Any:
    docs = [
        {"doc_id": f"d{i}"}
        | ({} if s is None else {"score": s})
        | ({"relevance": 1} if i < positives else {})
        for i, s in enumerate(scores)
    ]
    return {"query_id": query_id, "docs": docs, "score_scale": "logit"} | fields


def column(diagnostic, records, name):
    place = [one.name for one in diagnostic.columns].index(name)
    return diagnostic.measure(records)[:, place].tolist()


class Table:
    """An encoder that knows its texts, and counts how often it is asked for each."""

    def __init__(self, embeddings: dict[str, np.ndarray]) -> None:
        self.embeddings = embeddings
        self.asked: list[str] = []

    def encode_documents(self, texts, description=""):
        self.asked += texts
        dimension = len(next(iter(self.embeddings.values())))
        return np.array([self.embeddings[text] for text in texts], np.float32).reshape(len(texts), dimension)


def with_texts(query_id: str, texts: list[str]) -> Record:
    return {"query_id": query_id, "docs": [{"doc_id": str(i), "text": text} for i, text in enumerate(texts)]}


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("neighbours", [3, 10])
def test_geometry_against_scikit_learn(distance, neighbours):
    points = np.random.default_rng(3).normal(size=(16, 5)).astype(np.float32)
    names = [f"text {i}" for i in range(16)]
    options = GeometryOptions(encoder="m", alpha=0.95, distance=distance, neighbours=neighbours)
    geometry = Geometry(Table(dict(zip(names, points, strict=True))), options)
    found = geometry.measure([with_texts("q", names)])[0]

    apart = pairwise_distances(points.astype(np.float64), metric=distance)
    own = points.astype(np.float64)
    if distance == "cosine":  # the chord is the Euclidean distance between unit vectors
        own /= np.linalg.norm(own, axis=1, keepdims=True)
    near, _ = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(own).kneighbors(own)
    dimension = 1 / np.mean(np.log(near[:, 2] / near[:, 1]))
    ball = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)
    density = np.median(neighbours / (16 * ball * near[:, neighbours] ** dimension))
    expected = [np.quantile(apart[np.triu_indices(16, 1)], 0.95), dimension, density]
    assert found == pytest.approx(expected, rel=1e-5)
    assert geometry.settings == {
        "encoder": "m", "distance": distance, "alpha": 0.95, "neighbours": neighbours,
        "density_among": "query", "neighbour_distance": "chord" if distance == "cosine" else "euclidean",
    }  # fmt: skip


def test_the_diameter_is_the_99th_percentile_by_default():
    """Of points at 0, 1 and 3 the distances are 1, 2 and 3: 0.99 lies 1.98 places after the least."""
    table = Table({name: np.array([place, 0.0]) for name, place in (("a", 0), ("b", 1), ("c", 3))})
    geometry = Geometry(table, GeometryOptions(encoder="m", distance="euclidean"))
    assert column(geometry, [with_texts("q", ["a", "b", "c"])], "diameter") == pytest.approx([2.98])
    assert geometry.columns[0].quantile == geometry.settings["alpha"] == 0.99


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_density_among_the_corpus_against_scikit_learn(distance):
    """The query's documents are points 0 to 5 of 300; point 299 is a copy of point 0 and no neighbour of it."""
    rng = np.random.default_rng(4)
    points = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, 8))).astype(np.float32)
    points[299] = points[0]
    names = [str(i) for i in range(6)]
    table = Table(dict(zip(names, points, strict=False)))
    among = NearestNeighbours(points, distance, 5)
    options = GeometryOptions(encoder="m", distance=distance, neighbours=5, density_among="corpus")
    geometry = Geometry(table, options, corpus_points=among)
    _, dimension, density = geometry.measure([with_texts("q", names)])[0]

    exact = points.astype(np.float64)
    if distance == "cosine":
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    near, _ = NearestNeighbors(n_neighbors=8, algorithm="brute").fit(exact).kneighbors(exact)
    near[[0, 299], 1:7] = near[[0, 299], 2:8]  # past the copy
    expected = 1 / np.mean(np.log(near[:, 2] / near[:, 1]))
    assert dimension == pytest.approx(expected, rel=1e-3)
    assert 1 < dimension < 4
    ball = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)
    assert density == pytest.approx(np.median(5 / (300 * ball * near[:6, 5] ** dimension)), rel=1e-3)
    assert geometry.settings["density_among"] == "corpus"


def test_a_corpus_of_too_few_points():
    table = Table({str(i): row for i, row in enumerate(np.random.default_rng(0).normal(size=(4, 3)))})
    options = GeometryOptions(encoder="m", neighbours=5, density_among="corpus")
    points = NearestNeighbours(np.eye(4, 3, dtype=np.float32), "cosine", 5)
    geometry = Geometry(table, options, corpus_points=points)
    wide, *others = geometry.measure([with_texts("q", list("0123"))])[0]
    assert wide > 0
    assert np.isnan(others).all()


def test_two_nn_finds_the_dimension():
    """5,000 points that fill a square in a space of 20: d is 2, and the density that of the uniform."""
    rng = np.random.default_rng(0)
    cloud = np.zeros((5000, 20))
    cloud[:, :2] = rng.random((5000, 2))
    near, _ = NearestNeighbors(n_neighbors=11).fit(cloud).kneighbors(cloud)
    assert two_nn_dimension(near[:, 1], near[:, 2]) == pytest.approx(2, abs=0.1)
    assert np.median(knn_density(near[:, 10], 10, 5000, 2.0)) == pytest.approx(1, abs=0.1)


def on_sphere(dimension: int, count: int) -> Any:
    """Draw points of any length whose directions are uniform on S^dimension, in a space of 24."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, dimension + 1))
    turned = directions @ np.linalg.qr(rng.normal(size=(24, dimension + 1)))[0].T
    return (turned * rng.uniform(0.5, 2, (count, 1))).astype(np.float32)


@pytest.mark.parametrize("dimension", [2, 5])
def test_points_on_a_sphere_have_its_dimension(dimension):
    """With the cosine, among a query's documents and among a corpus; 1 − cos, the paper's, gives half."""
    points = on_sphere(dimension, 1500)
    one = with_texts("q", [str(i) for i in range(len(points))])
    table = Table({str(i): point for i, point in enumerate(points)})
    corpus = NearestNeighbours(points, "cosine", 10)
    for options, among in (
        (GeometryOptions(encoder="m"), None),
        (GeometryOptions(encoder="m", density_among="corpus"), corpus),
    ):
        geometry = Geometry(table, options, corpus_points=among)
        wide, own, dense = geometry.measure([one])[0]
        assert own == pytest.approx(dimension, rel=0.06)
        assert geometry.settings["neighbour_distance"] == "chord"
        geometry.repeat_paper()
        same, half, other = geometry.measure([one])[0]
        assert (same, half) == (wide, pytest.approx(own / 2))
        assert geometry.settings["neighbour_distance"] == "cosine"
        # With r = chord²/2 and d halved, r^d changes by 2^(d/2) and the unit ball is that of d/2.
        ball = math.lgamma(own / 4 + 1) - math.lgamma(own / 2 + 1) + own / 4 * math.log(math.pi)
        assert other == pytest.approx(dense * math.exp(ball + own / 2 * math.log(2)))


def test_the_density_of_a_uniform_sphere_is_one_over_its_area():
    points = on_sphere(2, 3000)
    nearest = NearestNeighbours(points, "cosine", 10)
    density = knn_density(nearest.distances(points)[:, 9], 10, 3000, 2.0)
    assert np.median(density) == pytest.approx(1 / (4 * math.pi), rel=0.1)


def test_the_paper_changes_no_euclidean_distance():
    points = on_sphere(2, 40)
    geometry = Geometry(
        Table({str(i): point for i, point in enumerate(points)}),
        GeometryOptions(encoder="m", distance="euclidean"),
    )
    one = with_texts("q", [str(i) for i in range(40)])
    before = geometry.measure([one])[0].tolist()
    geometry.repeat_paper()
    assert geometry.measure([one])[0].tolist() == before
    assert geometry.settings["neighbour_distance"] == "euclidean"


def test_near_copies_are_told_by_1_minus_cos_in_both_searches():
    """An angle of 0.001 is 1 − cos = 5e-7, one point; 0.002 is 2e-6, two."""
    angles = np.array([0, 0.001, 0.5, 0.502, 1.0])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    table = Table({str(i): point for i, point in enumerate(points)})
    one = with_texts("q", [str(i) for i in range(5)])
    options = GeometryOptions(encoder="m", neighbours=1)
    near = 2 * np.sin(np.array([0.5, 0.002, 0.002, 0.498]) / 2)
    far = 2 * np.sin(np.array([0.502, 0.5, 0.498, 0.5]) / 2)
    assert Geometry(table, options).measure([one])[0, 1] == pytest.approx(
        1 / np.log(far / near).mean(), rel=1e-3
    )
    found = NearestNeighbours(points, "cosine", 1).distances(points)[[0, 2, 3], 0]
    assert found == pytest.approx(2 * np.sin(np.array([0.5, 0.002, 0.002]) / 2), rel=1e-3)


def test_equal_points_count_once():
    points = {"a": [0, 0], "b": [1, 0], "c": [0, 2], "d": [4, 0], "a again": [0, 1e-8]}
    table = Table({text: np.array(point, np.float32) for text, point in points.items()})
    options = GeometryOptions(encoder="m", alpha=1.0, distance="euclidean", neighbours=2)
    geometry = Geometry(table, options)
    once, repeated, few, one, none = geometry.measure(
        [
            with_texts("1", ["a", "b", "c", "d"]),
            with_texts("2", ["a", "b", "a", "c", "d", "a again"]),
            with_texts("3", ["a", "a", "b"]),
            with_texts("4", ["a"]),
            with_texts("5", []),
        ]
    )
    assert once.tolist() == repeated.tolist()
    assert once[0] == pytest.approx(math.sqrt(20))  # from c to d
    assert few[0] == 1
    assert np.isnan([*few[1:], *one, *none]).all()
    assert sorted(table.asked) == sorted(points)  # a text that several records have is encoded once


def test_points_at_equal_distances_have_no_dimension():
    assert math.isnan(two_nn_dimension(np.ones(4), np.ones(4)))
    table = Table({str(i): row for i, row in enumerate(np.eye(4, dtype=np.float32))})
    geometry = Geometry(table, GeometryOptions(encoder="m", neighbours=2))
    row = geometry.measure([with_texts("q", list("0123"))])[0]
    assert row[0] == pytest.approx(1)
    assert np.isnan(row[1:]).all()


def test_a_density_beyond_a_float_is_infinite():
    assert knn_density(np.array([1e-3]), 10, 16, 400.0).tolist() == [math.inf]


def test_diameter_is_a_quantile():
    assert diameter(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), 0.9) == pytest.approx(3.6)


def test_texts_come_from_the_corpus():
    table = Table({"here": np.array([1, 0]), "there": np.array([0, 1])})
    one: Any = {"query_id": "q", "docs": [{"doc_id": "h", "text": "here"}, {"doc_id": "t"}]}
    options = GeometryOptions(encoder="m")
    geometry = Geometry(table, options, Corpus([("t", "there")]))
    geometry.check(one)
    assert geometry.measure([one])[0, 0] == pytest.approx(1)
    assert "text" not in one["docs"][1]
    with pytest.raises(BadLine, match='document "x" is not in the corpus'):
        geometry.check({"query_id": "q", "docs": [{"doc_id": "x"}]})
    with pytest.raises(BadLine, match='document "t" has no text'):
        Geometry(table, options).check(one)


def test_more_documents_than_their_distances_fit_into_memory_are_refused():
    geometry = Geometry(Table({}), GeometryOptions(encoder="m"))
    docs: list[Any] = [{"doc_id": str(n), "text": "x"} for n in range(10_001)]
    with pytest.raises(BadLine, match=r"10,001 documents in one record, --encoder measures at most 10,000"):
        geometry.check({"query_id": "q", "docs": docs})
    geometry.check({"query_id": "q", "docs": docs[1:]})


# What entropy/generate_entropy.py and get_kappa.py of the paper compute, in plain Python.
def paper_entropy(scores: list[float]) -> float:
    total = 0.0
    for score in scores:
        total += score
    if total == 0:
        return 0.0
    entropy = 0.0
    for score in scores:
        share = score / total
        if share > 0:
            entropy -= share * math.log(share)
    return entropy


def paper_pairwise_entropy(scores: list[float]) -> float:
    """run_entropy.py, whose scores are a dictionary with 0 for what is missing."""
    first = [1 / (1 + math.exp(b - a)) for a, b in itertools.combinations(scores, 2)]
    return statistics.fmean(-p * math.log2(p) - (1 - p) * math.log2(1 - p) for p in first)


@given(
    scores=st.lists(st.sampled_from([None, 0.0, -7.25, -0.5, 0.25, 0.25, 3.0, 11.5]), min_size=1, max_size=9)
)
def test_score_shares_are_the_papers(scores):
    """Ties, missing and negative scores included. The numbers are sums of quarters, hence exact."""
    filled = [0.0 if score is None else score for score in scores]
    entropy, kappa, pairwise = ScoreShares().measure([record("q", scores)])[0]
    assert entropy == pytest.approx(paper_entropy(filled), abs=1e-12)
    if len(filled) > 1:
        assert pairwise == pytest.approx(paper_pairwise_entropy(filled), abs=1e-12)
    else:
        assert math.isnan(pairwise)
    with np.errstate(all="ignore"):
        expected = np.max((1 / len(filled)) / (np.array(filled) / np.sum(filled)))
    if sum(filled) == 0:
        assert math.isnan(kappa)
    else:
        assert kappa == pytest.approx(expected)


def test_score_shares_by_hand():
    """Shares 1/4, 3/4; log-probabilities give the worse document the larger share."""
    entropy, kappa, _ = ScoreShares().measure([record("q", [-1.0, -3.0])])[0]
    assert entropy == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    assert kappa == pytest.approx(2)
    assert np.isnan(ScoreShares().measure([record("q", [])])).all()


def test_coverage_by_hand():
    """The run has 2 documents for a and 3 for b, 4 distinct in all; the records hold d0, d1, d2."""
    coverage = Coverage({"a": ["d0", "x"], "b": ["x", "d1", "d9"], "empty": []}, corpus_size=30)
    records = [
        record("a", [1.0, None]),
        record("a", [1.0]),
        record("b", [1.0] * 3),
        record("c", [1.0]),
        record("empty", []),
    ]
    assert column(coverage, records, "coverage") == pytest.approx(
        [1 / 2, 1 / 2, 1 / 3, math.nan, math.nan], nan_ok=True
    )
    assert coverage.totals() == {
        "coverage_of_run": 2 / 4,
        "coverage_over_random": pytest.approx((2 / 4) / (3 / 30)),
    }
    coverage.measure([record("z", [1.0])])  # a new file
    assert coverage.totals()["coverage_of_run"] == 1 / 4
    assert "coverage_over_random" not in Coverage({"a": ["x"]}).totals()
    assert Coverage({}).totals() == {"coverage_of_run": None}


def test_a_run_to_cover_comes_in_any_order_and_without_added_positives(tmp_path):
    (tmp_path / "run").write_text("a Q0 d1 1 3.0 x\nb Q0 d1 1 3.0 x\na Q0 d2 2 2.0 x\n")
    assert read_documents(str(tmp_path / "run"), Reading()) == {"a": ["d1", "d2"], "b": ["d1"]}
    (tmp_path / "records").write_text(
        '{"query_id":"a","docs":[{"doc_id":"d1","source":"qrels"},{"doc_id":"d2","score":1.0}]}\n'
    )
    assert read_documents(str(tmp_path / "records"), Reading()) == {"a": ["d2"]}


def test_a_student_of_ranks_or_probabilities_is_refused(tmp_path):
    for scale in ("probability", "rank"):
        text = f'{{"query_id":"a","docs":[{{"doc_id":"d","score":1}}],"score_scale":"{scale}"}}\n'
        (tmp_path / "run").write_text(text)
        with pytest.raises(RdError, match=f"scores on the scale {scale}; --student needs"):
            read_student_scores(str(tmp_path / "run"), Reading())
    (tmp_path / "run").write_text("a Q0 d0 1 3.0 x\na Q0 d1 2 1.0 x\n")
    divergence = StudentKl(read_student_scores(str(tmp_path / "run"), Reading()), 1.0, 1.0)
    assert column(divergence, [record("a", [3.0, 1.0])], "student_kl_bits") == [0]


def test_coverage_relative_to_random_is_one_on_average():
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(300):
        coverage = Coverage({"q": [str(i) for i in range(40)]}, corpus_size=400)
        drawn = rng.choice(400, 60, replace=False)
        coverage.measure([{"query_id": "q", "docs": [{"doc_id": str(i)} for i in drawn]}])
        ratios.append(coverage.totals()["coverage_over_random"])
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


floats = st.floats(-30, 30, width=32)


@given(
    pairs=st.lists(st.tuples(floats, floats), min_size=2, max_size=12),
    student=st.sampled_from([0.5, 1.0, 4.0]),
)
def test_divergence_against_scipy(pairs, student):
    teacher, own = map(list, zip(*pairs, strict=True))
    scores = {"q": {f"d{i}": score for i, score in enumerate(own)} | {"other": 99.0}}
    (found,) = column(StudentKl(scores, 2.0, student), [record("q", [*teacher, None])], "student_kl_bits")
    expected = stats.entropy(softmax(np.array(teacher) / 2), softmax(np.array(own) / student), base=2)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found >= 0


def test_the_students_temperature_is_the_teachers_unless_it_has_its_own(tmp_path):
    (tmp_path / "run").write_text("q Q0 d0 1 3.0 x\nq Q0 d1 2 -1.0 x\n")
    for own, expected in ((None, 2.0), (0.5, 0.5)):
        options = StudentRunOptions(student=str(tmp_path / "run"), student_temperature=own)
        divergence = StudentKl.open(options, 2.0, resources())
        assert divergence is not None
        assert divergence.settings == {"student_temperature": expected}
        wanted = stats.entropy(softmax([1 / 2, 4 / 2]), softmax([3 / expected, -1 / expected]), base=2)
        found = column(divergence, [record("q", [1.0, 4.0])], "student_kl_bits")
        assert found == pytest.approx([wanted])


def test_divergence_of_what_both_scored(caplog):
    diagnostic = StudentKl({"a": {"d0": 5.0, "d1": 5.0}, "b": {"d0": 1.0}}, 1.0, 1.0)
    values = column(
        diagnostic,
        [record("a", [3.0, 3.0, 9.0]), record("b", [1.0, 2.0]), record("c", [1.0])],
        "student_kl_bits",
    )
    assert values == pytest.approx([0, math.nan, math.nan], nan_ok=True)
    with caplog.at_level(logging.INFO, "rdtools"):
        diagnostic.report()
    assert caplog.messages == [
        "3 documents without a score of the student",
        "2 records with fewer than two documents that both scored: student_kl_bits undefined",
    ]


@pytest.mark.parametrize("temperature", [1e-300, 1.0, 1e300])
def test_divergence_of_extremes_is_finite(temperature):
    apart = np.array([-3.4e38, 3.4e38])
    assert math.isfinite(kl_bits(apart, -apart, temperature, temperature))


def test_suspected_false_negatives_by_hand():
    records = [
        record("a", [2.0, 5.0, 2.0, 1.5, 9.0, None], positives=2),  # lowest positive 2; negatives 2, 1.5, 9
        record("b", [None, 1.0], positives=1),
        record("c", [1.0], positives=1),
        record("d", []),
    ]
    assert column(SuspectedFalseNegatives(), records, "suspected_false_negatives") == pytest.approx(
        [2 / 3, *[math.nan] * 3], nan_ok=True
    )
    assert column(SuspectedFalseNegatives(0.5), records, "suspected_false_negatives")[0] == 1
    assert column(SuspectedFalseNegatives(-1), records, "suspected_false_negatives")[0] == pytest.approx(
        1 / 3
    )
    assert column(SuspectedFalseNegatives(), records, "supremum") == pytest.approx(
        [9, 1, 1, math.nan], nan_ok=True
    )


@pytest.mark.parametrize(
    ("positive", "share"),
    [("lowest", 4 / 5), ("mean", 2 / 5), ("highest", 1 / 5)],  # from -4, 2, 5 on
)
def test_suspected_by_the_lowest_the_highest_or_the_mean_positive(positive, share):
    one = record("a", [-4.0, 5.0, 5.0, -5.0, -4.0, 1.0, 2.0, 9.0], positives=3)
    diagnostic = SuspectedFalseNegatives(positive=positive)
    assert column(diagnostic, [one], "suspected_false_negatives") == [pytest.approx(share)]
    assert diagnostic.settings == {"suspect_margin": 0.0, "suspect_positive": positive}


def test_cost():
    cost = Cost(pairs_per_second=0.5)
    one = with_texts("a", ["two words", "and  these\nthree"]) | {"teacher": "t", "score_scale": "logit"}
    one["docs"][0]["score"] = 1.0
    cost.measure([one, with_texts("b", ["one"])])
    assert cost.totals() == {
        "pairs": 3, "distinct_docs": 2, "words": 6, "hours": 3 / 0.5 / 3600,
        "teacher": "t", "score_scale": "logit", "transformed": "",
    }  # fmt: skip
    cost.measure(
        [
            record("a", [1.0], teacher="x"),
            record("b", [1.0], teacher="y", transformations=[{"temperature": 2.0}]),
        ]
    )
    totals = cost.totals()
    assert (totals["words"], totals["teacher"], totals["score_scale"], totals["transformed"]) == (
        None,
        "mixed",
        "logit",
        "mixed",
    )


def test_provenance_names_transformations():
    changed = record("q", [1.0], teacher="t", transformations=[{"normalize": "zscore"}, {"temperature": 2.0}])
    assert provenance_of(changed) == Provenance("t", "logit", "normalize=zscore temperature=2.0")
    assert provenance_of({"query_id": "q", "docs": []}) == Provenance("", "", "")


def test_scores_of_several_provenances_are_warned_of(caplog):
    records = [
        record("a", [1.0], teacher="x"),
        record("b", [1.0], teacher="y"),
        record("c", [2.0], teacher="y"),
        record("d", []),
    ]
    with caplog.at_level(logging.INFO, "rdtools"):
        diagnosis = Diagnosis(1.0)
        files = [("f", records), ("g", records[:1])]
        list(rows_by_file(diagnosis, [(name, diagnosis.measure_queries(own, name)) for name, own in files]))
    assert caplog.messages == [
        "f: one temperature for scores of 2 provenances: y, logit: 2 records; x, logit: 1 record"
    ]


def test_distinct_ids_are_counted_in_bounded_memory(monkeypatch):
    distinct = DistinctIds()
    monkeypatch.setattr(distinct, "_limit", 100)
    for start in range(0, 3000, 10):
        distinct.add(str(number % 1000) for number in range(start, start + 30))
        assert len(distinct._hashes) < 2**20
    assert len(distinct) == 1000


def test_leakage_by_id_and_by_text():
    qrels = {"t1": {"d1": 1, "d5": 0}, "t2": {"d2": 2}, "t3": {"far": 1}}
    leakage = CheckAgainst(Leakage(qrels, {"t2": "What  IS\u00a0it?", "t3": "else", "unjudged": "x"}))
    leakage.measure(
        [record("t1", [1.0, 2.0]), record("q", [1.0] * 6, query="what is it?"), record("p", [], query="x")]
    )
    found = {"test_queries": 3, "shared_queries": 2, "test_relevant_docs": 3, "relevant_docs_seen": 2}
    assert leakage.totals() == found
    leakage.measure([record("z", [1.0])])
    assert leakage.totals() == found | {"shared_queries": 0, "relevant_docs_seen": 0}


def test_judgements_of_a_file_or_a_dataset(tmp_path):
    (tmp_path / "qrels.txt").write_text("q 0 d1 1\n")
    assert open_leakage(str(tmp_path / "qrels.txt")).judged_docs == 1
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text('{"_id":"d1","text":"Flow"}\n')
    (beir / "queries.jsonl").write_text('{"_id":"q","text":"Heat"}\n')
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1\n")
    leakage = open_leakage(f"{beir}:test")
    leakage.add(record("other", [], query=" heat "))
    assert leakage.queries == {"q"}
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=["q 0 d1 1\nq 0 d2 1\n"])
    writer.start()
    assert open_leakage(str(tmp_path / "pipe")).judged_docs == 2
    writer.join()
    (tmp_path / "empty").write_text("")
    with pytest.raises(RdError, match="no judgements"):
        open_leakage(str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="nowhere: no such file"):
        open_leakage("nowhere")
