"""Sparse rows on disk: what was written is read, the transpose is scipy's, damage is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_matrix

from rdtools.core.checked_folder import DamagedIndexError
from rdtools.search import sparse_rows
from rdtools.search.arrays import ArrayWriter
from rdtools.search.sparse import SparseEmbeddings, SparseIndex, SparseSearch
from rdtools.search.sparse_rows import SparseRows, write_rows, write_transpose

MATRICES: dict[str, Any] = {
    "usual": random_matrix(50, 30, 0.2, "csr", np.float32, random_state=np.random.RandomState(0)),
    "a full row among empty ones": csr_matrix(np.eye(9, 40, dtype=np.float32)[[3] * 2] + np.ones((2, 40), np.float32)),
    "empty rows and columns": csr_matrix(np.diag(np.array([0, 2, 0, 3, 0], np.float32))),
    "nothing but zeros": csr_matrix((4, 6), dtype=np.float32),
    "no rows": csr_matrix((0, 6), dtype=np.float32),
}  # fmt: skip


def written(folder, matrix, blocks=3):
    size = max(1, -(-matrix.shape[0] // blocks))
    parts = [matrix[start : start + size] for start in range(0, matrix.shape[0], size)] or [matrix]
    counts = write_rows(folder, "rows", iter(parts))
    rows = SparseRows.open(folder, "rows")
    write_transpose(folder, "columns", rows, counts)
    return rows, SparseRows.open(folder, "columns")


@pytest.mark.parametrize("part", [1, 7, 2**22])
@pytest.mark.parametrize("name", MATRICES)
def test_rows_and_columns_are_those_of_scipy(tmp_path, monkeypatch, name, part):
    monkeypatch.setattr(sparse_rows, "_PART", part)
    matrix = MATRICES[name]
    for found, expected in zip(written(tmp_path, matrix), (matrix, matrix.tocsc()), strict=True):
        arrays: Any = zip(found, SparseRows.of(expected), strict=True)
        for array, wanted in arrays:
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)


def test_a_full_disk_is_an_error_and_ends_no_process(tmp_path, monkeypatch):
    """Pages of a new file that are mapped, and have no place, would end it: its zeros are written."""
    rows, _ = written(tmp_path, MATRICES["usual"])
    counts = np.bincount(rows.indices, minlength=30)

    def full(self, part):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArrayWriter, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_transpose(tmp_path, "again", rows, counts)


def test_a_row_has_its_columns_and_numbers(tmp_path):
    rows, columns = written(tmp_path, csr_matrix(np.array([[0, 5, 0, 7], [1, 0, 0, 0]], np.float32)))
    assert [(row.indices.tolist(), row.data.tolist()) for row in map(rows.row, range(2))] == [
        ([1, 3], [5.0, 7.0]),
        ([0], [1.0]),
    ]
    assert (columns.row(3).indices.tolist(), columns.row(2).data.tolist()) == ([0], [])


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("starts", lambda a: a[:-1], "do not begin where they should"),
        ("starts", lambda a: a[::-1].copy(), "have other shapes than an index has"),
        ("starts", lambda a: np.array([0, 9, 2]), "do not begin where they should"),
        ("starts", lambda a: a[:0], "have other shapes than an index has"),
        ("indices", lambda a: a.astype(np.int32), "have other types than an index has"),
        ("indices", lambda a: a[:2], "do not begin where they should"),
        ("data", lambda a: a.reshape(1, -1), "have other shapes than an index has"),
        ("data", lambda a: a.astype(np.float64), "have other types than an index has"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, part, change, problem):
    written(tmp_path, csr_matrix(np.array([[0, 5, 0, 7], [1, 0, 0, 0]], np.float32)))
    file = tmp_path / f"rows-{part}.npy"
    np.save(file, change(np.load(file)))
    with pytest.raises(ValueError, match=f"^rows {problem}$"):
        SparseRows.open(tmp_path, "rows")


@pytest.mark.parametrize("number", [5, 2**31, 2**32 - 1])
def test_a_place_out_of_bounds_is_damage(tmp_path, number):
    rows, postings = written(tmp_path, csr_matrix(np.eye(5, dtype=np.float32)))
    wrong = postings._replace(indices=np.array([0, 1, number, 3, 4], np.uint32))
    index: Any = SparseIndex.__new__(SparseIndex)
    index._folder, index.places = tmp_path, SimpleNamespace(size=5)
    index.embeddings = SparseEmbeddings(rows, wrong)
    with pytest.raises(DamagedIndexError, match="it is damaged: its arrays have numbers out of bounds"):
        SparseSearch(index)._best(csr_matrix(np.array([[0, 0, 1, 0, 0]], np.float32)), 3)
