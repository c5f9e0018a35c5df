"""The picture of an evaluation (`--plot`): effectiveness with intervals, and differences by query."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rdtools.core.errors import RdError
from rdtools.core.pictures import bars, draw_panels, put_drawing, stroke
from rdtools.core.registry import check_name
from rdtools.core.tables import format_cell
from rdtools.evaluate.significance import Floats, estimate, paired, weighted_sum
from rdtools.evaluate.systems import System

LEVEL = 0.95
WIDTH = 40
Part = tuple[str, str]
"""A collection ("" if names have none) and a measure: one panel."""


def plot_systems(systems: Sequence[System], baseline: str | None, target: str) -> None:
    """Draw into the file `target`, or as text on stderr if it is `terminal`; --quiet suppresses the text.

    Nothing is drawn without systems.
    """
    if baseline is not None:
        check_name(dict.fromkeys(system.name for system in systems), baseline, "run")
    if systems:
        put_drawing(
            target,
            lambda format: draw_systems(systems, baseline, format),
            lambda: sketch_systems(systems, baseline),
        )


def draw_systems(systems: Sequence[System], baseline: str | None, format: str) -> bytes:
    """Return a picture with a panel of means for each collection and measure.

    With a baseline, a panel with the differences of the other systems by query is beside it.
    """
    parts = _parts(systems)
    panels: list[Callable[[Any], None]] = []
    for part in parts:
        own = _own(systems, part)
        panels.append(_means_panel(part, own))
        if baseline is not None and len(own) > 1:
            panels.append(_differences_panel(part, own, baseline))
    most = max(len(_own(systems, part)) for part in parts)
    return draw_panels(panels, format, columns=2, height=max(2.4, 0.9 + 0.22 * most))


def sketch_systems(systems: Sequence[System], baseline: str | None) -> Iterator[str]:
    """Yield lines of text: for each panel a bar of the mean with its interval, and the differences sorted."""
    label = max(len(system.name) for system in systems)
    for part in _parts(systems):
        own = _own(systems, part)
        longest = max([_mean(system, part[1])[0] for system in own] + [1.0])
        yield f"{_title(part)} (mean, {100 * LEVEL:g} % interval)"
        for system in own:
            value, interval = _mean(system, part[1])
            bar = bars([1.0] * round(WIDTH * max(0.0, value) / longest)).ljust(WIDTH)
            between = "" if interval is None else f" [{interval[0]:.4f}, {interval[1]:.4f}]"
            yield f"  {system.name:{label}} |{bar}| {format_cell('value', value, 4)}{between}"
        for system, differences in _differences(own, baseline, part[1]):
            yield f"  {system.name:{label}} minus {baseline}: {_counts(differences)} queries"


def _means_panel(part: Part, systems: Sequence[System]) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for place, system in enumerate(systems):
            value, interval = _mean(system, part[1])
            axes.barh(place, value, height=0.7, color=stroke(0)["color"], alpha=0.75)
            if interval is not None:
                reach = [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]
                axes.errorbar(value, place, xerr=reach, color="black", linewidth=1, capsize=2.5)
        axes.set_yticks(range(len(systems)), [system.name for system in systems])
        axes.set_ylim(len(systems) - 0.4, -0.6)  # the first system on top
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{_title(part)} ({100 * LEVEL:g} % interval)")

    return draw


def _differences_panel(part: Part, systems: Sequence[System], baseline: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        axes.axhline(0, color="0.6", linewidth=0.8)
        for number, (system, differences) in enumerate(_differences(systems, baseline, part[1])):
            label = f"{system.name} ({_counts(differences)})"
            edges = np.arange(len(differences) + 1)
            axes.stairs(differences, edges, baseline=None, label=label, linewidth=1.3, **stroke(number))
        axes.set_xlabel("queries, sorted by difference")
        axes.set_ylabel(f"{_title(part)} minus {baseline}")
        axes.set_xlim(left=0)
        axes.legend(frameon=False, fontsize="small", title="better, equal, worse", title_fontsize="small")

    return draw


def _differences(
    systems: Sequence[System], baseline: str | None, measure: str
) -> Iterator[tuple[System, Floats]]:
    """Yield the systems of a collection other than the baseline, and their differences, the largest first."""
    base = next((system for system in systems if system.name == baseline), None)
    if base is None and baseline is not None:
        raise RdError(f"the baseline {baseline} has no run on collection {systems[0].collection}")
    for system in systems if base is not None else ():
        if system is not base and base is not None:
            yield system, np.sort(paired(system, base, measure).differences)[::-1]


def _counts(differences: Floats) -> str:
    return ", ".join(str(int(count.sum())) for count in (differences > 0, differences == 0, differences < 0))


def _mean(system: System, measure: str) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over seeds and its interval: over queries and seeds, as that of differences."""
    value = float(np.mean(system.means(measure)))
    if len(system.queries) < 2 or math.isnan(value):
        return value, None
    return value, estimate(weighted_sum([(1.0, system)], measure)).interval(LEVEL)


def _parts(systems: Sequence[System]) -> list[Part]:
    cells = ((system.collection, measure) for system in systems for measure in system.evaluator.measures)
    return list(dict.fromkeys(cells))


def _own(systems: Sequence[System], part: Part) -> list[System]:
    return [system for system in systems if system.collection == part[0]]


def _title(part: Part) -> str:
    collection, measure = part
    return f"{measure} on {collection}" if collection else measure
