"""Losses over pairs of documents of one group."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rdtools.train.losses.masked import differences, mean, pairs, softplus

if TYPE_CHECKING:
    from torch import Tensor


def ranknet(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    factor: float = 1.0,
    base: float = math.e,
) -> Tensor:
    """RankNet: the student orders each pair as the teacher does.

    mean over pairs (i, j) with t_i > t_j of log(1 + exp(s_j − s_i))

    Teacher: its order only, so that any scale will do. Judgements: not used.
    Ties: a pair that the teacher ties is left out; equal student scores give log 2.
    Undefined: a group without two documents that the teacher orders.
    Source: Burges et al.: Learning to rank using gradient descent (ICML 2005); over a teacher's
    ranking: Schlatt et al.: Rank-DistiLLM (arXiv 2405.07920).
    """
    student = factor * student.masked_fill(~mask, 0.0)
    ordered = pairs(mask, mask) & (teacher.unsqueeze(2) > teacher.unsqueeze(1))  # (B, G, G)
    return mean(softplus(-differences(student)).flatten(1), ordered.flatten(1)) / math.log(base)


def ranknet_by_place(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """RankNet over all pairs, in which a tie of the teacher says that the second is better.

    mean over pairs (i, j), i before j in the group, of log(1 + exp(s_j − s_i)) where t_i > t_j,
    else of log(1 + exp(s_i − s_j))

    A group has its positive first, then negatives as they were drawn.
    Teacher: its order only, so that any scale will do. Judgements: not used.
    Ties: a pair that the teacher ties asks for the second above the first.
    Undefined: a group of one document.
    Source: RankNetLoss of rankers (github.com/Parry-Parry/rankers, rankers/train/loss).
    """
    student = student.masked_fill(~mask, 0.0)
    later = pairs(mask, mask).triu(diagonal=1)  # (B, G, G)
    sign = 1.0 - 2.0 * (teacher.unsqueeze(2) > teacher.unsqueeze(1)).to(student.dtype)
    return mean(softplus(sign * differences(student)).flatten(1), later.flatten(1))


def margin_mse(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    teacher_temperature: float = 1.0,
) -> Tensor:
    """Margin-MSE: the student keeps the teacher's distance between a positive and a negative.

    mean over pairs (positive p, negative n) of ((s_p − s_n) − (t_p − t_n) / T_t)²

    T_t is --teacher-temperature; where none is stated, it is fitted to the teacher's scores.
    Teacher: differences of its scores are the targets, so it needs a scale on which they mean something.
    Ties: no special case; a pair that the teacher ties has the target 0.
    Undefined: a group without a positive or without a negative.
    Source: Hofstätter et al.: Improving efficient neural ranking models with cross-architecture knowledge
    distillation (arXiv 2010.02666).
    """
    error = (student - teacher / teacher_temperature).masked_fill(~mask, 0.0)
    judged = pairs(positive & mask, mask & ~positive)  # (B, G, G)
    return mean(differences(error).square().flatten(1), judged.flatten(1))


def margin_mse_by_teacher(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """Margin-MSE over all pairs that the teacher orders, in place of (positive, negative).

    mean over pairs (i, j) with t_i > t_j of ((s_i − s_j) − (t_i − t_j))²

    Teacher: differences of its scores are the targets. Judgements: not used.
    Ties: a pair that the teacher ties is left out.
    Undefined: a group without two documents that the teacher orders.
    Source: SupervisedMarginMSE of lightning-ir (github.com/webis-de/lightning-ir, lightning_ir/loss).
    """
    error = (student - teacher).masked_fill(~mask, 0.0)
    ordered = pairs(mask, mask) & (teacher.unsqueeze(2) > teacher.unsqueeze(1))
    return mean(differences(error).square().flatten(1), ordered.flatten(1))
