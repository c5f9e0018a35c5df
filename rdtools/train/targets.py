"""The targets of groups, and what is counted of a student's scores for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rdtools.formats.vectors import read_vector
from rdtools.train.groups import Group
from rdtools.train.losses.objective import Labels


def labels(groups: Sequence[Group], dimension: int = 0) -> Labels:
    """Return the targets of groups, (B, G) on the CPU; with embeddings if they have a `dimension`."""
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
    return Labels(teacher, positive, mask, own, _vectors(groups, dimension) if dimension else None)


def _vectors(groups: Sequence[Group], dimension: int) -> Tensor:
    """Return the teacher's embeddings of queries and of their own documents, (B, 1 + n, dimension)."""
    found = torch.full((len(groups), 1 + max(len(group.own) for group in groups), dimension), math.nan)
    for row, group in enumerate(groups):
        texts = [group.embedding, *(document.embedding for document in group.own)]
        for place, text in enumerate(texts):
            if text is not None:
                found[row, place] = torch.from_numpy(read_vector(text))
    return found


def unequal(scores: Tensor, mask: Tensor) -> Tensor:
    """Count the groups of (B, G) scores with two different ones, beyond rounding, or with one document."""
    highest = scores.masked_fill(~mask, -math.inf).amax(-1)
    lowest = scores.masked_fill(~mask, math.inf).amin(-1)
    apart = highest - lowest > 1e-4 * highest.abs().clamp(min=1e-4)
    return (apart | (mask.sum(-1) < 2)).sum().to(scores.dtype)
