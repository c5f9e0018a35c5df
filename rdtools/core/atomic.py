"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rdtools.core.errors import RdError


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a free path beside `path`, to write a file or a folder under and then rename it.

    What the block did not rename is removed at its end, after an error too.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    _remove(part)  # a killed process of the same number may have left it
    try:
        yield part
    finally:
        _remove(part)


def replace_folder(folder: Path, new: Path) -> None:
    """Rename `new`, a folder beside `folder`, to `folder`, and remove what had that name.

    Raises:
        RdError: `folder` cannot be replaced; it stays, and `new` gets a name that the message tells.
    """
    old = new.with_suffix(".old")
    try:
        if folder.exists():
            _remove(old)
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        kept = new.rename(folder.with_name(f"{folder.name}.{os.getpid()}"))
        raise RdError(
            f"{folder}: cannot be replaced: {error.strerror or error} (the new one is {kept})"
        ) from error
    finally:
        if old.exists() and not folder.exists():  # interrupted between the two renames
            old.rename(folder)
    _remove(old)


def restore_folder(folder: Path, *, clean: bool) -> None:
    """Bring back a folder whose process was killed in `replace_folder`, between the two renames.

    With `clean`, remove everything else that killed processes left beside the folder.
    """
    pattern = f".{glob.escape(folder.name)}.*."
    old, parts = list(folder.parent.glob(pattern + "old")), list(folder.parent.glob(pattern + "part"))
    if old and not folder.exists():
        old.pop().rename(folder)
    for left in [*old, *parts] if clean else ():
        _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
