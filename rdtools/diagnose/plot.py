"""Distributions of diagnostics: a panel a column, a line a file, as PNG or SVG or as text."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rdtools.core.errors import RdError, UsageError
from rdtools.diagnose.entropy import Floats

TERMINAL = "terminal"
SUFFIXES = (".png", ".svg")

_BINS = 30
_WIDTH = 40
_BARS = " ▁▂▃▄▅▆▇█"
# Okabe and Ito's colours, which the colour-blind can tell apart; the strokes tell them apart in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STROKES = ("-", "--", "-.", ":")

Named = tuple[str, Floats]
"""A file and its values, (n, columns) float64, NaN where undefined."""


def check_plot(target: str) -> None:
    """Raise `UsageError` where --plot names neither a kind of picture nor the terminal, and `RdError` where
    matplotlib is needed and not there.
    """
    if target == TERMINAL:
        return
    if not target.endswith(SUFFIXES):
        raise UsageError(f"--plot {target}: a FILE.png, a FILE.svg or {TERMINAL} is needed")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise RdError(
            "--plot needs matplotlib (pip install 'ranking-distillation-tools[plot]', or --plot terminal)"
        ) from None


def draw(columns: Sequence[str], files: Sequence[Named], format: str, caption: str = "") -> bytes:
    """Return a picture of the columns that have values, as `png` or `svg`; the same input, the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [place for place in range(len(columns)) if any(_finite(v, place).size for _, v in files)]
    wide = min(3, max(1, len(panels)))
    high = max(1, math.ceil(len(panels) / wide))
    # A salt in place of random names, and no date.
    with mpl.rc_context({"svg.hashsalt": "rdtools", "font.size": 9}):
        figure = Figure(figsize=(3.6 * wide, 2.7 * high + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        for number, place in enumerate(panels, start=1):
            _panel(figure.add_subplot(high, wide, number), columns[place], files, place)
        if panels:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="outside upper center", ncols=min(4, len(files)), frameon=False
            )
        figure.supxlabel(caption, fontsize="small")
        picture = io.BytesIO()
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(picture, format=format, dpi=150, metadata=metadata)
    return picture.getvalue()


def _panel(axes: Any, column: str, files: Sequence[Named], place: int) -> None:
    edges = _edges(files, place)
    for number, (file, values) in enumerate(files):
        shares = _shares(_finite(values, place), edges)
        axes.stairs(
            100 * shares, edges, label=file, linewidth=1.3,
            color=_COLOURS[number % len(_COLOURS)], linestyle=_STROKES[number % len(_STROKES)],
        )  # fmt: skip
    if _is_wide(edges):
        axes.set_xscale("log")
    axes.set_xlabel(column)
    axes.set_ylabel("% of queries")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def sketch(columns: Sequence[str], files: Sequence[Named]) -> Iterator[str]:
    """Yield lines of text: for each column with values its range, and a row of bars for each file."""
    label = max((len(file) for file, _ in files), default=0)
    for place, column in enumerate(columns):
        edges = _edges(files, place, _WIDTH)
        if not any(_finite(values, place).size for _, values in files):
            continue
        scale = ", logarithmic" if _is_wide(edges) else ""
        yield f"{column} ({edges[0]:.4g} to {edges[-1]:.4g}{scale})"
        shares = [_shares(_finite(values, place), edges) for _, values in files]
        highest = max(share.max() for share in shares)
        for (file, _), share in zip(files, shares, strict=True):
            bars = "".join(_BARS[math.ceil(x / highest * (len(_BARS) - 1))] for x in share)
            yield f"  {file:{label}} |{bars}| {100 * share.max():.0f}% at most"


def _finite(values: Floats, place: int) -> Floats:
    column = values[:, place]
    finite: Floats = column[np.isfinite(column)]
    return finite


def _edges(files: Sequence[Named], place: int, bins: int = _BINS) -> Floats:
    """Return the bounds of bins that all files share; they grow by a factor where the values span decades."""
    values = np.concatenate([_finite(own, place) for _, own in files] or [np.zeros(0)])
    if not len(values):
        return np.linspace(0, 1, bins + 1)
    low, high = float(values.min()), float(values.max())
    if low == high:
        reach = abs(low) / 2 or 0.5
        return np.linspace(low - reach, high + reach, bins + 1)
    if low > 0 and high / low > 1e3:
        edges = np.geomspace(low, high, bins + 1)
        edges[[0, -1]] = low, high
        return edges
    return np.linspace(low, high, bins + 1)


def _is_wide(edges: Floats) -> bool:
    return bool(edges[0] > 0 and edges[-1] / edges[0] > 1e3)


def _shares(values: Floats, edges: Floats) -> Floats:
    """Return the share of `values` in each bin."""
    counts, _ = np.histogram(values, edges)
    return np.asarray(counts / max(1, len(values)), np.float64)
