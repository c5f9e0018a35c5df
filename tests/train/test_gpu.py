"""A GPU gives what the CPU gives: `python -m pytest -m gpu` where CUDA is."""

from __future__ import annotations

import json
import random

import pytest
import torch
from safetensors.torch import load_file
from settings import opened, teacher_resources
from test_trainer import gradients, records

from rdtools.label.teachers import TextPair
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import load_bi_encoder, pick_device
from rdtools.models.options import ModelOptions
from rdtools.train import gradient_cache
from rdtools.train.cross_encoder_student import CrossEncoderStudent
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import objective
from rdtools.train.options import StudentOptions, TrainingOptions
from rdtools.train.run import peak_memory_mb
from rdtools.train.students import BiEncoderStudent
from rdtools.train.torchrun import Processes
from rdtools.train.trainer import Trainer

GPU = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
DATA = records(8)
PAIRS = [
    TextPair(one["query_id"], doc["doc_id"], one["query"], doc["text"]) for one in DATA for doc in one["docs"]
]
SHARES = {"float32": 1e-4, "bfloat16": 0.2, "float16": 0.05}
"""dtype -> how far scores may be from those of the CPU in float32, as a share of their spread."""


@pytest.fixture
def tiny(tiny_be, tiny_ce):
    return {"be": tiny_be, "ce": tiny_ce}


def student(tiny, kind, device):
    make = {"be": BiEncoderStudent, "ce": CrossEncoderStudent}[kind]
    return make(StudentOptions(student=f"{kind}:{tiny[kind]}"), ModelOptions(device=device))


def trainer(one, loss="kl+0.2*lce", data=DATA, **options):
    goal = objective(loss)
    settings = {"max_steps": 6, "batch_size": 4, "lr": 1e-3, "no_dropout": True, **options}
    return Trainer(one, Groups(data, goal), goal, TrainingOptions(**settings), Processes(one.device))


def near(found, expected, share):
    found, expected = (torch.as_tensor(one, dtype=torch.float32) for one in (found, expected))
    torch.testing.assert_close(found, expected, atol=1e-5 + share * float(expected.std()), rtol=0.0)


def test_the_gpu_is_the_device_unless_another_is_named():
    assert pick_device(None).type == GPU
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("dtype", SHARES)
@pytest.mark.parametrize("kind", ["be", "ce"])
def test_a_teacher_scores_as_on_the_cpu(tiny, kind, dtype):
    found = {}
    for device, precision in (("cpu", "float32"), (GPU, dtype)):
        setting = teacher_resources(device=device, dtype=precision, batch_tokens=300)
        teacher = opened(f"{kind}:{tiny[kind]}", setting)
        scores = torch.full((len(PAIRS),), torch.nan)
        for places, some in teacher.score(PAIRS):
            scores[list(places)] = torch.tensor(list(some), dtype=torch.float32)
        found[device] = scores
    near(found[GPU], found["cpu"], SHARES[dtype])
    assert len(set(found[GPU].tolist())) > 0.9 * len(PAIRS)  # logits in half precision would tie


def test_embeddings_are_those_of_the_cpu_and_a_query_has_the_same_alone(tiny_be):
    texts = [pair.text for pair in PAIRS]
    here, there = (
        BiEncoder(load_bi_encoder(tiny_be, ModelOptions(device=device)), 400) for device in ("cpu", GPU)
    )
    near(there.encode_documents(texts), here.encode_documents(texts), 1e-4)
    together = there.encode_queries(texts)
    assert all(
        (there.encode_queries([text])[0] == row).all() for text, row in zip(texts, together, strict=True)
    )


@pytest.mark.parametrize("kind", ["be", "ce"])
def test_training_has_the_losses_of_the_cpu(tiny, kind):
    rows = [list(trainer(student(tiny, kind, device)).run()) for device in ("cpu", GPU)]
    for one, other in zip(*rows, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-3)
        assert (other["docs"], other["lr"]) == (one["docs"], one["lr"])


