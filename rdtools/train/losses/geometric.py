"""Losses over embeddings: where the student puts queries and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdtools.train.losses.masked import mean

if TYPE_CHECKING:
    from torch import Tensor


def embedding(
    student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor, *, cosine: bool = True
) -> Tensor:
    """Embedding matching: the student puts query and documents where the teacher puts them.

    ½·|q_s − q_t|² + mean over documents i of ½·|d_s,i − d_t,i|²

    For a student of cosines all embeddings are first brought to length 1, so each term is 1 − cos.
    (B, 1 + G, dimension) instead of scores: the query, then the documents; where the teacher has none, NaN.
    Teacher: its embeddings, of as many dimensions as the student's; its scores are not used. Judgements: not
    used. For bi-encoders.
    Ties: no special case.
    Undefined: a group without a document that has an embedding. A query without one has no term.
    Source: Kim et al.: EmbedDistill (arXiv 2301.12005); for sentences: Reimers, Gurevych (arXiv 2004.09813).
    """
    there = ~teacher.isnan().any(-1)  # (B, 1 + G)
    teacher = teacher.nan_to_num(0.0)
    if cosine:
        student, teacher = (
            side / side.norm(dim=-1, keepdim=True).clamp(min=1e-12) for side in (student, teacher)
        )
        distances = 1 - (student * teacher).sum(-1)
    else:
        distances = (student - teacher).square().sum(-1) / 2
    return distances[:, 0].masked_fill(~there[:, 0], 0.0) + mean(distances[:, 1:], mask & there[:, 1:])
