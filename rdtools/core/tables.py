"""Rows of values as text: TSV, JSON lines and Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from rdtools.core.errors import RdError

Row = Mapping[str, Any]
"""Column -> a string, a number, or None if the value is undefined."""
P_VALUES = ("p", "p_corrected", "p_equivalence", "p_equivalence_corrected")


def jsonl(row: Row) -> bytes:
    """Return one JSON line with all decimals; undefined and infinite values are null."""
    return orjson.dumps(dict(row), option=orjson.OPT_APPEND_NEWLINE)


def tsv(cells: Iterable[str]) -> bytes:
    """Return one line of cells separated by tabs.

    Raises:
        RdError: a cell contains a tab or a line end.
    """
    cells = list(cells)
    for cell in cells:
        if any(mark in cell for mark in "\t\r\n"):
            raise RdError(f"{cell!r} has a tab or a line end, which TSV cannot hold (use -f jsonl)")
    return ("\t".join(cells) + "\n").encode()


def format_cell(column: str, value: Any, places: int) -> str:
    """Return a value as text: floats with `places` decimals (−1: all), p-values with `places` digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, float) or places < 0:
        return str(value)
    return f"{value:.{places}g}" if column in P_VALUES else f"{value:.{places}f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> bytes:
    """Return a table of Markdown cells: the first `words` columns aligned left, the others right."""
    rule = [":---" if place < words else "---:" for place in range(len(header))]
    return "".join("| " + " | ".join(row) + " |\n" for row in (header, rule, *rows)).encode()
