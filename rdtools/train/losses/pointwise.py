"""Losses over single documents: the score itself is the target, not only its place among others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdtools.train.losses.masked import mean, softplus

if TYPE_CHECKING:
    from torch import Tensor


def mse(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    teacher_temperature: float = 1.0,
) -> Tensor:
    """Pointwise mean squared error: the student gives each document the teacher's score.

    mean over documents i of (s_i − t_i / T_t)²

    T_t is --teacher-temperature; where none is stated, it is fitted to the teacher's scores.
    Teacher: its scores are the targets, offset and spread included; for a bi-encoder s includes --scale.
    Judgements: not used.
    Ties: no special case.
    Undefined: a group without a scored document.
    Source: as in MSELoss of sentence-transformers for cross-encoders.
    """
    return mean((student - teacher / teacher_temperature).masked_fill(~mask, 0.0).square(), mask)


def bce(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor, *, scale: str = "logit") -> Tensor:
    """Pointwise binary cross entropy with the teacher's probability of relevance as soft target.

    mean over documents i of −p_i · log σ(s_i) − (1 − p_i) · log(1 − σ(s_i))

    p is t where the teacher's scores are probabilities, σ(t) where they are logits, exp(t) where they are
    log-probabilities. Judgements: not used (bce-hard learns from them).
    Ties: no special case.
    Undefined: a group without a scored document.
    Source: as in BinaryCrossEntropyLoss of sentence-transformers; graded targets: BiXSE (arXiv 2508.06781).
    """
    teacher = teacher.masked_fill(~mask, 0.0)
    target = {"logit": teacher.sigmoid, "log-probability": teacher.exp}.get(scale, lambda: teacher)()
    return _cross_entropy(student, target, mask)


def bce_hard(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """Pointwise binary cross entropy on judgements: 1 for a positive, 0 for any other document.

    mean over documents i of −y_i · log σ(s_i) − (1 − y_i) · log(1 − σ(s_i)), y_i = 1 where relevance > 0

    Teacher: not used.
    Ties: no special case.
    Undefined: a group without a positive, which nobody may have judged.
    Source: as in BinaryCrossEntropyLoss of sentence-transformers.
    """
    return _cross_entropy(student, positive.to(student.dtype), mask)


def _cross_entropy(student: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """mean over documents of log(1 + exp(s)) − p · s, which is the cross entropy of σ(s) with p."""
    student = student.masked_fill(~mask, 0.0)
    return mean(softplus(student) - target * student, mask)
