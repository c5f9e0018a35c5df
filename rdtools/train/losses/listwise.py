"""Losses over whole groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rdtools.train.losses.masked import by_score, differences, mean, only, pairs, places, softplus

if TYPE_CHECKING:
    from torch import Tensor


def kl(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    teacher_temperature: float = 1.0,
    student_temperature: float = 1.0,
    squared: bool = True,
) -> Tensor:
    """Kullback-Leibler divergence from the teacher's distribution over the group to the student's.

    T_s² · Σ_i p_i · log(p_i / q_i), p = softmax(t / T_t), q = softmax(s / T_s)

    T_t is --teacher-temperature; where none is stated, kl fits it to the teacher's scores, and a library's
    variant has 1. T_s is --student-temperature, 1 by default. The factor is T² where they are one T; apart,
    it is that of the student, whose gradients are what it keeps at one size.
    Teacher: its distribution p is the target (forward KL). Judgements: not used.
    Ties: no special case; a teacher that ties all documents asks for a uniform student.
    Undefined: a group of one document.
    Source: Hinton, Vinyals, Dean: Distilling the knowledge in a neural network (arXiv 1503.02531); for
    rankers: Lin, Yang, Lin (arXiv 2010.11386).
    """
    target = only(teacher / teacher_temperature, mask).log_softmax(-1)
    guess = only(student / student_temperature, mask).log_softmax(-1)
    divergence = (target.exp() * (target - guess)).masked_fill(~mask, 0.0).sum(-1)
    return student_temperature**2 * divergence if squared else divergence


def kl_of_shares(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """Kullback-Leibler divergence to a student whose scores are first brought to 0 … 1 in each group.

    Σ_i p_i · log(p_i / q_i), p = softmax(t), q = softmax((s − min s) / (max s − min s + 1e-8))

    Teacher: its distribution p is the target. Judgements: not used.
    Ties: no special case; a student that ties all documents is uniform.
    Undefined: a group of one document.
    Source: Distillation of PyLate by default (github.com/lightonai/pylate, pylate/losses/distillation.py).
    """
    lowest = -only(-student, mask).amax(-1, keepdim=True)
    spread = only(student, mask).amax(-1, keepdim=True) - lowest
    return kl((student.masked_fill(~mask, 0.0) - lowest) / (spread + 1e-8), teacher, positive, mask)


def listnet(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    teacher_temperature: float = 1.0,
) -> Tensor:
    """ListNet: cross entropy of the two models' probabilities of a document to be the first.

    −Σ_i p_i · log q_i, p = softmax(t / T_t), q = softmax(s)

    T_t is --teacher-temperature; where none is stated, it is fitted to the teacher's scores. listnet is kl
    plus the teacher's own entropy, which changes no gradient.
    Teacher: its distribution p is the target. Judgements: not used.
    Ties: no special case.
    Undefined: a group of one document.
    Source: Cao et al.: Learning to rank: from pairwise approach to listwise approach (ICML 2007), top one.
    """
    target = only(teacher / teacher_temperature, mask).softmax(-1)
    return -(target * only(student, mask).log_softmax(-1)).masked_fill(~mask, 0.0).sum(-1)


def listmle(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """ListMLE: the likelihood of the teacher's ranking under the student.

    −Σ_i log(exp(s_(i)) / Σ_{k ≥ i} exp(s_(k))), (i) the document that the teacher ranks i-th

    Teacher: its order only, so that any scale will do. Judgements: not used.
    Ties: a tie of the teacher keeps the order of the group: positives first, then as drawn.
    Undefined: a group of one document.
    Source: Xia et al.: Listwise approach to learning to rank: theory and algorithm (ICML 2008).
    """
    terms, _ = _choices(student, teacher, mask)
    return terms.sum(-1)


def plistmle(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """Position-aware ListMLE: the first places of the teacher's ranking count for more.

    −Σ_i w_i · log(exp(s_(i)) / Σ_{k ≥ i} exp(s_(k))), w_i = (2^(n−i) − 1) / Σ_j (2^(n−j) − 1)

    n is the number of documents: w halves from place to place, and the last place counts nothing.
    Teacher: its order only, so that any scale will do. Judgements: not used.
    Ties: a tie of the teacher keeps the order of the group: positives first, then as drawn.
    Undefined: a group of one document.
    Source: Lan et al.: Position-aware ListMLE (UAI 2014), with the default weights of sentence-transformers.
    """
    terms, mask = _choices(student, teacher, mask)
    n = mask.sum(-1, keepdim=True)
    # 2^−i − 2^−n is the weight except for a factor, and does not overflow.
    weights = ((-math.log(2) * places(student)).exp() - (-math.log(2) * n).exp()).masked_fill(~mask, 0.0)
    return (weights * terms).sum(-1) / weights.sum(-1).clamp(min=1e-30)


def lambda_loss(
    student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor, *, mu: float = 10.0, sigma: float = 1.0
) -> Tensor:
    """LambdaLoss, NDCGLoss2++: pairs count by what their order changes in nDCG.

    mean over pairs (i, j) with t_i > t_j of
    (μ·δ_ij + λ_ij) · |G_i − G_j| · log2(1 + exp(−σ·(s_i − s_j))), μ = 10, σ = 1

    G_i = (2^max(t_i, 0) − 1) / maxDCG; r_i is the student's rank of i, D(r) = log2(1 + r);
    δ_ij = 1/D(|r_i − r_j|) − 1/D(|r_i − r_j| + 1); λ_ij = |1/D(r_i) − 1/D(r_j)|.
    Teacher: its scores are taken as grades, so that those of 0 and below gain nothing, and one more doubles
    the gain: probabilities suit best (rd-label --normalize sigmoid). Judgements: not used.
    Ties: a pair that the teacher ties is left out; students' ties are ranked as they stand in the group.
    Undefined: a group without two documents that the teacher orders.
    Source: Wang et al.: The LambdaLoss framework for ranking metric optimization (CIKM 2018), with the
    defaults of sentence-transformers' LambdaLoss.
    """
    order = by_score(student.detach(), mask)
    student, teacher = (scores.masked_fill(~mask, 0.0).gather(-1, order) for scores in (student, teacher))
    mask = mask.gather(-1, order)
    rank = places(student)
    discount = (1 + rank).log2()
    grade = teacher.clamp(min=0.0)
    highest = grade.amax(-1, keepdim=True)
    # Gains and maxDCG are both divided by 2^highest, so that large scores do not overflow.
    gain = ((grade - highest) * math.log(2)).exp() - (-highest * math.log(2)).exp()
    gain = gain.masked_fill(~mask, 0.0)
    ideal = (gain.sort(-1, descending=True).values / discount).sum(-1, keepdim=True)
    gain = gain / ideal.clamp(min=1e-10)
    apart = (rank.unsqueeze(1) - rank).abs().clamp(min=1)  # a document and itself are no pair
    delta = 1 / (1 + apart).log2() - 1 / (2 + apart).log2()
    weights = (mu * delta + (1 / discount.unsqueeze(1) - 1 / discount).abs()) * differences(gain).abs()
    values = weights * softplus(-sigma * differences(student)) / math.log(2)
    ordered = pairs(mask, mask) & (differences(teacher) > 0)
    return mean(values.flatten(1), ordered.flatten(1))


def adr_mse(
    student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor, *, alpha: float = 1.0
) -> Tensor:
    """ADR-MSE: the student's approximate ranks are the teacher's, the first ones above all.

    mean over documents i of (r_i − r̂_i)² / log2(1 + r_i), r̂_i = 1 + Σ_{j≠i} σ(α·(s_j − s_i)), α = 1

    r_i is the teacher's rank of i.
    Teacher: its order only, so that any scale will do. Judgements: not used.
    Ties: documents that the teacher ties share the mean of their ranks.
    Undefined: a group of one document.
    Source: Schlatt et al.: Rank-DistiLLM (arXiv 2405.07920).
    """
    student, teacher = (scores.masked_fill(~mask, 0.0) for scores in (student, teacher))
    both = pairs(mask, mask)
    ahead = (differences(teacher) < 0) & both
    tied = (differences(teacher) == 0) & both  # with itself, too
    rank = ahead.sum(-1) + (tied.sum(-1) + 1) / 2
    closeness = (-alpha * differences(student)).sigmoid().masked_fill(~both, 0.0)
    guess = 0.5 + closeness.sum(-1)  # σ(0) = 0.5 of the document itself is in the sum
    return mean((rank - guess).square() / (1 + rank).log2(), mask)


def _choices(student: Tensor, teacher: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """−log probability (B, G) of each choice of the teacher's ranking, first choice first, and the mask."""
    order = by_score(teacher, mask)
    student, mask = student.masked_fill(~mask, 0.0).gather(-1, order), mask.gather(-1, order)
    left = pairs(mask, mask).triu()  # (B, G, G): k is still to be chosen at place i
    total = only(student.unsqueeze(1).expand(left.shape), left).logsumexp(-1)
    return (total - student).masked_fill(~mask, 0.0), mask
