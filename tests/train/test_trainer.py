"""Students and the loop: saved models score as trained ones do, and how a step is cut changes nothing."""

from __future__ import annotations

import errno
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import WORDS

from rdtools.core.errors import RdError, UsageError
from rdtools.models.options import ModelOptions
from rdtools.train import gradient_cache
from rdtools.train.checkpoints import OutputFolder, check_output_folder
from rdtools.train.cross_encoder_student import CrossEncoderStudent
from rdtools.train.groups import Groups
from rdtools.train.in_batch import add_in_batch_negatives
from rdtools.train.losses.objective import Objective, objective
from rdtools.train.losses.table import LOSSES
from rdtools.train.optimizer import schedule
from rdtools.train.options import GroupOptions, StudentOptions, TrainingOptions, TrainingOutput
from rdtools.train.run import train_student
from rdtools.train.students import Batch, BiEncoderStudent
from rdtools.train.targets import labels
from rdtools.train.torchrun import Processes
from rdtools.train.trainer import Trainer

CPU = ModelOptions(device="cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def records(count=6, docs=5, seed=0):
    rng = random.Random(seed)
    text = lambda most: " ".join(rng.choices(WORDS, k=rng.randint(1, most)))  # noqa: E731
    others = random.Random(seed)
    vector = lambda: [others.gauss(0, 1) for _ in range(32)]  # noqa: E731
    return [
        {
            "query_id": f"q{q}",
            "query": text(8),
            "query_embedding": vector(),
            "score_scale": "logit",
            "docs": [
                {
                    "doc_id": f"d{q}-{d}",
                    "text": text(40),
                    "score": rng.gauss(0, 2),
                    "relevance": int(d == 0),
                    "embedding": vector(),
                }
                for d in range(docs - q % 3)  # groups of unequal size
            ],
        }
        for q in range(count)
    ]


def be(model, **shape):
    return StudentOptions(student=f"be:{model}", **shape)


def ce(model, **shape):
    return StudentOptions(student=f"ce:{model}", **shape)


@pytest.fixture(params=["be", "ce"])
def make(request, tiny_be, tiny_ce):
    """A function that makes the same new student at each call."""
    if request.param == "be":
        return lambda **shape: BiEncoderStudent(be(tiny_be, **shape), CPU)
    return lambda **shape: CrossEncoderStudent(ce(tiny_ce, **shape), CPU)


def trainer(student, data=None, loss="kl", grouping=GroupOptions(), processes=Processes(), **options):
    defaults: dict[str, Any] = {"max_steps": 5, "batch_size": 3, "lr": 1e-3, "seed": 3}
    defaults.update(options)
    goal = loss if isinstance(loss, Objective) else objective(loss)
    groups = Groups(data or records(), goal, grouping)
    return Trainer(student, groups, goal, TrainingOptions(**defaults), processes)


def output_folder(one, output, **options):
    about = {"options": {"student": "be:tiny", "loss": "kl", **options}, "data": one.groups.provenance}
    return OutputFolder(output, about)


def run(one, folder, log_steps=10, save_steps=None, **options):
    output = TrainingOutput(output=folder, log_steps=log_steps, save_steps=save_steps)
    return train_student(one, output_folder(one, output, **options))


def check_folder(folder, **options):
    check_output_folder(TrainingOutput(output=folder, **options))


def weights(student):
    return {name: tensor.clone() for name, tensor in student.module.state_dict().items()}


def gradients(student):
    return {name: p.grad.clone() for name, p in student.module.named_parameters() if p.grad is not None}


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def score(student, groups):
    batch = student.batch(groups)
    with torch.no_grad():
        return batch.scores(student.encode_rows(batch, range(len(batch.lengths))))


@pytest.mark.parametrize("shape", [{}, {"similarity": "dot"}, {"query_max_len": 6, "doc_max_len": 12}])
def test_the_saved_bi_encoder_scores_as_the_trained_one(tiny_be, tmp_path, shape):
    from sentence_transformers import SentenceTransformer

    student = BiEncoderStudent(be(tiny_be, **shape), CPU)
    one = trainer(student)
    list(run(one, tmp_path / "out"))
    saved = SentenceTransformer(str(tmp_path / "out"), device="cpu", local_files_only=True)
    assert saved.similarity_fn_name == shape.get("similarity", "cosine")
    assert saved.max_seq_length == shape.get("doc_max_len", 64)
    groups = [g for g in one.groups.slice(0, 6) if len(g.query.split()) <= 4]  # words are tokens here
    assert groups
    for group, row in zip(groups, score(student, groups), strict=True):
        documents = saved.encode_document([document.text for document in group.documents])
        expected = saved.similarity(saved.encode_query([group.query]), documents)[0]
        torch.testing.assert_close(row[: len(expected)] / student.scale, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [{}, {"query_max_len": 9, "doc_max_len": 12}])
def test_the_saved_cross_encoder_predicts_the_trained_logits(tiny_ce, tmp_path, shape):
    from sentence_transformers import CrossEncoder

    student = CrossEncoderStudent(ce(tiny_ce, **shape), CPU)
    one = trainer(student)
    list(run(one, tmp_path / "out"))
    saved = CrossEncoder(str(tmp_path / "out"), device="cpu", local_files_only=True)
    groups = one.groups.slice(0, 6)
    for group, row in zip(groups, score(student, groups), strict=True):
        expected = saved.predict([(group.query, document.text) for document in group.documents])
        torch.testing.assert_close(row[: len(expected)], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_a_saved_model_is_safetensors_and_tells_what_it_is(make, tmp_path):
    student = make()
    list(run(trainer(student), tmp_path / "out", lr=1e-3))
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    about = json.loads((tmp_path / "out" / "rd-train.json").read_text())
    assert about["options"]["lr"] == 1e-3
    assert about["data"]["groups"] == 6
    assert about["step"] == 5
    card = (tmp_path / "out" / "README.md").read_text()
    assert str(tmp_path) not in card
    assert "It needs sentence-transformers 5.1 or later." in card
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_micro_batches_change_no_score(make):
    student = make()
    groups = trainer(student).groups.slice(0, 6)
    whole = score(student, groups)
    batch = student.batch(groups)
    parts = list(gradient_cache.chunks(batch.features, 2))
    with torch.no_grad():
        encoded = gradient_cache.in_input_order([student.encode_rows(batch, rows) for rows in parts], parts)
    torch.testing.assert_close(batch.scores(encoded), whole, atol=1e-5, rtol=1e-5)
    one_by_one = [score(student, [group])[0] for group in groups]
    for row, alone in zip(whole, one_by_one, strict=True):
        torch.testing.assert_close(row[: len(alone)], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("dropout", "loss"),
    [(False, "margin-mse"), (True, "margin-mse"), (True, "kl+0.2*lambda"), (True, "infonce")],
)
def test_gradient_caching_gives_the_plain_gradient(make, monkeypatch, dropout, loss):
    """With dropout, the plain step is cut as the cached one is, so that both draw the same."""
    monkeypatch.setattr(
        gradient_cache, "feature_batches", lambda features, budget: gradient_cache.chunks(features, 4)
    )
    found = []
    for mini_batch_size in (None, 4):
        student = make()
        one = trainer(student, loss=loss, mini_batch_size=mini_batch_size)
        student.module.train(dropout)
        torch.manual_seed(3)
        groups = one.groups.slice(0, 6)
        value = one.gather([add_in_batch_negatives(groups) if loss == "infonce" else groups])[0]
        found.append((value, gradients(student), torch.rand(1)))
    (plain_loss, plain, plain_next), (cached_loss, cached, cached_next) = found
    assert cached_loss == pytest.approx(plain_loss, rel=1e-6)
    assert torch.equal(plain_next, cached_next)  # the generator goes on from the same state
    assert cached.keys() == plain.keys()
    for name in plain:
        torch.testing.assert_close(cached[name], plain[name], atol=1e-6, rtol=1e-4, msg=name)
    assert any(gradient.abs().max() > 1e-3 for gradient in plain.values())


@pytest.mark.parametrize("loss", ["margin-mse", "kl+0.2*lambda", "infonce"])
def test_a_large_batch_is_split_where_its_groups_are_independent(make, monkeypatch, loss):
    found: list[Any] = []
    for _ in range(2):
        most = sum(found[0][2][0].lengths) // 2 if found else 10**6
        monkeypatch.setattr(gradient_cache, "CPU_GRAPHS", most)
        student = make()
        one = trainer(student, loss=loss)
        student.module.eval()
        parts: list[Batch] = []
        backward = one._backward
        one._backward = lambda batch, *rest, seen=parts, do=backward: seen.append(batch) or do(batch, *rest)
        groups = one.groups.slice(0, 6)
        figures = one.gather([add_in_batch_negatives(groups) if loss == "infonce" else groups])
        found.append((figures, gradients(student), parts))
    (whole_figures, whole, one_part), (figures, gradient, parts) = found
    assert len(one_part) == 1
    if loss == "infonce":
        assert len(parts) == 1
    else:
        assert 1 < len(parts) < len(groups)
    assert figures == pytest.approx(whole_figures, rel=1e-5)
    for name, expected in whole.items():
        torch.testing.assert_close(gradient[name], expected, atol=1e-6, rtol=1e-3, msg=name)


def test_accumulated_batches_equal_one_large_batch(make):
    found = []
    for batch_size, accumulate in ((6, 1), (2, 3), (4, 2)):  # the last: batches of 4 and 2
        student = make()
        one = trainer(student, batch_size=batch_size, accumulate=accumulate, epochs=1, max_steps=None)
        student.module.eval()
        one.optimizer.zero_grad = lambda: None  # keep what the step has gathered
        row = one.step()
        found.append((row["loss"], gradients(student)))
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        for name, expected in found[0][1].items():
            torch.testing.assert_close(gradient[name], expected, atol=1e-6, rtol=1e-3, msg=name)


def learning(student, loss, steps):
    """The losses of training on a teacher that follows the judgements, and whether positives end up first."""
    data = records(4, docs=4)
    for record in data:
        for place, doc in enumerate(record["docs"]):
            doc["score"] = 1.5 if place == 0 else -1.5
            doc["embedding"] = record["query_embedding"] if place == 0 else doc["embedding"]
    one = trainer(student, data, loss=loss, max_steps=steps, batch_size=4, lr=3e-3)
    losses = [row["loss"] for row in one.run()]
    groups = one.groups.slice(0, 4)
    ranked = zip(groups, score(student, groups), strict=True)
    return losses, all(row[: len(group.documents)].argmax() == 0 for group, row in ranked)


@pytest.mark.parametrize("loss", ["lce", "margin-mse"])
def test_a_cross_encoder_learns(tiny_ce, loss):
    losses, first = learning(CrossEncoderStudent(ce(tiny_ce), CPU), loss, 40)
    assert losses[-1] < losses[0] / 2
    assert first


@pytest.mark.parametrize("loss", {loss.function: name for name, loss in LOSSES.items()}.values())
def test_every_loss_teaches_a_bi_encoder(tiny_be, loss):
    losses, first = learning(BiEncoderStudent(be(tiny_be, scale=10), CPU), loss, 15)
    assert losses[-1] < losses[0]
    assert first


def test_the_seed_decides_everything(make, tmp_path):
    results = []
    for place, seed in enumerate((3, 3, 4)):
        student = make()
        rows = list(run(trainer(student, seed=seed), tmp_path / str(place)))
        results.append((weights(student), [row.get("loss") for row in rows]))
    assert equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert not equal(results[0][0], results[2][0])


def test_a_resumed_run_ends_with_the_same_bits(make, tmp_path):
    options = {"max_steps": 7, "accumulate": 2}
    steps: dict[str, Any] = {"log_steps": 1, "save_steps": 2}
    undisturbed = make()
    expected = list(run(trainer(undisturbed, **options), tmp_path / "whole", **steps))
    for row in run(trainer(make(), **options), tmp_path / "cut", **steps):
        if row["step"] == 5:  # step 5 is lost, the checkpoint is of step 4
            break
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["step-4"]
    resumed = make()
    one = trainer(resumed, **options)
    target = output_folder(one, TrainingOutput(output=tmp_path / "cut", **steps))
    target.resume(one)
    rows = list(train_student(one, target))
    assert [row["step"] for row in rows[:-1]] == [5, 6, 7]
    assert rows[:-1] == expected[4:-1]
    assert (rows[-1]["docs"], rows[-1]["tokens"]) == (expected[-1]["docs"], expected[-1]["tokens"])
    assert equal(weights(resumed), weights(undisturbed))
    left = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole")]
    assert left[0] == left[1]
    assert not (tmp_path / "cut" / "checkpoints").exists()


def test_resume_refuses_other_data_and_other_options(tiny_be, tmp_path):
    student = BiEncoderStudent(be(tiny_be), CPU)
    one = trainer(student)
    next(row for row in run(one, tmp_path / "out", 1, 2, lr=1e-3) if row["step"] == 3)
    output = TrainingOutput(output=tmp_path / "out")
    place = str(tmp_path / "out" / "checkpoints" / "step-2")
    about = {"options": {"lr": 1e-5}, "data": one.groups.provenance}
    with pytest.raises(RdError) as error:
        OutputFolder(output, about).resume(one)
    assert str(error.value) == (
        f"{place}: the earlier run had --lr 0.001; this one has --lr 1e-05 "
        "(give the same options, or --overwrite)"
    )
    about["options"] = {"lr": 1e-3, "layers": "0,5", "no-dropout": True}
    with pytest.raises(RdError, match=r"the earlier run had no --layers; this one has --layers 0,5 \("):
        OutputFolder(output, about).resume(one)
    del about["options"]["layers"]
    with pytest.raises(RdError, match=r"the earlier run had no --no-dropout; this one has --no-dropout \("):
        OutputFolder(output, about).resume(one)
    other = Groups(records(seed=1), objective("kl"))
    with pytest.raises(RdError) as error:
        OutputFolder(output, {"options": {"lr": 1e-3}, "data": other.provenance}).resume(one)
    assert str(error.value) == f"{place}: it was trained on other data (--overwrite starts anew)"


def test_what_may_stand_in_the_output_folder(tmp_path):
    out = tmp_path / "out"
    check_folder(out)
    out.mkdir()
    check_folder(out)
    (out / "checkpoints" / "step-2").mkdir(parents=True)
    with pytest.raises(
        RdError,
        match=r"out already contains an unfinished run \(--resume continues it, --overwrite starts anew\)",
    ):
        check_folder(out)
    check_folder(out, resume=True)
    check_folder(out, overwrite=True)
    assert not list(out.iterdir())
    (out / "rd-train.json").write_text('{"files": ["rd-train.json"]}')
    with pytest.raises(RdError, match=r"out already contains a trained model \(--overwrite replaces it\)"):
        check_folder(out)
    check_folder(out, resume=True)
    check_folder(out, overwrite=True)
    (out / "rd-train.json").unlink()
    (out / "thesis.tex").touch()
    (out / "chapter").mkdir()
    says = (
        r"out contains files that are not of a trained model: thesis.tex and 1 more "
        r"\(move them, or choose an empty or new folder\)$"
    )
    for overwrite in (True, False):
        with pytest.raises(RdError, match=says):
            check_folder(out, overwrite=overwrite)
    (out / "rd-train.json").write_text("{}")  # of version 0.1.0
    with pytest.raises(RdError, match=r"out: rd-train.json does not say which files rd-train wrote \(remove"):
        check_folder(out, overwrite=True)
    with pytest.raises(RdError, match=r"thesis.tex: it is not a folder"):
        check_folder(out / "thesis.tex")


def test_overwriting_replaces_the_model_and_nothing_else(tiny_be, tmp_path):
    out = tmp_path / "out"
    list(run(trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=1), out))
    check_folder(out, overwrite=True)
    (out / "1_Pooling" / "notes").write_text("mine")
    with pytest.raises(RdError, match=r"files that are not of a trained model: 1_Pooling/notes \(move them"):
        check_folder(out, overwrite=True)
    (out / "1_Pooling" / "notes").unlink()
    stale = out / "stale.json"
    card = json.loads((out / "rd-train.json").read_text())
    stale.touch()
    (out / "rd-train.json").write_text(json.dumps({**card, "files": [*card["files"], stale.name]}))
    check_folder(out, overwrite=True)
    list(run(trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=2), out))
    card = json.loads((out / "rd-train.json").read_text())
    assert card["step"] == 2
    assert card["files"] == sorted(
        path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()
    )
    assert not stale.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_added_beside_a_running_training_stays(tiny_be, tmp_path, caplog):
    """Also where the model gets a file of the same name, and below folders of the model."""
    out = tmp_path / "out"
    rows = run(trainer(BiEncoderStudent(be(tiny_be), CPU)), out, log_steps=1, save_steps=2)
    next(row for row in rows if row["step"] == 3)
    for name in ("notes.md", "README.md", "1_Pooling/config.json", "checkpoints/kept-1/x", "plots/loss.svg"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    check_folder(out, resume=True)
    list(rows)
    mine = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path.read_bytes() == b"mine"]  # fmt: skip
    assert sorted(mine) == [
        "1_Pooling/config.json.1", "README.md.1", "checkpoints/kept-1/x", "notes.md", "plots/loss.svg",
    ]  # fmt: skip
    assert not list(out.rglob("step-*"))
    assert BiEncoderStudent(be(str(out)), CPU)
    kept = f"{out / 'notes.md'}: kept, because it was added to the folder that was replaced"
    assert kept in caplog.messages


