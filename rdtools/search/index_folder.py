"""`--index DIR`: indexes on disk, built once, reused, and never used for another corpus or if damaged."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rdtools import __version__
from rdtools.core.checked_folder import load_index, save_folder, to_be_made
from rdtools.core.log import log, plural
from rdtools.core.output import writing
from rdtools.search.options import IndexOptions

if TYPE_CHECKING:
    from rdtools.data.corpus import Corpus

T = TypeVar("T")
B = TypeVar("B")


def load_or_build(
    search: IndexOptions,
    kind: str,
    settings: dict[str, Any],
    corpus: Corpus,
    build: Callable[[], B],
    finish: Callable[[B], T],
    save: Callable[[B, Path], None],
    load: Callable[[Path], T],
) -> T:
    """Load the index with these `settings` from the folder of `search`, or build and save it there.

    The directory may hold indexes with other settings too. If several processes need the same index, such
    as the commands of a pipe, one builds it and the others wait. Without a directory what was built is
    finished in memory. The manifest has size and checksum of each file, and also says how many documents were
    indexed in how many seconds.

    Raises:
        RdError: the saved index was built from another corpus or by another version, or is damaged.
    """
    start = time.perf_counter()
    if search.index is None:
        index = finish(build())
        _log_rate(kind, len(corpus), time.perf_counter() - start)
        return index
    folder = index_folder(search.index, kind, settings)
    expected = {"kind": kind, "settings": settings, "corpus": corpus.fingerprint}
    made = False
    with to_be_made(folder, "building") as needed:
        if needed:
            start = time.perf_counter()
            built = build()
            about: dict[str, Any] = expected | {"documents": len(corpus), "rdtools": __version__}

            def write(part: Path) -> None:
                save(built, part)
                about["seconds"] = round(time.perf_counter() - start, 3)

            with writing(f"index {folder}"):
                made = save_folder(folder, about, write)
            _log_rate(kind, len(corpus), time.perf_counter() - start)
    return load_index(folder, load, expected, verify=search.verify, just_written=made)


def index_folder(directory: str, kind: str, settings: dict[str, Any]) -> Path:
    """Return the folder in `directory` of the index with these settings."""
    key = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=6).hexdigest()
    return Path(directory) / f"{kind}-{key}"


def _log_rate(kind: str, documents: int, seconds: float) -> None:
    count, rate = plural(documents, "document"), documents / max(seconds, 1e-9)
    log.info("%s: %s indexed in %.1f s (%s docs/s)", kind, count, seconds, f"{rate:,.0f}")
