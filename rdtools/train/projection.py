"""The teacher's embeddings brought to the dimension of the student's, and near to where it starts."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from rdtools.core.errors import RdError
from rdtools.core.log import bar, log
from rdtools.train.groups import Groups
from rdtools.train.students import BiEncoderStudent
from rdtools.train.targets import labels
from rdtools.train.teacher import has_embeddings_of

STARTS = 2048
"""The approximate number of texts that the untrained student encodes for a projection."""
TARGETS = 16384
"""The approximate number of the teacher's embeddings whose directions are compared."""
NEAR = 0.5
"""A student starts near its teacher if its mean cosine is at least this share of that after a rotation."""


class Projection(NamedTuple):
    """A linear map of the teacher's embeddings to the student's space.

    `kept` and `cosine` are measured on a quarter of the texts that the student encodes; the map is fitted to
    the others.
    """

    matrix: Tensor
    """(the teacher's dimension, the student's), float32, on the CPU."""
    kept: float
    """The share of the squared lengths of the teacher's embeddings that it keeps."""
    cosine: float
    """The mean cosine of the projected embeddings and those of the untrained student."""

    @property
    def figures(self) -> dict[str, Any]:
        """What rd-train.json says of it."""
        kept, cosine = round(self.kept, 6), round(self.cosine, 6)
        return {"dimensions": list(self.matrix.shape), "kept": kept, "cosine": cosine}


def fit_projection(groups: Groups, student: BiEncoderStudent) -> Projection | None:
    """Return a projection of the teacher's embeddings, or None if the student can learn them as they are.

    It keeps the directions in which the teacher's embeddings have the largest sums of squares, as many as the
    student has dimensions; no other choice keeps more of them. Then it rotates these as near as possible to
    the embeddings of the untrained student. A student with more dimensions gets all directions.

    A teacher of the student's dimension stays as it is if it is the model that the student starts from, or if
    the student starts near to it (NEAR).

    Raises:
        RdError: all embeddings of the teacher are 0, or some of the student's are not finite.

    Source: Eckart, Young (1936) on the directions; Schönemann (1966) on the rotation (orthogonal Procrustes).
    """
    equal = student.dimension == groups.dimension
    if equal and has_embeddings_of(groups, student.start):
        return None
    teacher, start = _sample(groups, student)
    if student.cosine:
        teacher, start = normalize(teacher, dim=-1), normalize(start, dim=-1)
    count = len(start)
    fitted = -(-3 * count // 4)
    measured = slice(fitted if fitted < count else 0, count)
    seen = torch.cat([teacher[:fitted], teacher[count:]])
    kept_dimensions = min(teacher.shape[1], start.shape[1])
    directions = torch.linalg.eigh(seen.T @ seen).eigenvectors[:, -kept_dimensions:]  # the largest are last
    left, _, right = torch.linalg.svd((teacher[:fitted] @ directions).T @ start[:fitted], full_matrices=False)
    matrix = directions @ (left @ right)
    target, start = teacher[measured], start[measured]
    cosine = float(cosine_similarity(target @ matrix, start).mean())
    if equal and float(cosine_similarity(target, start).mean()) >= NEAR * cosine:
        return None
    kept = float((target @ directions).square().sum() / target.square().sum())
    rows, columns = matrix.shape
    share = f"{100 * kept:.3g} % of their squared lengths"
    cut = "" if equal else f"projected from {rows:,} to {columns:,} dimensions ({share}) and "
    log.info(
        "the teacher's embeddings are %srotated towards the untrained student (mean cosine %.2g)", cut, cosine
    )
    return Projection(matrix.float(), kept, cosine)


def _sample(groups: Groups, student: BiEncoderStudent) -> tuple[Tensor, Tensor]:
    """Return embeddings of texts by the teacher, and those of the first of them by the student, float64."""
    teacher: list[Tensor] = []
    start: list[Tensor] = []
    count = 0
    with bar(STARTS, "comparing embeddings", "text") as progress:
        for place in range(0, len(groups), 64):
            part = groups.slice(place, min(place + 64, len(groups)))
            targets = labels(part, groups.dimension).vectors
            assert targets is not None
            known = targets.abs().sum(-1) > 0  # (B, 1 + n); False for NaN, where there is none
            if count < STARTS and known.any():
                batch = student.batch(part)
                assert batch.vectors is not None
                encoded = batch.vectors(student.encode_all(batch.features), targets.shape[1] - 1)
                start.append(encoded[known.to(encoded.device)].cpu())
                progress.update(len(start[-1]))
            teacher.append(targets[known])
            count += len(teacher[-1])
            if count >= TARGETS:
                break
    if not count:
        raise RdError("all embeddings of the teacher are 0")
    found = torch.cat(start)
    if not found.isfinite().all():
        raise RdError("the embeddings of the untrained student are not finite (is the model damaged?)")
    return torch.cat(teacher).double(), found.double()
