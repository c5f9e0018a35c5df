"""`--scale learned`: its gradient, its way, what keeps it, and that saved models do not have it."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_train_command import lines
from test_trainer import (
    CPU,
    Alone,
    be,
    ce,
    equal,
    gradients,
    output_folder,
    records,
    score,
    trainer,
    weights,
)
from test_trainer import run as train

from rdtools.core.errors import UsageError
from rdtools.train import gradient_cache
from rdtools.train.dev import DevOptions
from rdtools.train.options import TrainingOutput
from rdtools.train.run import DevChecks, train_student
from rdtools.train.students import BiEncoderStudent
from rdtools.train.targets import labels
from rdtools.train.torchrun import Processes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def learned(tiny_be):
    """A function that makes the same new student with a learned scale at each call."""
    return lambda **shape: BiEncoderStudent(be(tiny_be, scale="learned", **shape), CPU)


def test_it_starts_from_the_default(learned, tiny_be):
    for similarity, start in (("cosine", 20.0), ("dot", 1.0)):
        student = learned(similarity=similarity)
        fixed = BiEncoderStudent(be(tiny_be, similarity=similarity), CPU)
        assert (student.scale, student.learned_scale) == (start, start)
        assert (fixed.scale, fixed.learned_scale, fixed.ln_scale) == (start, None, None)
        groups = trainer(fixed).groups.slice(0, 6)
        torch.testing.assert_close(score(student, groups), score(fixed, groups), rtol=1e-6, atol=0)
    assert learned().reach == 200.0  # two cosines at the largest scale
    assert BiEncoderStudent(be(tiny_be), CPU).reach == 40.0


def test_the_gradient_of_its_logarithm_by_hand(learned):
    """With cosines c, scores s·c and p = softmax(s·c): d lce / d ln s = s · (Σ p_i c_i − c_positive)."""
    student = learned()
    one = trainer(student, records(1), loss="lce")
    (group,) = one.groups.slice(0, 1)
    batch = student.batch([group])
    torch.manual_seed(0)
    vectors = torch.randn(len(batch.lengths), 16)  # the query, then its documents
    truth = labels([group])
    one.objective(batch.scores(vectors), truth).backward()
    query, *documents = (vector / np.linalg.norm(vector) for vector in vectors.double().numpy())
    cosines = np.array(documents) @ query
    shares = np.exp(20 * cosines) / np.exp(20 * cosines).sum()
    expected = 20 * (shares @ cosines - cosines[truth.positive[0].numpy()][0])
    assert student.ln_scale.grad.item() == pytest.approx(expected, rel=1e-4)
    assert abs(expected) > 0.1


@pytest.mark.parametrize(("sharper", "end"), [(3.0, 60.0), (0.5, 10.0), (10.0, 100.0)])
def test_it_moves_to_the_scale_of_the_teacher(learned, sharper, end):
    """The teacher has the student's own cosines times 20 · `sharper`, and only the scale may change."""
    student = learned()
    data = records()
    student.module.eval()
    for record in data:
        texts = [doc["text"] for doc in record["docs"]]
        (cosines,) = student.rank([record["query"]], texts, None)
        for doc, cosine in zip(record["docs"], cosines.tolist(), strict=True):
            doc["score"] = 20 * sharper * cosine
    for parameter in student.module.parameters():
        parameter.requires_grad_(parameter is student.ln_scale)
    goal = trainer(student, data).objective.with_temperatures(1.0, None)
    one = trainer(student, data, goal, max_steps=80, batch_size=6, no_dropout=True, max_grad_norm=1e9)
    list(one.run())
    assert student.learned_scale == pytest.approx(end, rel=0.02)
    assert student.learned_scale <= 100
    assert student.scale == 20


def test_a_student_that_is_too_flat_gets_a_larger_scale(learned):
    data = records(4)
    for record in data:
        for doc in record["docs"]:
            doc["score"] = 1000.0 * doc["relevance"]
    student = learned(similarity="dot")
    list(trainer(student, data, loss="lce", max_steps=15, warmup=0.0).run())
    assert student.learned_scale > 1.2