def test_embeddings_of_another_dimension_are_projected_as_on_the_cpu(tiny):
    draw = random.Random(0)
    data = [
        {**one, "query_embedding": [draw.gauss(0, 1) for _ in range(48)],
         "docs": [{**doc, "embedding": [draw.gauss(0, 1) for _ in range(48)]} for doc in one["docs"]]}
        for one in DATA
    ]  # fmt: skip
    found = []
    for device in ("cpu", GPU):
        one = trainer(student(tiny, "be", device), "kl+embedding", data)
        one.fit_projection()
        assert one.projection is not None
        figures = {"kept": one.projection.kept, "cosine": one.projection.cosine}
        found.append({**one.step()["parts"], **figures})
    assert found[1] == pytest.approx(found[0], rel=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["be", "ce"])
def test_half_precision_trains_float32_weights(tiny, kind, dtype):
    exact = list(trainer(student(tiny, kind, GPU)).run())
    one = trainer(student(tiny, kind, GPU), dtype=dtype)
    half = list(one.run())
    assert half[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.05)
    assert half[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.1)
    assert {parameter.dtype for parameter in one.student.module.parameters()} == {torch.float32}
    assert one.scaler.is_enabled() == (dtype == "float16")


@pytest.mark.parametrize("kind", ["be", "ce"])
def test_gradient_caching_draws_the_same_dropout_twice(tiny, kind, monkeypatch):
    """The generator of the GPU too: both passes of the cached step, and what is drawn after it."""
    monkeypatch.setattr(
        gradient_cache, "token_batches", lambda lengths, budget: gradient_cache.chunks(lengths, 4)
    )
    found = []
    for size in (None, 4):
        one = trainer(student(tiny, kind, GPU), mini_batch_size=size)
        one.student.module.train()
        torch.manual_seed(3)
        value = one.gather([one.groups.slice(0, 6)])[0]
        found.append((value, gradients(one.student), torch.rand(1, device=GPU).item()))
    (plain_loss, plain, plain_next), (cached_loss, cached, cached_next) = found
    assert cached_loss == pytest.approx(plain_loss, rel=1e-5)
    assert cached_next == plain_next
    for name, gradient in plain.items():
        torch.testing.assert_close(cached[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_a_checkpoint_of_the_gpu_goes_on_there_and_on_the_cpu(tiny, tmp_path):
    """No bits are promised on a GPU: the losses after a checkpoint are those without one, nearly."""
    whole = [row["loss"] for row in trainer(student(tiny, "be", GPU)).run()]
    first = trainer(student(tiny, "be", GPU))
    for _ in range(3):
        first.step()
    first.save_checkpoint(tmp_path)
    for device in (GPU, "cpu"):
        second = trainer(student(tiny, "be", device))
        second.load_checkpoint(tmp_path)
        assert [row["loss"] for row in second.run()] == pytest.approx(whole[3:], rel=1e-3)


def test_the_memory_that_is_reported_is_the_gpus():
    before = peak_memory_mb(torch.device(GPU))
    held = torch.ones(int(before + 32) * 2**18, device=GPU)  # 4 bytes each: 32 MiB more than ever before
    assert peak_memory_mb(held.device) >= before + 31


def test_the_commands_use_it(run, tiny, tmp_path):
    """Without --device: labels and a student, in half precision, that the CPU opens."""
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in DATA))
    run(
        "rd-label",
        "in.jsonl",
        "--teacher",
        f"ce:{tiny['ce']}",
        "--dtype",
        "bf16",
        "-o",
        "labelled.jsonl",
        check=True,
    )
    done = run(
        "rd-train", "labelled.jsonl", "--student", f"be:{tiny['be']}", "--loss", "kl", "--dtype", "bf16",
        "--mini-batch-size", 8, "--max-steps", 5, "--lr", 1e-3, "-o", "out", check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1])["steps"] == 5
    assert all(
        tensor.isfinite().all() for tensor in load_file(tmp_path / "out" / "model.safetensors").values()
    )
    again = run("rd-label", "in.jsonl", "--teacher", "be:out", "--device", "cpu", check=True)
    assert len(again.stdout.splitlines()) == len(DATA)
