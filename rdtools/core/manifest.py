"""Manifests (`--manifest`): the command line, what it read and wrote by hash, and what it ran on.

While a `Ledger` is open, `rdtools.core.streams` and `rdtools.core.output` hash what passes through them, so
that pipes have hashes too and files are not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from rdtools import __version__
from rdtools.core.checksums import add_file
from rdtools.core.errors import UsageError
from rdtools.core.log import log

MANIFEST = "manifest.json"
"""In the folder of a model."""
SUFFIX = ".manifest.json"
"""FILE.manifest.json is found as the manifest of FILE."""
_NOT_HASHED = (MANIFEST, "README.md")
"""Files that say what a model is, and do not change its scores."""
_LIBRARIES = (
    *("faiss", "huggingface_hub", "ir_datasets", "ir_measures", "numba", "numpy", "safetensors"),
    *("scipy", "sentence_transformers", "tokenizers", "torch", "transformers"),
)


@dataclass
class Hashed:
    """The hash of a stream so far; `whole` once its end was read or written."""

    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    whole: bool = False

    def add(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)


@dataclass
class Ledger:
    """What a command has read and written so far, in order.

    Attributes:
        models: the name of each model, and its folder if it is a local one.
        folders: the folders of models that it wrote; each gets the manifest, too.
        silent: True in processes that leave the manifest to another one.
    """

    command: str
    arguments: Sequence[str]
    seed: int | None
    inputs: dict[str, Hashed] = field(default_factory=dict)
    outputs: dict[str, Hashed] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    silent: bool = False
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    begin: float = field(default_factory=time.monotonic)

    def places(self, path: str | None) -> list[Path]:
        """Return where the manifest goes: `path`, if one is given, and each folder of a model."""
        paths = [*([] if path is None else [Path(path)]), *(folder / MANIFEST for folder in self.folders)]
        return [] if self.silent else paths

    def manifest(self, places: Sequence[Path]) -> dict[str, Any]:
        """Return the manifest that goes to `places`.

        Manifests of its inputs are looked for beside these and beside `places`.
        """
        inputs = [_stream_entry(name, hashed) for name, hashed in self.inputs.items()]
        models = [_model_entry(name, folder) for name, folder in self.models.items()]
        outputs = [_stream_entry(name, hashed) for name, hashed in self.outputs.items()]
        outputs += [{"path": str(folder), **_folder_hash(folder)} for folder in self.folders]
        return {
            "command": shlex.join([self.command, *self.arguments]),
            "arguments": [self.command, *self.arguments],
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.begin, 3),
            "seed": self.seed,
            "inputs": inputs,
            "models": models,
            "outputs": outputs,
            "versions": versions(),
            "hardware": _hardware(),
            "upstream": _upstream([*inputs, *models], [place.parent for place in places]),
        }


_open: Ledger | None = None


@contextlib.contextmanager
def open_ledger(command: str, arguments: Sequence[str], seed: int | None) -> Iterator[Ledger]:
    """Hash all streams that the block opens."""
    global _open
    _open = Ledger(command, arguments, seed)
    try:
        yield _open
    finally:
        _open = None


def note_model(name: str, folder: str) -> None:
    """Note a model that is loaded: its name, and its folder or again its name on the hub."""
    if _open is not None:
        _open.models.setdefault(name, folder)


def note_folder(folder: Path, *, is_main: bool) -> None:
    """Note the folder of a written model; of several processes only the main one writes manifests."""
    if _open is not None:
        _open.folders.append(folder)
        _open.silent = not is_main


def commands() -> list[str]:
    """Return the command lines that made the inputs so far, the first one first, and the present one.

    Without a ledger there are none.
    """
    if _open is None:
        return []
    inputs = [_stream_entry(name, hashed) for name, hashed in _open.inputs.items()]
    return [*_commands_of(_upstream(inputs, [], quiet=True)), shlex.join([_open.command, *_open.arguments])]


def _commands_of(manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    found: dict[str, None] = {}
    for one in manifests:
        found |= dict.fromkeys([*_commands_of(one["upstream"]), one["command"]])
    return list(found)


def read_through(stream: BinaryIO, name: str) -> BinaryIO:
    """Return a stream that hashes what is read; the same one without a ledger, or if the hash is known."""
    if _open is None or ((known := _open.inputs.get(name)) is not None and known.whole):
        return stream
    hashed = _open.inputs[name] = Hashed()
    return io.BufferedReader(_HashingReader(stream, hashed), 2**16)


def write_through(stream: BinaryIO, name: str) -> BinaryIO:
    """Return a stream that hashes what is written; the same stream if no ledger is open."""
    if _open is None:
        return stream
    hashed = _open.outputs[name] = Hashed(whole=True)
    return _HashingWriter(stream, hashed)  # type: ignore[return-value]


class _HashingReader(io.RawIOBase):
    """A read takes what is there and does not wait for all that it asked for."""

    def __init__(self, stream: Any, hashed: Hashed) -> None:
        self._stream = stream
        self._hashed = hashed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read1(len(buffer))
        self._hashed.add(data)
        self._hashed.whole = not data
        buffer[: len(data)] = data
        return len(data)

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def tell(self) -> int:
        return int(self._stream.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._hashed = Hashed()  # what is read here and there is hashed from the disk in the end
        return int(self._stream.seek(offset, whence))


class _HashingWriter(io.RawIOBase):
    def __init__(self, stream: BinaryIO, hashed: Hashed) -> None:
        self._stream = stream
        self._hashed = hashed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = self._stream.write(data)
        self._hashed.add(data)
        return written

    def flush(self) -> None:
        self._stream.flush()


def _stream_entry(name: str, hashed: Hashed) -> dict[str, Any]:
    """Return path, size and hash; a file of which only a part was read is hashed from the disk."""
    if not hashed.whole and os.path.isfile(name):
        return {"path": name, "bytes": os.path.getsize(name), "sha256": _file_hash(Path(name))}
    entry = {"path": name, "bytes": hashed.size, "sha256": hashed.digest.hexdigest()}
    return entry if hashed.whole else {**entry, "partly_read": True}


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    add_file(digest, path)
    return digest.hexdigest()


def _folder_hash(folder: Path) -> dict[str, Any]:
    """Return the hash of each file of a model, and of the list of them as `sha256sum` writes it."""
    files = {
        str(path.relative_to(folder)): _file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _NOT_HASHED and "checkpoints" not in path.parts
    }
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in files.items())
    return {"sha256": hashlib.sha256(lines.encode()).hexdigest(), "files": files}


def _model_entry(name: str, folder: str) -> dict[str, Any]:
    """Return the hashes of a local model, or the revision of one in the hub's cache."""
    if Path(folder).is_dir():
        place = {} if folder == name else {"folder": folder}
        return {"path": name, **place, **_folder_hash(Path(folder))}
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return {"path": name, "revision": Path(found).parent.name if isinstance(found, str) else None}


