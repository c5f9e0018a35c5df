"""Groups + student + loss -> a saved model: the loop, its checkpoints, and what it says on the way."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor

from rdtools import __version__
from rdtools.errors import RdError
from rdtools.groups import Group, Groups, share_negatives
from rdtools.log import bar, log
from rdtools.losses import LossFunction
from rdtools.models import token_batches
from rdtools.students import Batch, Student

CARD = "rd-train.json"
"""In the saved folder: options, loss, data fingerprint and provenance."""
CHECKPOINTS = "checkpoints"
CPU_TOKENS, GPU_TOKENS = 512, 16384
"""Tokens of a micro-batch. On a CPU, 512 is twice as fast as 4096 for passages: less of it is padding."""
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
    in_batch_negatives: bool = False
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

    A step is one optimiser step over `accumulate` batches of `batch_size` groups; its loss is the mean of
    theirs. Each batch has its place in the endless sequence of groups, so that the step alone
    says which data come next.
    """

    def __init__(self, student: Student, groups: Groups, loss: LossFunction, settings: Settings) -> None:
        self.student = student
        self.groups = groups
        self.loss = loss
        self.settings = settings
        self.progress = Progress()
        self.total_groups = self._count_groups()
        self.steps = math.ceil(self.total_groups / self._groups_per_step)
        self.optimizer = torch.optim.AdamW(
            student.module.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(student.device.type, enabled=settings.dtype == "float16")
        self._collapsed = 0
        torch.manual_seed(settings.seed)

    @property
    def _groups_per_step(self) -> int:
        return self.settings.batch_size * self.settings.accumulate

    def _count_groups(self) -> int:
        settings = self.settings
        if settings.max_steps is not None:
            return settings.max_steps * self._groups_per_step
        if settings.max_docs is not None:
            return max(1, self.groups.count_within(settings.max_docs))
        assert settings.epochs is not None
        return settings.epochs * len(self.groups)

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the end, from where `progress` stands; yield after every step what can be logged of it."""
        self.student.module.train(self.settings.dropout)
        while self.progress.step < self.steps:
            yield self.step()
        self.student.module.eval()

    def step(self) -> dict[str, float]:
        """Make one optimiser step."""
        start = self.progress.step * self._groups_per_step
        stop = min(start + self._groups_per_step, self.total_groups)
        groups = self.groups.slice(start, stop)
        size = self.settings.batch_size
        batches = [groups[place : place + size] for place in range(0, len(groups), size)]
        lr = self.settings.lr * schedule(self.progress.step, self.steps, self.settings.warmup)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        # A batch counts by its groups, so that a short last one does not count for more.
        loss = sum(self.backward(batch, len(batch) / len(groups)) for batch in batches)
        self.progress.step += 1
        if not math.isfinite(loss):
            advice = "lower --lr, or use --dtype float32" if self.scaler.is_enabled() else "lower --lr"
            raise RdError(f"step {self.progress.step}: the loss is {loss} ({advice})")
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.student.module.parameters(), self.settings.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.progress.docs += sum(len(group.documents) for group in groups)
        return {"step": self.progress.step, "docs": self.progress.docs, "loss": loss, "lr": lr}

    def backward(self, groups: list[Group], weight: float = 1.0) -> float:
        """Add the gradient of `weight` times the loss of one batch; return the same."""
        if self.settings.in_batch_negatives:
            groups = share_negatives(groups)
        batch = self.student.batch(groups)
        self.progress.tokens += sum(batch.lengths)
        if self.settings.mini_batch_size is None:
            return self._plain(batch, groups, weight)
        return self._cached(batch, groups, weight)

    def _plain(self, batch: Batch, groups: list[Group], weight: float) -> float:
        """All micro-batches in one graph."""
        tokens = CPU_TOKENS if self.student.device.type == "cpu" else GPU_TOKENS
        parts = list(token_batches(batch.lengths, tokens))
        encoded = in_input_order([self._encode(batch, rows) for rows in parts], parts)
        loss = weight * self._loss(batch.scores(encoded), groups)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _cached(self, batch: Batch, groups: list[Group], weight: float) -> float:
        """Gradient caching (Gao et al., arXiv 2101.06983): only one micro-batch has a graph at a time.

        All inputs are encoded without a graph; the loss gives the gradient of each encoding; each
        micro-batch is then encoded again, with the same dropout, and that gradient sent through it.
        """
        assert self.settings.mini_batch_size is not None
        parts = list(chunks(batch.lengths, self.settings.mini_batch_size))
        states = []
        encodings = []
        with torch.no_grad():
            for rows in parts:
                states.append(rng_state(self.student.device))
                encodings.append(self._encode(batch, rows))
        encoded = in_input_order(encodings, parts).requires_grad_()
        loss = weight * self._loss(batch.scores(encoded), groups)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        after = rng_state(self.student.device)
        assert encoded.grad is not None
        for rows, state in zip(parts, states, strict=True):
            set_rng_state(state, self.student.device)
            self._encode(batch, rows).backward(encoded.grad[rows])  # type: ignore[no-untyped-call]
        set_rng_state(after, self.student.device)
        return loss.item()

    def _encode(self, batch: Batch, rows: Sequence[int]) -> Tensor:
        """Autocast computes in half precision where asked; weights, scores and loss stay float32."""
        dtype = getattr(torch, self.settings.dtype)
        with torch.autocast(self.student.device.type, dtype, enabled=dtype != torch.float32):
            return self.student.encode_rows(batch, rows)

    def _loss(self, scores: Tensor, groups: list[Group]) -> Tensor:
        teacher, positive, mask = labels(groups, scores.device)
        self._watch(scores.detach(), mask)
        return self.loss(scores, teacher, positive, mask)

    def _watch(self, scores: Tensor, mask: Tensor) -> None:
        """Warn once of a student that gives all documents of a query the same score."""
        if self._collapsed >= COLLAPSED_STEPS:
            return
        highest = scores.masked_fill(~mask, -math.inf).amax(-1)
        lowest = scores.masked_fill(~mask, math.inf).amin(-1)
        equal = (highest - lowest <= 1e-4 * highest.abs().clamp(min=1e-4)).all()
        self._collapsed = self._collapsed + 1 if equal else 0
        if self._collapsed == COLLAPSED_STEPS:
            log.warning(
                "for %d batches the student has given all documents of a query the same score "
                "(a lower --lr or another loss may help)", COLLAPSED_STEPS,
            )  # fmt: skip

    def save_checkpoint(self, folder: Path) -> None:
        """Write weights, optimiser, random state and progress."""
        save_model(self.student.module, str(folder / "model.safetensors"))
        state = {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": rng_state(self.student.device),
            "progress": vars(self.progress),
        }
        torch.save(state, folder / "state.pt")

    def load_checkpoint(self, folder: Path) -> None:
        load_model(self.student.module, str(folder / "model.safetensors"), device=str(self.student.device))
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        set_rng_state(state["rng"], self.student.device)
        self.progress = Progress(**state["progress"])


@dataclass(frozen=True)
class Target:
    """The folder that a run writes, and what is known of the run beforehand.

    `about` is saved with the model; --resume wants what it says under "options" and "data" to be the same.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    def newest_checkpoint(self) -> Path | None:
        steps = self.checkpoints.glob("step-*")
        return max(steps, key=lambda path: int(path.name.removeprefix("step-")), default=None)

    def save_checkpoint(self, trainer: Trainer) -> None:
        """Save the run as it stands and remove older checkpoints."""
        older = list(self.checkpoints.glob("step-*"))
        with _whole_folder(self.checkpoints / f"step-{trainer.progress.step}") as folder:
            trainer.save_checkpoint(folder)
            _write_json(folder / CARD, self.about)
        for checkpoint in older:
            shutil.rmtree(checkpoint)

    def resume(self, trainer: Trainer) -> None:
        """Go on from the newest checkpoint, if there is one.

        Raises:
            RdError: it belongs to a run with other data or other options.
        """
        checkpoint = self.newest_checkpoint()
        if checkpoint is None:
            log.info("%s: no checkpoint yet: starting at the beginning", self.folder)
            return
        before = json.loads((checkpoint / CARD).read_bytes())
        if before["data"]["fingerprint"] != self.about["data"]["fingerprint"]:
            raise RdError(f"{checkpoint}: it was trained on other data (--overwrite starts anew)")
        for option, value in self.about["options"].items():
            was = before["options"].get(option)
            if was != value:
                raise RdError(f"{checkpoint}: --{option} was {was}, not {value} (--overwrite starts anew)")
        trainer.load_checkpoint(checkpoint)
        log.info("resumed at step %d of %d", trainer.progress.step, trainer.steps)

    def save(self, trainer: Trainer) -> None:
        """Move the finished model into place; checkpoints, or the model that stood there, go."""
        with _whole_folder(self.folder) as folder:
            trainer.student.save(folder)
            _write_json(folder / CARD, {**self.about, **vars(trainer.progress)})
            (folder / "README.md").write_text(model_card(trainer.student, self.about))


def check_target(folder: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuse to touch a folder that holds something else, or a run that was not mentioned.

    Raises:
        RdError: with what to do.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RdError(f"{folder}: it is not a folder")
    finished = (folder / CARD).exists()
    others = [entry for entry in folder.iterdir() if entry.name != CHECKPOINTS]
    if others and not finished:
        raise RdError(f"{folder}: it holds files that rd-train did not write (choose an empty or new folder)")
    if overwrite:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    elif finished:
        raise RdError(f"{folder}: it holds a trained model (--overwrite replaces it)")
    elif (folder / CHECKPOINTS).exists() and not resume:
        raise RdError(f"{folder}: it holds an unfinished run (--resume goes on, --overwrite starts anew)")


def train(trainer: Trainer, target: Target) -> Iterator[dict[str, Any]]:
    """Train, save, and yield a row for each logged step and one for the whole.

    The last row has `done`, `steps`, `docs`, `tokens` (without padding), `seconds` (of training),
    `docs_per_s`, `peak_memory_mb` (of the GPU where there is one) and `output`.
    """
    settings = trainer.settings
    begin, docs_before = time.monotonic(), trainer.progress.docs
    with bar(trainer.steps, "training", "step") as progress:
        progress.update(trainer.progress.step)
        for row in trainer.run():
            progress.update()
            progress.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
            last = row["step"] == trainer.steps
            if row["step"] == 1 or row["step"] % settings.log_steps == 0 or last:
                yield row
            if settings.save_steps and row["step"] % settings.save_steps == 0 and not last:
                target.save_checkpoint(trainer)
    seconds = time.monotonic() - begin
    target.save(trainer)
    yield {
        "done": True,
        "steps": trainer.progress.step,
        "docs": trainer.progress.docs,
        "tokens": trainer.progress.tokens,
        "seconds": round(seconds, 3),
        "docs_per_s": round((trainer.progress.docs - docs_before) / max(seconds, 1e-9), 2),
        "peak_memory_mb": round(peak_memory_mb(trainer.student.device), 1),
        "output": str(target.folder),
    }


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the learning rate at `step` of 0 … steps − 1: a linear rise, then a linear fall.

    Neither end is 0, so that no step is lost: with 2 of 6 steps as warm-up 1/3, 2/3, 1, 3/4, 2/4, 1/4.
    """
    rise = math.ceil(warmup * steps) if warmup < 1 else steps - 1
    return (step + 1) / (rise + 1) if step < rise else (steps - step) / (steps - rise)


def labels(groups: Sequence[Group], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return teacher scores, positive and mask of the groups, each (B, G)."""
    width = max(len(group.documents) for group in groups)
    teacher = torch.zeros(len(groups), width)
    positive = torch.zeros(len(groups), width, dtype=torch.bool)
    mask = torch.zeros(len(groups), width, dtype=torch.bool)
    for row, group in enumerate(groups):
        n = len(group.documents)
        teacher[row, :n] = torch.tensor([document.score for document in group.documents])
        positive[row, :n] = torch.tensor([document.positive for document in group.documents])
        mask[row, :n] = True
    return teacher.to(device), positive.to(device), mask.to(device)


def chunks(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield indices of inputs, longest first, `size` at a time."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def in_input_order(encodings: Sequence[Tensor], parts: Sequence[Sequence[int]]) -> Tensor:
    """Put the rows of micro-batches back into the order of the inputs: (n, width)."""
    order = torch.tensor([row for part in parts for row in part])
    return torch.cat(list(encodings))[order.argsort().to(encodings[0].device)]


def rng_state(device: torch.device) -> list[Tensor]:
    """The state of the generators that dropout draws from: the CPU's and, on a GPU, its own."""
    gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *gpu]


def set_rng_state(state: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)


def peak_memory_mb(device: torch.device) -> float:
    """Highest use so far: of the GPU's memory, or of this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def model_card(student: Student, about: dict[str, Any]) -> str:
    """A README that says what this model is; the card of the model it began as would not be true of it."""
    options = about["options"]
    base = Path(options["student"].partition(":")[2])
    return f"""---
library_name: sentence-transformers
tags: [{student.card_tags}]
---
A {student.card_kind} trained with `rd-train` {__version__} from `{base.name if base.exists() else base}`
by the loss `{options["loss"]}` (`rd-train --explain-loss {options["loss"]}` gives the formula).
All options and the provenance of the data are in `{CARD}`.

```python
{student.card_usage}
```
"""


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, which takes its name, and its place, when the block ends well."""
    folder = folder.resolve()
    beside, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("part", "old"))
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
