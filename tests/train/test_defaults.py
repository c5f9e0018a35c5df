"""The learning rate and the length of a run that states none."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from test_train_command import lines

from rdtools.train.defaults import default_rate, with_defaults
from rdtools.train.options import TrainingOptions


def student_of(layers: int | None, width: int | None) -> Any:
    return SimpleNamespace(size=(layers, width))


@pytest.mark.parametrize(
    ("layers", "width", "rate"),
    [
        (6, 384, 1e-4),  # MiniLM
        (2, 384, 3e-4),
        (1, 384, 3e-4),
        (3, 384, 2e-4),
        (12, 768, 2.5e-5),  # BERT-base
        (24, 1024, 9.4e-6),  # BERT-large: 1e-4 · (6/24) · (384/1024) = 9.375e-6
        (2, 32, 3e-4),
        (None, 384, 1e-4),
        (6, None, 1e-4),
    ],
)
def test_rates(layers, width, rate):
    assert default_rate(student_of(layers, width)) == rate


@pytest.mark.parametrize(
    ("options", "groups", "epochs"),
    [
        (TrainingOptions(), 800, 1),  # 100 steps
        (TrainingOptions(), 799, 2),
        (TrainingOptions(), 100_000, 1),
        (TrainingOptions(), 1, 800),
        (TrainingOptions(batch_size=4, accumulate=3), 600, 2),
        (TrainingOptions(epochs=3), 1, 3),
        (TrainingOptions(max_steps=5), 1, None),
        (TrainingOptions(max_docs=5), 1, None),
    ],
)
def test_short_epochs_are_repeated(options, groups, epochs):
    made = with_defaults(options, student_of(2, 384), groups)
    assert made.epochs == epochs
    assert (made.max_steps, made.max_docs) == (options.max_steps, options.max_docs)
    assert made.lr == 3e-4


def test_stated_values_stay():
    options = TrainingOptions(epochs=2, lr=0.0)
    assert with_defaults(options, student_of(2, 384), 5) == options


def test_defaults_are_said_and_recorded(run, tiny_be, tmp_path):
    done = run("rd-train", "--student", f"be:{tiny_be}", "--loss", "lce", "-o", "out", stdin="".join(lines()))
    assert "rd-train: by default --lr 0.0003, --epochs 100 (100 steps)" in done.stderr.splitlines()
    card = json.loads((tmp_path / "out" / "rd-train.json").read_text())
    assert (card["options"]["lr"], card["options"]["epochs"]) == (3e-4, 100)
    assert json.loads(done.stdout.splitlines()[-1])["steps"] == 100
