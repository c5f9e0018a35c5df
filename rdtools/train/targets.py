"""The targets of groups, and what is counted of a student's scores for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rdtools.train.groups import Group
from rdtools.train.losses.objective import Labels


def labels(groups: Sequence[Group]) -> Labels:
    """Return the targets of groups, (B, G) on the CPU."""
    width = max(len(group.documents) for group in groups)
    teacher = torch.full((len(groups), width), math.nan)
    positive, mask, own = torch.zeros(3, len(groups), width, dtype=torch.bool)
    for row, group in enumerate(groups):
        n = len(group.documents)
        scores = [math.nan if document.score is None else document.score for document in group.documents]
        teacher[row, :n] = torch.tensor(scores)
        positive[row, :n] = torch.tensor([document.positive for document in group.documents])
        mask[row, :n] = True
        own[row, : len(group.own)] = True
    return Labels(teacher, positive, mask, own)


def unequal(scores: Tensor, mask: Tensor) -> Tensor:
    """Count the groups of (B, G) scores with two different ones, beyond rounding, or with one document."""
    highest = scores.masked_fill(~mask, -math.inf).amax(-1)
    lowest = scores.masked_fill(~mask, math.inf).amin(-1)
    apart = highest - lowest > 1e-4 * highest.abs().clamp(min=1e-4)
    return (apart | (mask.sum(-1) < 2)).sum().to(scores.dtype)
