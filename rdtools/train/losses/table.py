"""Losses over groups: one query, its documents, student scores against judgements or a teacher.

A loss is a pure function `(student, teacher, positive, mask) -> values`. It takes (B, G) tensors, B groups of
up to G documents: `student` and `teacher` are float scores, `positive` and `mask` are bool. It returns one
value a group, (B,). Where `mask` is False there is no document; neither value nor gradient depends on the
numbers there, NaN included. A line of the table says what a loss needs in a group. The value of a group that
lacks it, such as a group of one document, is finite but meaningless, and left out of the mean.

A new loss is a function and a line in LOSSES; a library's variant of a loss is a line named `loss:library`.
Importing this module needs no torch, so that names and docstrings are shown at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rdtools.core.errors import UsageError
from rdtools.core.log import log
from rdtools.core.records import SCORE_SCALES
from rdtools.train.losses.contrastive import infonce, lce
from rdtools.train.losses.geometric import embedding
from rdtools.train.losses.listwise import adr_mse, kl, kl_of_shares, lambda_loss, listmle, listnet, plistmle
from rdtools.train.losses.masked import only
from rdtools.train.losses.pairwise import margin_mse, margin_mse_by_teacher, ranknet, ranknet_by_place
from rdtools.train.losses.pointwise import bce, bce_hard, mse

if TYPE_CHECKING:
    from torch import Tensor

LossFunction = Callable[..., "Tensor"]

SCORE, POSITIVE, NEGATIVE, PAIR, ORDER = "score", "positive", "negative", "pair", "order"
EMBEDDING = "embedding"
"""The needs of losses in a group: the teacher's scores, or its embeddings; a positive; a document that is not
positive; two documents; two documents that the teacher does not tie."""


@dataclass(frozen=True)
class Loss:
    """A loss, what it needs in a group, and the scales of teacher scores that it accepts."""

    name: str
    function: LossFunction
    needs: tuple[str, ...]
    scales: tuple[str, ...] = SCORE_SCALES
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the function."""
    temperatures: Mapping[str, str] = field(default_factory=dict)
    """The options that --teacher-temperature ("teacher") and --student-temperature ("student") set."""
    fits_teacher: bool = False
    """Whether the teacher's temperature is still to be fitted to its scores, since none is stated."""
    in_batch: bool = False
    """True if the documents of the other groups of a batch are negatives."""
    note: str = ""
    """The difference of the variant from the docstring of its function."""

    @property
    def needs_teacher(self) -> bool:
        return SCORE in self.needs

    @property
    def needs_embeddings(self) -> bool:
        """True if it compares embeddings, (B, 1 + G, dimension), instead of scores."""
        return EMBEDDING in self.needs

    @property
    def ordinal(self) -> bool:
        """True if only the order of teacher scores counts, on any scale."""
        return self.scales == SCORE_SCALES

    @property
    def teacher_temperature(self) -> float | None:
        """The temperature of the teacher's scores, or None if the loss does not look at their differences."""
        if not self.needs_teacher or self.scales != _DIFFERENCES:
            return None
        return float(self.options.get("teacher_temperature", 1.0))

    def values(self, student: Tensor, teacher: Tensor, positive: Tensor, mask: Tensor, own: Tensor) -> Tensor:
        """Return a value for each group, (B,); `own` marks its documents, not those of other groups."""
        if self.in_batch:
            return self.function(student, teacher, positive, mask, own=own, **self.options)
        return self.function(student, teacher, positive, mask & own, **self.options)

    def defined(self, teacher: Tensor, positive: Tensor, mask: Tensor, own: Tensor) -> Tensor:
        """Return a mask of the groups that have what the loss needs, (B,) bool."""
        mask = mask if self.in_batch else mask & own
        defined = mask.sum(-1) > (PAIR in self.needs or ORDER in self.needs)
        if POSITIVE in self.needs:
            defined = defined & (mask & positive).any(-1)
        if NEGATIVE in self.needs:
            defined = defined & (mask & ~positive).any(-1)
        if ORDER in self.needs:
            defined = defined & (only(teacher, mask).amax(-1) > -only(-teacher, mask).amax(-1))
        return defined

    def with_temperatures(self, **temperatures: float | None) -> Loss:
        """Return a copy with these temperatures, as far as the loss has them."""
        given = {side: t for side, t in temperatures.items() if side in self.temperatures and t is not None}
        options = {self.temperatures[side]: t for side, t in given.items()}
        fits = self.fits_teacher and "teacher" not in given
        return replace(self, options={**self.options, **options}, fits_teacher=fits)

    def check_scale(self, scale: str) -> None:
        """Refuse teacher scores on a scale that the loss cannot learn from; warn if it hardly can.

        Raises:
            UsageError: the scale is refused; the message says what would help.
        """
        if not self.needs_teacher:
            return
        if scale not in self.scales:
            raise UsageError(f"--loss {self.name} does not fit {_UNFIT[scale]}")
        if (
            scale == "cosine"
            and self.function in _SOFTMAX
            and not self.fits_teacher
            and self.options.get("teacher_temperature", 1) == 1
        ):
            softer = "" if "teacher" in self.temperatures else "--loss kl with "
            log.warning(
                "softmax over cosines is nearly uniform at temperature 1, so there is little to learn "
                "(%s--teacher-temperature 0.05 may suit)", softer,
            )  # fmt: skip


