"""Embeddings as text."""

from __future__ import annotations

import base64
import struct

import numpy as np
import pytest

from rdtools.core.errors import BadLine
from rdtools.formats.vectors import checked_vector, read_vector, write_vector


def test_the_text_is_base64_of_little_endian_float16():
    text = write_vector([1.0, -0.5, 1 / 3, 65504.0])
    assert base64.b64decode(text) == struct.pack("<4e", 1.0, -0.5, 1 / 3, 65504.0)
    assert read_vector(text).tolist() == [1.0, -0.5, np.float16(1 / 3), 65504.0]
    assert read_vector(text).dtype == np.float32
    assert checked_vector(text) == (text, 4)
    assert checked_vector([1, -0.5, 1 / 3, 65504.0]) == (text, 4)


@pytest.mark.parametrize("vector", [[1e5], [float("nan")], [float("inf"), 0.0]])
def test_what_float16_does_not_hold(vector):
    with pytest.raises(BadLine, match=r"^an embedding does not fit float16$"):
        write_vector(vector)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "an embedding is a list of numbers"),
        (["a"], "an embedding is a list of numbers"),
        ([[1.0], [2.0]], "an embedding is a list of numbers"),
        ([1.0, [2.0]], "an embedding is a list of numbers"),
        ([10**400], "an embedding is a list of numbers"),
        ([1e6], "an embedding does not fit float16"),
        (7, "an embedding is a list of numbers, or base64 of float16 numbers"),
        ({"a": 1}, "an embedding is a list of numbers, or base64 of float16 numbers"),
        ("no base64!", "an embedding is a list of numbers, or base64 of float16 numbers"),
        ("ä", "an embedding is a list of numbers, or base64 of float16 numbers"),
        ("AAAA", "an embedding is a list of numbers, or base64 of float16 numbers"),  # three bytes
        ("", "an embedding is empty, or has a number that is not finite"),
        (base64.b64encode(struct.pack("<e", float("inf"))).decode(), "an embedding is empty, or has a number that is not finite"),
    ],
)  # fmt: skip
def test_what_is_no_embedding(value, problem):
    with pytest.raises(BadLine) as error:
        checked_vector(value)
    assert error.value.problem == problem
