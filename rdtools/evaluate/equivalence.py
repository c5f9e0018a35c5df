"""Equivalence of systems: two one-sided tests for each pair, and letters that equivalent systems share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rdtools.core.registry import check_name
from rdtools.evaluate.significance import PairedValues, estimate
from rdtools.evaluate.systems import System

Pairs = set[tuple[str, str]]
"""Pairs of equivalent names, each in the order of the names."""
Pair = tuple[System, System, str]
"""Two systems and a measure."""


def equivalence_test(pair: PairedValues, bound: float) -> float:
    """Two one-sided paired t-tests (TOST; Schuirmann, 1987): the larger p of mean > −bound and mean < bound.

    A small p means that the mean difference lies within ±bound, in the unit of the measure.
    """
    return estimate(pair).p_equivalence(bound)


def unpaired_tost(one: System, other: System, measure: str, bound: float | None) -> tuple[float, float]:
    """Return p of mean(x) − mean(y) > −bound and p of mean(x) − mean(y) < bound, by t with pooled variance.

    Without a bound it is 0.1 % of the observed difference.
    """
    from scipy.special import stdtr

    x, y = (system.by_seed(measure).mean(axis=0) for system in (one, other))
    difference = x.mean() - y.mean()
    margin = abs(difference) * 0.001 if bound is None else bound
    freedom = len(x) + len(y) - 2
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (x.var() * len(x) + y.var() * len(y)) / freedom
        error = np.sqrt(pooled * (1 / len(x) + 1 / len(y)))
        lower, upper = (difference + margin) / error, (difference - margin) / error
        return float(stdtr(freedom, -lower)), float(stdtr(freedom, upper))


def shared_letters(names: Sequence[str], equivalent: Pairs) -> dict[str, str]:
    """Assign letters so that two systems share a letter if and only if they are equivalent.

    Equivalence is not transitive, so a system may have several letters: one for each largest set of systems
    that are all equivalent to each other (a maximal clique).

    >>> shared_letters(["x", "y", "z"], {("x", "y"), ("y", "z")})
    {'x': 'a', 'y': 'a,b', 'z': 'b'}
    """
    return _by_set(names, _maximal_cliques(_neighbours(names, equivalent)))


def component_letters(names: Sequence[str], linked: Pairs) -> dict[str, str]:
    """Assign one letter to each connected set of systems: two with the same letter may not be linked.

    >>> component_letters(["x", "y", "z"], {("x", "y"), ("y", "z")})
    {'x': 'a', 'y': 'a', 'z': 'a'}
    """
    neighbours = _neighbours(names, linked)
    components: list[set[str]] = []
    for name in names:
        if not any(name in component for component in components):
            reached, new = {name}, {name}
            while new := {other for one in new for other in neighbours[one]} - reached:
                reached |= new
            components.append(reached)
    return _by_set(names, components)


def _neighbours(names: Sequence[str], pairs: Pairs) -> dict[str, set[str]]:
    neighbours: dict[str, set[str]] = {name: set() for name in names}
    for one, other in pairs:
        neighbours[one].add(other)
        neighbours[other].add(one)
    return neighbours


def _by_set(names: Sequence[str], sets: Iterable[set[str]]) -> dict[str, str]:
    """Assign a letter to each set, in the order of the members, and return the letters of each name."""
    place = {name: index for index, name in enumerate(names)}
    letters: dict[str, list[str]] = {name: [] for name in names}
    for index, members in enumerate(sorted(sorted(place[name] for name in own) for own in sets)):
        for member in members:
            letters[names[member]].append(_letter(index))
    return {name: ",".join(own) for name, own in letters.items()}


def _maximal_cliques(neighbours: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """Yield the maximal cliques by Bron and Kerbosch's algorithm (1973) with a pivot."""

    def extend(clique: set[str], candidates: set[str], excluded: set[str]) -> Iterator[set[str]]:
        if not candidates and not excluded:
            yield clique
            return
        pivot = max(candidates | excluded, key=lambda name: len(neighbours[name] & candidates))
        for name in candidates - neighbours[pivot]:
            yield from extend(clique | {name}, candidates & neighbours[name], excluded & neighbours[name])
            candidates = candidates - {name}
            excluded = excluded | {name}

    yield from extend(set(), set(neighbours), set())


def _letter(index: int) -> str:
    """Return the letter at an index: a, b, …, z, aa, ab, …"""
    letters = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


class Lettering(NamedTuple):
    """A method to assign letters.

    Attributes:
        linked: `linked(p, alpha)`: whether two systems with this p are linked.
        letters: `letters(names, linked_pairs)` returns name -> letters.
        alpha: the default level of the tests.
    """

    linked: Callable[[float, float], bool]
    letters: Callable[[Sequence[str], Pairs], dict[str, str]]
    alpha: float


LETTERINGS = {
    "tost": Lettering(operator.lt, shared_letters, 0.05),
    "paper": Lettering(operator.gt, component_letters, 0.1),
}
"""`tost` is the test of equivalence: p is that of TOST. `paper` repeats the tables of arXiv 2505.21058, which
do not test equivalence: p is the smaller one-sided p of an unpaired test, and systems are linked if it is not
significant."""


def pairs_within(systems: Sequence[System], within: Sequence[str]) -> Iterator[Pair]:
    """Yield the pairs that are compared: of one collection, with the same values of the fields `within`."""
    for members in _groups(systems, within):
        for measure in members[0].evaluator.measures:
            yield from ((one, other, measure) for one, other in combinations(members, 2))


def paper_p_values(
    systems: Sequence[System], bound: float | None, within: Sequence[str] = ()
) -> dict[Pair, float]:
    """Return the p of the method `paper` for each pair."""
    return {
        (one, other, measure): min(unpaired_tost(one, other, measure, bound))
        for one, other, measure in pairs_within(systems, within)
    }


def assign_letters(
    systems: Sequence[System],
    lettering: Lettering,
    p_values: Mapping[Pair, float],
    alpha: float | None = None,
    within: Sequence[str] = (),
) -> dict[tuple[System, str], str]:
    """Assign letters to systems for each measure: (system, measure) -> letters.

    `p_values` are those of `pairs_within`. Each group of systems that are compared has its own letters.
    """
    level = lettering.alpha if alpha is None else alpha
    letters: dict[tuple[System, str], str] = {}
    for members in _groups(systems, within):
        for measure in members[0].evaluator.measures:
            pairs = {
                (one.name, other.name)
                for one, other in combinations(members, 2)
                if lettering.linked(p_values[one, other, measure], level)
            }
            by_name = lettering.letters([system.name for system in members], pairs)
            letters |= {(system, measure): by_name[system.name] for system in members}
    return letters


def _groups(systems: Sequence[System], within: Sequence[str]) -> Iterable[list[System]]:
    for name in within if systems else ():
        check_name(systems[0].fields, name, "field of --within")
    groups: dict[tuple[str, ...], list[System]] = {}
    for system in systems:
        groups.setdefault((system.collection, *(system.fields[name] for name in within)), []).append(system)
    return groups.values()