DAMAGES = {
    "step beyond the end": (lambda state: state["progress"].update(step=99), "it is of step 99, and the run"),
    "no step": (lambda state: state["progress"].update(step=-1), "its progress is"),
    "no optimiser": (lambda state: state["optimizer"].update(state={}), "its optimiser has no state"),
    "shapes": (
        lambda state: state["optimizer"]["state"][0].update(exp_avg=torch.zeros(1)),
        "its optimiser has exp_avg of another shape or type than weight 0",
    ),
    "types": (
        lambda state: state["optimizer"]["state"][0].update(exp_avg_sq=torch.zeros(1).half()),
        "its optimiser has exp_avg_sq of another shape or type than weight 0",
    ),
    "weights": (lambda state: state["optimizer"]["param_groups"].pop(), "its optimiser has other weights"),
    "steps": (
        lambda state: state["optimizer"]["state"][1].update(step=torch.tensor(3.0)),
        "its optimiser has made 3 steps",
    ),
    "nothing": (lambda state: state.clear(), "'progress'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_that_does_not_fit_is_refused(one_checkpoint, tiny_be, damage):
    change, says = DAMAGES[damage]
    place = one_checkpoint / "checkpoints" / "step-2"
    state = torch.load(place / "state.pt", weights_only=True)
    change(state)
    torch.save(state, place / "state.pt")
    card = json.loads((place / "rd-train.json").read_text())
    del card["crc32"]  # as in version 0.1.0
    (place / "rd-train.json").write_text(json.dumps(card))
    one = trainer(BiEncoderStudent(be(tiny_be), CPU))
    before = weights(one.student)
    with pytest.raises(RdError, match=f"step-2: it is damaged: {says}.*remove it, or --overwrite"):
        output_folder(one, TrainingOutput(output=one_checkpoint)).resume(one)
    assert equal(weights(one.student), before)
    assert one.progress.step == 0


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file or directory"), ("{", "Expecting property name")]
)
def test_a_checkpoint_without_its_description_is_refused(one_checkpoint, tiny_be, content, says):
    file = one_checkpoint / "checkpoints" / "step-2" / "rd-train.json"
    file.unlink() if content is None else file.write_text(content)
    one = trainer(BiEncoderStudent(be(tiny_be), CPU))
    with pytest.raises(RdError, match=f"step-2: it is damaged: .*{says}.*remove it, or --overwrite"):
        output_folder(one, TrainingOutput(output=one_checkpoint)).resume(one)


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt"])
def test_a_changed_bit_of_a_checkpoint_is_found(one_checkpoint, tiny_be, name):
    file = one_checkpoint / "checkpoints" / "step-2" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    one = trainer(BiEncoderStudent(be(tiny_be), CPU))
    with pytest.raises(RdError, match=rf"step-2: it is damaged: {name} was changed \(remove it, or --overwr"):
        output_folder(one, TrainingOutput(output=one_checkpoint)).resume(one)


@pytest.fixture
def one_checkpoint(tiny_be, tmp_path):
    rows = run(trainer(BiEncoderStudent(be(tiny_be), CPU)), tmp_path / "out", log_steps=1, save_steps=2)
    next(row for row in rows if row["step"] == 3)
    return tmp_path / "out"


def test_a_mount_point_is_refused_before_the_training(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: str(path) == str(tmp_path / "out"))
    with pytest.raises(
        RdError, match=r"out: it is a mount point, which cannot be replaced \(give a folder in it"
    ):
        check_folder(tmp_path / "out")
    check_folder(tmp_path / "out" / "be")


def test_a_model_that_cannot_take_its_place_is_not_lost(tiny_be, tmp_path, monkeypatch):
    """A folder may also be bound to its name by a mount of the same file system."""
    (tmp_path / "out").mkdir()
    rename = Path.rename

    def refuse(self, target):
        if self.name == "out":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    kept = tmp_path / f"out.{os.getpid()}"
    with pytest.raises(RdError) as error:
        list(run(trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=1), tmp_path / "out"))
    busy = os.strerror(errno.EBUSY)
    assert str(error.value) == f"{tmp_path / 'out'}: cannot be replaced: {busy} (the new one is {kept})"
    assert BiEncoderStudent(be(str(kept)), CPU)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", kept.name]


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tiny_be, tmp_path):
    (tmp_path / f".out.{os.getpid()}.part").mkdir()
    (tmp_path / f".out.{os.getpid()}.part" / "half").touch()
    list(run(trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=1), tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out" / "half").exists()


def test_the_card_names_the_losses_that_were_minimised(tiny_be, tmp_path):
    goal = objective("kl+0.5*lce", paper_compat=True, in_batch_negatives=True)
    list(run(trainer(BiEncoderStudent(be(tiny_be), CPU), loss=goal, max_steps=1), tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "by the loss `kl:rankers+0.5*infonce` (`rd-train --explain-loss kl:rankers+0.5*infonce` gives" in card
    )


def test_a_number_of_documents_that_no_group_fits_is_refused(tiny_be):
    with pytest.raises(UsageError, match=r"^--max-docs 2: the first group has [345] documents$"):
        trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=None, max_docs=2)


@pytest.mark.parametrize(
    ("limit", "steps", "groups"),
    [({"epochs": 2}, 4, 12), ({"max_steps": 3}, 3, 9), ({"max_docs": 20}, 2, None), ({"max_docs": 5}, 1, 1)],
)
def test_how_long_a_run_is(tiny_be, limit, steps, groups):
    one = trainer(BiEncoderStudent(be(tiny_be), CPU), **{"max_steps": None, **limit})
    assert one.steps == steps
    if groups is not None:
        assert one.total_groups == groups
    else:
        assert (
            sum(len(group.documents) for group in one.groups.slice(0, one.total_groups)) <= limit["max_docs"]
        )
    rows = list(one.run())
    assert [row["step"] for row in rows] == list(range(1, steps + 1))
    seen = one.groups.slice(0, one.total_groups)
    assert rows[-1]["docs"] == sum(len(group.documents) for group in seen)


def test_schedule():
    assert [schedule(step, 6, 2 / 6) for step in range(6)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 3 / 4, 2 / 4, 1 / 4]
    )
    assert [schedule(step, 4, 0.0) for step in range(4)] == [1, 3 / 4, 2 / 4, 1 / 4]
    assert [schedule(step, 3, 1.0) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert schedule(0, 1, 0.1) > 0


@pytest.mark.parametrize("layers", ["2", "0,2", "1,3"])
def test_layers_are_those_of_the_model(make, tmp_path, layers):
    whole, cut = make(), make(layers=layers)
    kept = [0, 1] if layers == "2" else [int(x) for x in layers.split(",")]
    before, after = weights(whole), weights(cut)
    names = [name for name in after if "layer.0." in name]
    assert names
    for place, layer in enumerate(kept):
        for name in names:
            assert torch.equal(
                after[name.replace("layer.0.", f"layer.{place}.")],
                before[name.replace("layer.0.", f"layer.{layer}.")],
            )
    assert not [name for name in after if "layer.2." in name]
    cut.save(tmp_path / "cut")
    kind = {BiEncoderStudent: be, CrossEncoderStudent: ce}[type(cut)]
    again = type(cut)(kind(tmp_path / "cut"), CPU)
    groups = trainer(cut).groups.slice(0, 3)
    torch.testing.assert_close(score(again, groups), score(cut, groups), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("5", "--layers 5: give N from 1 to 4, or numbers from 0 to 3 separated by commas"),
        ("0,4", "--layers 0,4: give N from 1 to 4, or numbers from 0 to 3 separated by commas"),
        ("0", "--layers 0: give N from 1 to 4, or numbers from 0 to 3 separated by commas"),
        ("two", "--layers two: give a number, or numbers separated by commas"),
    ],
)
def test_layers_that_do_not_exist(make, layers, message):
    with pytest.raises(UsageError) as error:
        make(layers=layers)
    assert str(error.value) == message


