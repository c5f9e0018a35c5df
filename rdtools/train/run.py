"""A training run: steps, rows of figures, dev measurements, checkpoints, the saved model."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

import torch

from rdtools.core.log import bar, log, plural
from rdtools.train.dev import DevOptions
from rdtools.train.dev_set import DevMeasure, DevSet
from rdtools.train.history import not_learned, too_short
from rdtools.train.options import TrainingOutput
from rdtools.train.trainer import Trainer


class RunFolder(Protocol):
    """The folder that `train_student` saves to: `checkpoints.OutputFolder`."""

    @property
    def options(self) -> TrainingOutput: ...
    def save_checkpoint(self, trainer: Trainer) -> None: ...
    def save(self, trainer: Trainer, result: dict[str, Any]) -> None: ...


class DevChecks:
    """The measurements of a run: when, what they give, and what follows from them.

    The values and the best weights are in the history of the trainer, which checkpoints keep. Of several
    processes the main one measures and tells the others; if each has a shard of the weights, all measure.
    Measuring draws nothing at random and changes neither weights nor optimiser, so it does not change the
    training.

    Attributes:
        seconds: the time that measuring has taken.
    """

    def __init__(self, trainer: Trainer, dev_set: DevSet, measure: DevMeasure, options: DevOptions) -> None:
        self.trainer = trainer
        self.dev_set = dev_set
        self.options = options
        self.seconds = 0.0
        self._measure = measure
        inputs = dev_set.inputs(trainer.student.reads_pairs)
        self._every = options.every(trainer.steps, inputs / trainer.groups.documents_of(trainer.total_groups))

    def due(self, step: int) -> bool:
        return step % self._every == 0 or step == self.trainer.steps

    @property
    def exhausted(self) -> bool:
        """Whether --patience ends the run."""
        patience = self.options.patience
        history = self.trainer.history
        return patience is not None and len(history.dev) > 1 and history.measurements_since_best >= patience

    def measure(self) -> dict[str, Any]:
        """Measure the student, keep its weights if they are the best so far, and return a row."""
        begin = time.monotonic()
        history, progress = self.trainer.history, self.trainer.progress
        value = self.trainer.weights.from_main(self._value)
        history.dev.append((progress.step, value))
        if progress.step and history.best_measurement[0] == progress.step:
            history.best = self.trainer.weights.state()
        self.seconds += time.monotonic() - begin
        return {
            "step": progress.step, "docs": progress.docs,
            "measure": self.options.measure, "dev": value,
        }  # fmt: skip

    def _value(self) -> float:
        module = self.trainer.student.module
        training = module.training
        module.eval()
        try:
            return self._measure(self.dev_set.qrels, self.dev_set.run(self.trainer.student))
        finally:
            module.train(training)

    def finish(self) -> dict[str, Any]:
        """Give the student the best weights; return what the last row says of the dev set."""
        history, measure = self.trainer.history, self.options.measure
        step, value = history.best_measurement
        if step != self.trainer.progress.step and history.best is not None:
            self.trainer.weights.load(history.best)
        log.info(
            "%s of %s: %.4f untrained, %.4f after step %d (saved), %.4f at the end", measure,
            plural(len(self.dev_set.qrels), "query"), history.untrained, value, step, history.dev[-1][1],
        )  # fmt: skip
        if value < history.untrained:
            log.warning(
                "the student is worse than before training: %s %.4f, untrained %.4f (a lower --lr, another "
                "--loss or --teacher-temperature, or a better teacher may help)",
                measure, value, history.untrained,
            )  # fmt: skip
        return {
            "measure": measure, "dev": value, "dev_step": step, "dev_untrained": history.untrained,
            "dev_queries": len(self.dev_set.qrels), "dev_seconds": round(self.seconds, 3),
            "stopped_early": self.trainer.progress.step < self.trainer.steps,
        }  # fmt: skip


def train_student(
    trainer: Trainer, folder: RunFolder, dev: DevChecks | None = None
) -> Iterator[dict[str, Any]]:
    """Train, save, and yield a row for each logged step and each dev measurement, and one for the run.

    The last row has `done`, `steps`, `docs`, `tokens` (without padding), `seconds` (of training),
    `docs_per_s`, `peak_memory_mb` (of the GPU if there is one) and `output`; with a dev set also `measure`,
    `dev` (of the saved weights), `dev_step` (their step), `dev_untrained`, `dev_queries`, `dev_seconds` and
    `stopped_early`; with a learned scale also `scale` (of the saved weights); if the teacher's embeddings
    were projected also `projection` (`dimensions`, `kept`, `cosine`); of a sparse encoder also `flops` and
    `active_dims` (of the saved weights, over the texts of the last step). Of several processes the main one
    saves; if each has a shard of the weights, the others help.
    """
    log_steps, save_steps = folder.options.log_steps, folder.options.save_steps
    history, saves = trainer.history, trainer.processes.is_main or trainer.weights.sharded
    if trainer.progress.step == 0:
        if advice := too_short(trainer.steps, trainer.lr):
            log.warning("%s", advice)
        trainer.fit_projection()
        if dev is not None:
            yield dev.measure()
    begin, docs_before = time.monotonic(), trainer.progress.docs
    measured_before = dev.seconds if dev is not None else 0.0
    with bar(trainer.steps, "training", "step") as progress:
        progress.update(trainer.progress.step)
        for row in trainer.run():
            progress.update()
            progress.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
            step = row["step"]
            measured = dev.measure() if dev is not None and dev.due(step) else None
            last = step == trainer.steps or (dev is not None and dev.exhausted)
            if step == 1 or step % log_steps == 0 or last:
                history.losses.append((step, row["loss"]))
                yield row
            if measured is not None:
                yield measured
            if last:
                break
            if saves and save_steps and step % save_steps == 0:
                folder.save_checkpoint(trainer)
    trainer.student.module.eval()
    seconds = time.monotonic() - begin - ((dev.seconds if dev is not None else 0.0) - measured_before)
    if problem := not_learned(history, trainer.objective.equal_scores_name):
        log.warning("%s", problem)
    result = {
        "done": True,
        "steps": trainer.progress.step,
        "docs": trainer.progress.docs,
        "tokens": trainer.progress.tokens,
        "seconds": round(seconds, 3),
        "docs_per_s": round((trainer.progress.docs - docs_before) / max(seconds, 1e-9), 2),
        "peak_memory_mb": round(peak_memory_mb(trainer.student.device), 1),
        "output": str(folder.options.output),
        **(dev.finish() if dev is not None else {}),
    }
    if (scale := trainer.student.learned_scale) is not None:  # of the best weights, if there is a dev set
        result["scale"] = scale
    if trainer.projection is not None:
        result["projection"] = trainer.projection.figures
    if trainer.flops is not None:
        result |= trainer.sparsity()
    if saves:
        folder.save(trainer, result)
    yield result


def peak_memory_mb(device: torch.device) -> float:
    """Return the highest use of memory so far: of the GPU, or else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
