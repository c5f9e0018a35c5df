"""Losses over groups: one query, its documents, student scores against judgements or a teacher.

A loss is a pure function `(student, teacher, positive, mask) -> scalar`, all (B, G): B groups of up to
G documents, `student` and `teacher` float scores, `positive` and `mask` bool. Where `mask` is False there
is no document, and neither value nor gradient depends on what stands there, NaN included. A loss is the
mean over the groups for which it is defined; the others, such as a group of one document, add nothing
and are not counted. Without any defined group the loss is 0, and so is its gradient.

Tensors are used through their methods alone, so that names and docstrings can be shown without torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from rdtools.errors import UsageError
from rdtools.log import log
from rdtools.records import SCORE_SCALES

if TYPE_CHECKING:
    from torch import Tensor

LossFunction = Callable[..., "Tensor"]


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
    negative = mask & ~positive
    student = student.masked_fill(~mask, 0.0)
    negatives = _only(student, negative).logsumexp(-1, keepdim=True)  # (B, 1)
    return _mean(_softplus(negatives - student), positive & negative.any(-1, keepdim=True))


def ranknet(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """RankNet: the student orders each pair as the teacher does.

    mean over pairs (i, j) with t_i > t_j of log(1 + exp(s_j − s_i))

    Teacher: its order only, so that any scale will do. Judgements: not used.
    Ties: a pair that the teacher ties is left out; equal student scores give log 2.
    Undefined: a group without two documents that the teacher orders.
    Source: Burges et al.: Learning to rank using gradient descent (ICML 2005); over a teacher's
    ranking: Schlatt et al.: Rank-DistiLLM (arXiv 2405.07920).
    """
    student = student.masked_fill(~mask, 0.0)
    pairs = _pairs(mask, mask) & (teacher.unsqueeze(2) > teacher.unsqueeze(1))  # (B, G, G)
    return _mean(_softplus(student.unsqueeze(1) - student.unsqueeze(2)).flatten(1), pairs.flatten(1))


def margin_mse(student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """Margin-MSE: the student keeps the teacher's distance between a positive and a negative.

    mean over pairs (positive p, negative n) of ((s_p − s_n) − (t_p − t_n))²

    Teacher: differences of its scores are the targets, so it needs a scale on which they mean something.
    Ties: no special case; a pair that the teacher ties has the target 0.
    Undefined: a group without a positive or without a negative.
    Source: Hofstätter et al.: Improving efficient neural ranking models with cross-architecture knowledge
    distillation (arXiv 2010.02666).
    """
    error = (student - teacher).masked_fill(~mask, 0.0)
    pairs = _pairs(positive & mask, mask & ~positive)  # (B, G, G)
    return _mean((error.unsqueeze(2) - error.unsqueeze(1)).square().flatten(1), pairs.flatten(1))


def kl(
    student: Tensor,
    teacher: Tensor,
    positive: Tensor,
    mask: Tensor,
    *,
    teacher_temperature: float = 1.0,
    student_temperature: float = 1.0,
) -> Tensor:
    """Kullback-Leibler divergence from the teacher's distribution over the group to the student's.

    T_s² · Σ_i p_i · log(p_i / q_i), p = softmax(t / T_t), q = softmax(s / T_s)

    T_t is --teacher-temperature and T_s --student-temperature, both 1 by default. The factor is T² where they
    are one T; apart, it is that of the student, whose gradients are what it keeps at one size.
    Teacher: its distribution p is the target (forward KL). Judgements: not used.
    Ties: no special case; a teacher that ties all documents asks for a uniform student.
    Undefined: a group of one document.
    Source: Hinton, Vinyals, Dean: Distilling the knowledge in a neural network (arXiv 1503.02531); for
    rankers: Lin, Yang, Lin (arXiv 2010.11386).
    """
    target = _only(teacher / teacher_temperature, mask).log_softmax(-1)
    guess = _only(student / student_temperature, mask).log_softmax(-1)
    terms = (target.exp() * (target - guess)).masked_fill(~mask, 0.0)
    divergence = student_temperature**2 * terms.sum(-1, keepdim=True)  # (B, 1)
    return _mean(divergence, mask.sum(-1, keepdim=True) > 1)


@dataclass(frozen=True)
class Loss:
    """A loss, what it needs of a group, and the scales of teacher scores that make sense to it."""

    name: str
    function: LossFunction
    needs_teacher: bool = False
    needs_positive: bool = False
    scales: tuple[str, ...] = SCORE_SCALES
    teacher_temperature: float | None = None
    """None where the loss has no temperatures."""

    @property
    def ordinal(self) -> bool:
        """Whether only the order of teacher scores counts, on any scale."""
        return self.scales == SCORE_SCALES

    def with_temperatures(self, teacher: float, student: float) -> Loss:
        """Return the loss at these temperatures; UsageError where it has none."""
        if self.teacher_temperature is None:
            raise UsageError(f"--loss {self.name} has no temperature (--loss kl has)")
        if teacher <= 0 or student <= 0:
            raise UsageError("temperatures must be greater than 0")
        function = partial(self.function, teacher_temperature=teacher, student_temperature=student)
        return replace(self, function=function, teacher_temperature=teacher)

    def check_scale(self, scale: str) -> None:
        """Refuse teacher scores on a scale that the loss cannot learn from; warn where it hardly can.

        Raises:
            UsageError: with what would help.
        """
        if not self.needs_teacher:
            return
        if scale not in self.scales:
            raise UsageError(f"--loss {self.name} does not fit {_UNFIT[scale]}")
        if scale == "cosine" and self.teacher_temperature == 1:
            log.warning(
                "softmax over cosines is nearly uniform at temperature 1, so there is little to learn "
                "(--teacher-temperature 0.05 may suit)"
            )


_DIFFERENCES = ("logit", "log-probability", "cosine", "dot", "bm25")
"""Scales on which the difference of two scores means something that a student can learn."""

_UNFIT = {
    "unknown": "scores of unknown scale (say what they are, as in --score-scale logit)",
    "probability": "scores that are probabilities (label with raw logits; --loss ranknet takes any scale)",
    "rank": "scores that are ranks (--loss ranknet needs the order only)",
}

LOSSES = {
    loss.name: loss
    for loss in (
        Loss("lce", lce, needs_positive=True),
        Loss("ranknet", ranknet, needs_teacher=True),
        Loss("margin-mse", margin_mse, needs_teacher=True, needs_positive=True, scales=_DIFFERENCES),
        Loss("kl", kl, needs_teacher=True, scales=_DIFFERENCES, teacher_temperature=1.0),
    )
}


def explain(name: str) -> str:
    """What `rd-train --explain-loss` prints: the docstring, the accepted scales, the notation."""
    loss = LOSSES[name]
    scales = "any" if loss.ordinal else ", ".join(loss.scales)
    return (
        f"{name}: {inspect.getdoc(loss.function)}\n"
        f"Score scales: {scales if loss.needs_teacher else 'no teacher scores are used'}.\n\n"
        "s are the student's scores, t the teacher's; the loss is the mean over groups where it is defined."
    )


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of (B, N) `values` over N where `where`, then over the groups that have any."""
    count = where.sum(-1)
    means = values.masked_fill(~where, 0.0).sum(-1) / count.clamp(min=1)  # (B,)
    return means.sum() / (count > 0).sum().clamp(min=1)


def _only(scores: Tensor, where: Tensor) -> Tensor:
    """Scores that vanish under softmax where `where` is False; finite, since −∞ would make NaN gradients."""
    return scores.masked_fill(~where, -1e30)


def _pairs(left: Tensor, right: Tensor) -> Tensor:
    """(B, G) and (B, G) bool -> (B, G, G): document i is in `left`, document j in `right`."""
    return left.unsqueeze(2) & right.unsqueeze(1)


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact for large |x|."""
    return x.logaddexp(x.new_zeros(()))
