"""Comparisons as rows: contrasts and pairs of systems, with confidence intervals and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rdtools.core.log import log
from rdtools.core.registry import resolve
from rdtools.evaluate.contrasts import check_contrast, systems_of
from rdtools.evaluate.equivalence import Pair, pairs_within
from rdtools.evaluate.layout import Layout
from rdtools.evaluate.options import CORRECTIONS, ComparisonOptions, EquivalenceOptions
from rdtools.evaluate.power import Shortfall, shortfall, warn_of_shortfalls
from rdtools.evaluate.significance import Estimate, PairedValues, estimate, paired, weighted_sum
from rdtools.evaluate.systems import RUN, SEED, NamePatterns, System

Rows = list[dict[str, Any]]
LEVEL = 0.05


@dataclass(frozen=True)
class Comparisons:
    """Estimates with their tests, one family.

    Attributes:
        estimates: in the order of the rows.
        level: that of the confidence intervals.
        p_equivalence, p_equivalence_corrected: empty without a bound.
    """

    estimates: Sequence[Estimate]
    level: float
    p_equivalence: Sequence[float] = ()
    p_equivalence_corrected: Sequence[float] = ()

    def equivalence_columns(self, index: int) -> dict[str, float]:
        if not self.p_equivalence:
            return {}
        return {
            "p_equivalence": self.p_equivalence[index],
            "p_equivalence_corrected": self.p_equivalence_corrected[index],
        }


class _Family:
    """Collects estimates, and what stands in the way of equivalence."""

    def __init__(self, options: EquivalenceOptions) -> None:
        self._options = options
        self._alpha = LEVEL if options.alpha is None else options.alpha
        self._estimates: list[Estimate] = []
        self._shortfalls: dict[str, list[Shortfall | None]] = {}

    def add(self, system: System, measure: str, pair: PairedValues) -> None:
        self._estimates.append(estimate(pair))
        if self._options.equivalence is not None:
            key = f"{measure} on {system.collection}" if system.collection else measure
            lack = shortfall(pair, self._options.equivalence, self._alpha)
            self._shortfalls.setdefault(key, []).append(lack)

    def done(self, noun: str) -> Comparisons:
        bound = self._options.equivalence
        if bound is None:
            return Comparisons(self._estimates, 1 - self._alpha)
        warn_of_shortfalls(self._shortfalls, bound, noun)
        p_values = [one.p_equivalence(bound) for one in self._estimates]
        corrected = resolve(CORRECTIONS, self._options.equivalence_correction, "correction")(p_values)
        return Comparisons(self._estimates, max(0.0, 1 - 2 * self._alpha), p_values, corrected)


def compare_pairs(systems: Sequence[System], options: EquivalenceOptions) -> tuple[list[Pair], Comparisons]:
    """Compare all pairs of systems of a collection that agree in the fields of --within."""
    family = _Family(options)
    pairs = list(pairs_within(systems, options.within))
    for one, other, measure in pairs:
        family.add(one, measure, paired(one, other, measure))
    return pairs, family.done("pair")


def pair_rows(systems: Sequence[System], equivalence: EquivalenceOptions, correction: str) -> Rows:
    """Return one row for each pair and measure: run, baseline, collection, measure and the tests.

    delta is run minus baseline; the baseline of a pair is the later run.
    """
    pairs, compared = compare_pairs(systems, equivalence)
    heads = []
    for one, other, measure in pairs:
        collection = {"collection": one.collection} if one.collection else {}
        heads.append({"run": one.name, "baseline": other.name, **collection, "measure": measure})
    return _rows(heads, compared, correction)


def contrast_rows(
    systems: Sequence[System],
    patterns: NamePatterns,
    comparisons: ComparisonOptions,
    equivalence: EquivalenceOptions,
    correction: str,
) -> Rows:
    """Return one row for each contrast, combination of the fields that it does not name, and measure."""
    fields = [name for name in patterns.fields if name != SEED]
    shown = free_fields(patterns, comparisons)
    family, heads = _Family(equivalence), []
    for contrast in comparisons.contrasts if systems else ():
        check_contrast(contrast, systems, fields)
        for group in systems_of(contrast, systems, fields):
            _, first = group.terms[0]
            own = {name: group.fields.get(name, ",".join(contrast.terms.get(name, ()))) for name in shown}
            for measure in first.evaluator.measures:
                heads.append({"contrast": str(contrast), **own, "measure": measure})
                family.add(first, measure, weighted_sum(group.terms, measure))
    return _rows(heads, family.done("contrast"), correction)


def free_fields(patterns: NamePatterns, options: ComparisonOptions) -> list[str]:
    """Return the fields that at least one contrast does not name: those that tell its rows apart."""
    return [
        name
        for name in patterns.shown
        if name != RUN and any(name not in contrast.terms for contrast in options.contrasts)
    ]


def comparison_layout(patterns: NamePatterns, options: ComparisonOptions) -> Layout:
    """Return the layout of a table of contrasts or pairs: one row for each, one column for each measure."""
    if options.pairs:
        collection = [name for name in patterns.shown if name == "collection"]
        return Layout(["run", "baseline", *collection], ["measure"])
    return Layout(["contrast", *free_fields(patterns, options)], ["measure"])


def _rows(heads: Sequence[Mapping[str, str]], compared: Comparisons, correction: str) -> Rows:
    p_values = [one.p_difference() for one in compared.estimates]
    corrected = resolve(CORRECTIONS, correction, "correction")(p_values)
    rows = []
    for index, (head, one) in enumerate(zip(heads, compared.estimates, strict=True)):
        low, high = one.interval(compared.level)
        tests = {"delta": one.delta, "low": low, "high": high, "p": p_values[index]}
        own = {**tests, "p_corrected": corrected[index], **compared.equivalence_columns(index)}
        rows.append({**head, **own})
    if rows:
        say_level(compared.level)
    return rows


def say_level(level: float) -> None:
    """Say on stderr what the columns low and high are."""
    log.info("low and high: %g %% confidence interval of delta", 100 * level)
