"""Folders of files that are made once, appear whole, and are not read if they are damaged."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rdtools.core.atomic import beside, locked, sync, sync_one
from rdtools.core.checksums import checksum, sampled_checksum
from rdtools.core.errors import RdError
from rdtools.core.log import log, plural
from rdtools.core.output import writing

T = TypeVar("T")
_MANIFEST = "manifest.json"
_LAYOUT = 2
_WHOLE = 2**25
"""Bytes of a file whose checksum is always compared; of a larger one a sample is."""


class DamagedIndexError(RdError):
    """An index that must not be searched; the message offers a rebuild."""

    def __init__(self, folder: Path, problem: object) -> None:
        super().__init__(f"index {folder}: it is damaged: {problem} (remove it to build it again)")


def load_index(
    folder: Path,
    load: Callable[[Path], T],
    expected: dict[str, Any] | None = None,
    *,
    verify: bool = False,
    just_written: bool = False,
) -> T:
    """Load a saved index whose manifest must say what is `expected`.

    Sizes and checksums of its files are compared with the manifest, unless this process has `just_written`
    them; unless `verify` asks for all bytes, of files larger than 32 MiB a sample. `load` checks that what it
    reads fits together.

    Raises:
        RdError: the index was built from another corpus, or is damaged.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        for key, value in ({"layout": _LAYOUT} | (expected or {})).items():
            if manifest.get(key) != value:
                other = "from another corpus" if key == "corpus" else f"with another {key}"
                raise RdError(f"index {folder}: it was built {other} (give another --index, or remove it)")
        if not just_written:
            _check_files(folder, manifest, verify=verify)
            log.debug("index %s: reused%s", folder, ", all bytes verified" if verify else "")
        return load(folder)
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else error
        raise DamagedIndexError(folder, problem) from error


@contextlib.contextmanager
def to_be_made(folder: Path, doing: str) -> Iterator[bool]:
    """Yield whether a folder must be made. Other processes that need it wait until the end of the block."""
    if folder.exists():
        yield False
        return
    with contextlib.ExitStack() as held:
        with writing(f"index {folder}"):
            busy = f"index {folder}: another process is {doing} it, waiting"
            held.enter_context(locked(folder, busy, wait=True))
        yield not folder.exists()


def save_folder(folder: Path, manifest: dict[str, Any], save: Callable[[Path], None]) -> bool:
    """Make a folder of the files that `save` writes, and of a manifest with their sizes and checksums.

    `save` may still add to what the manifest says. Return False if another process was faster; its folder
    stays.
    """
    with beside(folder, folder=True) as part:
        save(part)
        manifest = {"layout": _LAYOUT} | manifest
        manifest["files"] = {file.name: _checksums(file) for file in sorted(part.iterdir())}
        manifest["checksum"] = _own_checksum(manifest)
        (part / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        sync(part)
        try:
            part.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            return False
        sync_one(folder.parent)
        return True


def _check_files(folder: Path, manifest: dict[str, Any], *, verify: bool) -> None:
    """Compare the files of an index with what its manifest says of them.

    Raises:
        ValueError: one differs.
    """
    if manifest["checksum"] != _own_checksum(manifest):
        raise ValueError(f"{_MANIFEST} was changed")
    for name, told in manifest["files"].items():
        size = (folder / name).stat().st_size
        if size != told["bytes"]:
            raise ValueError(f"{name} has {plural(size, 'byte')}, not {told['bytes']:,}")
        whole = verify or size <= _WHOLE
        found = checksum(folder / name) if whole else sampled_checksum(folder / name)
        if found != told["crc32" if whole else "sample"]:
            raise ValueError(f"{name} was changed")


def _checksums(file: Path) -> dict[str, int]:
    """Return what the manifest says of a file."""
    size = file.stat().st_size
    told = {"bytes": size, "crc32": checksum(file)}
    return told if size <= _WHOLE else told | {"sample": sampled_checksum(file)}


def _own_checksum(manifest: dict[str, Any]) -> int:
    """Return the checksum of a manifest without its own checksum."""
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