def _upstream(
    inputs: Sequence[Mapping[str, Any]], places: Sequence[Path], *, quiet: bool = False
) -> list[dict[str, Any]]:
    """Return the manifests whose outputs are among the inputs, by hash."""
    beside: dict[Path, str] = {}  # the input that a manifest is beside
    for entry in inputs:
        own = Path(entry["path"])
        beside[(own / MANIFEST if own.is_dir() else own.with_name(own.name + SUFFIX)).absolute()] = str(own)
    others = [path.absolute() for place in places for path in sorted(place.glob(f"*{SUFFIX}"))]
    wanted = {entry["sha256"] for entry in inputs if "sha256" in entry}
    found: dict[str, dict[str, Any]] = {}
    for path in dict.fromkeys([*beside, *others]):
        with contextlib.suppress(OSError):
            text = path.read_text()
            try:
                manifest = json.loads(text)
                made = {output["sha256"] for output in manifest["outputs"]}
            except (ValueError, KeyError, TypeError):
                log.warning("%s: it is not a manifest", path)
                continue
            if made & wanted:
                found.setdefault(text, manifest)
            elif path in beside and not quiet:
                log.warning("%s: it is not the manifest of the present %s", path, beside[path])
    return list(found.values())


def versions() -> dict[str, str]:
    """Return the versions of Python, of rdtools and of the libraries that were imported."""
    import platform  # no command waits for these to start
    from importlib import metadata

    versions = {"python": platform.python_version(), "rdtools": __version__}
    for name in _LIBRARIES:
        if name in sys.modules:
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[name.replace("_", "-")] = metadata.version({"faiss": "faiss-cpu"}.get(name, name))
    return versions


def _hardware() -> dict[str, Any]:
    import platform

    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    torch: Any = sys.modules.get("torch")
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if torch else []
    return {"system": platform.platform(), "processor": processor, "processors": os.cpu_count(), "gpus": gpus}


def check_manifest_path(text: str) -> str:
    """Return the argument of --manifest: a file, not standard output, which carries data only."""
    if text in ("", "-"):
        raise UsageError("--manifest needs the name of a file")
    return text
