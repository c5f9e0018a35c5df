"""Teachers whose embeddings have another dimension than the student's, or are of another space."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from test_trainer import CPU, be, output_folder, records, trainer

from rdtools.core.errors import RdError
from rdtools.train import projection as module
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Labels, objective
from rdtools.train.options import GroupOptions, TrainingOutput
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


def related_rows(starts, dimension, seed=0):
    """Embeddings of length 1 that depend on those of the student, longer in some directions than in others."""
    draw = np.random.default_rng(seed)
    starts = starts / np.linalg.norm(starts, axis=1, keepdims=True)
    rows = starts @ draw.normal(size=(32, dimension)) * np.linspace(3, 0.1, dimension)
    rows = rows + 0.3 * draw.normal(size=rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fitted(student, data):
    return fit_projection(Groups(data, GOAL, GroupOptions()), student)


def projected(rows, found):
    return rows @ found.matrix.double().numpy()


@pytest.fixture(params=["cosine", "dot"])
def student(request, tiny_be):
    return BiEncoderStudent(be(tiny_be, similarity=request.param), CPU)


@pytest.mark.parametrize("dimension", [32, 48])
def test_a_copy_of_the_student_in_another_space_is_turned_back(student, dimension):
    data = records(60)
    starts = starts_of(student, data)
    rows = starts @ orthonormal(32, dimension)
    found = fitted(student, records_of(data, rows))
    np.testing.assert_allclose(projected(rows, found), starts, atol=2e-3 * abs(starts).max())
    assert found.matrix.shape == (dimension, 32)
    assert found.kept == pytest.approx(1, abs=1e-3)
    assert found.cosine == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dimension", [4, 32, 48])
def test_the_projection_equals_that_of_numpy_and_scipy(tiny_be, dimension):
    """Fitted to three quarters of the texts, measured on the others."""
    student = BiEncoderStudent(be(tiny_be), CPU)
    data = records(60)
    related = related_rows(starts_of(student, data), dimension)
    groups = Groups(records_of(data, related), GOAL, GroupOptions())
    found = fit_projection(groups, student)
    assert found is not None
    rows, starts = (part.numpy() for part in module._sample(groups, student))
    rows, starts = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (rows, starts))
    assert len(rows) == sum(1 for _ in texts_of(data))
    fit, rest = slice(None, len(rows) * 3 // 4), slice(len(rows) * 3 // 4, None)
    # Principal directions without centring; then the turn, with zeros up to the student's dimension.
    directions = np.linalg.svd(rows[fit], full_matrices=False)[2][:32].T
    kept = np.pad(rows @ directions, [(0, 0), (0, 32 - min(32, dimension))])
    expected = kept @ orthogonal_procrustes(kept[fit], starts[fit])[0]
    # The last layer norm leaves the student no component along (1, ..., 1), where the sign of a turn is free.
    np.testing.assert_allclose(projected(rows, found) @ starts.T, expected @ starts.T, atol=1e-5)
    assert found.kept == pytest.approx((kept[rest] ** 2).sum() / (rows[rest] ** 2).sum())
    cosines = (expected * starts)[rest].sum(1) / np.linalg.norm(expected[rest], axis=1)
    assert found.cosine == pytest.approx(cosines.mean(), abs=1e-6)
    assert found.figures == {
        "dimensions": [dimension, 32],
        "kept": round(found.kept, 6),
        "cosine": round(found.cosine, 6),
    }


@pytest.mark.parametrize("dimension", [4, 32])
def test_no_dot_product_changes_where_the_student_has_room(student, dimension):
    data = records(60)
    rows = related_rows(starts_of(student, data), dimension)
    found = fitted(student, records_of(data, rows))
    turned = projected(rows, found)
    np.testing.assert_allclose(turned @ turned.T, rows @ rows.T, atol=1e-5)
    assert found.kept == pytest.approx(1)


def test_the_sample_has_a_limit(tiny_be, monkeypatch):
    """The student encodes fewer texts than embeddings are compared; both in whole parts of 64 groups."""
    student, data = BiEncoderStudent(be(tiny_be), CPU), records(300, docs=3)
    groups = Groups(data, GOAL, GroupOptions())
    whole = module._sample(groups, student)
    found = {}
    for limits in ((1, 1), (1, 257), (257, 257)):
        monkeypatch.setattr(module, "STARTS", limits[0])
        monkeypatch.setattr(module, "TARGETS", limits[1])
        teacher, start = module._sample(groups, student)
        found[limits] = (len(teacher), len(start))
        assert torch.equal(teacher, whole[0][: len(teacher)])
        torch.testing.assert_close(start, whole[1][: len(start)])
    sizes = [sum(1 + len(group.own) for group in groups.slice(0, count)) for count in (64, 128)]
    assert found == {
        (1, 1): (sizes[0], sizes[0]),
        (1, 257): (sizes[1], sizes[0]),
        (257, 257): (sizes[1], sizes[1]),
    }
    assert sizes[0] < 257 <= sizes[1]


@pytest.mark.parametrize("near", [True, False])
def test_a_student_that_starts_near_its_teacher_keeps_its_space(student, near):
    """The mean cosine is about 0.6 or 0.4 of that after the turn, which noise keeps at 0.6."""
    data = records(60)
    starts = starts_of(student, data)
    starts /= np.linalg.norm(starts, axis=1, keepdims=True)
    # A rotation by the angle in 16 planes: each embedding keeps the cosine of the angle to itself.
    angle = np.arccos(0.6 if near else 0.4)
    plane = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    basis = orthonormal(32, 32)
    rows = starts @ basis @ np.kron(np.eye(16), plane) @ basis.T
    rows += 4 / 3 / np.sqrt(32) * np.random.default_rng(0).normal(size=rows.shape)
    found = fitted(student, records_of(data, rows))
    assert (found is None) == near
    if found is not None:
        assert found.cosine == pytest.approx(0.6, abs=0.06)


def test_a_student_of_layers_of_its_teacher_keeps_the_teachers_space(tiny_be):
    data: Any = records(60)
    rows = -starts_of(BiEncoderStudent(be(tiny_be), CPU), data)
    for record in records_of(data, rows):
        record["embedding_teacher"] = tiny_be
    student = BiEncoderStudent(be(tiny_be, layers="1"), CPU)
    assert fitted(student, data) is None
    for record in data:
        record["embedding_teacher"] = "another"
    assert fitted(student, data) is not None


def test_the_projection_is_of_texts_with_embeddings(tiny_be):
    student = BiEncoderStudent(be(tiny_be), CPU)
    data: Any = records(120)
    starts = starts_of(student, data)
    rows = starts @ orthonormal(32, 48)
    records_of(data, rows)
    for record in data[::2]:
        record["query_embedding"] = None
        record["docs"][0]["embedding"] = [0.0] * 48
    found = fit_projection(Groups(data, objective("kl+embedding"), GroupOptions()), student)
    np.testing.assert_allclose(projected(rows, found), starts, atol=2e-3 * abs(starts).max())


def test_one_text_with_an_embedding_is_found(tiny_be):
    """Beyond the first 64 of 200 groups, which have none."""
    data: Any = records(200)
    for record in data:
        del record["query_embedding"]
        for doc in record["docs"]:
            del doc["embedding"]
    data[7]["query_embedding"] = data[7]["docs"][0]["embedding"] = [1.0] * 48
    data[7]["docs"] = data[7]["docs"][:1]
    groups = Groups(data, objective("mse+embedding"), GroupOptions())
    assert not any(group.embedding for group in groups.slice(0, 64))
    found = fit_projection(groups, BiEncoderStudent(be(tiny_be), CPU))
    assert found is not None
    assert found.kept == pytest.approx(1, abs=1e-6)
    assert found.cosine > 0


def test_embeddings_that_are_all_zero_teach_nothing(tiny_be):
    data = records(3)
    groups = Groups(records_of(data, np.zeros((sum(1 for _ in texts_of(data)), 4))), GOAL, GroupOptions())
    with pytest.raises(RdError, match=r"^all embeddings of the teacher are 0$"):
        fit_projection(groups, BiEncoderStudent(be(tiny_be), CPU))


def test_a_damaged_student_is_named(tiny_be):
    student = BiEncoderStudent(be(tiny_be), CPU)
    with torch.no_grad():
        next(student.module.parameters()).fill_(float("nan"))
    with pytest.raises(RdError) as error:
        fitted(student, records(3))
    assert (
        str(error.value) == "the embeddings of the untrained student are not finite (is the model damaged?)"
    )


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


def test_a_checkpoint_keeps_the_projection(tiny_be, tmp_path):
    """Where the student has few texts, another fit could end with other targets."""
    data = records(6)
    student = BiEncoderStudent(be(tiny_be), CPU)
    records_of(data, related_rows(starts_of(student, data), 48))
    first = trainer(student, data, loss="embedding")
    first.fit_projection()
    first.step()
    folder = output_folder(first, TrainingOutput(output=tmp_path))
    folder.save_checkpoint(first)
    other = trainer(BiEncoderStudent(be(tiny_be), CPU), data, loss="embedding")
    folder.resume(other)
    assert first.projection is not None
    assert other.projection is not None
    assert torch.equal(other.projection.matrix, first.projection.matrix)
    assert other.projection.figures == first.projection.figures
    assert other.step() == first.step()


@pytest.mark.parametrize("dimension", [32, 48])
def test_a_run_says_what_it_projects(run, tiny_be, tmp_path, dimension):
    data = records(24)
    rows = related_rows(starts_of(BiEncoderStudent(be(tiny_be), CPU), data), dimension)
    lines = "".join(json.dumps(record) + "\n" for record in records_of(data, rows))
    options = f"rd-train --student be:{tiny_be} --loss embedding --max-steps 2 -o out".split()
    found = run(*options, stdin=lines, check=True)
    about = json.loads((tmp_path / "out" / "rd-train.json").read_text())["result"]["projection"]
    assert json.loads(found.stdout.splitlines()[-1])["projection"] == about
    assert about["dimensions"] == [dimension, 32]
    assert (0.5 < about["kept"] < 0.99) == (dimension > 32)
    share = f"projected from 48 to 32 dimensions ({100 * about['kept']:.3g} % of their squared lengths) and "
    assert (
        f"rd-train: the teacher's embeddings are {share if dimension > 32 else ''}rotated towards the untrained "
        f"student (mean cosine {about['cosine']:.2g})\n"
    ) in found.stderr


def test_a_teacher_in_another_space_teaches_as_much(tiny_be):
    """As it would in the student's own, and far more than without a turn."""
    ends = []
    for turn, fit in ((np.eye(32), True), (orthonormal(32, 48), True), (orthonormal(32, 32), False)):
        teacher, data = BiEncoderStudent(be(tiny_be), CPU), records(12)
        records_of(data, starts_of(teacher, data) @ turn)
        student = BiEncoderStudent(be(tiny_be, layers="1"), CPU)
        goal, _ = fit_teacher(GOAL, Groups(data, GOAL, GroupOptions()), student)
        one = trainer(student, data, loss=goal, batch_size=6, max_steps=40, lr=3e-3, no_dropout=True)
        if fit:
            one.fit_projection()
        ends.append([row["loss"] for row in one.run()][-1])
    own, turned, as_it_is = ends
    assert turned < 1.5 * own
    assert turned < as_it_is / 2
