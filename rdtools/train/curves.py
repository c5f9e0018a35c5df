"""The picture of a run (`--plot`): loss and dev values by step, as a picture or text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from rdtools.core.pictures import bars, draw_panels, put_drawing, stroke
from rdtools.train.history import History

WIDTH = 40
Curve = Sequence[tuple[int, float]]


def plot_history(history: History, measure: str, target: str) -> None:
    """Draw into the file `target`, or as text on stderr if it is `terminal`; --quiet suppresses the text."""
    put_drawing(
        target,
        lambda format: draw_history(history, measure, format),
        lambda: sketch_history(history, measure),
    )


def draw_history(history: History, measure: str, format: str) -> bytes:
    """Return a picture of the loss and, if there is a dev set, of its values and the saved step."""
    panels = [
        partial(_panel, history, name, curve, number)
        for number, (name, curve) in enumerate(_curves(history, measure).items())
    ]
    return draw_panels(panels, format)


def _panel(history: History, name: str, curve: Curve, number: int, axes: Any) -> None:
    mark = "o" if curve is history.dev or len(curve) == 1 else ""
    steps, values = zip(*curve, strict=True)
    axes.plot(steps, values, marker=mark, markersize=3, linewidth=1.3, clip_on=False, **stroke(number))
    axes.set_xlabel("step")
    axes.set_ylabel(name)
    if curve is history.dev:
        axes.axhline(history.untrained, color="0.6", linewidth=0.8, linestyle=":")
        place = (1, history.untrained)
        axes.annotate(
            "untrained", place, xycoords=("axes fraction", "data"), xytext=(0, 2), ha="right", **_BESIDE
        )
        if len(curve) > 1:
            step, value = history.best_measurement
            axes.annotate(f"{value:.4f}", (step, value), xytext=(0, 5), ha="center", **_BESIDE)
    if min(values) >= 0:
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))


_BESIDE: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small"}


def sketch_history(history: History, measure: str) -> Iterator[str]:
    """Yield a line of bars for each curve, from the first to the last step, with its range."""
    curves = _curves(history, measure)
    label = max(map(len, curves), default=0)
    for name, curve in curves.items():
        values = [value for _, value in curve]
        low, high = min(values), max(values)
        heights = [
            max(0.1, (value - low) / (high - low)) if high > low else 1.0 for value in _resampled(curve)
        ]
        between = f"{low:.4g} to {high:.4g}, steps {curve[0][0]} to {curve[-1][0]}"
        yield f"{name:{label}} |{bars(heights)}| {values[0]:.4g} → {values[-1]:.4g} ({between})"


def _curves(history: History, measure: str) -> dict[str, Curve]:
    curves: dict[str, Curve] = {"loss": history.losses, f"dev {measure}": history.dev}
    return {name: curve for name, curve in curves.items() if curve}


def _resampled(curve: Curve) -> Iterator[float]:
    """Yield WIDTH values at equal distances, first and last included; all of them if there are fewer."""
    width = min(WIDTH, len(curve))
    for place in range(width):
        yield curve[round(place * (len(curve) - 1) / max(1, width - 1))][1]