def test_lengths_cut_the_query_and_then_the_document(tiny_ce, tiny_be):
    query, document = " ".join(["flow"] * 20), " ".join(["jet"] * 70)
    docs = [{"doc_id": "a", "text": document, "score": 1.0}, {"doc_id": "b", "text": "wing", "score": 0.0}]
    data: list[Any] = [{"query_id": "1", "query": query, "score_scale": "logit", "docs": docs}]
    groups = Groups(data, objective("kl")).slice(0, 1)
    cross = CrossEncoderStudent(ce(tiny_ce, query_max_len=5, doc_max_len=12), CPU)
    ids: Any = cross.tokenizer.convert_tokens_to_ids(["flow", "jet"])
    flow, jet = ids
    longest = max(cross.batch(groups).features["input_ids"], key=len)
    assert (longest.count(flow), longest.count(jet)) == (5, 12)
    unlimited = CrossEncoderStudent(ce(tiny_ce), CPU)
    longest = max(unlimited.batch(groups).features["input_ids"], key=len)
    assert (longest.count(flow), longest.count(jet), len(longest)) == (20, 41, 64)
    short = [replace(groups[0], query="flow")]
    longest = max(cross.batch(short).features["input_ids"], key=len)
    assert (longest.count(flow), longest.count(jet)) == (1, 16)  # the query leaves its room to the document
    for flag, limit in (("--query-max-len", {"query_max_len": 2}), ("--doc-max-len", {"doc_max_len": 1})):
        with pytest.raises(
            UsageError, match=f"^{flag} must be at least 3, not [12]: this model adds 2 special tokens"
        ):
            BiEncoderStudent(be(tiny_be, **limit), CPU)
    bi = BiEncoderStudent(be(tiny_be, query_max_len=5, doc_max_len=12), CPU)
    assert sorted(map(len, bi.batch(groups).features["input_ids"])) == [3, 5, 12]  # two are special


