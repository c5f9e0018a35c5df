"""Rows of measures as tables to print: some fields down the side, others across the top."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rdtools.core.errors import UsageError
from rdtools.core.registry import check_name
from rdtools.core.tables import Row, format_cell, markdown_table

Key = tuple[str, ...]
Tops = Sequence[Key]
"""What stands above each column of values, from top to bottom."""


@dataclass(frozen=True)
class Layout:
    """Which fields of a row name the lines of a table, and which its columns, outermost first."""

    rows: Sequence[str]
    columns: Sequence[str]


def complete(
    rows: Sequence[str], columns: Sequence[str], needed: Sequence[str], fields: Sequence[str]
) -> Layout:
    """Return the layout with the `needed` fields that are nowhere yet on the side that was left open.

    The measure is the innermost level of the columns where it is nowhere.

    Raises:
        UsageError: a name is none of `fields`, stands twice, or is missing, or a side is empty.
    """
    given = [*rows, *columns]
    for name in given:
        check_name([*fields, "measure"], name, "field of --rows and --columns")
        if given.count(name) > 1:
            raise UsageError(f"field {name} stands twice in --rows and --columns")
    rest = [name for name in needed if name not in given]
    if rest and rows and columns:
        raise UsageError(f"field {rest[0]} stands in neither --rows nor --columns")
    rows, columns = rows or rest, columns or rest
    if "measure" not in given:
        columns = [*columns, "measure"]
    if not rows or not columns:
        full, empty = ("--rows", "columns") if rows else ("--columns", "rows")
        raise UsageError(f"{full} leaves no field for the {empty}")
    return Layout(rows, columns)


@dataclass(frozen=True)
class Style:
    """How a kind of document writes a table and what stands in its cells."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    raised: Callable[[str], str]
    plus_minus: str
    table: Callable[[Sequence[str], Tops, Sequence[tuple[Key, list[str]]]], str]


def grid(rows: Iterable[Row], layout: Layout, style: Style, places: int) -> bytes:
    """Lay out rows of (…, measure, value, …), one cell a row; a cell that no row fills holds a dash.

    Values of a field go in the order in which they come first. The best, that is largest, value of a measure
    on a collection is bold, in each column where systems stand below each other, not where lines are queries.
    Behind a value stand its deviation over seeds, its letters of equivalence and, in parentheses, its
    difference to the baseline and the corrected p.
    """
    cells = {(_key(row, layout.rows), _key(row, layout.columns)): row for row in rows}
    lines, columns = _ordered(line for line, _ in cells), _ordered(column for _, column in cells)
    side_by_side = not set(layout.rows) - {"measure", "collection"}  # all systems stand in one line
    best: dict[Key, float] = {}

    def rivals(column: Key, row: Row) -> Key:
        return (*(() if side_by_side else column), row["measure"], row.get("collection", ""))

    if "query_id" not in layout.rows:
        for (_, column), row in cells.items():
            if not math.isnan(row["value"]):
                key = rivals(column, row)
                best[key] = max(row["value"], best.get(key, -math.inf))

    def text(line: Key, column: Key) -> str:
        row = cells.get((line, column))
        return "–" if row is None else _value(row, best.get(rivals(column, row)), style, places)

    def escaped(key: Iterable[str]) -> Key:
        return tuple(map(style.escape, key))

    body = [(escaped(line), [text(line, column) for column in columns]) for line in lines]
    return style.table(escaped(layout.rows), [escaped(column) for column in columns], body).encode()


def _key(row: Row, fields: Iterable[str]) -> Key:
    return tuple(row[field] for field in fields)


def _ordered(keys: Iterable[Key]) -> list[Key]:
    """Sort keys so that equal fields stand together, each level in the order of first appearance."""
    keys = list(dict.fromkeys(keys))
    levels = (dict.fromkeys(level) for level in zip(*keys, strict=True))
    orders = [{value: place for place, value in enumerate(level)} for level in levels]
    return sorted(keys, key=lambda key: [order[value] for order, value in zip(orders, key, strict=True)])


def _value(row: Row, best: float | None, style: Style, places: int) -> str:
    text = format_cell("value", row["value"], places)
    if text and best is not None and text == format_cell("value", best, places):
        text = style.bold(text)
    if row.get("deviation") is not None:
        text += style.plus_minus + format_cell("deviation", row["deviation"], places)
    if row.get("equivalent"):
        text += style.raised(row["equivalent"])
    if row.get("p_corrected") is not None:
        delta, p = format_cell("delta", row["delta"], places), format_cell("p", row["p_corrected"], 2)
        text += f" ({'' if delta.startswith('-') else '+'}{delta}, p {p})"
    return text


def _markdown(header: Sequence[str], tops: Tops, body: Sequence[tuple[Key, list[str]]]) -> str:
    """Markdown has one line of headers, so each column's are joined; labels are repeated on every line."""
    columns = [*header, *(" ".join(filter(None, top)) for top in tops)]
    lines = [[*line, *values] for line, values in body]
    return markdown_table(columns, lines, len(header)).decode()


def _latex(header: Sequence[str], tops: Tops, body: Sequence[tuple[Key, list[str]]]) -> str:
    """A tabular with the rules of booktabs; labels that span several lines take multirow."""
    lines = [rf"\begin{{tabular}}{{{'l' * len(header)}{'r' * len(tops)}}}", r"\toprule"]
    for depth in range(1, len(tops[0])):
        lines += _spanning(tops, depth, len(header))
    lines += [_line([*header, *(top[-1] for top in tops)]), r"\midrule"]
    heights = Counter(line[:depth] for line, _ in body for depth in range(1, len(header)))
    above: Key = ()
    for line, values in body:
        if len(header) > 1 and above and line[0] != above[0]:
            lines.append(r"\midrule")
        lines.append(_line([*_labels(line, above, heights), *values]))
        above = line
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _spanning(tops: Tops, depth: int, words: int) -> Iterator[str]:
    """Yield the header of one level that is not the last, and the rules under it."""
    cells, rules, place = [""] * words, [], words + 1
    for prefix, group in groupby(top[:depth] for top in tops):
        width = len(list(group))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{prefix[-1]}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
        place += width
    yield _line(cells)
    yield "".join(rules)


def _labels(line: Key, above: Key, heights: Mapping[Key, int]) -> Iterator[str]:
    """Yield the labels of a line: the innermost as it is, the others once for all lines that share them."""
    for depth, label in enumerate(line[:-1], start=1):
        height = heights[line[:depth]]
        if above[:depth] == line[:depth]:
            yield ""
        else:
            yield label if height == 1 else rf"\multirow{{{height}}}{{*}}{{{label}}}"
    yield line[-1]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


_MARKDOWN_MARKS = str.maketrans({mark: "\\" + mark for mark in "\\|*_`<"} | {"\n": " "})
_LATEX_MARKS = str.maketrans(
    {mark: "\\" + mark for mark in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " "}
)

MARKDOWN = Style(
    escape=lambda text: text.translate(_MARKDOWN_MARKS),
    bold=lambda text: f"**{text}**",
    raised=lambda text: f"<sup>{text}</sup>",
    plus_minus=" ± ",
    table=_markdown,
)
LATEX = Style(
    escape=lambda text: text.translate(_LATEX_MARKS),
    bold=lambda text: rf"\textbf{{{text}}}",
    raised=lambda text: rf"$^{{\mathrm{{{text}}}}}$",
    plus_minus=r" $\pm$ ",
    table=_latex,
)
