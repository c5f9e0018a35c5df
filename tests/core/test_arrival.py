"""Batches of what has arrived: an input that falls silent keeps nothing back."""

from __future__ import annotations

import os
import time

import pytest

from rdtools.core.arrival import batches, has_arrived
from rdtools.core.errors import InputError
from rdtools.core.streams import open_lines


@pytest.fixture
def pipe():
    """Return the path of a pipe's end to read, and the descriptor of the end to write."""
    reading, writing = os.pipe()
    yield f"/dev/fd/{reading}", writing
    os.close(reading)


def test_a_line_that_is_here_has_arrived_and_the_next_has_not(pipe):
    path, writing = pipe
    os.write(writing, b"a\nb\nhalf")
    with open_lines(path) as lines:
        assert has_arrived()
        items = iter(lines)
        assert next(items) == b"a"
        assert has_arrived()
        assert next(items) == b"b"
        begin = time.monotonic()
        assert not has_arrived(0.05)
        assert time.monotonic() - begin >= 0.05
        os.write(writing, b" a line\n")
        assert has_arrived()
        assert next(items) == b"half a line"
        os.close(writing)
        assert has_arrived()  # the end
        assert list(items) == []


def test_what_a_file_or_no_input_holds_is_here(tmp_path):
    assert has_arrived()
    (tmp_path / "f").write_bytes(b"a\nb\n")
    with open_lines(str(tmp_path / "f")) as lines:
        for _ in lines:
            assert has_arrived()


def test_a_batch_ends_where_the_input_is_silent(pipe):
    path, writing = pipe
    os.write(writing, b"a\nb\nc\n")
    with open_lines(path) as lines:
        made = batches(lines, 2, patience=0.02)
        assert next(made) == [b"a", b"b"]
        assert next(made) == [b"c"]
        os.write(writing, b"d\n")
        assert next(made) == [b"d"]
        os.close(writing)
        assert list(made) == []


def test_without_patience_a_batch_waits_until_it_is_full_or_the_input_ends(pipe):
    path, writing = pipe
    os.write(writing, b"a\nbcd\ne\n")
    os.close(writing)
    with open_lines(path) as lines:
        assert list(batches(lines, 4, None, weight=len)) == [[b"a", b"bcd"], [b"e"]]


def test_bad_input_loses_nothing_of_the_batch_before_it(tmp_path):
    (tmp_path / "f").write_bytes(b"a\nb\nlong line\nc\n")
    with open_lines(str(tmp_path / "f"), max_line=4) as lines:
        made = batches(lines, 9, patience=1)
        assert next(made) == [b"a", b"b"]
        with pytest.raises(InputError, match=":3: line is longer than 4 bytes"):
            next(made)