def test_equal_texts_are_encoded_once(tiny_be):
    data = records(2)
    data[1]["docs"] = data[0]["docs"]
    groups = Groups(data, objective("kl")).slice(0, 2)
    batch = BiEncoderStudent(be(tiny_be), CPU).batch(groups)
    assert len(batch.lengths) == 2 + 5


def test_in_batch_negatives_are_the_documents_of_the_other_queries(tiny_be):
    student = BiEncoderStudent(be(tiny_be), CPU)
    one = trainer(student, loss="infonce")
    student.module.eval()
    groups = one.groups.slice(0, 3)
    texts = [document.text for group in groups for document in group.documents]
    queries, documents = (
        torch.nn.functional.normalize(student.model.encode(some, convert_to_tensor=True), dim=-1)
        for some in ([group.query for group in groups], texts)
    )
    scores = 20 * queries @ documents.T
    firsts = [texts.index(group.documents[0].text) for group in groups]
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor(firsts))
    assert one.gather([add_in_batch_negatives(groups)])[0] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_float32_weights(make, dtype):
    student = make()
    rows = list(trainer(student, dtype=dtype, max_steps=2, no_dropout=True).run())
    exact = list(trainer(make(), max_steps=2, no_dropout=True).run())
    assert rows[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.05)
    assert rows[0]["loss"] != exact[0]["loss"]
    assert {parameter.dtype for parameter in student.module.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_half_precision_on_a_cpu_computes_attention_with_matrix_products(make, dtype):
    student = make()
    transformer, *_ = (part for part in student.module.modules() if hasattr(part, "base_model_prefix"))
    can_choose = transformer._can_set_attn_implementation()
    trainer(student, dtype=dtype)
    expected = "eager" if can_choose and dtype == "bfloat16" else "sdpa"
    assert transformer.config._attn_implementation == expected


def test_a_loss_that_is_not_finite_ends_the_run(tiny_be):
    student = BiEncoderStudent(be(tiny_be), CPU)
    one = trainer(student, max_steps=3)
    before = weights(student)
    one.objective = objective("kl").with_options("kl", student_temperature=float("nan"))
    with pytest.raises(RdError, match=r"^step 1: the loss is nan \(lower --lr\)$"):
        list(one.run())
    assert equal(weights(student), before)


def test_a_collapsed_student_is_warned_about_once(make, caplog):
    """All weights of a bi-encoder's embeddings or of a cross-encoder's head 0: every text is as any other."""
    student = make()
    for name, parameter in student.module.named_parameters():
        if "embeddings" in name or "classifier" in name:
            parameter.data.zero_()
    list(trainer(student, max_steps=45, batch_size=1, lr=0.0, no_dropout=True).run())
    assert caplog.messages == [
        "the student has collapsed: for 20 steps, all documents of a query have had the same score "
        "(a lower --lr, more --warmup, another --loss or --seed may help)"
    ]


def test_a_student_that_tells_documents_apart_is_not_warned_about(make, caplog):
    list(trainer(make(), max_steps=25, batch_size=1).run())
    assert not caplog.messages


def test_losses_of_a_sum_are_logged_and_count_their_own_groups(make):
    """Half of the groups have no positive: the weighted means are those of each half by itself."""
    data = records(6)
    for record in data[:3]:
        record["docs"][0]["relevance"] = 0
    one = trainer(make(), data, loss="kl+0.2*lce", epochs=1, max_steps=None, batch_size=4, accumulate=2)
    one.student.module.eval()
    groups = one.groups.slice(0, 6)
    judged = [group for group in groups if any(document.positive for document in group.documents)]
    assert len(judged) == 3
    expected = [
        objective(name)(score(one.student, some), labels(some)).item()
        for name, some in (("kl", groups), ("lce", judged))
    ]
    row = one.step()
    assert row["parts"] == {
        "kl": pytest.approx(expected[0], rel=1e-4),
        "lce": pytest.approx(expected[1], rel=1e-4),
    }
    assert row["loss"] == pytest.approx(expected[0] + 0.2 * expected[1], rel=1e-4)


class Alone(Processes):
    """One of two processes that nobody adds up with."""

    world_size = 2

    def __init__(self, rank):
        super().__init__()
        self.rank = rank

    def all_reduce(self, tensors):
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)


