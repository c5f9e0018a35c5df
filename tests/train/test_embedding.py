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
# Two groups: a query and two documents; a query and a document. Angles of 0°, 90°, 60°; 0°, 180°.
STUDENT = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]], [[1.0, 1.0], [-5.0, 0.0], [9.0, 9.0]]])
TEACHER = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [0.5, math.sqrt(0.75)]], [[1.0, 1.0], [1.0, 0.0], NAN]])
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
    assert value(scale=20.0).item() == pytest.approx(20 * (0.75 + 2) / 2)


@pytest.mark.parametrize("cosine", [True, False])
def test_the_gradient_is_that_of_the_value_and_finite(cosine):
    student = STUDENT.double().requires_grad_()
    targets = LABELS._replace(vectors=TEACHER.double())
    assert torch.autograd.gradcheck(lambda s: value(targets, s, cosine=cosine), student)
    value(targets, student, cosine=cosine).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert (student.grad[1, 2] == 0).all()  # there is no document


@pytest.mark.parametrize("missing", [0, 1])
def test_a_group_without_its_query_or_any_document_does_not_count(missing):
    vectors = TEACHER.clone()
    vectors[1, missing] = math.nan
    assert value(LABELS._replace(vectors=vectors)).item() == pytest.approx(0.75)
    assert value(LABELS.rows(slice(0, 1)), STUDENT[:1]).item() == pytest.approx(0.75)


def test_a_document_without_an_embedding_does_not_count():
    vectors = TEACHER.clone()
    vectors[0, 1] = math.nan
    assert value(LABELS._replace(vectors=vectors)).item() == pytest.approx((0.5 + 2) / 2)


def test_a_sum_uses_scores_and_embeddings():
    targets = LABELS._replace(teacher=torch.tensor([[1.0, 0.0], [2.0, math.nan]]))
    scores = torch.tensor([[0.5, 0.5], [0.0, 0.0]])
    goal = objective("kl+10*embedding")
    counts = goal.counts(targets)
    assert counts == [1, 2]
    parts = goal.parts(scores, targets, counts, STUDENT)
    assert parts[0].item() == pytest.approx(objective("kl")(scores, targets).item())
    assert goal.total(parts).item() == pytest.approx(parts[0].item() + 10 * value().item())


def test_documents_of_other_groups_are_not_compared(tiny_be):
    """With in-batch negatives the embeddings of a batch would otherwise be a number of its size squared."""
    student = BiEncoderStudent(be(tiny_be), CPU)
    one = trainer(student, loss="infonce+embedding", batch_size=6, no_dropout=True)
    (groups,) = one._batches()
    assert max(len(group.documents) for group in groups) > 5
    truth = labels(groups, 32)
    assert truth.vectors is not None
    assert truth.vectors.shape == (6, 1 + 5, 32)
    student.module.eval()
    parts = one.step()["parts"]
    alone = trainer(BiEncoderStudent(be(tiny_be), CPU), loss="embedding", batch_size=6, no_dropout=True)
    alone.student.module.eval()
    assert parts["embedding"] == pytest.approx(alone.step()["loss"], rel=1e-5)


def test_groups_keep_embeddings_that_a_loss_needs():
    data: list[Any] = records(2, docs=3)
    expected = torch.tensor([data[0]["query_embedding"], data[0]["docs"][0]["embedding"]]).half().float()
    data[0]["docs"][1]["embedding"] = write_vector([0.5] * 32)
    groups = Groups(data, objective("embedding"), GroupOptions())
    assert groups.dimension == 32
    (group,) = (one for one in groups.slice(0, 2) if one.query == data[0]["query"])
    (vectors,) = labels([group], 32).vectors  # type: ignore[misc]
    torch.testing.assert_close(vectors[:2], expected)  # the positive is first
    by_id = {document.doc_id: vectors[1 + n] for n, document in enumerate(group.documents)}
    assert by_id["d0-1"].tolist() == [0.5] * 32

    without = Groups(data, objective("kl"), GroupOptions())
    assert without.dimension == 0
    assert without.slice(0, 1)[0].documents[0].embedding is None
    assert labels(without.slice(0, 2)).vectors is None


def test_documents_without_embedding_are_left_out(caplog):
    data: list[Any] = records(3)
    del data[0]["docs"][0]["embedding"], data[1]["query_embedding"]
    data[2]["docs"][1]["embedding"] = None
    groups = Groups(data, objective("embedding"), GroupOptions())
    found = [document.doc_id for group in groups.slice(0, 2) for document in group.documents]
    assert sorted(found) == ["d0-1", "d0-2", "d0-3", "d0-4", "d2-0", "d2-2"]
    assert [one.message for one in caplog.records] == [
        "2 documents without embedding left out",
        "1 query without an embedding left out",
    ]


def test_a_sum_keeps_documents_that_one_of_its_losses_can_use(caplog):
    data: list[Any] = records(2)
    del data[0]["docs"][0]["embedding"], data[0]["docs"][1]["score"], data[1]["query_embedding"]
    del data[0]["docs"][2]["embedding"], data[0]["docs"][2]["score"]
    groups = Groups(data, objective("kl+embedding"), GroupOptions())
    assert [len(group.documents) for group in groups.slice(0, 2)] == [4, 4]
    assert [one.message for one in caplog.records] == [
        "1 document without score left out",
        "1 query without an embedding not used by embedding",
    ]


