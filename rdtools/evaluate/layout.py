"""Markdown and LaTeX tables: some fields of the results name the rows, others the columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rdtools.core.errors import UsageError
from rdtools.core.registry import check_name
from rdtools.core.tables import Row, format_cell, markdown_table
from rdtools.evaluate.systems import NamePatterns

Key = tuple[str, ...]
ColumnLabels = Sequence[Key]
"""The labels above each column of values, from top to bottom."""


@dataclass(frozen=True)
class Layout:
    """The fields that name the rows and the columns of a table, the outermost first.

    Attributes:
        p, p_equivalence: the labels of tests, such as `Holm p` for a corrected one.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    p: str = "p"
    p_equivalence: str = "TOST p"


def p_label(correction: str, name: str) -> str:
    """Label a p by its correction.

    >>> p_label("holm", "p"), p_label("none", "TOST p")
    ('Holm p', 'TOST p')
    """
    return name if correction == "none" else f"{correction.capitalize()} {name}"


def labelled(layout: Layout, correction: str, equivalence_correction: str) -> Layout:
    """Return the layout with the labels of p-values that are corrected in these ways."""
    return replace(
        layout, p=p_label(correction, "p"), p_equivalence=p_label(equivalence_correction, "TOST p")
    )


def table_layout(
    rows: Sequence[str], columns: Sequence[str], patterns: NamePatterns, by_query: bool
) -> Layout:
    """Return the layout that --rows and --columns ask for.

    Raises:
        UsageError: a field is unknown, repeated or missing, or a side is empty.
    """
    shown = patterns.shown
    collection = ["collection"] if "collection" in shown else []
    if by_query:
        return Layout(["run", *collection, "query_id"], ["measure"])
    if not rows and not columns:
        return Layout(["run"], [*collection, "measure"])
    if "run" in [*rows, *columns]:  # it distinguishes systems, so no other field is needed
        return complete_layout(rows, columns, needed=["run", *collection], fields=["run", *shown])
    needed = ["run", *shown] if patterns.has_run else shown
    return complete_layout(rows, columns, needed, needed)


def complete_layout(
    rows: Sequence[str], columns: Sequence[str], needed: Sequence[str], fields: Sequence[str]
) -> Layout:
    """Return the layout with the missing ones of the `needed` fields added to the empty side.

    The measure, if it is missing, becomes the innermost level of the columns.

    Raises:
        UsageError: a name is none of `fields`, repeated or missing, or a side is empty.
    """
    named = [*rows, *columns]
    for name in named:
        check_name([*fields, "measure"], name, "field of --rows and --columns")
        if named.count(name) > 1:
            raise UsageError(f"field {name} is repeated in --rows and --columns")
    rest = [name for name in needed if name not in named]
    if rest and rows and columns:
        raise UsageError(f"field {rest[0]} is missing from --rows and --columns")
    rows, columns = rows or rest, columns or rest
    if "measure" not in named:
        columns = [*columns, "measure"]
    if not rows or not columns:
        full, empty = ("--rows", "columns") if rows else ("--columns", "rows")
        raise UsageError(f"{full} leaves no field for the {empty}")
    return Layout(rows, columns)