@pytest.mark.parametrize(("loss", "accumulate"), [("kl+0.2*lce", 1), ("ranknet", 2)])
def test_the_gradients_of_two_processes_add_up_to_that_of_one(tiny_be, loss, accumulate):
    data = records(5)
    data[0]["docs"][0]["relevance"] = 0  # a group that lce cannot use
    found = []
    for processes in (Processes(), Alone(0), Alone(1)):
        student = BiEncoderStudent(be(tiny_be), CPU)
        student.module.double()  # so that the order of additions cannot matter
        one = trainer(
            student,
            data + records(1, seed=1),
            loss=loss,
            batch_size=3,
            accumulate=accumulate,
            processes=processes,
        )
        student.module.eval()
        result = one.gather(one._batches())
        found.append((torch.tensor(result), one.progress.tokens, gradients(student)))
    (value, tokens, gradient), *halves = found
    torch.testing.assert_close(sum(half[0] for half in halves), value)
    # A text that stands in both halves is encoded twice.
    assert sum(half[1] for half in halves) >= tokens
    for name in gradient:
        torch.testing.assert_close(
            sum(half[2][name] for half in halves), gradient[name], atol=1e-6, rtol=1e-4
        )


def test_a_process_without_groups_adds_zeros(tiny_be):
    student = BiEncoderStudent(be(tiny_be), CPU)
    one = trainer(student, batch_size=1, processes=Alone(1))
    one._trained = list(student.module.parameters())
    assert one.gather(one._batches()) == [0.0, 0.0]
    assert all(not gradient.any() for gradient in gradients(student).values())
    assert len(gradients(student)) == len(list(student.module.parameters()))


