"""One optimiser step: each option of the training moves the weights as it says."""

from __future__ import annotations

import math

import pytest
import torch
from test_trainer import CPU, Alone, be, gradients, trainer, weights

from rdtools.train import students
from rdtools.train.students import BiEncoderStudent
from rdtools.train.targets import unequal
from rdtools.train.torchrun import Processes

pytestmark = pytest.mark.usefixtures("one_thread")


def step(model, **options):
    """Make one step; return the trainer, its row, and the weights after it."""
    one = trainer(BiEncoderStudent(be(model), CPU), **{"max_steps": 1, "no_dropout": True, **options})
    (row,) = one.run()
    return one, row, weights(one.student)


def test_weight_decay_takes_its_share_of_each_weight(tiny_be):
    """AdamW is decoupled: w − lr·(decay·w + update); all that differs between two runs is lr·decay·w."""
    before = weights(BiEncoderStudent(be(tiny_be), CPU))
    _, row, plain = step(tiny_be)
    _, _, decayed = step(tiny_be, weight_decay=0.5)
    assert row["lr"] == 5e-4  # half of 1e-3: the only step of a run is part of the warm-up
    trained = {name for name, tensor in plain.items() if not torch.equal(tensor, before[name])}
    assert trained
    for name in trained:
        expected = row["lr"] * 0.5 * before[name]
        torch.testing.assert_close(plain[name] - decayed[name], expected, atol=1e-7, rtol=1e-3)


def test_dropout_is_drawn_by_seed_unless_there_is_none(tiny_be):
    losses = {
        no_dropout: [step(tiny_be, seed=seed, no_dropout=no_dropout)[1]["loss"] for seed in (3, 4)]
        for no_dropout in (False, True)
    }
    assert losses[False][0] != losses[False][1]
    assert losses[True][0] == losses[True][1]
    assert losses[True][0] not in losses[False]


def norms(model, dtype, limit):
    """Return the norm of the gradient that the optimiser of each step sees."""
    one = trainer(
        BiEncoderStudent(be(model), CPU),
        max_steps=2,
        no_dropout=True,
        lr=0.0,
        dtype=dtype,
        max_grad_norm=limit,
    )
    seen = []

    def look(optimizer, *_):
        parameters = (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
        # float16: the fused optimiser divides by the scale of the loss itself, unless that was done before
        scale = getattr(optimizer, "grad_scale", None)
        seen.append(math.sqrt(sum(p.grad.square().sum().item() for p in parameters)) / float(scale or 1))

    one.optimizer.register_step_pre_hook(look)
    list(one.run())
    return seen


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradients_are_clipped_to_their_norm(tiny_be, dtype):
    free = norms(tiny_be, dtype, 1e9)
    assert min(free) > 0.02
    assert norms(tiny_be, dtype, 0.01) == pytest.approx([0.01, 0.01], rel=1e-3)
    between = sum(free) / 2
    assert norms(tiny_be, dtype, between) == pytest.approx([min(one, between) for one in free], rel=1e-3)


class Ranked(Processes):
    def __init__(self, rank):
        super().__init__()
        self.rank, self.world_size = rank, 2

    def all_reduce(self, tensors):
        pass


def test_each_process_draws_its_own_dropout_in_each_step(tiny_be):
    seeds = []
    for rank in (0, 1, 0):
        one = trainer(BiEncoderStudent(be(tiny_be), CPU), processes=Ranked(rank), lr=0.0)
        for _ in range(2):
            one.step()
            seeds.append(torch.initial_seed())  # that of the last manual_seed
    assert len(set(seeds)) == 4
    assert seeds[:2] == seeds[4:]


class Keeps(Alone):
    """The first of two processes: what it gives the other one is kept."""

    def all_reduce(self, tensors):
        self.given = [tensor.clone() for tensor in tensors]


class Adds(Alone):
    """The second of two processes: it gets what the first one has given."""

    def __init__(self, rank, first):
        super().__init__(rank)
        self.first = first

    def all_reduce(self, tensors):
        if tensors[0].dtype == torch.int32:  # the parameters that have gradients, the same in both
            return
        for tensor, other in zip(tensors, self.first.given, strict=True):
            tensor += other


def test_a_process_steps_by_the_sum_of_all_gradients(tiny_be, monkeypatch):
    monkeypatch.setattr(students, "embeddings", lambda model, given: model(given)["sentence_embedding"])
    found = []
    first = Keeps(0)
    for processes in (Processes(), first, Adds(1, first)):
        student = BiEncoderStudent(be(tiny_be), CPU)
        student.module.double()  # so that the order of additions cannot matter, nor the size of a product
        one = trainer(student, batch_size=4, processes=processes)
        student.module.eval()
        found.append((one.gather(one._batches()), gradients(student)))
    (loss, whole), _, (same_loss, added) = found
    assert same_loss == pytest.approx(loss, rel=1e-6)
    assert added.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(added[name], gradient, atol=1e-9, rtol=1e-5)


def test_groups_with_two_different_scores_are_counted():
    nan = math.nan
    scores = torch.tensor(
        [[1.0, 2.0, nan], [3.0, 3.0, 3.0], [3.0, 3.0001, 5.0], [2.0, nan, nan], [0.0, 0.0, 1e-9]]
    )
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)
    # Different; equal; equal but for rounding, with another score where there is no document; alone; nearly 0.
    each = [unequal(scores[row : row + 1], mask[row : row + 1]).item() for row in range(5)]
    assert each == [1, 0, 0, 1, 0]
    assert unequal(scores, mask).item() == 2
    assert unequal(-scores, mask).item() == 2
