"""Options of several groups that do not go together."""

from __future__ import annotations

from dataclasses import replace

from rdtools.core.errors import UsageError
from rdtools.train.options import ENCODERS, LEARNED, LossOptions, StudentOptions


def check_combination(student: StudentOptions, loss: LossOptions) -> None:
    """Refuse losses that the student cannot learn from, and --paper-compat where it changes nothing.

    The margin of --mask-false-negatives is in the unit of the similarity times a fixed scale.
    """
    if loss.objective.in_batch and student.kind == "ce":
        raise UsageError(f"in-batch negatives are for {ENCODERS}")
    if loss.objective.needs_embeddings and student.kind != "be":
        raise UsageError(f"--loss {loss.loss} is for bi-encoders (--student be:MODEL)")
    if loss.objective.only_embeddings and student.scale == LEARNED:
        raise UsageError("--scale learned needs a loss that looks at scores, such as --loss kl+embedding")
    if (loss.flops_query, loss.flops_document) != (None, None) and student.kind != "sparse":
        raise UsageError(
            "--flops-query and --flops-document are for sparse encoders (--student sparse:MODEL)"
        )
    if loss.mask_false_negatives is not None and student.scale == LEARNED:
        raise UsageError("--mask-false-negatives needs a fixed --scale (a number, or the default)")
    if loss.paper_compat and student.kind != "ce":
        plain = replace(loss, paper_compat=False)
        if plain.objective.losses == loss.objective.losses:
            raise UsageError("--paper-compat needs --student ce:MODEL, or --loss kl or ranknet")
