"""Rows as text: what a command prints when it measures rather than writes records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from rdtools.errors import RdError

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


def cell(column: str, value: Any, places: int) -> str:
    """A value as text: floats with `places` decimals (−1: all they have), p-values with as many digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, float) or places < 0:
        return str(value)
    return f"{value:.{places}g}" if column in ("p", "p_corrected") else f"{value:.{places}f}"


@dataclass(frozen=True)
class Style:
    """How a kind of document writes a table and what stands in its cells."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    raised: Callable[[str], str]
    table: Callable[[Sequence[str], Sequence[Sequence[str]], int], bytes]


def by_measure(rows: Iterable[Row], style: Style, places: int) -> bytes:
    """Turn rows of (run, measure, value, …) to one row a run, or run and query, and one column a measure.

    The best, that is largest, mean of a measure is bold. Behind a mean stand its letters of equivalence
    and, in parentheses, its difference to the baseline and the corrected p.
    """
    lines: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        line = tuple(row[key] for key in ("run", "query_id") if key in row)
        lines.setdefault(line, {})[row["measure"]] = row
    measures = list(dict.fromkeys(measure for line in lines.values() for measure in line))
    words = max(map(len, lines), default=1)
    best = {}
    if words == 1:
        for measure in measures:
            values = [line[measure]["value"] for line in lines.values()]
            best[measure] = cell("value", max((v for v in values if not math.isnan(v)), default=None), places)
    table = []
    for line, cells in lines.items():
        values = [_value(cells[measure], best.get(measure), style, places) for measure in measures]
        table.append([*map(style.escape, line), *values])
    header = [*("run", "query_id")[:words], *measures]
    return style.table(list(map(style.escape, header)), table, words)


def _value(row: Row, best: str | None, style: Style, places: int) -> str:
    text = cell("value", row["value"], places)
    if text and text == best:
        text = style.bold(text)
    if row.get("equivalent"):
        text += style.raised(row["equivalent"])
    if row.get("p_corrected") is not None:
        delta, p = cell("delta", row["delta"], places), cell("p", row["p_corrected"], 2)
        text += f" ({'' if delta.startswith('-') else '+'}{delta}, p {p})"
    return text


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> bytes:
    """A table of cells that are Markdown already; `words` columns of text, then numbers, to the right."""
    rule = [":---" if place < words else "---:" for place in range(len(header))]
    return "".join("| " + " | ".join(row) + " |\n" for row in (header, rule, *rows)).encode()


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> bytes:
    """A table, with the rules of booktabs, of cells that are LaTeX already."""
    columns = "l" * words + "r" * (len(header) - words)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(header) + r" \\", r"\midrule"]
    lines += [" & ".join(row) + r" \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    return ("\n".join(lines) + "\n").encode()


_MARKDOWN_MARKS = str.maketrans({mark: "\\" + mark for mark in "\\|*_`<"} | {"\n": " "})
_LATEX_MARKS = str.maketrans(
    {mark: "\\" + mark for mark in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " "}
)

MARKDOWN = Style(
    escape=lambda text: text.translate(_MARKDOWN_MARKS),
    bold=lambda text: f"**{text}**",
    raised=lambda text: f"<sup>{text}</sup>",
    table=markdown_table,
)
LATEX = Style(
    escape=lambda text: text.translate(_LATEX_MARKS),
    bold=lambda text: rf"\textbf{{{text}}}",
    raised=lambda text: rf"$^{{\mathrm{{{text}}}}}$",
    table=latex_table,
)
