"""The output folder of a training run: checkpoints on the way, then the model and a description of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from rdtools.core.atomic import Keep, beside, hidden, locked, replace_folder, restore_folder, sync
from rdtools.core.checksums import checksum
from rdtools.core.errors import RdError, first_line
from rdtools.core.log import log
from rdtools.core.output import open_output, writing
from rdtools.train.card import NEEDS, CardContent, model_card
from rdtools.train.options import TrainingOutput
from rdtools.train.ownership import (
    CARD,
    CHECKPOINTS,
    added_files,
    all_files,
    checkpoints_in,
    remove_checkpoints,
)
from rdtools.train.torchrun import Processes, is_loss
from rdtools.train.trainer import Trainer


@dataclass(frozen=True)
class OutputFolder:
    """The folder that a run writes.

    `about` is saved with the model; a run is resumed only with the same "options" and "data".
    """

    options: TrainingOutput
    about: dict[str, Any]
    card: CardContent = CardContent()

    @property
    def folder(self) -> Path:
        return self.options.output

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    def newest_checkpoint(self) -> Path | None:
        steps = checkpoints_in(self.folder)
        return steps[max(steps)] if steps else None

    @contextlib.contextmanager
    def reserved(self, processes: Processes) -> Iterator[None]:
        """Keep other runs from writing the folder at the same time, and check it once more.

        Raises:
            RdError: another run is writing it, or has written it meanwhile.
        """
        with contextlib.ExitStack() as held:

            def reserve() -> None:
                folder = self.folder.resolve()
                busy = f"{self.folder}: another rd-train is writing it (wait for it, or give another folder)"
                with writing(self.folder):
                    held.enter_context(locked(folder, busy, wait=False))
                check_output_folder(self.options)
                if (self.folder / CARD).exists() and not self.options.overwrite:
                    raise RdError(f"{self.folder}: another rd-train has finished it meanwhile (start again)")

            processes.from_main(reserve)
            yield

    def save_checkpoint(self, trainer: Trainer) -> None:
        """Save a checkpoint and remove the older ones; processes other than the main one give shards."""
        if not trainer.processes.is_main:
            trainer.save_checkpoint(None)
            return
        older = checkpoints_in(self.folder).values()
        with _whole_folder(self.checkpoints / f"step-{trainer.progress.step}") as folder:
            trainer.save_checkpoint(folder)
            checksums = {file.name: checksum(file) for file in sorted(folder.iterdir())}
            _write_json(folder / CARD, {**self.about, "crc32": checksums})
        for checkpoint in older:
            shutil.rmtree(checkpoint)

    def resume(self, trainer: Trainer) -> None:
        """Load the newest checkpoint, if there is one.

        Raises:
            RdError: it belongs to a run with other data or other options.
        """
        checkpoint = trainer.processes.from_main(self.newest_checkpoint)
        if checkpoint is not None and not checkpoint.exists():
            problem = f"process {trainer.processes.rank} does not see it"
            raise RdError(f"{checkpoint}: {problem} (give a folder that all machines share)")
        if checkpoint is None:
            log.info("%s: no checkpoint yet: starting at the beginning", self.folder)
            return
        checksums = self._check_same(checkpoint).get("crc32", {})  # version 0.1.0 wrote none
        try:
            for name, value in checksums.items():
                if checksum(checkpoint / name) != value:
                    raise ValueError(f"{name} was changed")
            trainer.load_checkpoint(checkpoint)
        except Exception as error:  # torch and safetensors raise errors of many kinds
            if is_loss(error) or isinstance(error, torch.cuda.OutOfMemoryError):
                raise
            raise _damaged(checkpoint, error) from error
        log.info("resumed at step %d of %d", trainer.progress.step, trainer.steps)

    def finished(self) -> dict[str, Any] | None:
        """Return the last line of the run that has finished in this folder, or None.

        Raises:
            RdError: it had other data or other options.
        """
        if not (self.folder / CARD).exists():
            return None
        card = self._check_same(self.folder)
        log.info("%s: finished already, after step %d", self.folder, card["step"])
        return {**card.get("result", {"done": True}), "output": str(self.folder)}

    def save(self, trainer: Trainer, result: dict[str, Any]) -> None:
        """Write the trained model; it replaces the checkpoints, or an older model, and no other files.

        `result` is the last line of the run. Other processes than the main one give their shards.
        """
        with trainer.weights.whole() as student, contextlib.ExitStack() as stack:
            if student is None:
                return
            folder = stack.enter_context(_whole_folder(self.folder, added_files))
            about = {**self.about, NEEDS: student.save(folder)}
            dev = {"dev": trainer.history.dev} if trainer.history.dev else {}
            learned = trainer.student.learned_scale
            scale = {} if learned is None else {"scale": learned}
            made = {**vars(trainer.progress), **dev, **scale, "result": result}
            (folder / "README.md").write_text(model_card(trainer, about, result, self.card))
            files = sorted([CARD, *(file.as_posix() for file in all_files(folder))])
            _write_json(folder / CARD, {**about, **made, "files": files})

    def rewrite_card(self, trainer: Trainer, result: dict[str, Any]) -> None:
        """Write the README.md of a finished run anew."""
        about = {**self.about, NEEDS: _read_json(self.folder / CARD).get(NEEDS)}
        with open_output(str(self.folder / "README.md")) as out:
            out.write(model_card(trainer, about, result, self.card).encode())

    def _check_same(self, place: Path) -> dict[str, Any]:
        """Return the description of the run in `place`; raise `RdError` if its data or options differ."""
        before: dict[str, Any] = _read_json(place / CARD)
        if before["data"]["fingerprint"] != self.about["data"]["fingerprint"]:
            raise RdError(f"{place}: it was trained on other data (--overwrite starts anew)")
        was, base = before.get("base"), self.about.get("base")
        if was is not None and was != base:
            model = self.about["options"]["student"].partition(":")[2]
            raise RdError(f"{place}: the files of {model} were others then (--overwrite starts anew)")
        if _dev_fingerprint(before) != _dev_fingerprint(self.about):
            raise RdError(f"{place}: its dev set was another one (--overwrite starts anew)")
        for option, value in self.about["options"].items():
            was = before["options"].get(option)
            if was != value:
                before_it, now = (_shown(option, one) for one in (was, value))
                raise RdError(
                    f"{place}: the earlier run had {before_it}; this one has {now} "
                    "(give the same options, or --overwrite)"
                )
        return before


def check_output_folder(options: TrainingOutput) -> None:
    """Refuse a folder that holds other files, or a run that the options do not resume or overwrite.

    Raises:
        RdError: the message says what to do.
    """
    folder, resume, overwrite = options.output, options.resume, options.overwrite
    restore_folder(folder.resolve(), added_files)
    if not folder.exists():
        _check_writable(folder)
        return
    if not folder.is_dir():
        raise RdError(f"{folder}: it is not a folder")
    finished, unfinished = (folder / CARD).exists(), bool(checkpoints_in(folder))
    if finished and resume and not overwrite:
        return  # a folder that is only read may be write-protected
    if (overwrite or not (finished or unfinished)) and (others := added_files(folder)):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise RdError(
            f"{folder} contains files that are not of a trained model: {others[0]}{more} "
            "(move them, or choose an empty or new folder)"
        )
    _check_writable(folder)
    if overwrite:
        remove_checkpoints(folder)
    elif finished:
        raise RdError(f"{folder} already contains a trained model (--overwrite replaces it)")
    elif unfinished and not resume:
        raise RdError(
            f"{folder} already contains an unfinished run (--resume continues it, --overwrite starts anew)"
        )


@contextlib.contextmanager
def _whole_folder(folder: Path, keep: Keep = lambda old: ()) -> Iterator[Path]:
    """Yield a new folder beside `folder`; it replaces `folder` if the block ends without an error.

    Files of the old folder that `keep` names stay.

    Raises:
        RdError: it cannot be written, or cannot replace `folder`.
    """
    folder = folder.resolve()
    with contextlib.ExitStack() as stack:
        with writing(folder):
            part = stack.enter_context(beside(folder, folder=True))
        try:
            with writing(folder):
                yield part
                sync(part)
        except (RuntimeError, SafetensorError) as error:  # how torch and safetensors report a failed write
            if is_loss(error):  # shards come from the other processes meanwhile
                raise
            raise RdError(f"{folder}: cannot write: {first_line(error)} (is the disk full?)") from error
        with writing(folder):
            replace_folder(folder, part, keep)


def _check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or replaced, before the training rather than after it."""
    if os.path.ismount(folder):
        raise RdError(f"{folder}: it is a mount point, which cannot be replaced (give a folder in it)")
    parent = next(parent for parent in folder.resolve().parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=hidden(folder, "").name[:100], dir=parent))
    except OSError as error:
        raise RdError(f"{folder}: cannot write: {error.strerror}") from error


def _shown(option: str, value: Any) -> str:
    if value is None or value is False or value in ([], ()):
        return f"no --{option}"
    return f"--{option}" if value is True else f"--{option} {value}"


def _damaged(checkpoint: Path, error: Exception) -> RdError:
    return RdError(
        f"{checkpoint}: it is damaged: {first_line(error)} (remove it, or --overwrite starts anew)"
    )


def _dev_fingerprint(about: dict[str, Any]) -> str | None:
    found: str | None = about["data"].get("dev", {}).get("fingerprint")
    return found


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(path.parent, error) from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
