"""Groups + student + loss -> a trained student: the loop, and what it says on the way."""

from __future__ import annotations

import hashlib
import math
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import bar, log, plural
from rdtools.train.checkpoints import OutputFolder
from rdtools.train.gradient_cache import GradientCache
from rdtools.train.groups import Group, Groups
from rdtools.train.in_batch import share_negatives
from rdtools.train.losses.objective import Labels, Objective
from rdtools.train.students import Batch, Student
from rdtools.train.torchrun import Processes

COLLAPSED_STEPS = 20
"""After so many steps in a row in which no group has two different scores, a warning."""


@dataclass(frozen=True)
class Settings:
    """How a student is trained. Exactly one of `epochs`, `max_steps`, `max_docs` is set."""

    epochs: int | None = 1
    max_steps: int | None = None
    max_docs: int | None = None
    batch_size: int = 8
    accumulate: int = 1
    lr: float = 1e-5
    warmup: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    dtype: str = "float32"
    dropout: bool = True
    mini_batch_size: int | None = None
    seed: int = 0
    log_steps: int = 10
    save_steps: int | None = None


@dataclass
class Progress:
    """Where a run stands; what it takes, beside weights and optimiser, to go on."""

    step: int = 0
    docs: int = 0
    tokens: int = 0


class Trainer:
    """One run: AdamW, linear warm-up and linear decay to 0, clipped gradients.

    A step is one optimiser step over `accumulate` batches of `batch_size` groups; its loss is the mean over
    the groups of all of them. Each batch has its place in the endless sequence of groups, and what dropout
    draws comes from seed and step, so that the step alone says how a run goes on. Several processes
    share the groups of each batch, or whole batches where the groups of one see each other: the sum of
    their gradients is that of one process.
    """

    def __init__(
        self,
        student: Student,
        groups: Groups,
        objective: Objective,
        settings: Settings,
        processes: Processes = Processes(),
    ) -> None:
        self.student = student
        self.groups = groups
        self.objective = objective
        self.settings = settings
        self.processes = processes
        self.progress = Progress()
        self.total_groups = self._count_groups()
        self.steps = math.ceil(self.total_groups / self._groups_per_step)
        self.optimizer = torch.optim.AdamW(
            student.module.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(student.device.type, enabled=settings.dtype == "float16")
        self._encoder = GradientCache(student, getattr(torch, settings.dtype), settings.mini_batch_size)
        self._trained: list[torch.nn.Parameter] | None = None
        self._collapsed = 0

    @property
    def _groups_per_step(self) -> int:
        return self.settings.batch_size * self.settings.accumulate

    def _count_groups(self) -> int:
        settings = self.settings
        if settings.max_steps is not None:
            return settings.max_steps * self._groups_per_step
        if settings.max_docs is not None:
            if count := self.groups.count_within(settings.max_docs):
                return count
            first = plural(len(self.groups.slice(0, 1)[0].documents), "document")
            raise UsageError(f"--max-docs {settings.max_docs}: the first group has {first}")
        assert settings.epochs is not None
        return settings.epochs * len(self.groups)

    def run(self) -> Iterator[dict[str, Any]]:
        """Train to the end, from where `progress` stands; yield after every step what can be logged of it."""
        self.student.module.train(self.settings.dropout)
        while self.progress.step < self.steps:
            yield self.step()
        self.student.module.eval()

    def step(self) -> dict[str, Any]:
        """Make one optimiser step."""
        lr = self.settings.lr * schedule(self.progress.step, self.steps, self.settings.warmup)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        torch.manual_seed(_seed_of(self.settings.seed, self.progress.step, self.processes.rank))
        batches = self._batches()
        *parts, unequal_groups = self.gather(batches)
        self.progress.step += 1
        self.progress.docs += sum(len(group.own) for batch in batches for group in batch)
        loss = sum(weight * part for weight, part in zip(self.objective.weights, parts, strict=True))
        if not math.isfinite(loss):
            advice = "lower --lr, or use --dtype float32" if self.scaler.is_enabled() else "lower --lr"
            raise RdError(f"step {self.progress.step}: the loss is {loss} ({advice})")
        self._watch(unequal_groups)
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.student.module.parameters(), self.settings.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        row: dict[str, Any] = {"step": self.progress.step, "docs": self.progress.docs, "loss": loss, "lr": lr}
        if len(parts) > 1:
            names = (part.name for part in self.objective.losses)
            row["parts"] = dict(zip(names, parts, strict=True))
        return row

    def gather(self, batches: Sequence[list[Group]]) -> list[float]:
        """Add to the gradients those of the mean loss over all groups of `batches`.

        Returns:
            The loss, or each loss of a sum, and in how many groups the student tells documents apart.
        """
        truths = [labels(batch) for batch in batches]
        counts = [sum(column) for column in zip(*map(self.objective.counts, truths), strict=True)]
        found = torch.zeros(len(counts) + 1, device=self.student.device)
        tokens = 0
        for groups, truth in self._own_share(batches, truths):
            batch = self.student.batch(groups)
            tokens += sum(batch.lengths)
            found += self._backward(batch, truth.to(self.student.device), counts)
        found = torch.cat([found, found.new_tensor([tokens])])
        self._exchange(found)
        *result, tokens = found.tolist()  # the one place in a step that waits for a GPU
        self.progress.tokens += int(tokens)
        return result

    def _batches(self) -> list[list[Group]]:
        """The groups of this step, batch by batch."""
        start = self.progress.step * self._groups_per_step
        groups = self.groups.slice(start, min(start + self._groups_per_step, self.total_groups))
        size = self.settings.batch_size
        batches = [groups[place : place + size] for place in range(0, len(groups), size)]
        return [share_negatives(batch) for batch in batches] if self.objective.in_batch else batches

    def _own_share(
        self, batches: Sequence[list[Group]], truths: Sequence[Labels]
    ) -> Iterator[tuple[list[Group], Labels]]:
        """What of the batches this process computes."""
        rank, count = self.processes.rank, self.processes.count
        if count == 1 or self.objective.in_batch:
            yield from zip(batches[rank::count], truths[rank::count], strict=True)
            return
        for batch in batches:
            if share := batch[rank::count]:
                yield share, labels(share)

    def _exchange(self, found: Tensor) -> None:
        """Add up what the processes found, and their gradients."""
        if self.processes.count == 1:
            return
        parameters = list(self.student.module.parameters())
        if self._trained is None:  # a process that had no group has no gradients, but must add its zeros
            touched = torch.tensor(
                [p.grad is not None for p in parameters], device=found.device, dtype=torch.int32
            )
            self.processes.add([touched])
            self._trained = [p for p, times in zip(parameters, touched.tolist(), strict=True) if times]
        for parameter in self._trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.processes.add(
            [found, *(parameter.grad for parameter in self._trained if parameter.grad is not None)]
        )

    def _backward(self, batch: Batch, truth: Labels, counts: Sequence[int]) -> Tensor:
        """Add the gradients of a batch; return its parts of the losses and its unequal groups."""

        def learn(encoded: Tensor) -> Tensor:
            scores = batch.scores(encoded)
            parts = self.objective.parts(scores, truth, counts)
            self.scaler.scale(self.objective.total(parts)).backward()  # type: ignore[no-untyped-call]
            return torch.stack([part.detach() for part in parts] + [unequal(scores.detach(), truth.mask)])

        return self._encoder.learn(batch, learn)

    def _watch(self, unequal_groups: float) -> None:
        """Warn once of a student that gives all documents of a query the same score."""
        if self._collapsed >= COLLAPSED_STEPS:
            return
        self._collapsed = 0 if unequal_groups else self._collapsed + 1
        if self._collapsed == COLLAPSED_STEPS:
            log.warning(
                "for %d steps the student has given all documents of a query the same score, so that it has "
                "collapsed (a lower --lr, more --warmup, another --loss or --seed may help)", COLLAPSED_STEPS,
            )  # fmt: skip

    def save_checkpoint(self, folder: Path) -> None:
        """Write weights, optimiser and progress."""
        save_model(self.student.module, str(folder / "model.safetensors"))
        state = {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": vars(self.progress),
        }
        torch.save(state, folder / "state.pt")

    def load_checkpoint(self, folder: Path) -> None:
        load_model(self.student.module, str(folder / "model.safetensors"), device=str(self.student.device))
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])


