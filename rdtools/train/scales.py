"""The teacher's scores and embeddings brought to the student's scale and dimension."""

from __future__ import annotations

from functools import partial
from typing import Any

from rdtools.core.errors import RdError
from rdtools.core.log import log, plural
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Objective
from rdtools.train.projection import fit_projection
from rdtools.train.students import BiEncoderStudent, Student
from rdtools.train.torchrun import Processes

FLAT = 0.5
"""A teacher whose median group spans fewer nats is reported."""


def fit_teacher(
    objective: Objective,
    groups: Groups,
    student: Student,
    processes: Processes = Processes(),
    sharded: bool = False,
) -> tuple[Objective, dict[str, Any]]:
    """Return the losses with what they need of the teacher, and what rd-train.json says of it.

    Cosines of a teacher for a student of cosines get 1/--scale, so that both have one unit. Other scores get
    the temperature at which the teacher's distribution over a group has a target entropy
    (`rdtools.core.calibration`). Losses with a stated temperature keep it. Embeddings are compared as the
    student compares them, and in its dimension.

    Args:
        sharded: each process will hold a part of the weights, since they have no room in one.

    Raises:
        RdError: a sharded student has another dimension than the teacher's embeddings.
    """
    found: dict[str, Any] = {}
    if groups.dimension and isinstance(student, BiEncoderStudent):
        options, found = _fit_embeddings(groups, student, processes, sharded)
        objective = objective.with_options("embedding", **options)
    if objective.fits_teacher:
        temperature, method, reason = _fit(groups, student)
        log.info("teacher temperature %.4g (%s; --teacher-temperature states another)", temperature, reason)
        objective = objective.with_fitted_teacher(temperature)
        found["teacher"] = {"temperature": temperature, "method": method}
    _check_spread(objective, groups, student)
    return objective, found


def _fit_embeddings(
    groups: Groups, student: BiEncoderStudent, processes: Processes, sharded: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the loss of embeddings, and what rd-train.json says of them."""
    options: dict[str, Any] = {"cosine": student.cosine, "scale": student.scale}
    if sharded:
        if student.dimension != groups.dimension:
            raise RdError(
                f"the teacher's embeddings have {groups.dimension:,} dimensions, those of the student "
                f"{student.dimension:,} (--fsdp needs equal ones; --loss kl does not)"
            )
        return options, {}
    projection = processes.from_main(partial(fit_projection, groups, student))
    if projection is None:
        return options, {}
    matrix, kept, cosine = projection
    rows, columns = matrix.shape
    share = f"{100 * kept:.3g} % of their squared lengths"
    cut = "" if rows == columns else f"projected from {rows:,} to {columns:,} dimensions ({share}) and "
    log.info(
        "the teacher's embeddings are %sturned towards the untrained student (mean cosine %.2g)", cut, cosine
    )
    found = {"dimensions": [rows, columns], "kept": round(kept, 6), "cosine": round(cosine, 6)}
    return {**options, "projection": matrix}, {"projection": found}


def _fit(groups: Groups, student: Student) -> tuple[float, str, str]:
    """Return a temperature, the name of the method, and the reason in words."""
    if groups.score_scale == "cosine" and student.cosine:
        return 1 / student.scale, "1/scale", "1/--scale: teacher and student have cosines"
    found = groups.calibration
    if found is None:
        return 1.0, "none", "no group has two different scores"
    reason = f"entropy share {found.entropy_share:.2f} over {plural(found.groups, 'group')}"
    return found.temperature, found.method, reason


def _check_spread(objective: Objective, groups: Groups, student: Student) -> None:
    """Warn if the teacher's scores are nearly equal, or further apart than the student's can be."""
    by_value = [loss for loss in objective.losses if loss.teacher_temperature is not None]
    calibration = groups.calibration if by_value else None
    if calibration is None:
        return
    for loss in by_value:
        temperature = loss.teacher_temperature or 1.0
        spread = calibration.spread / temperature
        place = f"{loss.name}: at teacher temperature {temperature:.3g}"
        if spread < FLAT:
            log.warning(
                "%s the scores of the median group differ by at most %.2g, so there is little to learn "
                "(rd-entropy --calibrate finds a temperature)", place, spread,
            )  # fmt: skip
        elif student.reach is not None and spread > student.reach:
            log.warning(
                "%s the scores of the median group differ by up to %.3g, those of the student by at most %g "
                "(raise --teacher-temperature or --scale)", place, spread, student.reach,
            )  # fmt: skip