@dataclass(frozen=True)
class Style:
    """The markup of a kind of document."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    superscript: Callable[[str], str]
    plus_minus: str
    table: Callable[[Sequence[str], ColumnLabels, Sequence[tuple[Key, list[str]]]], str]


def markdown(rows: Sequence[Row], layout: Layout, places: int) -> bytes:
    """Write a Markdown table."""
    return _table(rows, layout, MARKDOWN, places)


def latex(rows: Sequence[Row], layout: Layout, places: int) -> bytes:
    """Write a LaTeX tabular; it needs the packages booktabs and multirow."""
    return _table(rows, layout, LATEX, places)


def _table(rows: Sequence[Row], layout: Layout, style: Style, places: int) -> bytes:
    """Write rows of (…, measure, value, …) as a table, one cell for each; empty cells hold a dash.

    The values of a field keep the order of their first appearance. The largest value of a measure on a
    collection is bold: in each column, or in the whole row if all systems share one; not if rows are queries.
    A value is followed by its deviation over seeds, its letters and, in parentheses, its difference from
    the baseline, the confidence interval and p, corrected. Rows without value hold such a difference alone.
    """
    if not rows:
        return b""
    cells = {(_key(row, layout.rows), _key(row, layout.columns)): row for row in rows}
    lines, columns = _ordered(line for line, _ in cells), _ordered(column for _, column in cells)
    side_by_side = not set(layout.rows) - {"measure", "collection"}  # one row holds all systems
    best: dict[Key, float] = {}

    def rivals(column: Key, row: Row) -> Key:
        return (*(() if side_by_side else column), row["measure"], row.get("collection", ""))

    if "query_id" not in layout.rows:
        for (_, column), row in cells.items():
            if not math.isnan(row.get("value", math.nan)):
                key = rivals(column, row)
                best[key] = max(row["value"], best.get(key, -math.inf))

    def text(line: Key, column: Key) -> str:
        row = cells.get((line, column))
        if row is None:
            return "–"
        if "value" not in row:
            return _difference(row, layout, places)
        return _value(row, best.get(rivals(column, row)), style, layout, places)

    def escaped(key: Iterable[str]) -> Key:
        return tuple(map(style.escape, key))

    body = [(escaped(line), [text(line, column) for column in columns]) for line in lines]
    return style.table(escaped(layout.rows), [escaped(column) for column in columns], body).encode()


def _key(row: Row, fields: Iterable[str]) -> Key:
    return tuple(row[field] for field in fields)


def _ordered(keys: Iterable[Key]) -> list[Key]:
    """Sort keys by level, the values of each level in the order of their first appearance."""
    keys = list(dict.fromkeys(keys))
    levels = (dict.fromkeys(level) for level in zip(*keys, strict=True))
    orders = [{value: place for place, value in enumerate(level)} for level in levels]
    return sorted(keys, key=lambda key: [order[value] for order, value in zip(orders, key, strict=True)])


def _value(row: Row, best: float | None, style: Style, layout: Layout, places: int) -> str:
    text = format_cell("value", row["value"], places)
    if text and best is not None and text == format_cell("value", best, places):
        text = style.bold(text)
    if row.get("deviation") is not None:
        text += style.plus_minus + format_cell("deviation", row["deviation"], places)
    if row.get("equivalent"):
        text += style.superscript(row["equivalent"])
    if row.get("p_corrected") is not None:
        text += f" ({_difference(row, layout, places)})"
    return text


def _difference(row: Row, layout: Layout, places: int) -> str:
    """Write `+0.0120 [-0.0040, 0.0280], Holm p 0.03, TOST p 0.2`."""
    delta = format_cell("delta", row["delta"], places)
    text = delta if delta.startswith("-") else f"+{delta}"
    if row.get("low") is not None:
        text += f" [{format_cell('low', row['low'], places)}, {format_cell('high', row['high'], places)}]"
    text += f", {layout.p} {format_cell('p', row['p_corrected'], 2)}"
    if row.get("p_equivalence_corrected") is not None:
        text += f", {layout.p_equivalence} {format_cell('p', row['p_equivalence_corrected'], 2)}"
    return text


def _markdown(fields: Sequence[str], labels: ColumnLabels, body: Sequence[tuple[Key, list[str]]]) -> str:
    """Markdown has one header line, so the levels of a column are joined; row labels are repeated."""
    columns = [*fields, *(" ".join(filter(None, label)) for label in labels)]
    lines = [[*line, *values] for line, values in body]
    return markdown_table(columns, lines, len(fields)).decode()


def _latex(fields: Sequence[str], labels: ColumnLabels, body: Sequence[tuple[Key, list[str]]]) -> str:
    """Write a tabular with the rules of booktabs; labels of several lines use multirow."""
    lines = [rf"\begin{{tabular}}{{{'l' * len(fields)}{'r' * len(labels)}}}", r"\toprule"]
    for depth in range(1, len(labels[0])):
        lines += _spanning(labels, depth, len(fields))
    lines += [_line([*fields, *(label[-1] for label in labels)]), r"\midrule"]
    heights = Counter(line[:depth] for line, _ in body for depth in range(1, len(fields)))
    above: Key = ()
    for line, values in body:
        if len(fields) > 1 and above and line[0] != above[0]:
            lines.append(r"\midrule")
        lines.append(_line([*_labels(line, above, heights), *values]))
        above = line
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _spanning(labels: ColumnLabels, depth: int, skipped: int) -> Iterator[str]:
    """Yield the header of one level, except the last, and the rules below it."""
    cells, rules, place = [""] * skipped, [], skipped + 1
    for prefix, group in groupby(label[:depth] for label in labels):
        width = len(list(group))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{prefix[-1]}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
        place += width
    yield _line(cells)
    yield "".join(rules)


def _labels(line: Key, above: Key, heights: Mapping[Key, int]) -> Iterator[str]:
    """Yield the labels of a line: the innermost always, the others once for all lines that share them."""
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
    superscript=lambda text: f"<sup>{text}</sup>",
    plus_minus=" ± ",
    table=_markdown,
)
LATEX = Style(
    escape=lambda text: text.translate(_LATEX_MARKS),
    bold=lambda text: rf"\textbf{{{text}}}",
    superscript=lambda text: rf"$^{{\mathrm{{{text}}}}}$",
    plus_minus=r" $\pm$ ",
    table=_latex,
)
