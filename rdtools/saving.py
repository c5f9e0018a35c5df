"""The folder that a training run writes: checkpoints on the way, then a model and what is known of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdtools import __version__
from rdtools.errors import RdError
from rdtools.log import log

if TYPE_CHECKING:
    from rdtools.students import Student
    from rdtools.training import Trainer

CARD = "rd-train.json"
"""In the saved folder: options, loss, data fingerprint and provenance."""
CHECKPOINTS = "checkpoints"


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
