"""The teacher's embeddings brought to the dimension of the student's, and near to where it starts."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from rdtools.train.groups import Groups
from rdtools.train.students import BiEncoderStudent
from rdtools.train.targets import labels

TEXTS = 2048
"""A projection is fitted to about so many texts, which the untrained student encodes."""


class Projection(NamedTuple):
    """A linear map of the teacher's embeddings to the student's space."""

    matrix: Tensor
    """(the teacher's dimension, the student's), float32, on the CPU."""
    kept: float
    """The share of the squared lengths of the teacher's embeddings that it keeps."""
    cosine: float
    """The mean cosine of the projected embeddings and those of the untrained student."""


def fit_projection(groups: Groups, student: BiEncoderStudent) -> Projection | None:
    """Return a projection of the teacher's embeddings, or None if the student starts near to them.

    Of the teacher's space the directions are kept in which the embeddings of a sample are longest: no other
    choice of as many keeps more of their dot products. They are then turned so that the embeddings come as
    near as possible to those of the untrained student, which changes no dot product. A student of a higher
    dimension gets all of the teacher's. With equal dimensions the student starts near if its mean cosine to
    the teacher is at least half of what the turn would make of it, as with some layers of the teacher.

    Source: Eckart, Young (1936) on the directions; Schönemann (1966) on the turn (orthogonal Procrustes).
    """
    teacher, start = _sample(groups, student)
    if student.cosine:
        teacher, start = normalize(teacher, dim=-1), normalize(start, dim=-1)
    lengths, directions = torch.linalg.eigh(teacher.T @ teacher)  # from the shortest
    most = min(teacher.shape[1], start.shape[1])
    directions = directions[:, -most:]
    left, _, right = torch.linalg.svd((teacher @ directions).T @ start, full_matrices=False)
    matrix = directions @ (left @ right)
    cosine = float(cosine_similarity(teacher @ matrix, start).mean())
    if teacher.shape == start.shape and cosine_similarity(teacher, start).mean() >= cosine / 2:
        return None
    return Projection(matrix.float(), float(lengths[-most:].sum() / lengths.sum()), cosine)


def _sample(groups: Groups, student: BiEncoderStudent) -> tuple[Tensor, Tensor]:
    """Return the embeddings of some texts by the teacher and by the student, (n, dimension) float64."""
    count = math.ceil(TEXTS / (1 + groups.documents_of(1)))
    sample = groups.slice(0, min(count, len(groups)))
    batch, targets = student.batch(sample), labels(sample, groups.dimension).vectors
    assert batch.vectors is not None
    assert targets is not None
    encoded = batch.vectors(student.encode_all(batch.features).cpu(), targets.shape[1] - 1)
    known = ~targets.isnan().any(-1)  # (B, 1 + n)
    return targets[known].double(), encoded[known].double()
