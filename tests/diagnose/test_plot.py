"""Drawings: what they show, and that the same values give the same bytes."""

from __future__ import annotations

import math
import re
import sys

import numpy as np
import pytest

from rdtools.core.errors import RdError, UsageError
from rdtools.core.pictures import plot_target
from rdtools.diagnose.plot import _edges, draw, sketch

COLUMNS = ("margin", "kappa", "never")
FILES = [
    ("a.jsonl", np.array([[0.0, 1.0, math.nan], [0.0, 10.0, math.nan], [4.0, 1e5, math.nan]])),
    ("b.jsonl", np.array([[4.0, math.inf, math.nan], [2.0, math.nan, math.nan]])),
]


STARTS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.mark.parametrize("format", STARTS)
def test_the_same_values_give_the_same_bytes(format):
    picture = draw(COLUMNS, FILES, format, "temperature 1.0")
    assert picture == draw(COLUMNS, FILES, format, "temperature 1.0")
    assert picture != draw(COLUMNS, FILES[:1], format, "temperature 1.0")
    assert picture.startswith(STARTS[format])
    assert b"/CreationDate" not in picture
    assert b"Type3" not in picture  # publishers refuse such fonts


def test_a_panel_a_column_and_a_line_a_file(monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    svg = draw(COLUMNS, FILES, "svg", "temperature 1.0").decode()
    words = re.findall(r">([^<>\n]+)</text>", svg)
    for word in ("margin", "kappa", "a.jsonl", "b.jsonl", "temperature 1.0"):
        assert words.count(word) == 1, word
    assert "never" not in words
    assert "<dc:date>" not in svg
    lines = re.findall(r"stroke: (#[0-9a-f]{6})", svg)
    assert {"#0072b2", "#d55e00"} <= set(lines)


def test_a_sketch_by_hand():
    lines = list(sketch(("margin",), [("a", np.array([[0.0], [0.0], [4.0]])), ("bcd", np.array([[4.0]]))]))
    # The most in a bin is all of bcd: 8 eighths; 2/3 of a are 6, and 1/3 is 3 (rounded up).
    assert lines == [
        "margin (0 to 4)",
        "  a   |▆" + " " * 38 + "▃| highest bar 67 %",
        "  bcd |" + " " * 39 + "█| highest bar 100 %",
    ]


def test_values_that_span_decades_have_bins_that_grow():
    edges = _edges([("f", np.array([[1.0], [1e4]]))], 0, 4)
    assert edges == pytest.approx([1, 10, 100, 1e3, 1e4])
    assert _edges([("f", np.array([[0.0], [1e4]]))], 0, 4) == pytest.approx([0, 2500, 5000, 7500, 1e4])
    assert list(sketch(COLUMNS, FILES))[3].startswith("kappa (1 to 1e+05, logarithmic)")


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0.0, 0, 1), (1.0, 0, 1), (0.35, 0, 1), (8.0, 4, 12), (-2.0, -3, -1)]
)
def test_one_value_has_an_axis_around_it_and_shares_that_of_shares(value, low, high):
    edges = _edges([("f", np.array([[value], [value]]))], 0, 4)
    assert (edges[0], edges[-1]) == (low, high)


def test_nothing_to_draw():
    nothing = [("f", np.full((2, 3), math.nan))]
    assert draw(COLUMNS, nothing, "svg").startswith(b"<?xml")
    assert list(sketch(COLUMNS, nothing)) == []


def test_what_cannot_be_drawn(monkeypatch):
    with pytest.raises(
        UsageError, match=r"^--plot out.eps: FILE.png, FILE.svg, FILE.pdf or terminal is needed$"
    ):
        plot_target("out.eps")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RdError, match=r"pip install 'ranking-distillation-tools\[plot\]'"):
        plot_target("out.png")
    assert plot_target("terminal") == "terminal"
