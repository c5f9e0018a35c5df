"""Teachers whose embeddings have another dimension than the student's, or are of another space."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from test_trainer import CPU, be, records, trainer

from rdtools.core.errors import RdError
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Labels, objective
from rdtools.train.options import GroupOptions
from rdtools.train.projection import fit_projection
from rdtools.train.scales import fit_teacher
from rdtools.train.students import BiEncoderStudent

GOAL = objective("embedding")


def texts_of(data):
    """The queries and documents of records, each with the place that its embedding has there."""
    for record in data:
        yield "query", record["query"], record, "query_embedding"
        for doc in record["docs"]:
            yield "document", doc["text"], doc, "embedding"


def records_of(data: Any, rows):
    """The records with these embeddings, one for each query and document in their order."""
    for (_, _, place, key), row in zip(texts_of(data), rows, strict=True):
        place[key] = [float(x) for x in row]
    return data


def starts_of(student, data):
    """What the student makes of each query and document, (n, dimension)."""
    roles, texts = zip(*((role, text) for role, text, *_ in texts_of(data)), strict=True)
    found = {role: student._embed(role, texts).double().numpy() for role in set(roles)}
    return np.stack([found[role][place] for place, role in enumerate(roles)])


def orthonormal(rows, columns, seed=0):
    """A (rows, columns) matrix with orthonormal rows or columns."""
    found = np.linalg.qr(np.random.default_rng(seed).normal(size=(max(rows, columns), min(rows, columns))))[0]
    return found if rows >= columns else found.T


def random_rows(count, dimension, seed=0):
    """Embeddings of length 1, longer in some directions than in others, that float16 can hold."""
    rows = np.random.default_rng(seed).normal(size=(count, dimension)) * np.linspace(3, 0.1, dimension)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float64)


def fitted(student, data):
    groups = Groups(data, GOAL, GroupOptions())
    return fit_projection(groups, student)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("dimension", [32, 48])
def test_a_copy_of_the_student_in_another_space_is_turned_back(tiny_be, dimension, similarity):
    student = BiEncoderStudent(be(tiny_be, similarity=similarity), CPU)
    data = records(60)
    starts = starts_of(student, data)
    found = fitted(student, records_of(data, starts @ orthonormal(32, dimension)))
    rows = starts @ orthonormal(32, dimension)
    np.testing.assert_allclose(rows @ found.matrix.double().numpy(), starts, atol=2e-3 * abs(starts).max())
    assert found.kept == pytest.approx(1, abs=1e-3)
    assert found.cosine == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dimension", [4, 32, 48])
def test_the_projection_equals_that_of_numpy_and_scipy(tiny_be, dimension):
    student = BiEncoderStudent(be(tiny_be), CPU)
    data = records(60)
    starts = starts_of(student, data)
    rows = random_rows(len(starts), dimension)
    found = fitted(student, records_of(data, rows))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    # Principal directions without centring; then the turn, with rows of zeros up to the student's dimension.
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    kept = rows @ directions[:32].T
    padded = np.pad(kept, [(0, 0), (0, 32 - kept.shape[1])])
    turn, _ = orthogonal_procrustes(padded, starts)
    expected = padded @ turn
    # The last layer norm leaves the student no component along (1, ..., 1), where the sign of a turn is free.
    projected = rows @ found.matrix.double().numpy()
    np.testing.assert_allclose(projected @ starts.T, expected @ starts.T, atol=1e-5)
    assert found.matrix.shape == (dimension, 32)
    assert found.kept == pytest.approx((lengths[:32] ** 2).sum() / (lengths**2).sum())
    cosines = (expected * starts).sum(1) / np.linalg.norm(expected, axis=1)
    assert found.cosine == pytest.approx(cosines.mean(), abs=1e-6)


@pytest.mark.parametrize("dimension", [4, 32])
def test_no_dot_product_changes_where_the_student_has_room(tiny_be, dimension):
    data = records(60)
    rows = random_rows(sum(1 for _ in texts_of(data)), dimension)
    found = fitted(BiEncoderStudent(be(tiny_be), CPU), records_of(data, rows))
    projected = rows @ found.matrix.double().numpy()
    np.testing.assert_allclose(projected @ projected.T, rows @ rows.T, atol=1e-5)
    assert found.kept == pytest.approx(1)


def test_a_student_that_starts_near_its_teacher_keeps_its_space(tiny_be):
    """As one of some of its teacher's layers, whose documents' embeddings it can then search."""
    student = BiEncoderStudent(be(tiny_be), CPU)
    data = records(60)
    starts = starts_of(student, data)
    noise = 0.1 * np.random.default_rng(0).normal(size=starts.shape)
    groups = Groups(records_of(data, starts + noise), GOAL, GroupOptions())
    assert fit_projection(groups, student) is None
    goal, about = fit_teacher(GOAL, groups, student)
    assert "projection" not in goal.losses[0].options
    assert about == {}
    assert fitted(student, records_of(data, -starts)) is not None


def test_the_projection_is_of_texts_with_embeddings(tiny_be):
    student = BiEncoderStudent(be(tiny_be), CPU)
    data: Any = records(60)
    starts = starts_of(student, data)
    records_of(data, starts @ orthonormal(32, 48))
    for record in data[::2]:
        record["query_embedding"] = None
        record["docs"][0]["embedding"] = None
    goal = objective("kl+embedding")
    found = fit_projection(Groups(data, goal, GroupOptions()), student)
    assert found is not None
    rows = starts @ orthonormal(32, 48)
    np.testing.assert_allclose(rows @ found.matrix.double().numpy(), starts, atol=2e-3 * abs(starts).max())


def test_the_loss_is_that_of_the_projected_embeddings():
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, generator=draw), torch.randn(2, 3, 6, generator=draw)
    matrix, mask = torch.randn(6, 4, generator=draw), torch.ones(2, 2, dtype=torch.bool)
    for options in ({"cosine": True}, {"cosine": False, "scale": 3.0}):
        found = []
        for vectors, projection in ((teacher, matrix), (teacher @ matrix, None)):
            goal = GOAL.with_options("embedding", projection=projection, **options)
            labels = Labels(torch.zeros(2, 2), mask, mask, mask, vectors)
            found.append(goal.parts(torch.zeros(2, 2), labels, goal.counts(labels), student)[0])
        torch.testing.assert_close(*found)


def test_shards_of_a_student_need_the_teachers_dimension(tiny_be):
    data = records(2)
    rows = random_rows(sum(1 for _ in texts_of(data)), 2)
    groups = Groups(records_of(data, rows), GOAL, GroupOptions())
    with pytest.raises(RdError) as error:
        fit_teacher(GOAL, groups, BiEncoderStudent(be(tiny_be), CPU), sharded=True)
    assert str(error.value) == (
        "the teacher's embeddings have 2 dimensions, those of the student 32 (--fsdp needs equal ones; --loss kl "
        "does not)"
    )


@pytest.mark.parametrize("dimension", [32, 48])
def test_a_run_says_what_it_projects(run, tiny_be, tmp_path, dimension):
    data = records(12)
    rows = random_rows(sum(1 for _ in texts_of(data)), dimension)
    lines = "".join(json.dumps(record) + "\n" for record in records_of(data, rows))
    options = f"rd-train --student be:{tiny_be} --loss embedding --max-steps 2 -o out".split()
    found = run(*options, stdin=lines, check=True)
    about = json.loads((tmp_path / "out" / "rd-train.json").read_text())["projection"]
    assert about["dimensions"] == [dimension, 32]
    assert (0.5 < about["kept"] < 0.99) == (dimension > 32)
    share = f"projected from 48 to 32 dimensions ({100 * about['kept']:.3g} % of their squared lengths) and "
    assert (
        f"rd-train: the teacher's embeddings are {share if dimension > 32 else ''}turned towards the untrained "
        f"student (mean cosine {about['cosine']:.2g})\n"
    ) in found.stderr


def test_a_student_learns_more_of_a_teacher_of_its_own_space(tiny_be):
    """A teacher in another space and dimension teaches what it would teach in the student's."""
    ends = []
    for turn in (np.eye(32), orthonormal(32, 48)):
        teacher, data = BiEncoderStudent(be(tiny_be), CPU), records(12)
        rows = starts_of(teacher, data) @ turn
        student = BiEncoderStudent(be(tiny_be, layers="1"), CPU)
        groups = Groups(records_of(data, rows), GOAL, GroupOptions())
        goal, _ = fit_teacher(GOAL, groups, student)
        one = trainer(student, data, loss=goal, batch_size=6, max_steps=40, lr=3e-3, no_dropout=True)
        ends.append([row["loss"] for row in one.run()])
    own, other = ends
    assert other[-1] < own[0] / 3
    assert other[-1] < 1.5 * own[-1]