def check_shares(objective: Objective, settings: Settings, processes: Processes) -> None:
    """Refuse to have processes that would never be given a batch.

    Raises:
        UsageError: with what to do.
    """
    count = processes.count
    if objective.in_batch and settings.accumulate < count:
        raise UsageError(
            f"in-batch negatives on {count} processes need --accumulate {count} or more "
            "(a batch stays in one process)"
        )


def train_student(trainer: Trainer, target: OutputFolder) -> Iterator[dict[str, Any]]:
    """Train, save, and yield a row for each logged step and one for the whole.

    The last row has `done`, `steps`, `docs`, `tokens` (without padding), `seconds` (of training),
    `docs_per_s`, `peak_memory_mb` (of the GPU where there is one) and `output`. Of several processes
    the first one saves.
    """
    settings, leads = trainer.settings, trainer.processes.leads
    begin, docs_before = time.monotonic(), trainer.progress.docs
    with bar(trainer.steps, "training", "step") as progress:
        progress.update(trainer.progress.step)
        for row in trainer.run():
            progress.update()
            progress.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
            last = row["step"] == trainer.steps
            if row["step"] == 1 or row["step"] % settings.log_steps == 0 or last:
                yield row
            if leads and settings.save_steps and row["step"] % settings.save_steps == 0 and not last:
                target.save_checkpoint(trainer)
    seconds = time.monotonic() - begin
    result = {
        "done": True,
        "steps": trainer.progress.step,
        "docs": trainer.progress.docs,
        "tokens": trainer.progress.tokens,
        "seconds": round(seconds, 3),
        "docs_per_s": round((trainer.progress.docs - docs_before) / max(seconds, 1e-9), 2),
        "peak_memory_mb": round(peak_memory_mb(trainer.student.device), 1),
        "output": str(target.folder),
    }
    if leads:
        target.save(trainer, result)
    yield result


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the learning rate at `step` of 0 … steps − 1: a linear rise, then a linear fall.

    Neither end is 0, so that no step is lost: with 2 of 6 steps as warm-up 1/3, 2/3, 1, 3/4, 2/4, 1/4.
    """
    rise = math.ceil(warmup * steps) if warmup < 1 else steps - 1
    return (step + 1) / (rise + 1) if step < rise else (steps - step) / (steps - rise)


def labels(groups: Sequence[Group]) -> Labels:
    """Return what the groups are to be learned from, (B, G) on the CPU."""
    width = max(len(group.documents) for group in groups)
    teacher = torch.full((len(groups), width), math.nan)
    positive, mask, own = torch.zeros(3, len(groups), width, dtype=torch.bool)
    for row, group in enumerate(groups):
        n = len(group.documents)
        scores = [math.nan if document.score is None else document.score for document in group.documents]
        teacher[row, :n] = torch.tensor(scores)
        positive[row, :n] = torch.tensor([document.positive for document in group.documents])
        mask[row, :n] = True
        own[row, : len(group.own)] = True
    return Labels(teacher, positive, mask, own)


def unequal(scores: Tensor, mask: Tensor) -> Tensor:
    """Count the groups of (B, G) scores that have two different ones, beyond rounding, or one document."""
    highest = scores.masked_fill(~mask, -math.inf).amax(-1)
    lowest = scores.masked_fill(~mask, math.inf).amin(-1)
    apart = highest - lowest > 1e-4 * highest.abs().clamp(min=1e-4)
    return (apart | (mask.sum(-1) < 2)).sum().to(scores.dtype)


def peak_memory_mb(device: torch.device) -> float:
    """Highest use so far: of the GPU's memory, or of this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _seed_of(seed: int, step: int, rank: int) -> int:
    """The seed of what is random in a step: dropout, apart in each process."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\t{step}\t{rank}".encode(), digest_size=4).digest(), "big")
