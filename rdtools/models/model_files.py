"""The files of a model's folder that its scores depend on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdtools.core.errors import RdError

_SUFFIXES = {
    *(".safetensors", ".json", ".txt", ".model", ".py", ".jinja"),
    *(".tiktoken", ".bpe", ".vocab", ".spm"),
}


def files_of_model(folder: Path) -> list[Path]:
    """Return the files of a model in order, also those behind links to folders; not its checkpoints."""
    found: list[Path] = []
    seen = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        new = {os.path.realpath(os.path.join(place, each)): each for each in sorted(folders, reverse=True)}
        folders[:] = sorted(each for real, each in new.items() if real not in seen and each != "checkpoints")
        seen.update(new)
        found += [Path(place, file) for file in files if Path(file).suffix in _SUFFIXES]
    return sorted(found)


def base_of_adapter(file: Path) -> str | None:
    """Return the model that an adapter changes, if `file` describes an adapter."""
    if file.name != "adapter_config.json":
        return None
    base = json.loads(file.read_text()).get("base_model_name_or_path")
    return base if isinstance(base, str) and base else None


_PARTS = re.compile("layer|expert")
_LABELS = re.compile("num_labels")
_MANY = 1_000
"""No model is known to have more layers; fewer layers, or labels, are not compared with the weights."""


def check_size(folder: Path) -> None:
    """Refuse a model whose config.json states more layers, or labels, than its weights can have.

    To make the layers, or to name the labels, would not end. Other sizes are compared by the library, before
    it makes anything of them.

    Raises:
        RdError: it does.
    """
    for path in folder.rglob("config.json"):
        try:
            config = json.loads(path.read_bytes())
            parts, labels = (max(_counts(config, of), default=(0, "")) for of in (_PARTS, _LABELS))
            files = path.parent.glob("*.safetensors") if max(parts[0], labels[0]) > _MANY else ()
            shapes = [shape for file in files for shape in _shapes(file)]
            most = max((size for shape in shapes for size in shape), default=0)
        except (OSError, ValueError, RecursionError, KeyError, AttributeError, TypeError):
            continue  # the library says what is wrong with it
        for (number, key), limit, but in (
            (parts, len(shapes), f"there are {len(shapes):,} weights"),
            (labels, most, f"no weight has more than {most:,} rows"),
        ):
            if limit < number > _MANY:
                raise RdError(f"model {folder}: config.json states {key} {number:,}, but {but}")


def _counts(config: Any, of: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Yield the integers in a configuration, and in those inside it, whose names match."""
    for key, value in config.items() if isinstance(config, dict) else ():
        if isinstance(value, int) and of.search(key):
            yield value, key
        yield from _counts(value, of)


def _shapes(path: Path) -> list[list[int]]:
    """Return the shapes of the tensors of a safetensors file."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(size))
    return [tensor["shape"] for name, tensor in tensors.items() if name != "__metadata__"]


def check_shards(folder: Path) -> None:
    """Refuse a model whose list of weight files names files outside its folder, which nothing would check.

    Raises:
        RdError: it does.
    """
    for index in folder.rglob("*.safetensors.index.json"):
        try:
            names = set(json.loads(index.read_bytes())["weight_map"].values())
            outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue  # the library says what is wrong with it
        if outside:
            raise RdError(f"model {folder}: {index.name} names weights outside its folder: {min(outside)}")
