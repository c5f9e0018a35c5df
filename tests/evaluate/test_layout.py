"""Rows laid out as tables: order, labels, the best, and layouts that do not do."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rdtools.core.errors import UsageError
from rdtools.evaluate.layout import Layout, complete_layout, latex, markdown


def row(loss: str, source: str, value: float, measure: str = "AP", **more: object) -> dict[str, object]:
    return {
        "run": f"{loss}-{source}",
        "loss": loss,
        "source": source,
        "measure": measure,
        "value": value,
        **more,
    }


def test_values_of_a_field_stand_together_in_order_of_appearance():
    rows = [row("kl", "x", 0.5), row("lce", "y", 0.25), row("kl", "y", 0.75), row("lce", "x", math.nan)]
    assert markdown(rows, Layout(["loss", "source"], ["measure"]), 2).decode() == (
        "| loss | source | AP |\n| :--- | :--- | ---: |\n"
        "| kl | x | 0.50 |\n| kl | y | **0.75** |\n| lce | x |  |\n| lce | y | 0.25 |\n"
    )
    assert latex(rows, Layout(["source"], ["loss", "measure"]), 1).decode().splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & \multicolumn{1}{c}{kl} & \multicolumn{1}{c}{lce} \\",
        r"\cmidrule(lr){2-2}\cmidrule(lr){3-3}",
        r"source & AP & AP \\",
        r"\midrule",
        r"x & 0.5 &  \\",
        r"y & \textbf{0.8} & \textbf{0.2} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_all_that_stands_behind_a_value():
    cells: dict[str, Any] = {
        "deviation": 0.01,
        "equivalent": "a,b",
        "delta": 0.25,
        "p": 0.001,
        "p_corrected": 0.00234,
    }
    rows = [row("kl", "x", 0.5, **cells)]
    assert b"| **0.50** \xc2\xb1 0.01<sup>a,b</sup> (+0.25, p 0.0023) |" in markdown(
        rows, Layout(["run"], ["measure"]), 2
    )


def test_three_levels_of_labels():
    keys = [("a", "x", 0.1), ("a", "y", 0.2), ("b", "x", 0.3)]
    rows = [row(*key, measure) for key in keys for measure in ("AP", "RR")]
    lines = latex(rows, Layout(["loss", "source", "measure"], ["run"]), 1).decode().splitlines()
    assert [line.split(" & ")[:3] for line in lines if "AP" in line or "RR" in line] == [
        [r"\multirow{4}{*}{a}", r"\multirow{2}{*}{x}", "AP"],
        ["", "", "RR"],
        ["", r"\multirow{2}{*}{y}", "AP"],
        ["", "", "RR"],
        [r"\multirow{2}{*}{b}", r"\multirow{2}{*}{x}", "AP"],
        ["", "", "RR"],
    ]


def test_layouts_are_completed():
    fields = ["collection", "loss", "source"]
    assert complete_layout([], ["source"], fields, fields) == Layout(
        ["collection", "loss"], ["source", "measure"]
    )
    assert complete_layout(["loss"], [], fields, fields) == Layout(
        ["loss"], ["collection", "source", "measure"]
    )
    assert complete_layout(["measure"], [], ["run"], ["run"]) == Layout(["measure"], ["run"])


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ("lose", "", "unknown field of --rows and --columns 'lose'; did you mean 'loss'? (choose from loss, source, measure)"),
        ("loss", "loss", "field loss is repeated in --rows and --columns"),
        ("loss", "measure", "field source is missing from --rows and --columns"),
        ("", "loss source", "--columns leaves no field for the rows"),
        ("loss source measure", "", "--rows leaves no field for the columns"),
    ],
)  # fmt: skip
def test_layouts_that_do_not_do(rows, columns, message):
    with pytest.raises(UsageError) as error:
        complete_layout(rows.split(), columns.split(), ["loss", "source"], ["loss", "source"])
    assert str(error.value) == message
