"""The form of a saved bi-encoder that older versions of sentence-transformers, and other libraries, read.

Version 5.4 renamed the classes of modules and the settings of pooling. It reads both forms; versions before
5.4, and some servers of embeddings, read the older one only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Settings = dict[str, Any]
_PLAIN_TEXT = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
_EMBEDDING = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
_POOLING = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def write_older_form(folder: Path, max_length: int) -> bool:
    """Rewrite the settings of a saved bi-encoder in the older form; False if it cannot express them."""
    modules: list[dict[str, Any]] = _read(folder / "modules.json")
    names = [module["type"].rpartition(".")[2] for module in modules]
    settings = _read(folder / "config_sentence_transformers.json")
    if not set(names) <= _REWRITE.keys() or settings.get("truncate_dim") is not None:
        return False
    files: dict[Path, Settings | None] = {}
    for module, name in zip(modules, names, strict=True):
        if not module["type"].startswith("sentence_transformers."):
            return False
        module["type"] = f"sentence_transformers.models.{name}"
        file = "sentence_bert_config.json" if name == "Transformer" else "config.json"
        path = folder / module["path"] / file
        if path.exists():
            files[path] = _REWRITE[name](_read(path), max_length)
    if None in files.values():
        return False
    for path, content in {folder / "modules.json": modules, **files}.items():
        path.write_text(json.dumps(content, indent=2) + "\n")
    return True


def _transformer(config: Settings, max_length: int) -> Settings | None:
    if "max_seq_length" in config:  # the older form already
        return config
    return {"max_seq_length": max_length, "do_lower_case": False} if config == _PLAIN_TEXT else None


def _pooling(config: Settings, max_length: int) -> Settings | None:
    if "word_embedding_dimension" in config:
        return config
    mode = config.get("pooling_mode")
    if len(config) != 3 or mode not in _POOLING:
        return None
    return {
        "word_embedding_dimension": config["embedding_dimension"],
        **{name: mode == own for own, name in _POOLING.items()},
        "include_prompt": config["include_prompt"],
    }


def _dense(config: Settings, max_length: int) -> Settings | None:
    rest = {key: value for key, value in config.items() if key not in _EMBEDDING}
    return rest if _EMBEDDING.items() <= {**_EMBEDDING, **config}.items() else None


def _normalize(config: Settings, max_length: int) -> Settings | None:
    return config


_REWRITE = {"Transformer": _transformer, "Pooling": _pooling, "Dense": _dense, "Normalize": _normalize}


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())
