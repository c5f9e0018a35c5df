"""Leave out the part of a transformer's last layer that nothing reads.

A head for classes and CLS pooling read only the first token. So the last layer needs the keys and values of
all tokens, and everything else of the first one. Scores and gradients are the same; about five sixths of
the last layer's work is saved.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch.nn import functional

_FAMILIES = ("Bert", "Roberta", "XLMRoberta", "Camembert", "Electra")
"""Architectures of transformers whose layers have the parts that are used here."""


def compute_first_token_only(model: Any, transformer: Any) -> bool:
    """Make the last layer of `transformer` compute its first token only; return whether it does now.

    It stays as it is if its architecture is another one, or if `model`, the model of sentence-transformers
    that it is in, reads other tokens.
    """
    family, _, role = type(transformer).__name__.partition("For")
    reads_first = role == "SequenceClassification" or (not role and _pools_first(model))
    ours = type(transformer).__module__.startswith("transformers.models.")
    if not ours or family.removesuffix("Model") not in _FAMILIES or not reads_first:
        return False
    config = transformer.config
    usual = (
        not config.is_decoder
        and not getattr(config, "chunk_size_feed_forward", 0)
        and getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
        and config._attn_implementation in ("sdpa", "eager")
    )
    if usual:
        layer = transformer.base_model.encoder.layer[-1].attention
        layer.self.forward = MethodType(_attend, layer.self)  # bound, so that a copy has its own weights
        layer.output.register_forward_pre_hook(lambda _, inputs: (inputs[0], inputs[1][:, :1]))
    return usual


def _attend(
    attention: Any,
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *_: Any,
    **__: Any,
) -> tuple[torch.Tensor, None]:
    """Return the context of the first token, (n, 1, width), as the attention of transformers does."""

    def heads(states: torch.Tensor) -> torch.Tensor:
        """(n, tokens, width) -> (n, heads, tokens, width / heads)."""
        size: int = attention.attention_head_size
        return states.view(*states.shape[:2], -1, size).transpose(1, 2)

    context = functional.scaled_dot_product_attention(
        heads(attention.query(hidden_states[:, :1])),
        heads(attention.key(hidden_states)),
        heads(attention.value(hidden_states)),
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
        dropout_p=attention.dropout.p if attention.training else 0.0,
    )
    return context.transpose(1, 2).flatten(2), None


def _pools_first(model: Any) -> bool:
    """Whether a model's second module pools the first token, and later ones read what it pooled."""
    _, *others = model
    names = [type(module).__name__ for module in others]
    if names[:1] != ["Pooling"] or not {*names[1:]} <= {"Dense", "Normalize"}:
        return False
    pools = others[0].get_config_dict()
    modes = {key for key, value in pools.items() if key.startswith("pooling_mode_") and value is True}
    first = pools.get("pooling_mode") == "cls" or modes == {"pooling_mode_cls_token"}
    inputs = {getattr(module, "module_input_name", "sentence_embedding") for module in others[1:]}
    usual = pools.get("include_prompt", True) and model.tokenizer.padding_side == "right"
    return bool(first and usual and inputs <= {"sentence_embedding"})
