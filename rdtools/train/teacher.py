"""Warnings of a teacher with little to teach: one that judgements beat, and the student itself."""

from __future__ import annotations

import os

from rdtools.core.calibration import positives_first
from rdtools.core.log import log
from rdtools.core.provenance import describe_changes
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Objective
from rdtools.train.options import STUDENTS, StudentOptions

WEAK = 0.5
"""A teacher that puts a positive first in a smaller share of the judged groups is reported."""
ENOUGH = 20
"""With fewer judged groups nothing is said of this share."""

_DENSE, _PAIRS = {"cosine", "dot"}, {"logit", "log-probability", "probability"}
_SCALES = {"be": _DENSE, "sparse": _DENSE, "colbert": {"dot"}, "ce": _PAIRS}
"""The scales by which the scores of each kind of model are known."""
_RESCALED = ("normalize=", "rank_targets=")
"""Changes of scores after which the scale no longer tells the kind of model."""


def check_teacher(objective: Objective, groups: Groups, student: StudentOptions) -> None:
    """Warn if the student is its own teacher; say how often the teacher puts a positive first, if seldom as
    a warning.

    A sum with a loss that learns from judgements only is not warned of.
    """
    if not all(loss.needs_teacher or loss.needs_embeddings for loss in objective.losses):
        return
    if student.layers is None and _is_own_teacher(groups, student, objective.only_embeddings):
        what = "embeddings" if objective.only_embeddings else "scores"
        log.warning(
            "the student is its own teacher, so its %s have nothing to teach (give --layers, a smaller "
            "student, or another teacher)", what,
        )  # fmt: skip
    first, judged = positives_first(groups.judged_sample)
    if judged < ENOUGH:
        return
    share, counted = f"{100 * first // judged} %", f"{judged:,} judged groups"
    if first < WEAK * judged:
        log.warning(
            "the teacher ranks a positive first in only %s of %s: judgements may teach more than its scores "
            "(--loss lce, or a sum such as %s+lce, or another teacher)",
            share, counted, objective.name,
        )  # fmt: skip
    else:
        log.info("the teacher ranks a positive first in %s of %s", share, counted)


def _is_own_teacher(groups: Groups, student: StudentOptions, only_embeddings: bool) -> bool:
    """Return whether all labels are those of the model that the student starts from, for the same texts.

    Records name a teacher's model without its kind, so the scale of the scores tells the kind. Where a
    normalisation hides it, the answer is False.
    """
    wanted = student.kind, _identity(student.model)
    if groups.embedders and not has_embeddings_of(groups, student.model):
        return False
    if only_embeddings:
        return True
    changes = groups.provenance
    if "augmentation" in changes:  # the teacher read other texts
        return False
    rescaled = any(
        word.startswith(_RESCALED)
        for steps in changes.get("transformations", ())
        for word in describe_changes(steps).split()
    )
    same_kind = not rescaled and groups.scales <= _SCALES.get(student.kind, set())
    return bool(groups.teachers) and all(
        _named(teacher, student.kind if same_kind else "") == wanted for teacher in groups.teachers
    )


def has_embeddings_of(groups: Groups, model: str) -> bool:
    """Return whether all embeddings in the records are those of this bi-encoder."""
    return {_named(one, "be") for one in groups.embedders} == {("be", _identity(model))}


def _named(teacher: str, kind: str) -> tuple[str, str]:
    """Return the kind and the identity of a model; `kind` is that of a name without one."""
    stated, _, model = teacher.partition(":")
    return (stated, _identity(model)) if stated in STUDENTS and model else (kind, _identity(teacher))


def _identity(model: str) -> str:
    """Return the path of a folder without links, or the shortest name of a model on the hub."""
    return os.path.realpath(model) if os.path.exists(model) else model.removeprefix("sentence-transformers/")
