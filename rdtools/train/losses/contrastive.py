"""Losses that tell a positive from negatives; they need judgements and no teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdtools.train.losses.masked import mean, only, softplus

if TYPE_CHECKING:
    from torch import Tensor


def lce(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """Localized contrastive estimation: the positive against the negatives of its own group.

    mean over positives p of −log(exp(s_p) / (exp(s_p) + Σ_n exp(s_n))), n over the documents of the group
    that are not positive

    Teacher: not used. Other positives of the group are not in the denominator of p.
    Ties: no special case; two equal scores give log 2.
    Undefined: a group without a positive or without a negative.
    Source: Gao, Dai, Callan: Rethink training of BERT rerankers in multi-stage retrieval pipeline
    (arXiv 2101.08751).
    """
    positive = positive & mask
    student = student.masked_fill(~mask, 0.0)
    negatives = only(student, mask & ~positive).logsumexp(-1, keepdim=True)  # (B, 1)
    return mean(softplus(negatives - student), positive)


def infonce(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    own: Tensor,
    false_negative_margin: float | None = None,
) -> Tensor:
    """InfoNCE: lce whose negatives are also the documents of the other queries of the batch.

    mean over positives p of −log(exp(s_p) / (exp(s_p) + Σ_n exp(s_n))), n over the documents of the batch
    that are not positive for this query

    The temperature of other libraries is 1 / --scale. A document of another group is no negative where it is
    known as relevant to the query, or has the text of a document of the group (ignoring case, white space and
    compatibility forms). With --mask-false-negatives M it is none either where its similarity to the query is
    above that of the group's lowest positive plus M: the student's own similarity, before --scale.
    Teacher: not used. For bi-encoders.
    Ties: no special case; two equal scores give log 2.
    Undefined: a group without a positive, or without a negative in the whole batch.
    Source: van den Oord, Li, Vinyals (arXiv 1807.03748); for retrieval: Karpukhin et al. (arXiv 2004.04906);
    the mask: Solatorio: GISTEmbed (arXiv 2402.16829), here with the student as its own guide.
    """
    if false_negative_margin is not None:
        lowest = -only(-student.detach(), positive & mask).amax(-1, keepdim=True)  # (B, 1)
        mask = mask & (own | ~(student.detach() > lowest + false_negative_margin))
    return lce(student, teacher, positive, mask)
