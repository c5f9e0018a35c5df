"""Losses over embeddings: where the student puts queries and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdtools.train.losses.masked import mean

if TYPE_CHECKING:
    from torch import Tensor


def embedding(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    cosine: bool = True,
    scale: float = 1.0,
    projection: Tensor | None = None,
) -> Tensor:
    """Embedding matching: the student puts query and documents where the teacher puts them.

    scale · (½·|q_s − q_t|² + mean over documents i of ½·|d_si − d_ti|²)

    q and d are the embeddings of the query and of the documents, by the student (s) and the teacher (t),
    normalised if the student's similarity is the cosine: each ½·|…|² is then 1 − cos. The scale is --scale,
    so that the loss has the unit of the scores in other losses of a sum; a learned scale counts with its
    initial value. For bi-encoders. A teacher's embeddings of another dimension, or far from those of the
    untrained student, are first projected and rotated.
    Teacher: its embeddings, not its scores. Judgements: not used.
    Ties: no special case.
    Undefined: a group without an embedding of its query, or of any document.
    Source: Kim et al.: EmbedDistill (arXiv 2301.12005); for sentences: Reimers, Gurevych (arXiv 2004.09813).
    """
    teacher = teacher.nan_to_num(0.0)  # student and teacher: (B, 1 + G, dimension), NaN where there is none
    if projection is not None:
        teacher = teacher @ projection
    if cosine:
        student, teacher = (
            side / side.norm(dim=-1, keepdim=True).clamp(min=1e-12) for side in (student, teacher)
        )
        distances = 1 - (student * teacher).sum(-1)
    else:
        distances = (student - teacher).square().sum(-1) / 2
    return scale * (distances[:, 0] + mean(distances[:, 1:], mask))
