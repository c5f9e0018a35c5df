"""Keep some of a model's layers, or some rows of its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rdtools.core.errors import RdError, UsageError
from rdtools.models.products import use_faster_products

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def keep_layers(model: nn.Module, transformer: PreTrainedModel, layers: str) -> None:
    """Keep the first N layers of a model's transformer ("6"), or those of these numbers from 0 ("0,2,4").

    Raises:
        UsageError: the transformer has no such layers.
        RdError: the architecture does not allow it.
    """
    places = (
        (parent, name) for parent in model.modules() for name, part in parent.named_children()
        if part is transformer
    )  # fmt: skip
    parent, name = next(places)
    setattr(parent, name, _with_layers(transformer, layers))


def _with_layers(model: PreTrainedModel, layers: str) -> PreTrainedModel:
    depth = model.config.num_hidden_layers
    kept = _parse_layers(layers, depth)
    parts = model.named_modules()
    lists = [name for name, part in parts if isinstance(part, nn.ModuleList) and len(part) == depth]
    if len(lists) != 1:
        raise RdError(f"--layers: no list of {depth} layers found in a {type(model).__name__}")
    state = model.state_dict()
    for index in range(depth):
        old = f"{lists[0]}.{index}."
        for key in [key for key in state if key.startswith(old)]:
            value = state.pop(key)
            if index in kept:  # `kept` is ascending, so this overwrites no key that is still needed
                state[f"{lists[0]}.{kept.index(index)}.{key[len(old) :]}"] = value
    model.config.num_hidden_layers = len(kept)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[index] for index in kept]
    smaller = type(model)(model.config)
    try:
        smaller.load_state_dict(state)
    except RuntimeError as error:  # for example, ModernBERT's first layer differs from the others
        raise RdError(f"--layers {layers}: a {type(model).__name__} cannot be built of these") from error
    smaller.to(model.device)  # type: ignore[arg-type]
    use_faster_products(smaller)
    return smaller.eval()  # type: ignore[no-untyped-call,no-any-return]


def _parse_layers(layers: str, depth: int) -> list[int]:
    try:
        numbers = [int(word) for word in layers.split(",")]
    except ValueError:
        raise UsageError(f"--layers {layers}: give a number, or numbers separated by commas") from None
    kept = list(range(numbers[0])) if len(numbers) == 1 else sorted(set(numbers))
    if not kept or kept[0] < 0 or kept[-1] >= depth:
        raise UsageError(
            f"--layers {layers}: give N from 1 to {depth}, "
            f"or numbers from 0 to {depth - 1} separated by commas"
        )
    return kept


def size_of(model: Any) -> tuple[int | None, int | None]:
    """Return the layers and the width that a transformer's configuration says, None where it does not."""
    config = getattr(model, "config", None)
    return getattr(config, "num_hidden_layers", None), getattr(config, "hidden_size", None)


def keep_rows(model: Any, rows: list[int]) -> bool:
    """Replace the head of a causal model by its rows for some tokens, in float32; False if it is not linear.

    The model still applies what follows its head, such as a scaling of logits.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        return False
    kept = nn.Linear(head.in_features, len(rows), bias=head.bias is not None, device=head.weight.device)
    with torch.no_grad():
        kept.weight.copy_(head.weight[rows])
        if head.bias is not None:
            kept.bias.copy_(head.bias[rows])
    kept.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    model.set_output_embeddings(kept)
    return True
