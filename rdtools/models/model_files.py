"""The files of a model's folder that its scores depend on."""

from __future__ import annotations

import json
import os
from pathlib import Path

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
