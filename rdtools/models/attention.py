"""Which of the implementations in transformers computes attention."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel


def use_matrix_products(module: nn.Module) -> None:
    """Make the transformers in `module` compute attention with matrix products, if torch's function does now.

    While a model has dropout, torch's function multiplies in float32 on a CPU, whatever the type of its
    inputs. Values differ by rounding. A transformer that cannot choose stays as it is.
    """
    for part in module.modules():
        if (
            isinstance(part, PreTrainedModel)
            and part.config._attn_implementation == "sdpa"
            and part._can_set_attn_implementation()
        ):
            part.set_attn_implementation("eager")