def test_the_papers_cross_encoder_is_trained_on_its_log_probability(tiny_ce):
    """log softmax of class 1 of two logits is log σ of their difference."""
    groups = trainer(CrossEncoderStudent(ce(tiny_ce), CPU)).groups.slice(0, 2)
    logits = score(CrossEncoderStudent(ce(tiny_ce), CPU), groups)
    papers = score(CrossEncoderStudent(ce(tiny_ce, log_probability=True), CPU), groups)
    two = torch.stack([torch.zeros_like(logits), logits], -1).log_softmax(-1)[..., 1]
    torch.testing.assert_close(papers, two)


def test_unfit_models_are_one_line(tiny_be, tiny_ce, tmp_path):
    with pytest.raises(UsageError, match=r"^--similarity and --scale are for bi-encoders"):
        ce(tiny_ce, scale=2.0)
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(tiny_ce)
    config.num_labels = 2
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    CrossEncoderStudent(ce(tiny_ce), CPU).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(RdError, match=rf"^model {tmp_path}: its head has more than one label"):
        CrossEncoderStudent(ce(str(tmp_path)), CPU)


def test_a_new_head_depends_on_the_seed(tiny_be):
    folder = str(Path(tiny_be).parent / "plain")
    heads = [
        CrossEncoderStudent(ce(folder, seed=seed), CPU).model.model.classifier.weight for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


class Elsewhere(Processes):
    """A process that is told of a checkpoint that it does not see."""

    rank = 3

    def from_main(self, make):
        return Path("out/checkpoints/step-2")


def test_a_checkpoint_that_a_machine_does_not_see_is_named(tiny_be, tmp_path):
    one = trainer(BiEncoderStudent(be(tiny_be, layers="1"), CPU), processes=Elsewhere())
    with pytest.raises(RdError) as error:
        output_folder(one, tmp_path / "out").resume(one)
    assert str(error.value) == (
        "out/checkpoints/step-2: process 3 does not see it (give a folder that all machines share)"
    )
