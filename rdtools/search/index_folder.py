"""`--index DIR`: indexes on disk, built once, reused, and never used for another corpus or if damaged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rdtools import __version__
from rdtools.core.atomic import beside, locked, sync, sync_one
from rdtools.core.checksums import checksum, sampled_checksum
from rdtools.core.errors import RdError
from rdtools.core.log import log, plural
from rdtools.core.output import writing
from rdtools.search.options import IndexOptions

if TYPE_CHECKING:
    from rdtools.data.corpus import Corpus

T = TypeVar("T")
_MANIFEST = "manifest.json"
_LAYOUT = 2
_WHOLE = 2**25
"""Bytes of a file whose checksum is always compared; of a larger one a sample is."""


class DamagedIndexError(RdError):
    """An index that must not be searched; the message offers a rebuild."""

    def __init__(self, folder: Path, problem: object) -> None:
        super().__init__(f"index {folder}: it is damaged: {problem} (remove it to build it again)")


def load_or_build(
    search: IndexOptions,
    kind: str,
    settings: dict[str, Any],
    corpus: Corpus,
    build: Callable[[], T],
    save: Callable[[T, Path], None],
    load: Callable[[Path], T],
) -> T:
    """Load the index with these `settings` from the folder of `search`, or build and save it there.

    The directory may hold indexes with other settings too. If several processes need the same index, such
    as the commands of a pipe, one builds it and the others wait. Without a directory the index is built and
    not saved. Its manifest has size and checksum of each file, and also says how many documents were indexed
    in how many seconds.

    Raises:
        RdError: the saved index was built from another corpus or by another version, or is damaged.
    """
    if search.index is None:
        return _timed(kind, corpus, build)[0]
    folder = index_folder(search.index, kind, settings)
    expected = {"kind": kind, "settings": settings, "corpus": corpus.fingerprint}
    if not folder.exists():
        busy = f"index {folder}: another process is building it, waiting"
        with contextlib.ExitStack() as held:
            with writing(f"index {folder}"):
                held.enter_context(locked(folder, busy, wait=True))
            if not folder.exists():
                index, seconds = _timed(kind, corpus, build)
                built = {"documents": len(corpus), "seconds": round(seconds, 3), "rdtools": __version__}
                with writing(f"index {folder}"):
                    _save_whole(folder, {"layout": _LAYOUT} | expected | built, index, save)
                return index
    return load_index(folder, load, expected, verify=search.verify)


def load_index(
    folder: Path, load: Callable[[Path], T], expected: dict[str, Any] | None = None, *, verify: bool = False
) -> T:
    """Load a saved index whose manifest must say what is `expected`.

    Sizes and checksums of its files are compared with the manifest; unless `verify` asks for all bytes, of
    files larger than 32 MiB a sample. `load` checks that what it reads fits together.

    Raises:
        RdError: the index was built from another corpus, or is damaged.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        for key, value in ({"layout": _LAYOUT} | (expected or {})).items():
            if manifest.get(key) != value:
                other = "from another corpus" if key == "corpus" else f"with another {key}"
                raise RdError(f"index {folder}: it was built {other} (give another --index, or remove it)")
        _check_files(folder, manifest, verify=verify)
        log.debug("index %s: reused%s", folder, ", all bytes verified" if verify else "")
        return load(folder)
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else error
        raise DamagedIndexError(folder, problem) from error


def index_folder(directory: str, kind: str, settings: dict[str, Any]) -> Path:
    """Return the folder in `directory` of the index with these settings."""
    key = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=6).hexdigest()
    return Path(directory) / f"{kind}-{key}"


def _timed(kind: str, corpus: Corpus, build: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    index = build()
    seconds = time.perf_counter() - start
    count, rate = plural(len(corpus), "document"), len(corpus) / max(seconds, 1e-9)
    log.info("%s: %s indexed in %.1f s (%s docs/s)", kind, count, seconds, f"{rate:,.0f}")
    return index, seconds


def _save_whole(folder: Path, manifest: dict[str, Any], index: T, save: Callable[[T, Path], None]) -> None:
    with beside(folder, folder=True) as part:
        save(index, part)
        manifest["files"] = {file.name: _checksums(file) for file in sorted(part.iterdir())}
        manifest["checksum"] = _own_checksum(manifest)
        (part / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        sync(part)
        try:
            part.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster, with the same index
                raise
        sync_one(folder.parent)


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
