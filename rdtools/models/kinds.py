"""The kinds of models that sentence-transformers saves, and what a folder says of its own.

The library opens a model of one kind as another one, with what is missing at random. Here it is refused.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdtools.core.errors import RdError

KINDS = {
    "be": ("SentenceTransformer", "bi-encoder", "be:{0}, as a source dense:{0}"),
    "ce": ("CrossEncoder", "cross-encoder", "ce:{0}"),
    "sparse": ("SparseEncoder", "sparse encoder", "sparse:{0}"),
    "colbert": ("MultiVectorEncoder", "late-interaction model", "colbert:{0}"),
}
"""The class of the library, what we call it, and what to type for a model of this kind."""


def check_kind(name: str, kind: str, *, student: bool = False) -> None:
    """Refuse a model that was saved as one of another kind.

    A bi-encoder may start from the transformer of any model without modules, and from a cross-encoder. A
    sparse encoder may start from a transformer with a head for masked words (SPLADE), a late-interaction
    `student` from a transformer or a bi-encoder.

    Raises:
        RdError: the message says what to type instead.
    """
    found = _kind(name)
    what = KINDS[kind][1]
    starts = {"be": (None, "ce"), "colbert": (None, "be") if student else ()}.get(kind, ())
    if found == kind or found in starts:
        return
    if found is not None:
        _, own, use = KINDS[found]
        raise RdError(f"model {name}: it is a {own}, not a {what} (use {use.format(name)})")
    config = saved_json(name, "config.json")
    masked = [one for one in (config or {}).get("architectures") or () if one.endswith("ForMaskedLM")]
    if config is not None and not (kind == "sparse" and masked):
        lacks = "modules of one" + (", and no head for masked words" if kind == "sparse" else "")
        raise RdError(f"model {name}: it is not a {what}: it has no {lacks}")


def _kind(name: str) -> str | None:
    """Return the kind that a model was saved as; None for a plain transformer."""
    settings = saved_json(name, "config_sentence_transformers.json") or {}
    saved = settings.get("model_type")
    if saved == "ColBERT" or "query_prefix" in settings:  # PyLate's
        return "colbert"
    for kind, (own, _, _) in KINDS.items():
        if own == saved:
            return kind
    if saved_json(name, "modules.json") is not None:
        return "be"
    architectures = (saved_json(name, "config.json") or {}).get("architectures") or ()
    return "colbert" if "HF_ColBERT" in architectures else None  # Stanford's


def saved_json(name: str, file: str) -> Any:
    """Return the content of a JSON file of a model, None if it has no such file."""
    from sentence_transformers.util import load_file_path

    path = load_file_path(name, file)
    return None if path is None else json.loads(Path(path).read_bytes())


@contextlib.contextmanager
def missing_weights() -> Iterator[list[str]]:
    """Yield a list of the weights that the files of models loaded in this block lack.

    The library fills them at random, and has no option that says so.
    """
    from transformers import PreTrainedModel

    lacks: list[str] = []
    own = PreTrainedModel.__dict__["from_pretrained"]

    def informed(cls: type, *arguments: Any, **options: Any) -> Any:
        model, info = own.__func__(cls, *arguments, **{**options, "output_loading_info": True})
        lacks.extend(sorted(key for key in info["missing_keys"] if not key.startswith("pooler.")))
        return model

    PreTrainedModel.from_pretrained = classmethod(informed)  # type: ignore[method-assign, assignment]
    try:
        yield lacks
    finally:
        PreTrainedModel.from_pretrained = own  # type: ignore[method-assign]
