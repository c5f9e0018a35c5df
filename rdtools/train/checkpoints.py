"""The folder that a training run writes: checkpoints on the way, then a model and what is known of it."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from rdtools import __version__
from rdtools.core.errors import RdError
from rdtools.core.log import log

if TYPE_CHECKING:
    from rdtools.train.trainer import Trainer

CARD = "rd-train.json"
"""In the saved folder: options, loss, data fingerprint and provenance."""
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class OutputFolder:
    """The folder that a run writes, and what is known of the run beforehand.

    `about` is saved with the model; --resume wants what it says under "options" and "data" to be the same.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    def newest_checkpoint(self) -> Path | None:
        steps = {
            int(path.name[5:]): path for path in self.checkpoints.glob("step-*") if path.name[5:].isdecimal()
        }
        return steps[max(steps)] if steps else None

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
        self._check_same(checkpoint)
        try:
            trainer.load_checkpoint(checkpoint)
        except Exception as error:  # torch and safetensors have many names for damage
            raise _damaged(checkpoint, error) from error
        log.info("resumed at step %d of %d", trainer.progress.step, trainer.steps)

    def finished(self) -> dict[str, Any] | None:
        """Return the last line of the run that has ended in this folder, or None where none has.

        Raises:
            RdError: it had other data or other options.
        """
        if not (self.folder / CARD).exists():
            return None
        card = self._check_same(self.folder)
        log.info("%s: finished already, after step %d", self.folder, card["step"])
        return {**card.get("result", {"done": True}), "output": str(self.folder)}

    def save(self, trainer: Trainer, result: dict[str, Any]) -> None:
        """Move the finished model into place; checkpoints, or the model that stood there, go.

        `result` is the last line of the run.
        """
        with _whole_folder(self.folder) as folder:
            trainer.student.save(folder)
            _write_json(folder / CARD, {**self.about, **vars(trainer.progress), "result": result})
            (folder / "README.md").write_text(model_card(trainer, self.about))

    def _check_same(self, place: Path) -> dict[str, Any]:
        """Return what is known of the run in `place`; raise `RdError` unless it has our data and options."""
        before: dict[str, Any] = _read_json(place / CARD)
        if before["data"]["fingerprint"] != self.about["data"]["fingerprint"]:
            raise RdError(f"{place}: it was trained on other data (--overwrite starts anew)")
        for option, value in self.about["options"].items():
            was = before["options"].get(option)
            if was != value:
                raise RdError(f"{place}: --{option} was {was}, not {value} (--overwrite starts anew)")
        return before


def check_output_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuse to touch a folder that holds something else, or a run that was not mentioned.

    Raises:
        RdError: with what to do.
    """
    _tidy(folder, over=resume or overwrite)
    if not folder.exists():
        _check_writable(folder)
        return
    if not folder.is_dir():
        raise RdError(f"{folder}: it is not a folder")
    finished = (folder / CARD).exists()
    others = [entry for entry in folder.iterdir() if entry.name != CHECKPOINTS]
    if others and not finished:
        raise RdError(f"{folder}: it holds files that rd-train did not write (choose an empty or new folder)")
    _check_writable(folder)
    if overwrite:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    elif finished and not resume:
        raise RdError(f"{folder}: it holds a trained model (--overwrite replaces it)")
    elif (folder / CHECKPOINTS).exists() and not resume:
        raise RdError(f"{folder}: it holds an unfinished run (--resume goes on, --overwrite starts anew)")


def model_card(trainer: Trainer, about: dict[str, Any]) -> str:
    """A README that says what this model is; the card of the model it began as would not be true of it."""
    student, goal = trainer.student, trainer.objective
    base = Path(about["options"]["student"].partition(":")[2])
    terms = zip(goal.weights, goal.losses, strict=True)
    loss = "+".join(part.name if weight == 1 else f"{weight:g}*{part.name}" for weight, part in terms)
    return f"""---
library_name: sentence-transformers
tags: [{student.card_tags}]
---
A {student.card_kind} trained with `rd-train` {__version__} from `{base.name if base.exists() else base}`
by the loss `{loss}` (`rd-train --explain-loss {loss}` gives the formula).
All options and the provenance of the data are in `{CARD}`.

```python
{student.card_usage}
```
"""


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, which takes its name, and its place, when the block ends well.

    Raises:
        RdError: it cannot be written, or cannot take the place; it is not lost then.
    """
    folder = folder.resolve()
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(beside, ignore_errors=True)  # of a killed process that had our number
    with contextlib.ExitStack() as unless_whole:
        unless_whole.callback(shutil.rmtree, beside, ignore_errors=True)
        try:
            beside.mkdir(parents=True)
            yield beside
        except OSError as error:
            raise RdError(f"{folder}: cannot write: {error.strerror or error}") from error
        except (RuntimeError, SafetensorError) as error:  # how torch and safetensors report a failed write
            reason = str(error).splitlines()[0]
            raise RdError(f"{folder}: cannot write: {reason} (is the disk full?)") from error
        unless_whole.pop_all()
    _replace(folder, beside)


def _replace(folder: Path, new: Path) -> None:
    """Give `new` the name of `folder`, which goes."""
    old = new.with_suffix(".old")
    try:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        kept = new.rename(folder.with_name(f"{folder.name}.{os.getpid()}"))
        raise RdError(
            f"{folder}: cannot be replaced: {error.strerror or error} (the new one is {kept})"
        ) from error
    finally:
        if old.exists() and not folder.exists():  # interrupted between the two names
            old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _tidy(folder: Path, over: bool) -> None:
    """Give a folder its name again that was about to be replaced when its process was killed.

    Where that process is known to be `over`, what else it left beside goes.
    """
    folder = folder.resolve()
    old, part = (
        list(folder.parent.glob(f".{glob.escape(folder.name)}.*.{kind}")) for kind in ("old", "part")
    )
    if old and not folder.exists():
        old.pop().rename(folder)
    for left in [*old, *part] if over else ():
        shutil.rmtree(left, ignore_errors=True)


def _check_writable(folder: Path) -> None:
    """Find out before the training, rather than after it, that a folder cannot be made or replaced."""
    if os.path.ismount(folder):
        raise RdError(f"{folder}: it is a mount point, which cannot be replaced (give a folder in it)")
    parent = next(parent for parent in folder.resolve().parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=parent))
    except OSError as error:
        raise RdError(f"{folder}: cannot write: {error.strerror}") from error


def _damaged(checkpoint: Path, error: Exception) -> RdError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RdError(f"{checkpoint}: it is damaged: {reason} (remove it, or --overwrite starts anew)")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(path.parent, error) from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
