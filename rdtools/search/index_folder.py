"""`--index DIR`: indexes on disk, built once, reused, and never used for another corpus."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rdtools.core.atomic import beside
from rdtools.core.errors import RdError
from rdtools.core.log import log, plural

if TYPE_CHECKING:
    from rdtools.data.corpus import Corpus

try:
    import fcntl
except ImportError:  # not on Windows, where each process builds for itself
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")
_MANIFEST = "manifest.json"
_LAYOUT = 1


def load_or_build(
    directory: str | None,
    kind: str,
    settings: dict[str, Any],
    corpus: Corpus,
    build: Callable[[], T],
    save: Callable[[T, Path], None],
    load: Callable[[Path], T],
) -> T:
    """Load the index with these `settings` from `directory`, or build and save it there.

    The directory may hold indexes with other settings too. If several processes need the same index, such
    as the commands of a pipe, one builds it and the others wait. Without a directory the index is built and
    not saved. Its manifest also says how many documents were indexed in how many seconds.

    Raises:
        RdError: the saved index was built from another corpus or by another version, or cannot be read.
    """
    if directory is None:
        return _timed(kind, corpus, build)[0]
    folder = index_folder(directory, kind, settings)
    manifest = {"layout": _LAYOUT, "kind": kind, "settings": settings, "corpus": corpus.fingerprint}
    with _build_lock(folder):
        if not folder.exists():
            index, seconds = _timed(kind, corpus, build)
            built = {"documents": len(corpus), "seconds": round(seconds, 3)}
            _save_whole(folder, manifest | built, index, save)
            return index
    return load_index(folder, load, manifest)


@contextmanager
def _build_lock(folder: Path) -> Iterator[None]:
    """Wait while another process builds the index of this folder; its lock ends when the process does."""
    if fcntl is None or folder.exists():
        yield
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        path = folder.with_name(f".{folder.name}.lock")
        lock = path.open("wb")
    except OSError as error:
        raise RdError(f"index {folder}: cannot write: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("index %s: another process is building it, waiting", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            log.debug("index %s: this file system has no locks", folder)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # waiting processes have it open; later ones find the index


def load_index(folder: Path, load: Callable[[Path], T], expected: dict[str, Any] | None = None) -> T:
    """Load a saved index whose manifest must say what is `expected`.

    Raises:
        RdError: the index was built from another corpus, or cannot be read.
    """
    expected = expected or {"layout": _LAYOUT}
    try:
        there = json.loads((folder / _MANIFEST).read_text())
        for key, value in expected.items():
            if there.get(key) != value:
                other = "from another corpus" if key == "corpus" else f"with another {key}"
                raise RdError(f"index {folder}: it was built {other} (give another --index, or remove it)")
        log.debug("index %s: reused", folder)
        return load(folder)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise RdError(f"index {folder}: it is damaged: {error} (remove it to build it again)") from error


def _timed(kind: str, corpus: Corpus, build: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    index = build()
    seconds = time.perf_counter() - start
    count, rate = plural(len(corpus), "document"), len(corpus) / max(seconds, 1e-9)
    log.info("%s: %s indexed in %.1f s (%s docs/s)", kind, count, seconds, f"{rate:,.0f}")
    return index, seconds


def index_folder(directory: str, kind: str, settings: dict[str, Any]) -> Path:
    """Return the folder in `directory` of the index with these settings."""
    key = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=6).hexdigest()
    return Path(directory) / f"{kind}-{key}"


def _save_whole(folder: Path, manifest: dict[str, Any], index: T, save: Callable[[T, Path], None]) -> None:
    try:
        with beside(folder) as part:
            part.mkdir(parents=True)
            save(index, part)
            (part / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
            try:
                part.rename(folder)
            except OSError:
                if not folder.exists():  # else another process was faster, with the same index
                    raise
    except OSError as error:
        raise RdError(f"index {folder}: cannot write: {error.strerror or error}") from error
