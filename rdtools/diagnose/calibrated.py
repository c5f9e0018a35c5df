"""Temperatures of files (`--calibrate`): rows, and the curves that they are the target or the best of."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rdtools.core.calibration import (
    ENTROPY,
    LIKELIHOOD,
    Calibration,
    Judged,
    entropy_temperature,
    judged_scores,
    likelihood_temperature,
    positives_first,
    temperature_curve,
)
from rdtools.core.log import log
from rdtools.core.pictures import bars, draw_panels, put_drawing, stroke
from rdtools.core.provenance import Provenance, provenance_of, warn_if_mixed
from rdtools.core.streams import STDIN
from rdtools.diagnose.diagnosis import Diagnosis
from rdtools.diagnose.plot import Panel
from rdtools.formats import Reading, expected, read_records

_POINTS = 61
_WIDTH = 40
_NAMES = {ENTROPY: "listwise_entropy_share", LIKELIHOOD: "nats"}


class TemperatureCurve(NamedTuple):
    """Mean entropy share or nats of a file by temperature, and the point that was fitted."""

    file: str
    temperatures: Sequence[float]
    values: Sequence[float]
    chosen: tuple[float, float]


Curves = dict[str, list[TemperatureCurve]]
"""`listwise_entropy_share` and `nats` -> a curve per file that has one."""


def rows_of_calibration(
    diagnosis: Diagnosis, paths: Iterable[str], reading: Reading, curves: Curves | None = None
) -> Iterator[dict[str, Any]]:
    """Yield rows per file that has records: one by entropy, and one by likelihood where something is judged.

    A row has file, method, queries, groups, positives_first (the share of judged groups whose best document
    is a positive, see `positives_first`), temperature, nats, listwise_entropy_share, bound (see
    `Calibration`). The scores of a file are in memory. `diagnosis` checks the records; `curves` is filled if
    there is one.
    """
    for path in paths:
        name = "<stdin>" if path == STDIN else path
        groups = list(_groups(diagnosis, path, name, reading))
        if not groups:
            continue
        found = {ENTROPY: entropy_temperature(groups), LIKELIHOOD: likelihood_temperature(groups)}
        if found[ENTROPY] is None:
            log.warning("%s: no record has two different scores: no temperature", name)
        first, judged = positives_first(groups)
        for method, calibration in found.items():
            if calibration is None and method != ENTROPY:
                continue
            if calibration is not None and calibration.problem is not None:
                log.warning("%s: %s: %s", name, method, calibration.problem)
            if calibration is not None and curves is not None:
                _add_curve(curves, name, groups, calibration)
            yield {
                "file": name, "method": method,
                "queries": len(groups), "groups": calibration.groups if calibration else 0,
                "positives_first": first / judged if judged else None,
                "temperature": calibration.temperature if calibration else None,
                "nats": calibration.nats if calibration else None,
                "listwise_entropy_share": calibration.entropy_share if calibration else None,
                "bound": calibration.bound if calibration else None,
            }  # fmt: skip


def _groups(diagnosis: Diagnosis, path: str, name: str, reading: Reading) -> Iterator[Judged]:
    provenances: Counter[Provenance] = Counter()
    for record in expected(read_records([path], reading, diagnosis.check), reading, name):
        scores, positives = judged_scores(record)
        if scores:
            provenances[provenance_of(record)] += 1
        yield array("d", scores), array("b", positives)
    warn_if_mixed(name, provenances)


def _add_curve(curves: Curves, name: str, groups: Sequence[Judged], found: Calibration) -> None:
    """Add the curve of a file from a hundredth of the spread of its scores to ten times the spread."""
    temperatures = np.geomspace(found.spread / 100, found.spread * 10, _POINTS).tolist()
    values = temperature_curve(groups, found.method, temperatures)
    value = found.entropy_share if found.nats is None else found.nats
    curve = TemperatureCurve(name, temperatures, values, (found.temperature, value))
    curves.setdefault(_NAMES[found.method], []).append(curve)


def plot_curves(curves: Curves, target: str) -> None:
    """Draw a panel of the entropy share and one of nats over T into the file `target`, or as text on stderr.

    A dot marks the temperature of each file and method. Without curves nothing is drawn.
    """
    named = {name: curves[name] for name in _NAMES.values() if name in curves}
    if not named:
        return
    panels: list[Panel] = [partial(_panel, name, own) for name, own in named.items()]
    legend = min(4, max(map(len, named.values())))
    put_drawing(
        target, lambda format: draw_panels(panels, format, legend=legend), lambda: sketch_curves(named)
    )


def _panel(name: str, curves: Sequence[TemperatureCurve], axes: Any) -> None:
    for number, curve in enumerate(curves):
        look = stroke(number)
        axes.plot(curve.temperatures, curve.values, label=curve.file, linewidth=1.3, **look)
        axes.plot(*curve.chosen, marker="o", color=look["color"])
    axes.set_xscale("log")
    axes.set_xlabel("temperature")
    axes.set_ylabel(name)


def sketch_curves(curves: Curves) -> Iterator[str]:
    """Yield lines of text: for each kind of curve, a row of bars per file over the logarithm of T."""
    for name, own in curves.items():
        yield name
        label = max(len(curve.file) for curve in own)
        for curve in own:
            places = np.linspace(0, len(curve.values) - 1, _WIDTH).round().astype(int)
            values = np.array(curve.values)[places]
            low, high = values.min(), values.max()
            heights = (values - low) / ((high - low) or 1)
            first, last = curve.temperatures[0], curve.temperatures[-1]
            reach = f"{low:.4g} to {high:.4g} for T {first:.3g} to {last:.3g}"
            temperature, value = curve.chosen
            yield f"  {curve.file:{label}} |{bars(heights)}| {reach}; {value:.4g} at T {temperature:.4g}"