def test_its_rate_is_100_times_that_of_the_weights(learned, tiny_be):
    one = trainer(learned(), weight_decay=0.1, warmup=0.0, max_steps=4)
    before = one.student.ln_scale.item()
    rates = []
    for row in one.run():
        own, scale = one.optimizer.param_groups
        rates.append((own["lr"], scale["lr"]))
        assert row["lr"] == own["lr"]
        assert (own["weight_decay"], scale["weight_decay"]) == (0.1, 0.0)
        if row["step"] == 1:  # Adam's first step is ± its rate
            assert abs(one.student.ln_scale.item() - before) == pytest.approx(0.1, rel=1e-3)
    assert rates == [pytest.approx((lr, 100 * lr)) for lr in (1e-3, 0.75e-3, 0.5e-3, 0.25e-3)]
    fixed = trainer(BiEncoderStudent(be(tiny_be), CPU))
    (alone,) = fixed.optimizer.state_dict()["param_groups"]
    assert "rate" not in alone
    assert alone.keys() == torch.optim.AdamW([torch.zeros(1)]).state_dict()["param_groups"][0].keys()
    assert "ln_scale" not in fixed.student.module.state_dict()


def test_gradient_caching_gives_its_plain_gradient(learned, monkeypatch):
    monkeypatch.setattr(
        gradient_cache, "feature_batches", lambda features, budget: gradient_cache.chunks(features, 4)
    )
    found = []
    for mini_batch_size in (None, 4):
        student = learned()
        one = trainer(student, mini_batch_size=mini_batch_size)
        student.module.train()
        torch.manual_seed(3)
        one.gather([one.groups.slice(0, 6)])
        found.append(gradients(student))
    plain, cached = found
    assert plain.keys() == cached.keys() > {"ln_scale"}
    for name in plain:
        torch.testing.assert_close(cached[name], plain[name], atol=1e-6, rtol=1e-4, msg=name)
    assert plain["ln_scale"].abs() > 1e-3


def test_processes_add_up_its_gradient(learned):
    found = []
    for processes in (Processes(), Alone(0), Alone(1)):
        student = learned()
        one = trainer(student, loss="lce", processes=processes)
        student.module.eval()
        one.gather(one._batches())
        found.append(gradients(student)["ln_scale"].item())
    assert found[1] + found[2] == pytest.approx(found[0], rel=1e-4)
    assert all(found)


def test_a_resumed_run_ends_with_the_same_bits(learned, tmp_path):
    steps: dict[str, Any] = {"log_steps": 1, "save_steps": 2}
    undisturbed = learned()
    expected = list(train(trainer(undisturbed), tmp_path / "whole", **steps))
    for row in train(trainer(learned()), tmp_path / "cut", **steps):
        if row["step"] == 3:  # step 3 is lost, the checkpoint is of step 2
            break
    resumed = learned()
    one = trainer(resumed)
    target = output_folder(one, TrainingOutput(output=tmp_path / "cut", **steps))
    target.resume(one)
    assert resumed.learned_scale not in (20.0, undisturbed.learned_scale)
    rows = list(train_student(one, target))
    assert [row["step"] for row in rows[:-1]] == [3, 4, 5]
    assert rows[:-1] == expected[2:-1]
    assert rows[-1]["scale"] == expected[-1]["scale"] == undisturbed.learned_scale != 20.0
    assert "ln_scale" in weights(resumed)
    assert equal(weights(resumed), weights(undisturbed))
    left = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole")]
    assert left[0] == left[1]


