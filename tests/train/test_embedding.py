"""Loss `embedding`: its values, what it takes of records, and what a student learns from it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from test_trainer import CPU, be, gradients, output_folder, records, trainer
from test_trainer import run as run_of

from rdtools.core.errors import RdError
from rdtools.formats.vectors import write_vector
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Labels, objective
from rdtools.train.options import GroupOptions, TrainingOutput
from rdtools.train.run import train_student
from rdtools.train.scales import fit_teacher
from rdtools.train.students import BiEncoderStudent
from rdtools.train.targets import labels

NAN = [math.nan, math.nan]
# Two groups: a query and two documents; a query and a document. Angles of 0°, 90°, 60°; no query, 180°.
STUDENT = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]], [[1.0, 1.0], [-5.0, 0.0], [9.0, 9.0]]])
TEACHER = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [0.5, math.sqrt(0.75)]], [NAN, [1.0, 0.0], NAN]])
MASK = torch.tensor([[True, True], [True, False]])
LABELS = Labels(torch.full((2, 2), math.nan), torch.zeros(2, 2, dtype=torch.bool), MASK, MASK, TEACHER)


def value(labels=LABELS, student=STUDENT, **options):
    goal = objective("embedding").with_options("embedding", **options)
    return goal.parts(torch.zeros(labels.mask.shape), labels, goal.counts(labels), student)[0]


def test_hand_worked_values():
    # 1 − cos: 0 + (1 + 0.5)/2 of the first group, 2 of the second
    assert value().item() == pytest.approx((0.75 + 2) / 2)
    # half of the squared distances: 4/2 + ((4 + 4)/2 + (0.25 + 0.75)/2)/2; 36/2
    assert value(cosine=False).item() == pytest.approx((2 + (4 + 0.5) / 2 + 18) / 2)


@pytest.mark.parametrize("cosine", [True, False])
def test_the_gradient_is_that_of_the_value_and_finite(cosine):
    student = STUDENT.double().requires_grad_()
    targets = LABELS._replace(vectors=TEACHER.double())
    assert torch.autograd.gradcheck(lambda s: value(targets, s, cosine=cosine), student)
    value(targets, student, cosine=cosine).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert (student.grad[1, [0, 2]] == 0).all()  # no teacher there, or no document


def test_a_group_without_a_document_that_has_an_embedding_does_not_count():
    none = LABELS._replace(vectors=torch.cat([TEACHER[:1], torch.full((1, 3, 2), math.nan)]))
    assert value(none).item() == pytest.approx(0.75)
    assert value(LABELS.rows(slice(0, 1)), STUDENT[:1]).item() == pytest.approx(0.75)


def test_without_the_student_its_embeddings_are_0():
    """So each cosine is 0: a loss that training must get below."""
    assert value(student=None).item() == pytest.approx((2 + 1) / 2)


def test_a_sum_uses_scores_and_embeddings():
    targets = LABELS._replace(teacher=torch.tensor([[1.0, 0.0], [2.0, math.nan]]))
    scores = torch.tensor([[0.5, 0.5], [0.0, 0.0]])
    goal = objective("kl+10*embedding")
    counts = goal.counts(targets)
    assert counts == [1, 2]
    parts = goal.parts(scores, targets, counts, STUDENT)
    assert parts[0].item() == pytest.approx(objective("kl")(scores, targets).item())
    assert goal.total(parts).item() == pytest.approx(parts[0].item() + 10 * value().item())


def test_groups_keep_embeddings_that_a_loss_needs():
    data: list[Any] = records(2, docs=3)
    data[0]["docs"][1]["embedding"] = write_vector([0.5] * 32)
    del data[1]["query_embedding"], data[1]["docs"][0]["embedding"]
    groups = Groups(data, objective("embedding"), GroupOptions())
    assert groups.dimension == 32
    found = {group.query: group for group in groups.slice(0, 2)}
    vectors = labels([found[data[0]["query"]], found[data[1]["query"]]], 32).vectors
    assert vectors is not None
    query = torch.tensor(data[0]["query_embedding"]).half().float()
    torch.testing.assert_close(vectors[0, 0], query)
    by_id = {
        document.doc_id: vectors[0, 1 + n] for n, document in enumerate(found[data[0]["query"]].documents)
    }
    assert by_id["d0-1"].tolist() == [0.5] * 32
    assert vectors[1, 0].isnan().all()
    assert vectors[1, 1].isnan().all()  # the positive is first, and has none
    assert vectors[1, 2].isfinite().all()

    without = Groups(data, objective("kl"), GroupOptions())
    assert without.dimension == 0
    assert without.slice(0, 1)[0].documents[0].embedding is None
    assert labels(without.slice(0, 2)).vectors is None


def test_records_without_embeddings_teach_nothing(caplog):
    data: list[Any] = records(2)
    for doc in data[0]["docs"]:
        del doc["embedding"]
    assert len(Groups(data, objective("embedding"), GroupOptions())) == 1
    assert "1 query without an embedding left out" in caplog.text
    plain: list[Any] = [{key: part for key, part in data[0].items() if key != "query_embedding"}]
    with pytest.raises(
        RdError, match=r"^nothing to train on \(label the records with rd-label --embeddings first\)$"
    ):
        Groups(plain, objective("embedding"), GroupOptions())
    with pytest.raises(RdError, match=r"^nothing to train embedding on, of --loss kl\+embedding \(label the"):
        Groups(plain, objective("kl+embedding"), GroupOptions())


@pytest.mark.parametrize(
    ("place", "vector", "problem"),
    [
        (0, [1.0], "an embedding has 1 dimensions, the first had 32"),
        (1, "%", "an embedding is a list of numbers, or base64 of float16 numbers"),
    ],
)
def test_embeddings_that_are_wrong(place, vector, problem):
    data: list[Any] = records(2)
    data[1]["docs"][place]["embedding"] = vector
    with pytest.raises(RdError) as error:
        Groups(data, objective("embedding"), GroupOptions())
    assert str(error.value) == f'query "q1": {problem}'
    data[1]["query_embedding"] = data[1]["docs"][place].pop("embedding")
    with pytest.raises(RdError) as error:
        Groups(data, objective("embedding"), GroupOptions())
    assert str(error.value) == f'query "q1": {problem}'


def test_the_students_dimension_must_be_the_teachers(tiny_be):
    data: list[Any] = records(2)
    for record in data:
        record["query_embedding"] = [1.0, 0.0]
        for doc in record["docs"]:
            doc["embedding"] = [0.0, 1.0]
    goal = objective("embedding")
    groups = Groups(data, goal, GroupOptions())
    with pytest.raises(RdError) as error:
        fit_teacher(goal, groups, BiEncoderStudent(be(tiny_be), CPU))
    assert str(error.value) == (
        "the teacher's embeddings have 2 dimensions, those of the student 32 (--loss embedding needs as many; "
        "--loss kl does not)"
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_student_is_compared_as_it_scores(tiny_be, similarity):
    student = BiEncoderStudent(be(tiny_be, similarity=similarity), CPU)
    goal = objective("embedding")
    fitted, _ = fit_teacher(goal, Groups(records(2), goal, GroupOptions()), student)
    assert fitted.losses[0].options == {"cosine": similarity == "cosine"}


@pytest.mark.parametrize("options", [{"mini_batch_size": 2}, {"batch_size": 2, "accumulate": 3}])
def test_the_gradient_does_not_depend_on_the_cut_into_batches(tiny_be, options):
    found = []
    for given in ({"batch_size": 6}, {"batch_size": 6, **options}):
        student = BiEncoderStudent(be(tiny_be), CPU)
        one = trainer(student, loss="kl+embedding", epochs=1, max_steps=None, no_dropout=True, **given)
        student.module.eval()
        one.optimizer.zero_grad = lambda: None
        row = one.step()
        found.append((row["parts"], gradients(student)))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    for name, expected in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], expected, atol=1e-6, rtol=1e-3, msg=name)


def lines_of(data):
    return "".join(json.dumps(one) + "\n" for one in data)


def test_a_student_of_some_layers_learns_where_its_teacher_puts_texts(run, tiny_be, tmp_path):
    """Through the installed commands, without judgements or scores."""
    label = ("rd-label", "--teacher", f"be:{tiny_be}", "--embeddings")
    labelled = run(*label, stdin=lines_of(records(12)), check=True).stdout
    options = (
        f"--student be:{tiny_be} --layers 1 --loss embedding --batch-size 6 --max-steps 60 --lr 3e-3".split()
    )
    more = "--no-dropout --log-steps 1 -o out".split()
    found = run("rd-train", *options, *more, stdin=labelled, check=True)
    losses = [row["loss"] for row in map(json.loads, found.stdout.splitlines()) if "loss" in row]
    # The mean over groups of 1 − cos, from the saved model and the teacher with sentence-transformers.
    from sentence_transformers import SentenceTransformer

    teacher, student = (SentenceTransformer(str(path), device="cpu") for path in (tiny_be, tmp_path / "out"))
    values = []
    for record in records(12):
        texts = [record["query"], *(doc["text"] for doc in record["docs"])]
        sides = [model.encode(texts, normalize_embeddings=True) for model in (teacher, student)]
        cosines = (sides[0] * sides[1]).sum(1)
        values.append(1 - cosines[0] + (1 - cosines[1:]).mean())
    assert sum(values) / 12 == pytest.approx(losses[-1], rel=0.2)
    assert sum(values) / 12 < 0.3 * losses[0]


def test_a_resumed_run_ends_with_the_same_bits(tiny_be, tmp_path):
    steps: dict[str, Any] = {"log_steps": 1, "save_steps": 2}
    make = lambda: trainer(BiEncoderStudent(be(tiny_be), CPU), loss="kl+embedding")  # noqa: E731
    expected = list(run_of(make(), tmp_path / "whole", **steps))
    for row in run_of(make(), tmp_path / "cut", **steps):
        if row["step"] == 3:
            break
    one = make()
    target = output_folder(one, TrainingOutput(output=tmp_path / "cut", **steps))
    target.resume(one)
    assert list(train_student(one, target))[:-1] == expected[2:-1]
    left = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole")]
    assert left[0] == left[1]


def test_only_bi_encoders_have_embeddings_to_compare(run, tiny_ce):
    found = run("rd-train", "--student", f"ce:{tiny_ce}", "--loss", "kl+embedding", "-o", "out", stdin="")
    assert (found.returncode, found.stderr) == (
        2, "rd-train: --loss kl+embedding is for bi-encoders (--student be:MODEL)\nTry 'rd-train --help' for help.\n",
    )  # fmt: skip


def test_the_student_that_is_its_own_teacher_is_told(run, tiny_be):
    label = ("rd-label", "--teacher", f"be:{tiny_be}", "--embeddings")
    labelled = run(*label, stdin=lines_of(records(3)), check=True).stdout
    options = f"--student be:{tiny_be} --loss embedding --max-steps 1 -o out".split()
    assert "the student is its own teacher" in run("rd-train", *options, stdin=labelled, check=True).stderr
