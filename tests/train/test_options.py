"""The options of rd-train: what is recorded of them, and a loss that is added through its table only."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from test_train_command import lines
from typer.testing import CliRunner

from rdtools.cli.command import EveryCommand
from rdtools.cli.train import main
from rdtools.core.errors import UsageError
from rdtools.core.flags import options_of
from rdtools.formats import Reading
from rdtools.train.losses.masked import differences, mean, pairs
from rdtools.train.losses.objective import complete_loss
from rdtools.train.losses.table import LOSSES, NEGATIVE, POSITIVE, Loss
from rdtools.train.options import (
    INCIDENTAL,
    LossOptions,
    ProcessOptions,
    StudentOptions,
    TrainingOptions,
    TrainingOutput,
    recorded,
)

pytestmark = pytest.mark.usefixtures("one_thread")
RECORDED_IN_0_1_0 = {
    "student": "be:MODEL", "loss": "kl", "group-size": 16, "positives": "one", "batch-size": 8, "accumulate": 1,
    "mini-batch-size": None, "in-batch-negatives": False, "mask-false-negatives": None, "epochs": None,
    "max-steps": None, "max-docs": None, "lr": None, "warmup": 0.1, "weight-decay": 0.0, "max-grad-norm": 1.0,
    "no-dropout": False, "teacher-temperature": None, "student-temperature": None, "similarity": None,
    "scale": None, "paper-compat": False, "layers": None, "query-max-len": None, "doc-max-len": None,
    "score-scale": None, "dataset": None, "corpus": None, "queries": None, "seed": 0, "dtype": "float32",
    "trust-remote-code": False,
}  # fmt: skip
ADDED = dict.fromkeys(
    ("dev", "dev-share", "dev-measure", "dev-every", "patience", "flops-query", "flops-document")
)
"""Options added since, at the values that runs of 0.1.0 had."""


def hinge(student, teacher, positive, mask):
    """Hinge: a positive scores above each negative by at least 1.

    mean over pairs (positive p, negative n) of max(0, 1 − s_p + s_n)
    """
    judged = pairs(positive & mask, mask & ~positive)
    margins = (1 - differences(student.masked_fill(~mask, 0.0))).clamp(min=0)
    return mean(margins.flatten(1), judged.flatten(1))


@pytest.fixture
def rd_train(tmp_path, monkeypatch):
    """Run rd-train in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, stdin=""):
        return CliRunner().invoke(main.app(), [*map(str, arguments)], input=stdin, catch_exceptions=False)

    return run


def test_a_new_loss_is_a_function_and_a_line_of_the_table(rd_train, monkeypatch, tiny_be, tmp_path):
    monkeypatch.setitem(LOSSES, "hinge", Loss("hinge", hinge, (POSITIVE, NEGATIVE)))
    explained = rd_train("--explain-loss", "hinge").stdout
    assert explained.startswith("hinge: Hinge: a positive scores above each negative by at least 1.\n")
    assert "Score scales: no teacher scores are used." in explained
    assert complete_loss("kl+0.5*hi") == ["kl+0.5*hinge"]
    done = rd_train(
        "--student", f"be:{tiny_be}", "--loss", "hinge", "-o", "out", "--max-steps", 2, "--log-steps", 1,
        "--lr", 1e-3, "--warmup", 0, stdin="".join(lines()),
    )  # fmt: skip
    *rows, last = map(json.loads, done.stdout.splitlines())
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["loss"] > rows[1]["loss"] > 0
    assert last["done"]
    assert json.loads((tmp_path / "out" / "rd-train.json").read_text())["options"]["loss"] == "hinge"
    before, after = (load_file(f"{folder}/model.safetensors") for folder in (tiny_be, tmp_path / "out"))
    assert any(not torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("scale", "dtype", "processes", "message"),
    [
        (None, "float32", 1, "--fsdp needs several processes (start rd-train with torchrun)"),
        ("learned", "float32", 2, "--fsdp needs a fixed --scale (a number, or the default)"),
        (None, "float16", 2, "--fsdp is for --dtype float32 and bf16"),
        (20.0, "bfloat16", 2, None),
    ],
)
def test_shards_are_refused_where_they_cannot_work(scale, dtype, processes, message):
    student = StudentOptions(student="be:MODEL", scale=scale)
    ProcessOptions().check(student, dtype, processes)
    if message is None:
        ProcessOptions(fsdp=True).check(student, dtype, processes)
        return
    with pytest.raises(UsageError) as error:
        ProcessOptions(fsdp=True).check(student, dtype, processes)
    assert str(error.value) == message