def test_records_without_embeddings_teach_nothing():
    data: list[Any] = records(2)
    for record in data:
        del record["query_embedding"]
    with pytest.raises(
        RdError, match=r"^nothing to train on \(label the records with rd-label --embeddings first\)$"
    ):
        Groups(data, objective("embedding"), GroupOptions())
    for record in data:
        for doc in record["docs"]:
            del doc["embedding"]
    with pytest.raises(
        RdError, match=r"^nothing to train on \(label the records with rd-label --embeddings first\)$"
    ):
        Groups(data, objective("embedding"), GroupOptions())
    with pytest.raises(RdError, match=r"^nothing to train embedding on, of --loss kl\+embedding \(label the"):
        Groups(data, objective("kl+embedding"), GroupOptions())


@pytest.mark.parametrize(
    ("vector", "problem"),
    [
        ([1.0], "has 1 dimension, the first embedding 32 (label all records with one model)"),
        ("%", "is no list of numbers and no base64 of float16 numbers"),
    ],
)
def test_embeddings_that_are_wrong(vector, problem):
    data: list[Any] = records(2)
    data[1]["docs"][1]["embedding"] = vector
    with pytest.raises(RdError) as error:
        Groups(data, objective("embedding"), GroupOptions())
    assert str(error.value) == f'query "q1": "embedding" of document d1-1 {problem}'
    data = records(2)
    data[1]["query_embedding"] = vector
    with pytest.raises(RdError) as error:
        Groups(data, objective("embedding"), GroupOptions())
    assert str(error.value) == f'query "q1": "query_embedding" {problem}'


def test_a_bad_embedding_is_named_by_its_line_or_skipped(run, tiny_be, tmp_path):
    data: list[Any] = records(3)
    data[1]["docs"][0]["embedding"] = "%"
    (tmp_path / "in.jsonl").write_text(lines_of(data))
    options = f"rd-train in.jsonl --student be:{tiny_be} --loss embedding --max-steps 1 -o out".split()
    found = run(*options)
    assert (found.returncode, found.stderr) == (
        1,
        'rd-train: in.jsonl:2: "embedding" of document d1-0 is no list of numbers and no base64 of float16 numbers\n',
    )  # fmt: skip
    found = run(*options, "--on-error", "skip", check=True)
    assert "rd-train: 2 groups of up to 5 documents\n" in found.stderr


def test_embeddings_of_two_models_do_not_mix(run, tiny_be, tmp_path):
    data: list[Any] = records(2)
    data[0]["embedding_teacher"], data[1]["embedding_teacher"] = "b", "a"
    options = f"rd-train --student be:{tiny_be} --loss kl+embedding --max-steps 1 -o out".split()
    found = run(*options, stdin=lines_of(data))
    assert (found.returncode, found.stderr) == (
        1, "rd-train: the records mix embeddings of a and of b (label them with one of the models)\n",
    )  # fmt: skip


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_student_is_compared_as_it_scores(tiny_be, similarity):
    student = BiEncoderStudent(be(tiny_be, similarity=similarity), CPU)
    goal = objective("embedding")
    fitted, _ = fit_teacher(goal, Groups(records(2), goal, GroupOptions()), student)
    cosine = similarity == "cosine"
    assert fitted.losses[0].options == {"cosine": cosine, "scale": 20.0 if cosine else 1.0}


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
    assert sum(values) / 12 == pytest.approx(losses[-1] / 20, rel=0.2)
    assert sum(values) / 12 < 0.3 * losses[0] / 20


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


@pytest.mark.parametrize("kind", ["sparse", "colbert"])
def test_other_encoders_have_none(run, kind):
    found = run("rd-train", "--student", f"{kind}:m", "--loss", "embedding", "-o", "out", stdin="")
    assert (found.returncode, found.stderr) == (
        2,
        "rd-train: --loss embedding is for bi-encoders (--student be:MODEL)\nTry 'rd-train --help' for help.\n",
    )


def test_a_scale_is_learned_from_scores_only(run):
    options = "rd-train --student be:m --scale learned -o out".split()
    found = run(*options, "--loss", "embedding", stdin="")
    assert (found.returncode, found.stderr) == (
        2,
        "rd-train: --scale learned needs a loss that looks at scores, such as --loss kl+embedding\n"
        "Try 'rd-train --help' for help.\n",
    )


def test_a_run_is_compared_with_equal_scores_by_its_losses_of_scores(tiny_be):
    ends = {}
    for loss in ("embedding", "kl+embedding", "kl"):
        one = trainer(BiEncoderStudent(be(tiny_be), CPU), loss=loss, max_steps=6, lr=0.0)
        list(one.run())
        ends[loss] = one.history.end
    assert ends["embedding"].steps == 0
    assert ends["kl"].steps == 2
    assert vars(ends["kl+embedding"]) == pytest.approx(vars(ends["kl"]))


def test_the_model_of_the_embeddings_is_the_teacher(run, tiny_be, tiny_ce, tmp_path):
    """Also where another one has scored the records since."""
    label = ("rd-label", "--teacher", f"be:{tiny_be}", "--embeddings")
    first = run(*label, stdin=lines_of(records(3)), check=True).stdout
    assert json.loads(first.splitlines()[0])["embedding_teacher"] == tiny_be
    second = run("rd-label", "--teacher", f"ce:{tiny_ce}", stdin=first, check=True).stdout
    options = f"rd-train --student be:{tiny_be} --max-steps 1 --overwrite -o out --loss".split()
    own = "the student is its own teacher, so its embeddings have nothing to teach"
    for loss, teachers, warned in (
        ("embedding", [tiny_be], True),
        ("kl+embedding", sorted([tiny_be, tiny_ce]), False),
    ):
        found = run(*options, loss, stdin=second, check=True)
        assert json.loads((tmp_path / "out" / "rd-train.json").read_text())["data"]["teachers"] == teachers
        assert (own in found.stderr) == warned
    assert "own teacher" in run(*options, "kl+embedding", stdin=first, check=True).stderr
    assert "own teacher" not in run(*options, "embedding", "--layers", "2", stdin=first, check=True).stderr