_DIFFERENCES = ("logit", "log-probability", "cosine", "dot", "bm25")
"""Scales on which differences of scores have a meaning that a student can learn."""

_SOFTMAX = (kl, kl_of_shares, listnet)
"""Losses that turn the teacher's scores into a distribution."""

_UNFIT = {
    "unknown": "scores of unknown scale (say what they are, as in --score-scale logit)",
    "probability": "scores that are probabilities (label with raw logits; --loss ranknet takes any scale)",
    "log-probability": "scores that are log-probabilities (--loss kl and ranknet take them)",
    "rank": "scores that are ranks (--loss ranknet needs the order only)",
    "cosine": "scores that are cosines (--loss kl and ranknet take them)",
    "dot": "scores that are dot products (--loss kl and ranknet take them)",
    "bm25": "scores that are of BM25 (--loss kl and ranknet take them)",
}

_TEACHER = {"teacher": "teacher_temperature"}
_BOTH = {**_TEACHER, "student": "student_temperature"}
_ONE = {"teacher_temperature": 1.0, "student_temperature": 1.0}

LOSSES = {
    loss.name: loss
    for loss in (
        Loss("lce", lce, (POSITIVE, NEGATIVE)),
        Loss("infonce", infonce, (POSITIVE, NEGATIVE), in_batch=True),
        Loss("ranknet", ranknet, (SCORE, ORDER)),
        Loss("margin-mse", margin_mse, (SCORE, POSITIVE, NEGATIVE), _DIFFERENCES, {}, _TEACHER,
             fits_teacher=True),
        Loss("kl", kl, (SCORE, PAIR), _DIFFERENCES, _ONE, _BOTH, fits_teacher=True),
        Loss("listnet", listnet, (SCORE, PAIR), _DIFFERENCES, {}, _TEACHER, fits_teacher=True),
        Loss("listmle", listmle, (SCORE, PAIR)),
        Loss("plistmle", plistmle, (SCORE, PAIR)),
        Loss("lambda", lambda_loss, (SCORE, ORDER), ("probability", "logit", "cosine", "dot", "bm25")),
        Loss("adr-mse", adr_mse, (SCORE, PAIR)),
        Loss("mse", mse, (SCORE,), _DIFFERENCES, {}, _TEACHER, fits_teacher=True),
        Loss("bce", bce, (SCORE,), ("probability", "logit", "log-probability")),
        Loss("bce-hard", bce_hard, (POSITIVE,)),
        Loss("embedding", embedding, (EMBEDDING,)),
        # Where libraries mean different things by one name.
        Loss("kl:sentence-transformers", kl, (SCORE, PAIR), _DIFFERENCES, _ONE, _BOTH,
             note="DistillKLDivLoss: as kl; its temperature is both of ours."),
        Loss("kl:rankers", kl, (SCORE, PAIR), _DIFFERENCES, {**_ONE, "squared": False}, _BOTH,
             note="KL_DivergenceLoss: without the factor T_s²."),
        Loss("kl:tevatron", kl, (SCORE, PAIR), _DIFFERENCES,
             {"teacher_temperature": 0.02, "student_temperature": 0.02, "squared": False}, _BOTH,
             note="DistilTevatronTrainer: without the factor T_s²; both temperatures are 0.02 by default."),
        Loss("kl:lightning-ir", kl, (SCORE, PAIR), _DIFFERENCES, {"squared": False},
             note="KLDivergence: both temperatures are 1."),
        Loss("kl:pylate", kl_of_shares, (SCORE, PAIR), _DIFFERENCES),
        Loss("ranknet:sentence-transformers", ranknet, (SCORE, ORDER), options={"base": 2.0},
             note="RankNetLoss: with the logarithm to the base 2."),
        Loss("ranknet:lightning-ir", ranknet, (SCORE, ORDER), temperatures={"student": "factor"},
             note="RankNet: s is first multiplied by the temperature, --student-temperature."),
        Loss("ranknet:rankers", ranknet_by_place, (SCORE, PAIR)),
        Loss("margin-mse:sentence-transformers", margin_mse, (SCORE, POSITIVE, NEGATIVE), _DIFFERENCES,
             note="MarginMSELoss: as margin-mse, with one positive a group."),
        Loss("margin-mse:rankers", margin_mse, (SCORE, POSITIVE, NEGATIVE), _DIFFERENCES,
             note="MarginMSELoss: as margin-mse, with one positive a group."),
        Loss("margin-mse:lightning-ir", margin_mse_by_teacher, (SCORE, ORDER), _DIFFERENCES),
    )
}  # fmt: skip

SUMS = {"kl:flagembedding": "listnet+lce"}
"""Names of sums. With in-batch negatives, FlagEmbedding's default, kl:flagembedding is listnet+infonce."""

PAPER = {"kl": "kl:rankers", "ranknet": "ranknet:rankers"}
"""The losses that --paper-compat replaces by those of the library of arXiv 2505.21058."""


def explain(name: str) -> str:
    """Describe one loss: its docstring, the difference of a library's variant, the accepted scales."""
    loss = LOSSES[name]
    variant = f"Variant: {name.partition(':')[2]}'s {loss.note}\n" if loss.note else ""
    scales = "any" if loss.ordinal else ", ".join(loss.scales)
    accepted = scales if loss.needs_teacher else "no teacher scores are used"
    return f"{name}: {inspect.getdoc(loss.function)}\n{variant}Score scales: {accepted}."
