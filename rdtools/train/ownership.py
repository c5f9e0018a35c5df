"""The files of an output folder: those that rd-train wrote, and those that somebody added."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rdtools.core.errors import RdError
from rdtools.core.manifest import MANIFEST

CARD = "rd-train.json"
"""In the saved folder: options, loss, data fingerprint, provenance, and the names of all its files."""
CHECKPOINTS = "checkpoints"


def step_of(checkpoint: Path) -> int | None:
    """Return the step of a checkpoint by its name, `step-N`; None if it has another name."""
    prefix, _, number = checkpoint.name.partition("-")
    return int(number) if prefix == "step" and number.isdecimal() else None


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of the run in `folder` by their steps."""
    found = {step_of(path): path for path in (folder / CHECKPOINTS).glob("step-*")}
    return {step: path for step, path in found.items() if step is not None}


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints, and their folder if nothing else is in it."""
    for checkpoint in checkpoints_in(folder).values():
        shutil.rmtree(checkpoint)
    if (folder / CHECKPOINTS).is_dir() and not any((folder / CHECKPOINTS).iterdir()):
        (folder / CHECKPOINTS).rmdir()


def all_files(folder: Path) -> Iterator[Path]:
    """Yield what is below `folder`, relative to it: files, links, folders that are empty."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name).relative_to(folder) for name in sorted([*files, *links]))
        if not folders and not files and Path(place) != folder:
            yield Path(place).relative_to(folder)


def added_files(folder: Path) -> list[Path]:
    """Return the files below `folder` that rd-train did not write, relative to it.

    Raises:
        RdError: the description of the model does not say which those are.
    """
    ours: set[str] = set()
    if (folder / CARD).exists():
        try:
            ours = {MANIFEST, *json.loads((folder / CARD).read_bytes())["files"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"{folder}: {CARD} does not say which files rd-train wrote"
            raise RdError(f"{problem} (remove {folder}, or give another folder)") from error
    return [file for file in all_files(folder) if file.as_posix() not in ours and not _in_checkpoint(file)]


def _in_checkpoint(file: Path) -> bool:
    """Return whether it belongs to a checkpoint, or to one that was being written: `.step-N.PID.part`."""
    if file.parts == (CHECKPOINTS,):
        return True
    if file.parts[0] != CHECKPOINTS:
        return False
    name = file.parts[1]
    is_part = name.startswith(".step-") and name.endswith((".part", ".old"))
    return is_part or step_of(Path(name)) is not None
