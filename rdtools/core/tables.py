"""Rows as text: what a command prints when it measures rather than writes records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from rdtools.core.errors import RdError

Row = Mapping[str, Any]
"""Column -> a string, a number, or None where a value is undefined."""


def jsonl(row: Row) -> bytes:
    """One JSON line with full precision; values that are undefined or beyond a float are null."""
    return orjson.dumps(dict(row), option=orjson.OPT_APPEND_NEWLINE)


def tsv(cells: Iterable[str]) -> bytes:
    """One line of cells between tabs.

    Raises:
        RdError: a cell holds a tab or a line end.
    """
    cells = list(cells)
    for cell in cells:
        if any(mark in cell for mark in "\t\r\n"):
            raise RdError(f"{cell!r} has a tab or a line end, which TSV cannot hold (use -f jsonl)")
    return ("\t".join(cells) + "\n").encode()


def format_cell(column: str, value: Any, places: int) -> str:
    """A value as text: floats with `places` decimals (−1: all they have), p-values with as many digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, float) or places < 0:
        return str(value)
    return f"{value:.{places}g}" if column in ("p", "p_corrected") else f"{value:.{places}f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> bytes:
    """A table of cells that are Markdown already; `words` columns of text, then numbers, to the right."""
    rule = [":---" if place < words else "---:" for place in range(len(header))]
    return "".join("| " + " | ".join(row) + " |\n" for row in (header, rule, *rows)).encode()
