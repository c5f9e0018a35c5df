"""Plots of the distribution of each column, with a line per file: a picture or text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from rdtools.core.pictures import bars, draw_panels, put_drawing, stroke
from rdtools.diagnose.diagnosis import Diagnosis
from rdtools.diagnose.entropy import Floats

_BINS = 30
_WIDTH = 40

Panel = Callable[[Any], None]
"""Draws on axes of matplotlib."""
FileValues = tuple[str, Floats]
"""A file and its values, (n, columns) float64, NaN where undefined."""


def plot_diagnosis(diagnosis: Diagnosis, target: str) -> None:
    """Draw all kept values into the file `target`, or as text on stderr if it is `terminal`.

    Without values nothing is drawn; --quiet suppresses the text.
    """
    files = diagnosis.values_by_file()
    if not files:
        return
    places = [
        n for n, column in enumerate(diagnosis.columns[1:]) if column.name != "kappa"
    ]  # its log10 is there
    files = [(file, values[:, places]) for file, values in files]
    columns = [diagnosis.columns[1 + place].name for place in places]
    settings = {"temperature": diagnosis.temperature, **diagnosis.settings}
    caption = ", ".join(f"{name} {value}" for name, value in settings.items())
    put_drawing(
        target,
        lambda format: draw(columns, files, format, caption),
        lambda: chain(sketch(columns, files), [caption]),
    )


def draw(columns: Sequence[str], files: Sequence[FileValues], format: str, caption: str = "") -> bytes:
    """Return a picture of the columns that have values. The same input gives the same bytes."""
    places = [place for place in range(len(columns)) if any(_finite(v, place).size for _, v in files)]
    panels: list[Panel] = [partial(_panel, columns[place], files, place) for place in places]
    return draw_panels(panels, format, legend=min(4, len(files)), caption=caption)


def _panel(column: str, files: Sequence[FileValues], place: int, axes: Any) -> None:
    edges = _edges(files, place)
    for number, (file, values) in enumerate(files):
        shares = _shares(_finite(values, place), edges)
        axes.stairs(100 * shares, edges, label=file, linewidth=1.3, **stroke(number))
    if _spans_decades(edges):
        axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(column)
    axes.set_ylabel("% of queries")
    axes.set_ylim(bottom=0)


def sketch(columns: Sequence[str], files: Sequence[FileValues]) -> Iterator[str]:
    """Yield lines of text: for each column with values its range, then a row of bars for each file."""
    label = max((len(file) for file, _ in files), default=0)
    for place, column in enumerate(columns):
        edges = _edges(files, place, _WIDTH)
        if not any(_finite(values, place).size for _, values in files):
            continue
        scale = ", logarithmic" if _spans_decades(edges) else ""
        yield f"{column} ({edges[0]:.4g} to {edges[-1]:.4g}{scale})"
        shares = [_shares(_finite(values, place), edges) for _, values in files]
        highest = max(share.max() for share in shares)
        for (file, _), share in zip(files, shares, strict=True):
            yield f"  {file:{label}} |{bars(share / highest)}| highest bar {100 * share.max():.0f} %"


def _finite(values: Floats, place: int) -> Floats:
    column = values[:, place]
    finite: Floats = column[np.isfinite(column)]
    return finite


def _edges(files: Sequence[FileValues], place: int, bins: int = _BINS) -> Floats:
    """Return the bounds of the bins that all files share; logarithmic if the values span decades."""
    values = np.concatenate([_finite(own, place) for _, own in files] or [np.zeros(0)])
    if not len(values):
        return np.linspace(0, 1, bins + 1)
    low, high = float(values.min()), float(values.max())
    if low == high:
        if 0 <= low <= 1:
            return np.linspace(0, 1, bins + 1)
        reach = abs(low) / 2
        return np.linspace(low - reach, high + reach, bins + 1)
    if low > 0 and high / low > 1e3:
        edges = np.geomspace(low, high, bins + 1)
        edges[[0, -1]] = low, high
        return edges
    return np.linspace(low, high, bins + 1)


def _spans_decades(edges: Floats) -> bool:
    return bool(edges[0] > 0 and edges[-1] / edges[0] > 1e3)


def _shares(values: Floats, edges: Floats) -> Floats:
    """Return the share of `values` in each bin."""
    counts, _ = np.histogram(values, edges)
    return np.asarray(counts / max(1, len(values)), np.float64)
