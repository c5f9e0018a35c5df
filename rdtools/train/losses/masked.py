"""Masked sums and comparisons, shared by all losses: numbers where there is no document never count.

Tensors are used only through their methods, so that names and docstrings can be shown without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def mean(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean over N of the (B, N) `values` where `where` is True, (B,); 0 if it is nowhere."""
    return values.masked_fill(~where, 0.0).sum(-1) / where.sum(-1).clamp(min=1)


def only(scores: Tensor, where: Tensor) -> Tensor:
    """Return scores that vanish under softmax where `where` is False (finite: −∞ makes NaN gradients)."""
    return scores.masked_fill(~where, -1e30)


def pairs(left: Tensor, right: Tensor) -> Tensor:
    """Return a mask of pairs (i, j), i in `left` and j in `right`: two (B, G) -> (B, G, G)."""
    return left.unsqueeze(2) & right.unsqueeze(1)


def differences(scores: Tensor) -> Tensor:
    """Return the score of document i minus that of document j: (B, G) -> (B, G, G)."""
    return scores.unsqueeze(2) - scores.unsqueeze(1)


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)), exact for large |x|."""
    return x.logaddexp(x.new_zeros(()))


def by_score(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the documents' places by falling score, (B, G): ties keep their order, padding comes last."""
    return only(scores, mask).argsort(dim=-1, descending=True, stable=True)


def places(like: Tensor) -> Tensor:
    """Return the numbers 1 … G of the last dimension, in the dtype of `like`."""
    return like.new_ones(like.shape[-1]).cumsum(0)
