"""What all losses share: sums and comparisons that never look at what stands where there is no document.

Tensors are used through their methods alone, so that names and docstrings can be shown without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of (B, N) `values` over N where `where` (B,); 0 where there is nothing to average."""
    return values.masked_fill(~where, 0.0).sum(-1) / where.sum(-1).clamp(min=1)


def only(scores: Tensor, where: Tensor) -> Tensor:
    """Scores that vanish under softmax where `where` is False; finite, since −∞ would make NaN gradients."""
    return scores.masked_fill(~where, -1e30)


def pairs(left: Tensor, right: Tensor) -> Tensor:
    """(B, G) and (B, G) bool -> (B, G, G): document i is in `left`, document j in `right`."""
    return left.unsqueeze(2) & right.unsqueeze(1)


def differences(scores: Tensor) -> Tensor:
    """(B, G) -> (B, G, G): the score of document i minus that of document j."""
    return scores.unsqueeze(2) - scores.unsqueeze(1)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact for large |x|."""
    return x.logaddexp(x.new_zeros(()))


def by_score(scores: Tensor, mask: Tensor) -> Tensor:
    """(B, G) places of the documents, highest score first, ties as they stand; no documents come last."""
    return only(scores, mask).argsort(dim=-1, descending=True, stable=True)


def places(like: Tensor) -> Tensor:
    """The places 1 … G of the last dimension, in the dtype of `like`."""
    return like.new_ones(like.shape[-1]).cumsum(0)
