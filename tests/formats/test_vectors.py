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
    assert text is not None
    assert base64.b64decode(text) == struct.pack("<4e", 1.0, -0.5, 1 / 3, 65504.0)
    assert read_vector(text).tolist() == [1.0, -0.5, np.float16(1 / 3), 65504.0]
    assert read_vector(text).dtype == np.float32
    assert checked_vector(text, "it") == (text, 4)
    assert checked_vector([1, -0.5, 1 / 3, 65504.0], "it") == (text, 4)


@pytest.mark.parametrize("vector", [[1e5], [float("nan")], [float("inf"), 0.0]])
def test_what_float16_does_not_hold(vector):
    assert write_vector(vector) is None


NEITHER = "it is no list of numbers and no base64 of float16 numbers"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "it is empty"),
        ("", "it is empty"),
        (["a"], NEITHER),
        (["1.5"], NEITHER),
        ([True], NEITHER),
        ([False], NEITHER),
        ([None, 1.0], NEITHER),
        ([[1.0], [2.0]], NEITHER),
        (7, NEITHER),
        ({"a": 1}, NEITHER),
        ("no base64!", NEITHER),
        ("ä", NEITHER),
        ("AAAA", NEITHER),  # three bytes
        ([10**400], "it has a number that does not fit float16"),
        ([1e6], "it has a number that does not fit float16"),
        (base64.b64encode(struct.pack("<e", float("inf"))).decode(), "it has a number that is not finite"),
    ],
)
def test_what_is_no_embedding(value, problem):
    with pytest.raises(BadLine) as error:
        checked_vector(value, "it")
    assert error.value.problem == problem
