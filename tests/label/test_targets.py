"""Targets: each step by hand, and where steps and scales do not fit."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from scipy.stats import norm, rankdata

from rdtools.core.errors import UsageError
from rdtools.core.records import SCORE_SCALES
from rdtools.label.targets import (
    COMBINE,
    NORMALIZE,
    RANK_TARGETS,
    ScoreTarget,
    TeacherScores,
    gaussian,
    ranks,
)


def targets(target, *scores, query_id="q", scale="logit"):
    columns = [TeacherScores(f"t{n}", scale, column) for n, column in enumerate(scores)]
    return target.scores(columns, query_id, [f"d{n}" for n in range(len(scores[0]))])


def test_normalizations_by_hand():
    assert NORMALIZE["minmax"]([1.0, 3.0, 2.0]) == [0.0, 1.0, 0.5]
    assert NORMALIZE["minmax"]([2.0, 2.0]) == [0.0, 0.0]
    assert NORMALIZE["zscore"]([1.0, 3.0]) == [-1.0, 1.0]
    assert NORMALIZE["zscore"]([4.0]) == [0.0]
    assert NORMALIZE["zscore"]([0.1] * 3) == [0.0] * 3  # though their mean is not 0.1
    assert NORMALIZE["sigmoid"]([0.0, 800.0, -800.0]) == [0.5, 1.0, 0.0]


def test_ranks_are_those_of_scipy():
    rng = random.Random(0)
    for n in range(1, 40):
        scores = [float(rng.randrange(10)) for _ in range(n)]
        assert ranks(scores) == rankdata([-score for score in scores]).tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reciprocal", [1 / 1.5, 1 / 3, 1 / 1.5]),
        ("log", [1 / math.log2(2.5), 1 / 2, 1 / math.log2(2.5)]),
        ("exponential", [2**-0.15, 2**-0.3, 2**-0.15]),
    ],
)
def test_rank_targets_by_hand(name, expected):
    assert targets(ScoreTarget(rank_targets=name), [9.0, -2.0, 9.0]) == pytest.approx(expected, rel=1e-15)
    with_a_gap = targets(ScoreTarget(rank_targets=name), [9.0, None, -2.0, 9.0])
    assert with_a_gap == pytest.approx([expected[0], None, *expected[1:]])


@pytest.mark.parametrize("name", RANK_TARGETS)
def test_rank_targets_keep_the_order_whatever_the_scale_was(name):
    values = targets(ScoreTarget(rank_targets=name), [-50.0, 0.1, 0.2, 1e30])
    assert values == sorted(values)
    assert len(set(values)) == 4
    assert ScoreTarget(rank_targets=name).scale([TeacherScores("a", "rank")]) == "unknown"
    assert (
        ScoreTarget(rank_targets=name).scale([TeacherScores("a", "rank"), TeacherScores("b", "bm25")])
        == "unknown"
    )


@pytest.mark.parametrize(("combine", "expected"), [("mean", 2.5), ("max", 4.0), ("min", 1.0)])
def test_combinations(combine, expected):
    assert targets(ScoreTarget(combine=combine), [1.0], [4.0]) == [expected]
    assert targets(ScoreTarget(combine=combine), [1.0, None], [None, 4.0]) == [None, None]


def test_rrf_is_the_sum_of_reciprocal_ranks_with_shared_ties():
    assert targets(ScoreTarget(combine="rrf"), [3.0, 1.0], [1.0, 2.0]) == pytest.approx([1 / 61 + 1 / 62] * 2)
    assert targets(ScoreTarget(combine="rrf"), [5.0, 1.0, 5.0], [3.0, 2.0, 1.0]) == pytest.approx(
        [1 / 61.5 + 1 / 61, 1 / 63 + 1 / 62, 1 / 61.5 + 1 / 63]
    )
    # A ranking that lacks a document adds nothing to it.
    assert targets(
        ScoreTarget(combine="rrf"), [3.0, 1.0, None, None], [None, 1.0, 2.0, None]
    ) == pytest.approx([1 / 61, 1 / 62 + 1 / 62, 1 / 61, None])
    assert set(COMBINE) == {"mean", "max", "min", "rrf"}


def test_normalize_is_given_once_or_for_each_teacher():
    a, b = [0.0, 2.0], [10.0, 30.0]
    assert targets(ScoreTarget(normalize=("minmax",)), a, b) == [0.0, 1.0]
    assert targets(ScoreTarget(normalize=("none", "minmax")), a, b) == [0.0, 1.5]
    assert targets(ScoreTarget(normalize=("zscore", "none")), a, b) == [4.5, 15.5]
    assert ScoreTarget(normalize=("sigmoid", "minmax")).transformations(
        [TeacherScores("a", ""), TeacherScores("b", "")]
    )[0] == {"normalize": ["sigmoid", "minmax"]}
    ScoreTarget(normalize=("none",) * 3).check(3)
    with pytest.raises(
        UsageError,
        match=r"^--normalize is given 2 times for 3 teachers \(give it once for all, or once for each\)$",
    ):
        ScoreTarget(normalize=("none", "minmax")).check(3)


def test_temperature_divides():
    assert targets(ScoreTarget(temperature=2.0), [3.0]) == [1.5]
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(
            UsageError, match=r"^--temperature (must be above 0, not|.*: a finite number is needed$)"
        ):
            ScoreTarget(temperature=temperature)


def test_noise_is_the_inverse_normal_of_one_draw_for_each_document():
    drawn = targets(ScoreTarget(noise=0.5, seed=3), [1.0, 1.0], query_id="q7")
    for n, value in enumerate(drawn):
        uniform = random.Random(f"3\tq7\tnoise\td{n}").random()
        assert value == pytest.approx(1 + 0.5 * norm.ppf(uniform), rel=1e-9)
    assert targets(ScoreTarget(noise=0.5, seed=3), [1.0, 1.0], query_id="q7") == drawn
    assert targets(ScoreTarget(noise=0.5, seed=4), [1.0, 1.0], query_id="q7") != drawn
    assert targets(
        ScoreTarget(noise=0.5, seed=3, temperature=2.0), [1.0, 1.0], query_id="q7"
    ) == pytest.approx(
        [value - 0.5 for value in drawn]  # noise comes last, in the unit of what is written
    )
    with pytest.raises(UsageError, match=r"^--noise must be at least 0, not -1$"):
        ScoreTarget(noise=-1.0)


def test_noise_has_the_deviation_that_was_asked_for():
    values = [v for n in range(200) for v in targets(ScoreTarget(noise=2.0), [0.0] * 20, query_id=str(n))]
    assert statistics.fmean(values) == pytest.approx(0, abs=0.15)  # 4.7 standard errors
    assert statistics.pstdev(values) == pytest.approx(2, abs=0.1)


def test_a_draw_of_zero_is_no_infinite_noise():
    class Zero(random.Random):
        def random(self):
            return 0.0

    assert -9 < gaussian(Zero()) < -8


def test_scales_that_do_not_fit_are_refused():
    logit, cosine = TeacherScores("a", "logit"), TeacherScores("b", "cosine")
    with pytest.raises(UsageError, match=r"^teachers of different scales: a \(logit\), b \(cosine\) \("):
        ScoreTarget().scale([logit, cosine])
    with pytest.raises(UsageError, match=r"^teachers of different scales: a \(logit\), b \(unknown\) \("):
        ScoreTarget(normalize=("none", "zscore")).scale([logit, cosine])
    unknown = [TeacherScores("run:a", "unknown"), TeacherScores("qrels", "unknown")]
    with pytest.raises(UsageError, match=r"^teachers of unknown scale: run:a, qrels \(--normalize minmax or"):
        ScoreTarget().scale(unknown)
    assert (
        ScoreTarget(rank_targets="log").scale(unknown)
        == ScoreTarget(normalize=("zscore",)).scale(unknown)
        == "unknown"
    )
    with pytest.raises(UsageError, match=r"^--normalize sigmoid needs logits, not cosine$"):
        ScoreTarget(normalize=("sigmoid",)).scale([cosine])
    with pytest.raises(UsageError, match=r"^--normalize sigmoid needs logits, not rank targets$"):
        ScoreTarget(normalize=("sigmoid",), rank_targets="log").scale([logit])
    for beside in ({"normalize": ("zscore",)}, {"rank_targets": "log"}):
        with pytest.raises(
            UsageError,
            match=r"^--combine rrf uses ranks as they are: leave out --normalize and --rank-targets$",
        ):
            ScoreTarget(combine="rrf", **beside).check(2)
    assert ScoreTarget(combine="rrf").scale([logit, cosine]) == "rank"
    assert ScoreTarget(combine="rrf").scale([logit]) == "logit"
    assert ScoreTarget(normalize=("sigmoid",)).scale([logit]) == "probability"
    assert ScoreTarget(normalize=("zscore",)).scale([logit, cosine]) == "unknown"
    assert ScoreTarget(normalize=("zscore", "minmax")).scale([logit, cosine]) == "unknown"


@pytest.mark.parametrize("change", [{"temperature": 2.0}, {"noise": 0.1}])
def test_what_is_divided_or_disturbed_leaves_a_scale_that_has_bounds(change):
    assert ScoreTarget(normalize=("sigmoid",), **change).scale([TeacherScores("a", "logit")]) == "unknown"
    expected = {"probability": "unknown", "log-probability": "unknown", "cosine": "dot"}
    for scale in SCORE_SCALES:
        assert ScoreTarget(**change).scale([TeacherScores("a", scale)]) == expected.get(scale, scale)
    assert ScoreTarget(**change).scale([TeacherScores("a", "cosine"), TeacherScores("b", "cosine")]) == "dot"
    with pytest.raises(UsageError, match=r"a \(cosine\), b \(dot\)"):
        ScoreTarget(**change).scale([TeacherScores("a", "cosine"), TeacherScores("b", "dot")])


def test_the_paper_scores_what_is_missing_as_zero_before_anything_else():
    assert targets(ScoreTarget(paper_compat=True, rank_targets="reciprocal"), [-1.0, None]) == [0.5, 1.0]
    assert targets(ScoreTarget(paper_compat=True), [None, None], [2.0, None]) == [1.0, 0.0]
