"""Groups + student + objective -> a trained student: the training loop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_model
from torch import Tensor

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log, plural
from rdtools.models.attention import use_matrix_products
from rdtools.models.options import DTYPES
from rdtools.train.checkpoint_state import check_state
from rdtools.train.defaults import with_defaults
from rdtools.train.flops import Flops, sparsity_row
from rdtools.train.gradient_cache import GradientCache
from rdtools.train.groups import Group, Groups
from rdtools.train.history import History
from rdtools.train.in_batch import add_in_batch_negatives
from rdtools.train.losses.objective import Labels, Objective
from rdtools.train.optimizer import parameter_groups, schedule, seed_of
from rdtools.train.options import TrainingOptions
from rdtools.train.projection import Projection, fit_projection
from rdtools.train.students import Batch, BiEncoderStudent, Student
from rdtools.train.targets import labels, unequal
from rdtools.train.torchrun import Processes
from rdtools.train.weights import ShardedWeights, Weights

COLLAPSED_STEPS = 20
"""After this many steps in a row without a group that has two different scores, a warning."""


@dataclass
class Progress:
    """The progress of a run: with weights and optimiser, all that a checkpoint needs."""

    step: int = 0
    docs: int = 0
    tokens: int = 0


class Trainer:
    """One run: AdamW, linear warm-up and linear decay to 0, clipped gradients.

    A step is one optimiser step over `accumulate` batches of `batch_size` groups; its loss is the mean over
    all of their groups. The number of a step decides its groups (by their place in the endless sequence) and
    its dropout (with the seed), so a run can be resumed at any step. Several processes share the groups of
    each batch, and their gradients add up to those of one process. Where in-batch negatives or `flops`
    connect the groups, and with `fsdp`, they share the inputs of the batch instead, and exchange encodings.
    """

    def __init__(
        self,
        student: Student,
        groups: Groups,
        objective: Objective,
        options: TrainingOptions = TrainingOptions(),
        processes: Processes = Processes(),
        flops: Flops | None = None,
        fsdp: bool = False,
    ) -> None:
        self.student = student
        self.groups = groups
        self.objective, self._of_scores = objective, objective.of_scores
        self.options = options = with_defaults(options, student, len(groups))
        self.processes = processes
        self.flops = flops
        self.progress = Progress()
        self.history = History()
        self.projection: Projection | None = None
        self.total_groups = self._count_groups()
        self.steps = math.ceil(self.total_groups / self.options.groups_per_step)
        dtype = DTYPES[options.dtype]
        if student.device.type == "cpu" and dtype != "float32":
            use_matrix_products(student.module)
        self.weights = (ShardedWeights if fsdp else Weights)(student, processes)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(student), lr=self.lr, weight_decay=options.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(student.device.type, enabled=dtype == "float16")
        factor = processes.world_size if fsdp else 1  # shards of gradients are means over the processes
        self._cache = GradientCache(
            student, getattr(torch, dtype), options.mini_batch_size, processes, factor
        )
        self._connects_groups = objective.in_batch or flops is not None
        self._shares_inputs = processes.world_size > 1 and (self._connects_groups or fsdp)
        self._trained: list[torch.nn.Parameter] | None = None
        self._collapsed = 0

    @property
    def lr(self) -> float:
        """The peak learning rate."""
        assert self.options.lr is not None
        return self.options.lr

    def _count_groups(self) -> int:
        options = self.options
        if options.max_steps is not None:
            return options.max_steps * self.options.groups_per_step
        if options.max_docs is not None:
            if count := self.groups.count_within(options.max_docs):
                return count
            first = plural(len(self.groups.slice(0, 1)[0].documents), "document")
            raise UsageError(f"--max-docs {options.max_docs}: the first group has {first}")
        assert options.epochs is not None
        return options.epochs * len(self.groups)

    def fit_projection(self) -> None:
        """Fit a projection of the teacher's embeddings, where there are any, to the untrained student."""
        if not self.groups.dimension or not isinstance(self.student, BiEncoderStudent):
            return
        self._project(self.weights.from_main(partial(fit_projection, self.groups, self.student)))

    def _project(self, projection: Projection | None) -> None:
        self.projection = projection
        matrix = None if projection is None else projection.matrix.to(self.student.device)
        self.objective = self.objective.with_options("embedding", projection=matrix)

    def run(self) -> Iterator[dict[str, Any]]:
        """Train from `progress` to the end; yield a row of figures after each step."""
        self.student.module.train(not self.options.no_dropout)
        while self.progress.step < self.steps:
            yield self.step()
        self.student.module.eval()

    def step(self) -> dict[str, Any]:
        """Make one optimiser step; return its figures."""
        lr = self.lr * schedule(self.progress.step, self.steps, self.options.warmup)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr * parameters.get("rate", 1.0)
        torch.manual_seed(seed_of(self.options.seed, self.progress.step, self.processes.rank))
        batches = self._batches()
        found = self.gather(batches)
        losses = len(self.objective.losses)
        parts, (unequal_groups, *sparsity) = found[:losses], found[losses:]
        self.progress.step += 1
        self.progress.docs += sum(len(group.own) for batch in batches for group in batch)
        loss = sum(weight * part for weight, part in zip(self.objective.weights, parts, strict=True))
        if not math.isfinite(loss + sum(sparsity)):
            advice = "lower --lr, or use --dtype float32" if self.scaler.is_enabled() else "lower --lr"
            raise RdError(f"step {self.progress.step}: the loss is {loss} ({advice})")
        self._watch(unequal_groups)
        if self._of_scores.losses and self.history.counts(self.progress.step, self.steps):
            self.history.add(self.progress.step, self.steps, *self._to_compare(batches, parts))
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.student.module.parameters(), self.options.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.student.limit_scale()
        self.optimizer.zero_grad()
        row: dict[str, Any] = {"step": self.progress.step, "docs": self.progress.docs, "loss": loss, "lr": lr}
        if len(parts) > 1:
            names = (part.name for part in self.objective.losses)
            row["parts"] = dict(zip(names, parts, strict=True))
        return {**row, **(sparsity_row(sparsity) if sparsity else {})}

    def gather(self, batches: Sequence[list[Group]]) -> list[float]:
        """Add the gradients of the mean loss over all groups of `batches`.

        Returns:
            The loss, or each loss of a sum; the number of groups with two different student scores; the
            figures of `flops`, if it is on.
        """
        truths = [self._labels(batch) for batch in batches]
        counts = [sum(column) for column in zip(*map(self.objective.counts, truths), strict=True)]
        size = len(counts) + 1 + (0 if self.flops is None else 4)
        found = torch.zeros(size, device=self.student.device)
        tokens, all_groups = 0, sum(map(len, batches))
        for groups, batch, truth in self._own_share(batches, truths):
            if not self._shares_inputs or self.processes.is_main:
                tokens += sum(batch.lengths)
            share = len(groups) / all_groups
            found += self._backward(batch, truth.to(self.student.device), counts, share)
        found = torch.cat([found, found.new_tensor([tokens])])
        self._exchange(found)
        *result, tokens = found.tolist()  # the only wait for a GPU in a step
        self.progress.tokens += int(tokens)
        return result

    def _to_compare(self, batches: Sequence[list[Group]], parts: Sequence[float]) -> tuple[float, float]:
        """Return the loss of a step, and that of a student that gives all documents the same score, 0.

        Without the losses that compare embeddings.
        """
        goal = self._of_scores
        truths = [labels(batch) for batch in batches]
        counts = [sum(column) for column in zip(*map(goal.counts, truths), strict=True)]
        equal = [goal.total(goal.parts(torch.zeros(truth.mask.shape), truth, counts)) for truth in truths]
        named = zip(self.objective.losses, self.objective.weights, parts, strict=True)
        loss = sum(weight * part for loss, weight, part in named if not loss.needs_embeddings)
        return loss, float(sum(equal))

    def _batches(self, step: int | None = None) -> list[list[Group]]:
        """Return the groups of a step, by default the next one, batch by batch."""
        start = (self.progress.step if step is None else step) * self.options.groups_per_step
        groups = self.groups.slice(start, min(start + self.options.groups_per_step, self.total_groups))
        size = self.options.batch_size
        batches = [groups[place : place + size] for place in range(0, len(groups), size)]
        return [add_in_batch_negatives(batch) for batch in batches] if self.objective.in_batch else batches

    def _own_share(
        self, batches: Sequence[list[Group]], truths: Sequence[Labels]
    ) -> Iterator[tuple[list[Group], Batch, Labels]]:
        """Yield the batches, or parts of them, that this process encodes, and the targets of its groups."""
        rank, count = self.processes.rank, self.processes.world_size
        for groups, truth in zip(batches, truths, strict=True):
            if self._shares_inputs:
                yield groups, self.student.batch(groups), truth.rows(slice(rank, None, count))
            elif own := groups[rank::count]:
                for part, batch in self._parts(own):
                    yield part, batch, self._labels(part)

    def _labels(self, groups: Sequence[Group]) -> Labels:
        return labels(groups, self.groups.dimension)

    def _parts(self, groups: list[Group]) -> Iterator[tuple[list[Group], Batch]]:
        """Split a batch of independent groups into parts of about `most_tokens`, or of one group.

        The graphs of a part are freed before the next one is encoded: long documents need little more memory.
        """
        batch = self.student.batch(groups)
        tokens = sum(batch.lengths)
        if self._connects_groups or len(groups) == 1 or tokens <= self._cache.most_tokens:
            yield groups, batch
            return
        size = max(1, int(len(groups) * self._cache.most_tokens / tokens))
        for start in range(0, len(groups), size):
            part = groups[start : start + size]
            yield part, self.student.batch(part)

    def _exchange(self, found: Tensor) -> None:
        """Add up the figures of the processes, and their gradients."""
        if self.processes.world_size == 1:
            return
        parameters = [] if self.weights.sharded else list(self.student.module.parameters())
        if self._trained is None:  # a process without a group has no gradients, but must add zeros
            touched = torch.tensor(
                [p.grad is not None for p in parameters], device=found.device, dtype=torch.int32
            )
            self.processes.all_reduce([touched])
            self._trained = [p for p, times in zip(parameters, touched.tolist(), strict=True) if times]
        for parameter in self._trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.processes.all_reduce(
            [found, *(parameter.grad for parameter in self._trained if parameter.grad is not None)]
        )

    def _backward(self, batch: Batch, truth: Labels, counts: Sequence[int], share: float) -> Tensor:
        """Add the gradients of a batch; return its parts of what `gather` returns.

        `share` is that of its groups in all groups of the step.
        """

        rank, count = (self.processes.rank, self.processes.world_size) if self._shares_inputs else (0, 1)

        def learn(encoded: Tensor) -> Tensor:
            scores, vectors = batch.scores(encoded)[rank::count], None
            if truth.vectors is not None and batch.vectors is not None:
                vectors = batch.vectors(encoded, truth.vectors.shape[1] - 1)[rank::count]
            own = share / count
            parts = self.objective.parts(scores, truth, counts, vectors)
            loss = self.objective.total(parts)
            figures = [part.detach() for part in parts] + [unequal(scores.detach(), truth.mask)]
            if self.flops is not None:
                penalty, sparsity = self.flops(encoded, batch.queries)
                loss = loss + own * self.flops.share(self.progress.step, self.steps) * penalty
                figures += [own * figure for figure in sparsity]
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            return torch.stack(figures)

        return self._cache.run(batch, learn, shared=self._shares_inputs)

    @torch.no_grad()
    def sparsity(self) -> dict[str, Any]:
        """Return the figures of `flops` of the present weights, over the texts of the last step."""
        assert self.flops is not None
        batch = self.student.batch(
            [group for batch in self._batches(self.progress.step - 1) for group in batch]
        )
        return sparsity_row(self.flops(self.student.encode_all(batch.features), batch.queries)[1].tolist())

    def _watch(self, unequal_groups: float) -> None:
        """Warn once if the student gives all documents of a query the same score."""
        if self._collapsed >= COLLAPSED_STEPS:
            return
        self._collapsed = 0 if unequal_groups else self._collapsed + 1
        if self._collapsed == COLLAPSED_STEPS:
            log.warning(
                "the student has collapsed: for %d steps, all documents of a query have had the same score "
                "(a lower --lr, more --warmup, another --loss or --seed may help)", COLLAPSED_STEPS,
            )  # fmt: skip

    def save_checkpoint(self, folder: Path | None) -> None:
        """Write weights, optimiser, progress and history; only the main process has a folder."""
        with self.weights.whole() as student:
            optimizer = self.weights.gathered(self.optimizer.state_dict())
            if student is None or folder is None:
                return
            save_model(student.module, str(folder / "model.safetensors"))
            state = {
                "optimizer": optimizer,
                "scaler": self.scaler.state_dict(),
                "progress": vars(self.progress),
                "history": self.history.state(),
                "projection": self.projection and self.projection._asdict(),
            }
            torch.save(state, folder / "state.pt")

    def load_checkpoint(self, folder: Path) -> None:
        """Read weights, optimiser, progress and history.

        Raises:
            Exception: of many kinds, if it is damaged.
        """
        sharded, is_main = self.weights.sharded, self.processes.is_main
        state = torch.load(folder / "state.pt", map_location="cpu", mmap=sharded, weights_only=True)
        check_state(state, self.optimizer, self.steps)
        model = str(folder / "model.safetensors")
        if sharded:
            self.weights.load(load_file(model) if is_main else {})
        else:
            load_model(self.student.module, model, device=str(self.student.device))
        self.optimizer.load_state_dict(self.weights.own_part(state["optimizer"]))
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        if projection := state.get("projection"):
            self._project(Projection(**projection))
        self.history = History.from_state(state.get("history", {}))
        if best := self.history.best:
            self.history.best = {name: weight.clone() for name, weight in best.items()} if is_main else {}