def test_recorded_options_have_the_names_of_0_1_0():
    groups = [group for group in main.groups if group is not EveryCommand]
    made = [
        StudentOptions(student="be:MODEL") if group is StudentOptions
        else LossOptions(loss="kl") if group is LossOptions
        else group()
        for group in groups if group not in (TrainingOutput, Reading)
    ]  # fmt: skip
    assert recorded(*made) == RECORDED_IN_0_1_0 | ADDED
    assert recorded(TrainingOptions(max_steps=5, dtype="bf16")).items() >= {
        ("epochs", None), ("max-steps", 5), ("dtype", "bf16"),
    }  # fmt: skip
    fields = {option.field for group in groups for option in options_of(group)}
    assert set(INCIDENTAL) < fields


def test_a_run_of_0_1_0_is_resumed(rd_train, tiny_be, tmp_path):
    """Its rd-train.json has the same options in another order."""
    arguments = [
        "--student",
        f"be:{tiny_be}",
        "--loss",
        "kl",
        "-o",
        "out",
        "--dtype",
        "bf16",
        "--max-docs",
        20,
    ]
    first = rd_train(*arguments, stdin="".join(lines()))
    card = json.loads((tmp_path / "out" / "rd-train.json").read_text())
    assert card["options"].keys() == (RECORDED_IN_0_1_0 | ADDED).keys()
    card["options"] = {name: card["options"][name] for name in RECORDED_IN_0_1_0}
    (tmp_path / "out" / "rd-train.json").write_text(json.dumps(card))
    again = rd_train(*arguments, "--resume", "--log-steps", 1, stdin="".join(lines()))
    assert again.stdout == first.stdout.splitlines(keepends=True)[-1]


def test_one_limit_ends_a_run():
    assert TrainingOptions(max_docs=3).epochs is None
    with pytest.raises(UsageError, match=r"^give only one of --epochs, --max-steps and --max-docs$"):
        TrainingOptions(epochs=1, max_docs=3)


@pytest.mark.parametrize("scale", [20, 3])
def test_the_margin_of_false_negatives_is_one_of_similarities(rd_train, tiny_be, scale):
    """Not of similarities times --scale: of eight queries, one batch, with cosines by the library."""
    margin = 0.02
    data = [json.loads(line) for line in lines()]
    done = rd_train(
        "--student", f"be:{tiny_be}", "--loss", "infonce", "--mask-false-negatives", margin, "--scale", scale,
        "--no-dropout", "--max-steps", 1, "--lr", 0, "-o", "out", "--device", "cpu",
        stdin="".join(map("{}\n".format, map(json.dumps, data))),
    )  # fmt: skip
    model = SentenceTransformer(tiny_be, device="cpu", local_files_only=True)
    queries = model.encode([record["query"] for record in data], normalize_embeddings=True)
    positives = [record["docs"][0]["text"] for record in data]
    texts = list(dict.fromkeys(doc["text"] for record in data for doc in record["docs"]))
    cosines = queries @ model.encode(texts, normalize_embeddings=True).T
    losses, masked = [], []
    for own, positive, record in zip(cosines, positives, data, strict=True):
        best = own[texts.index(positive)]
        is_own = [text in {doc["text"] for doc in record["docs"]} for text in texts]
        kept = is_own | (own <= best + margin)
        losses.append(math.log(np.exp(scale * own[kept]).sum()) - scale * best)
        masked.append(len(texts) - int(kept.sum()))
    assert 0 < sum(masked) < sum(len(texts) - len(record["docs"]) for record in data)
    assert json.loads(done.stdout.splitlines()[0])["loss"] == pytest.approx(
        sum(losses) / len(losses), rel=1e-4
    )
