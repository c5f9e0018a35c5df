"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from rdtools.core.errors import RdError
from rdtools.core.log import log

try:
    import fcntl
except ImportError:  # not on Windows, which has no such locks
    fcntl = None  # type: ignore[assignment]

_LONGEST = 200
"""Bytes of a name that leave room for what `hidden` adds: file systems allow 255."""

Keep = Callable[[Path], Iterable[Path]]
"""A folder -> the files below it, relative to it, that are to stay when it is replaced."""
_unfinished: dict[Path, Callable[[], None]] = {}
"""What `clean_up` has to do for each path that this process is at work on."""


def clean_up() -> None:
    """Finish or undo what a signal has cut off: its exception may have come between any two instructions.

    A block's own end may be cut off too, so a process that a signal ends calls this last.
    """
    for finish in [*_unfinished.values()][::-1]:
        with contextlib.suppress(OSError, RdError):
            finish()


def hidden(path: Path, suffix: str) -> Path:
    """Return the path beside `path` for something that belongs to it: `.NAME.SUFFIX`."""
    name = path.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return path.with_name(f".{name}.{suffix}")


@contextlib.contextmanager
def beside(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield a new file beside `path`, or a new folder, to write to and then rename.

    If the block did not rename it, it is removed at its end, after an error too. What killed processes left
    beside `path` is removed first: nobody holds a lock on it.
    """
    _remove_leftovers(path)
    part = hidden(path, f"{os.getpid()}.part")
    _remove(part)  # a killed process of the same number may have left it, where there are no locks
    _unfinished[part] = partial(_remove, part)
    try:
        lock = _create(part, folder=folder)
        try:
            yield part
        finally:
            os.close(lock)
    finally:
        _remove(part)
        _unfinished.pop(part, None)


def _create(part: Path, *, folder: bool) -> int:
    """Create a file or a folder and lock it, so that `_is_free` tells it from a leftover."""
    while True:
        if folder:
            part.mkdir(parents=True)
            lock = os.open(part, os.O_RDONLY)
        else:
            lock = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if _lock(lock) is not False and _is_at(lock, part):
            return lock
        os.close(lock)  # another process took it for a leftover, in the moment before the lock


def sync(path: Path) -> None:
    """Make a file, or a folder with all that it holds, survive a power failure."""
    for entry in path.rglob("*"):
        sync_one(entry)
    sync_one(path)


def sync_one(path: Path) -> None:
    """Do so for a file, or for the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(folder: Path, new: Path, keep: Keep = lambda old: ()) -> None:
    """Rename `new`, a folder beside `folder`, to `folder`, and remove what had that name.

    The new folder gets the mode of the old one, and the files of the old one that `keep` names.

    Raises:
        RdError: `folder` cannot be replaced; it stays, and `new` gets a name that the message tells.
    """
    old = new.with_suffix(".old")
    _unfinished[folder] = partial(restore_folder, folder, keep)
    try:
        if folder.exists():
            _remove(old)
            new.chmod(stat.S_IMODE(folder.stat().st_mode))
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
    if old.exists():
        _discard(old, folder, keep)
    del _unfinished[folder]


def restore_folder(folder: Path, keep: Keep = lambda old: ()) -> None:
    """Finish what a process began in `replace_folder` before it was killed.

    Between the two renames the old folder comes back; after them it goes, except for what `keep` names. What
    it wrote beside the folder goes too.
    """
    _remove_leftovers(folder)
    for old in _left_beside(folder, "old"):
        if folder.exists():
            _discard(old, folder, keep)
        else:
            old.rename(folder)


def _discard(old: Path, folder: Path, keep: Keep) -> None:
    """Remove a folder that was replaced; move the files that stay into the new one."""
    for file in keep(old):
        target = folder / file
        number = 0
        while os.path.lexists(target):  # the new folder has a file of this name
            number += 1
            target = folder / file.with_name(f"{file.name}.{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        (old / file).rename(target)
        log.warning("%s: kept, because it was added to the folder that was replaced", target)
    _remove(old)


@contextlib.contextmanager
def locked(path: Path, busy: str, *, wait: bool) -> Iterator[None]:
    """Hold the lock of `path`, a file beside it. The lock ends when the process does.

    If another process holds it: say that `busy` and wait, or without `wait` raise it as `RdError`.
    """
    name = hidden(path, "lock")
    if fcntl is None:
        yield
        return
    name.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        _unfinished[name] = partial(_release, lock, name)
        try:
            if _lock(lock) is False:
                if not wait:
                    raise RdError(busy)
                log.info("%s", busy)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_at(lock, name):
                continue  # the holder removed it at its end
            yield
            return
        finally:
            _release(lock, name)
            os.close(lock)
            _unfinished.pop(name, None)


def _release(lock: int, name: Path) -> None:
    """Remove the file of a lock, unless another process holds it."""
    if _lock(lock) is not False and _is_at(lock, name):
        name.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool | None:
    """Lock what is open; return False if another process has it locked, None if locks do not work here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        log.debug("this file system has no locks")
        return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether `path` still is what is open."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    return False


def _is_free(path: Path) -> bool:
    """Return whether no process has locked `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return _lock(descriptor) is True
    finally:
        os.close(descriptor)


def _left_beside(path: Path, suffix: str) -> list[Path]:
    """Return what processes left beside `path`: `.NAME.NUMBER.SUFFIX`."""
    pattern = hidden(path, "").name
    found = path.parent.glob(f"{glob.escape(pattern)}*.{suffix}")
    return [each for each in found if each.name[len(pattern) : -len(suffix) - 1].isdecimal()]


def _remove_leftovers(path: Path) -> None:
    for left in _left_beside(path, "part"):
        if _is_free(left):
            _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
