"""The teacher's scores on the student's scale: a temperature for losses that none was stated for."""

from __future__ import annotations

from typing import Any

from rdtools.core.log import log, plural
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Objective
from rdtools.train.students import BiEncoderStudent, Student

FLAT = 0.5
"""A teacher whose median group spans fewer nats is reported."""


def fit_teacher(objective: Objective, groups: Groups, student: Student) -> tuple[Objective, dict[str, Any]]:
    """Return the losses with a temperature of the teacher, and what rd-train.json says of it.

    Cosines of a teacher for a student of cosines get 1/--scale, so that both have one unit. Other scores get
    the temperature at which the teacher's distribution over a group has a target entropy
    (`rdtools.core.calibration`). Losses with a stated temperature keep it. Embeddings are compared as the
    student compares them.
    """
    if groups.dimension and isinstance(student, BiEncoderStudent):
        objective = objective.with_options("embedding", cosine=student.cosine, scale=student.scale)
    if not objective.fits_teacher:
        _check_spread(objective, groups, student)
        return objective, {}
    temperature, method, reason = _fit(groups, student)
    log.info("teacher temperature %.4g (%s; --teacher-temperature states another)", temperature, reason)
    objective = objective.with_fitted_teacher(temperature)
    _check_spread(objective, groups, student)
    return objective, {"teacher": {"temperature": temperature, "method": method}}


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
