"""What the plots of all commands share: the argument of --plot, colours, and pictures as bytes."""

from __future__ import annotations

import io
import logging
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log
from rdtools.core.output import open_output

TERMINAL = "terminal"
PICTURES = (".png", ".svg", ".pdf")
TEXT_WIDTH = 7.2
"""Inches: about the width of the text on a page, so that a picture keeps its size of type there."""
_DATES = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}
"""What would make two pictures differ."""
_BARS = " ▁▂▃▄▅▆▇█"
# Okabe and Ito's colours, which colour-blind readers can tell apart; strokes differ for print in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STROKES = ("-", "--", "-.", ":")


def plot_target(text: str) -> str:
    """Return the argument of --plot.

    Raises:
        UsageError: it is neither the name of a picture nor `terminal`.
        RdError: matplotlib is needed and missing.
    """
    if text == TERMINAL:
        return text
    if not text.endswith(PICTURES):
        raise UsageError(f"--plot {text}: FILE.png, FILE.svg, FILE.pdf or {TERMINAL} is needed")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise RdError(
            "--plot needs matplotlib (pip install 'ranking-distillation-tools[plot]', or --plot terminal)"
        ) from None
    return text


def picture(size: tuple[float, float], format: str, draw: Callable[[Any], None]) -> bytes:
    """Return a `png`, `svg` or `pdf` of a figure that `draw` fills. The same input gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A fixed salt instead of random names, and no date. Fonts are embedded as publishers want them (type 42).
    with mpl.rc_context({"svg.hashsalt": "rdtools", "font.size": 9, "pdf.fonttype": 42}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        content = io.BytesIO()
        metadata = {_DATES[format]: None}
        figure.savefig(content, format=format, dpi=150, metadata=metadata)
    return content.getvalue()


def draw_panels(
    panels: Sequence[Callable[[Any], None]],
    format: str,
    *,
    columns: int = 3,
    height: float = 2.4,
    legend: int = 0,
    caption: str = "",
) -> bytes:
    """Return a picture of panels, at most `columns` in a row, as wide as a page, or half as wide if alone.

    With `legend`, the lines of the first panel are explained on top, so many in a row; `caption` is below.
    """
    wide = min(columns, 2 if len(panels) < 5 else 3, max(1, len(panels)))
    high = max(1, math.ceil(len(panels) / wide))

    def fill(figure: Any) -> None:
        for number, draw_on in enumerate(panels, start=1):
            axes = figure.add_subplot(high, wide, number)
            draw_on(axes)
            axes.spines[["top", "right"]].set_visible(False)
        if panels and legend:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=legend, frameon=False)
        figure.supxlabel(caption, fontsize="small")

    return picture((TEXT_WIDTH / max(2, wide) * wide, height * high + (0.4 if legend else 0)), format, fill)


def stroke(number: int) -> dict[str, Any]:
    """Return how the line of a file looks."""
    return {"color": _COLOURS[number % len(_COLOURS)], "linestyle": _STROKES[number % len(_STROKES)]}


def bars(heights: Iterable[float]) -> str:
    """Return a bar for each height between 0 and 1."""
    return "".join(_BARS[math.ceil(height * (len(_BARS) - 1))] for height in heights)


def put_drawing(target: str, drawn: Callable[[str], bytes], text: Callable[[], Iterable[str]]) -> None:
    """Write the picture, given its format, into the file `target`, or print the text if it is `terminal`."""
    if target != TERMINAL:
        with open_output(target) as out:
            out.write(drawn(PurePath(target).suffix[1:]))
    elif log.isEnabledFor(logging.INFO) and sys.stderr is not None:
        print(*text(), sep="\n", file=sys.stderr)
