"""What a run says of itself: that it is too short to learn, or that its loss stays that of equal scores."""

from __future__ import annotations

import json
import math
import random
import resource
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import WORDS
from scipy import stats
from test_trainer import CPU, be, trainer

from rdtools.train.history import History, LossSums, not_learned, too_short
from rdtools.train.optimizer import schedule
from rdtools.train.run import peak_memory_mb
from rdtools.train.students import BiEncoderStudent

pytestmark = pytest.mark.usefixtures("one_thread")


def sums(losses, equals):
    found = LossSums()
    for loss, equal in zip(losses, equals, strict=True):
        found.add(loss, equal)
    return found


@pytest.mark.parametrize(("steps", "warmup"), [(29, 0.1), (1, 0.0), (100, 0.0), (7, 0.5), (10, 1.0)])
def test_the_rates_of_a_run_add_up_to_half_of_steps_plus_one(steps, warmup):
    assert sum(schedule(step, steps, warmup) for step in range(steps)) == pytest.approx((steps + 1) / 2)


def test_a_short_run_is_told_how_many_steps_it_needs():
    assert too_short(29, 1e-5) == (
        "29 steps at --lr 1e-05 may be too few to learn: no weight moves by more than about 0.00015 (give 200 steps, by "
        "--epochs or --max-steps, or a higher --lr)"
    )
    assert too_short(199, 1e-5) is None
    assert too_short(198, 1e-5) is not None
    assert too_short(30, 2e-4) is None
    assert too_short(50, 0.0) == (
        "50 steps at --lr 0 may be too few to learn: no weight moves by more than about 0 (raise --lr)"
    )


def test_means_and_errors_are_those_of_scipy():
    rng = random.Random(0)
    losses = [rng.gauss(2, 1) for _ in range(13)]
    equals = [rng.gauss(3, 1) for _ in range(13)]
    found = sums(losses, equals)
    distances = [loss - equal for loss, equal in zip(losses, equals, strict=True)]
    assert found.mean_loss == pytest.approx(sum(losses) / 13)
    assert found.error == pytest.approx(stats.sem(distances))
    assert found.mean_distance / found.error == pytest.approx(stats.ttest_1samp(distances, 0).statistic)


def test_only_a_loss_clearly_below_that_of_equal_scores_is_learned():
    # Distances −1, 0, 1, 2, −2: mean 0. Lowered by 1.5 the mean is −1.5, 2.12 standard errors of 0.7071.
    distances = [-1, 0, 1, 2, -2]
    assert not_learned(History(end=sums([2 + x for x in distances], [2] * 5)), ", ln G") == (
        "the loss is no better than that of equal scores: 2 in the last 5 steps; a student that scores all documents "
        "of a query alike has 2, ln G (more steps, a higher --lr, another --loss or --teacher-temperature may help)"
    )
    assert not_learned(History(end=sums([0.5 + x for x in distances], [2] * 5)), "") is None
    assert not_learned(History(end=sums([0.6 + x for x in distances], [2] * 5)), "") is not None
    assert not_learned(History(end=sums([2 + x for x in distances[:4]], [2] * 4)), "") is None  # too few


def test_the_last_third_of_the_steps_counts():
    history = History()
    for step in range(1, 12):
        history.add(step, 11, float(step), 1.0)
    assert (history.end.steps, history.end.loss) == (3, 9.0 + 10 + 11)
    again = History.from_state(history.state())
    assert vars(again.end) == vars(history.end)
    assert History.from_state({}).end.steps == 0


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("lce", math.log(5)), ("ranknet", math.log(2)), ("lce+2*ranknet", math.log(5) + 2 * math.log(2))],
)
def test_the_loss_of_equal_scores(tiny_be, loss, expected):
    data = [dict(record, docs=record["docs"][:5]) for record in _groups_of_five()]
    one = trainer(BiEncoderStudent(be(tiny_be), CPU), data=data, loss=loss, max_steps=1)
    weights = one.objective.weights
    found = one._to_compare(one._batches(), [2.0] * len(weights))
    assert found == pytest.approx([2 * sum(weights), expected], rel=1e-6)


def _groups_of_five():
    for q in range(6):
        docs = [
            {"doc_id": f"{q}-{d}", "text": WORDS[q + d], "score": float(d), "relevance": int(d == 0)}
            for d in range(5)
        ]
        yield {"query_id": f"q{q}", "query": WORDS[q], "docs": docs, "score_scale": "logit"}


def test_the_installed_command_warns(run, tiny_ce):
    """A cross-encoder at chance says so, and a run of few steps at the default rate too."""
    records = "".join(json.dumps(record) + "\n" for record in _groups_of_five())
    arguments = [
        "--student",
        f"ce:{tiny_ce}",
        "--loss",
        "lce",
        "-o",
        "out",
        "--max-steps",
        18,
        "--lr",
        "1e-5",
    ]
    done = run("rd-train", *arguments, stdin=records, check=True)
    _, short, chance = done.stderr.splitlines()
    assert short == (
        "rd-train: warning: 18 steps at --lr 1e-05 may be too few to learn: no weight moves by more than about 9.5e-05 "
        "(give 200 steps, by --epochs or --max-steps, or a higher --lr)"
    )
    assert chance.startswith("rd-train: warning: the loss is no better than that of equal scores: 1.6")
    assert chance.endswith(
        " in the last 6 steps; a student that scores all documents of a query alike has 1.609, ln G (more steps, a "
        "higher --lr, another --loss or --teacher-temperature may help)"
    )
    again = run(
        "rd-train",
        *arguments,
        "--lr",
        0.01,
        "--overwrite",
        "--max-steps",
        60,
        "--no-dropout",
        stdin=records,
        check=True,
    )
    assert again.stderr == "rd-train: 6 groups of up to 5 documents\n"


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_of_memory_is_in_mebibytes(monkeypatch, platform, unit):
    """Linux counts kilobytes, macOS bytes."""
    monkeypatch.setattr(sys, "platform", platform)
    usage = SimpleNamespace(ru_maxrss=3 * 2**20 // unit)
    monkeypatch.setattr(resource, "getrusage", {resource.RUSAGE_SELF: usage}.__getitem__)
    assert peak_memory_mb(torch.device("cpu")) == 3