def test_the_saved_model_does_not_have_it(learned, tiny_be, tmp_path):
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer

    student = learned()
    *_, last = train(trainer(student), tmp_path / "learned")
    *_, plain = train(trainer(BiEncoderStudent(be(tiny_be), CPU)), tmp_path / "fixed")
    assert last.keys() - plain.keys() == {"scale"}
    files = [
        {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")}
        for name in ("learned", "fixed")
    ]
    assert files[0] == files[1]
    tensors = [load_file(tmp_path / name / "model.safetensors").keys() for name in ("learned", "fixed")]
    assert tensors[0] == tensors[1]
    saved = SentenceTransformer(str(tmp_path / "learned"), device="cpu", local_files_only=True)
    group = next(g for g in trainer(student).groups.slice(0, 6) if len(g.query.split()) <= 4)
    texts = [document.text for document in group.documents]
    cosines = saved.similarity(saved.encode_query([group.query]), saved.encode_document(texts))[0]
    expected = score(student, [group])[0] / math.exp(student.ln_scale.item())
    torch.testing.assert_close(cosines, expected, atol=1e-5, rtol=1e-5)


def test_the_best_weights_of_a_dev_set_have_their_own_scale(learned, tmp_path):
    values = iter([0.1, 0.2, 0.5, 0.3, 0.3, 0.4])  # before step 1, and after each of 5 steps
    dev_set: Any = SimpleNamespace(qrels={}, run=lambda student: None, inputs=lambda reads_pairs: 1)
    one = trainer(learned())
    checks = DevChecks(one, dev_set, lambda qrels, found: next(values), DevOptions(dev="dev", dev_every=1))
    folder = output_folder(one, TrainingOutput(output=tmp_path / "out", log_steps=1))
    after, last = {}, {}
    for row in train_student(one, folder, checks):
        after[row.get("step")] = one.student.learned_scale
        last = row
    assert last["dev_step"] == 2
    assert last["scale"] == one.student.learned_scale == after[2] != after[5]
    assert json.loads((tmp_path / "out" / "rd-train.json").read_text())["scale"] == after[2]


def test_the_command_says_and_records_the_scale(run, tiny_be, tmp_path):
    arguments = ["--student", f"be:{tiny_be}", "--loss", "lce", "--scale", "learned", "--max-steps", 3]
    arguments += ["--lr", 1e-3, "-o", "out", "--resume"]
    done = run("rd-train", *arguments, stdin="".join(lines()), check=True)
    last = json.loads(done.stdout.splitlines()[-1])
    about = json.loads((tmp_path / "out" / "rd-train.json").read_text())
    assert about["options"]["scale"] == "learned"
    assert about["scale"] == about["result"]["scale"] == last["scale"] != 20.0
    card = (tmp_path / "out" / "README.md").read_text()
    line = f"Scale of the similarity in training: learned, {last['scale']:g}; this model leaves it out."
    assert f"gives the formula).\n{line}\nAll options" in card
    again = run("rd-train", *arguments, stdin="".join(lines()), check=True)
    assert json.loads(again.stdout) == last
    arguments[arguments.index("learned")] = 20
    other = run("rd-train", *arguments, stdin="".join(lines()))
    assert "the earlier run had --scale learned; this one has --scale 20.0 (give the same" in other.stderr


@pytest.mark.parametrize(
    ("options", "temperature"),
    [
        ({}, "Teacher temperature: {:.4g}, found by `entropy`.\n"),
        ({"--teacher-temperature": 2}, "Teacher temperature: 2, stated.\n"),
        ({"--loss": "ranknet"}, ""),
    ],
)
def test_the_card_states_the_teachers_temperature(run, tiny_be, tmp_path, options, temperature):
    judged = [json.loads(line) for line in lines()]
    judged[0]["docs"][1]["score"] = 0.5  # the teacher errs once, so that the likelihood has a maximum
    arguments = {"--student": f"be:{tiny_be}", "--loss": "kl", "--max-steps": 1, "-o": "out", **options}
    flat = [part for pair in arguments.items() for part in pair]
    run("rd-train", *flat, stdin="".join(json.dumps(one) + "\n" for one in judged), check=True)
    about = json.loads((tmp_path / "out" / "rd-train.json").read_text())
    assert "scale" not in about
    found = temperature.format(about["teacher"]["temperature"]) if "teacher" in about else temperature
    card = (tmp_path / "out" / "README.md").read_text()
    formula = "gives the formula).\n"
    _, after, rest = card.partition(formula)
    assert after
    assert rest.startswith(f"{found}All options and the provenance of the data are in `rd-train.json`.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "learnt"], "--scale must be a number above 0 or learned, not 'learnt'"),
        (["--scale", "-2"], "--scale must be above 0, not -2"),
        (["--scale", "nan"], "--scale nan: a finite number is needed"),
        (
            ["--student", "ce:x", "--scale", "learned"],
            "--similarity and --scale are for bi-encoders (--student be:MODEL, sparse:MODEL or colbert:MODEL)",
        ),
        (
            ["--loss", "infonce", "--scale", "learned", "--mask-false-negatives", "0.1"],
            "--mask-false-negatives needs a fixed --scale (a number, or the default)",
        ),
    ],
)
def test_usage_errors(run, arguments, message):
    done = run("rd-train", "--student", "be:x", "--loss", "lce", "-o", "out", *arguments)
    assert done.stderr == f"rd-train: {message}\nTry 'rd-train --help' for help.\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_the_library_refuses_other_words_too(tiny_be, tiny_ce):
    with pytest.raises(UsageError, match=r"^--scale must be a number above 0 or learned, not 'twenty'$"):
        be(tiny_be, scale="twenty")
    with pytest.raises(UsageError, match="are for bi-encoders"):
        ce(tiny_ce, scale="learned")
