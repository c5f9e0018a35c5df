"""The picture of a run (`--plot`): loss and dev values by step, as PNG, SVG or text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rdtools.core.pictures import bars, picture, put_drawing, stroke
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
    """Return a `png` or `svg` with the loss and, if there is a dev set, its values and the saved step."""
    curves = _curves(history, measure)

    def fill(figure: Any) -> None:
        for number, (name, curve) in enumerate(curves.items()):
            axes = figure.add_subplot(1, len(curves), number + 1)
            mark = "o" if curve is history.dev or len(curve) == 1 else ""
            axes.plot(*zip(*curve, strict=True), marker=mark, markersize=3, linewidth=1.3, **stroke(number))
            axes.set_xlabel("step")
            axes.set_ylabel(name)
            axes.spines[["top", "right"]].set_visible(False)
            if curve is history.dev:
                axes.axhline(history.untrained, color="0.6", linewidth=0.8, linestyle=":")
                if len(curve) > 1:
                    step, value = history.best_measurement
                    axes.annotate(f"{value:.4f}", (step, value), textcoords="offset points", xytext=(0, 5))

    return picture((3.6 * max(1, len(curves)), 2.7), format, fill)


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
