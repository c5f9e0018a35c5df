"""`--report-to`: the rows reach the trackers, standard output stays what it is."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from conftest import WORDS

from rdtools.core.errors import RdError
from rdtools.train import tracking
from rdtools.train.options import TRACKERS
from rdtools.train.tracking import Trackers

ROWS: list[dict[str, Any]] = [
    {"step": 0, "docs": 0, "measure": "AP", "dev": 0.25},
    {"step": 1, "docs": 8, "loss": 2.0, "lr": 0.5},
    {"done": True, "steps": 1, "docs": 8, "seconds": 3.5, "output": "x", "measure": "AP", "dev": 0.5, "stopped_early": False},
]  # fmt: skip


class Fake:
    failing = ""

    def __init__(self, name, options):
        self.seen = SEEN
        SEEN.append(("init", name, options))
        if self.failing == "init":
            raise ValueError("no key\nhint")

    def log(self, values, step):
        print("printed by a library")
        if self.failing == "log":
            raise OSError("disk full")
        SEEN.append((step, values))

    def finish(self):
        SEEN.append("finish")


SEEN: list[object] = []


@pytest.fixture
def fake(monkeypatch):
    SEEN.clear()
    monkeypatch.setattr(tracking, "resolve", lambda *_: Fake)
    monkeypatch.setattr(Fake, "failing", "")


def test_rows_become_numbers_by_step(fake, capfd):
    trackers = Trackers(["wandb", "wandb"], "student", {"loss": "kl"})
    for row in ROWS:
        trackers.report(row)
    trackers.finish()
    assert SEEN == [
        ("init", "student", {"loss": "kl"}),
        (0, {"docs": 0.0, "dev/AP": 0.25}),
        (1, {"docs": 8.0, "loss": 2.0, "lr": 0.5}),
        (1, {"run/docs": 8.0, "run/seconds": 3.5, "dev/AP": 0.5}),
        "finish",
    ]
    assert capfd.readouterr().out == ""


def test_a_tracker_that_fails_ends_no_training(fake, monkeypatch, caplog):
    import logging

    logging.getLogger("rdtools").propagate = True
    monkeypatch.setattr(Fake, "failing", "log")
    trackers = Trackers(["wandb"], "student", {})
    for row in ROWS:
        trackers.report(row)
    trackers.finish()
    assert caplog.messages == ["--report-to wandb: disk full (nothing more is sent to it)"]
    assert len(SEEN) == 1
    monkeypatch.setattr(Fake, "failing", "init")
    with pytest.raises(RdError, match=r"^--report-to wandb: no key$"):
        Trackers(["wandb"], "student", {})


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_library_is_named_before_training(name, monkeypatch):
    for module in ("trackio", "wandb", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RdError) as error:
        Trackers([name], "student", {})
    assert str(error.value) == (
        f"--report-to {name} needs a library (pip install 'ranking-distillation-tools[{name}]')"
    )


def read_trackio(folder):
    import sqlite3

    (database,) = (folder / "trackio").glob("*.db")
    rows = sqlite3.connect(database).execute("select step, metrics from metrics order by id").fetchall()
    return [(step, json.loads(metrics)) for step, metrics in rows]


def read_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "boards" / "student"))
    events.Reload()
    return [(one.step, {"loss": one.value}) for one in events.Scalars("loss")]


def read_wandb(folder):
    (log,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    assert log.stat().st_size > 1000
    assert b"loss" in log.read_bytes()


MODULES = {"trackio": "trackio", "wandb": "wandb", "tensorboard": "tensorboard"}
READERS = {"trackio": read_trackio, "wandb": read_wandb, "tensorboard": read_tensorboard}


@pytest.mark.parametrize("name", TRACKERS)
def test_the_libraries_offline(run, tiny_be, tmp_path, monkeypatch, name):
    pytest.importorskip(MODULES[name], reason=f"pip install '.[{name}]'")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "boards"))
    docs = [{"doc_id": f"d{n}", "text": WORDS[n], "relevance": int(n == 0)} for n in range(3)]
    record = json.dumps({"query_id": "q", "query": "flow", "docs": docs}) + "\n"
    done = run("rd-train", "--student", f"be:{tiny_be}", "--loss", "lce", "-o", "student", "--max-steps", 2, "--log-steps", 1,
               "--report-to", name, stdin=record, check=True)  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("step", "last") for row in rows] == [1, 2, "last"]
    seen = READERS[name](tmp_path)
    if seen is not None:
        losses = [(step, values["loss"]) for step, values in seen if "loss" in values]
        assert [step for step, _ in losses] == [1, 2]
        assert [loss for _, loss in losses] == pytest.approx([row["loss"] for row in rows[:2]])
