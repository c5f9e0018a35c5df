"""The FLOPS regulariser of sparse encoders (Paria et al., arXiv 2004.05665), as in SPLADE (2107.05720)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WARMUP = 1 / 3
"""The share of the steps in which the weights rise with the square of the step, as in SPLADE's training."""


@dataclass(frozen=True)
class Flops:
    """Σ over dimensions of the square of the mean |activation|, of the queries and documents of a batch.

    Attributes:
        query, document: the weights of the two sums after the warm-up.
    """

    query: float
    document: float

    def share(self, step: int, steps: int) -> float:
        """Return the share of the weights at `step` of 0 … steps − 1."""
        rise = max(1, int(steps * WARMUP))
        return min(1.0, (step / rise) ** 2)

    def __call__(self, encoded: Tensor, queries: int) -> tuple[Tensor, Tensor]:
        """Return the weighted sum for encodings (n, dimension), of which the first are the queries.

        Also the sums of queries and documents and their mean numbers of active dimensions, (4,) without a
        gradient.
        """
        import torch

        sides = encoded[:queries], encoded[queries:]
        flops = torch.stack([side.abs().mean(0).square().sum() for side in sides])
        active = torch.stack([(side != 0).sum(1).float().mean() for side in sides])
        penalty = self.query * flops[0] + self.document * flops[1]
        return penalty, torch.cat([flops, active]).detach()


def sparsity_row(figures: Sequence[float]) -> dict[str, Any]:
    """Return the figures of `Flops` as they are printed."""
    query, document, *active = (float(f"{figure:.6g}") for figure in figures)
    return {
        "flops": {"query": query, "document": document},
        "active_dims": dict(zip(("query", "document"), active, strict=True)),
    }
