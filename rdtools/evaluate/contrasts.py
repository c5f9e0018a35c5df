"""Contrasts: differences of systems, and differences of differences, by the fields of their names.

`loss=kl,lce source=bm25,random` is (kl − lce on bm25) − (kl − lce on random).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from rdtools.core.errors import UsageError
from rdtools.core.log import log
from rdtools.core.registry import check_name

if TYPE_CHECKING:
    from rdtools.evaluate.systems import System

MEAN = "*"
"""The value that stands for the mean over all values of a field."""
_FORM = "FIELD=A,B for a difference, FIELD=A for one value, FIELD=* for the mean"


@dataclass(frozen=True)
class Contrast:
    """A contrast as it was typed.

    Attributes:
        text: with single blanks.
        terms: field -> one value, two values to subtract, or `MEAN`.
    """

    text: str
    terms: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class WeightedSystems:
    """The systems of a contrast that agree in all fields that it does not name.

    Attributes:
        fields: the values of these other fields.
        terms: weights and systems; the weights add up to 0.
    """

    fields: Mapping[str, str]
    terms: Sequence[tuple[float, System]]


def parse_contrast(text: str) -> Contrast:
    """Parse `loss=kl,lce source=bm25,random`.

    Raises:
        UsageError: a term has another form, a field is repeated, or no field has two values.
    """
    terms: dict[str, tuple[str, ...]] = {}
    for word in text.split():
        name, _, values = word.partition("=")
        own = tuple(values.split(","))
        if not name or not all(own):
            raise UsageError(f"--contrast {word}: {_FORM}")
        if len(own) > 2:
            raise UsageError(f"--contrast {word}: two values, not {len(own)} (repeat --contrast for others)")
        if len(own) == 2 and (own[0] == own[1] or MEAN in own):
            raise UsageError(f"--contrast {word}: two different values are needed")
        if name in terms:
            raise UsageError(f"--contrast {text}: field {name} is repeated")
        terms[name] = own
    if not any(len(values) == 2 for values in terms.values()):
        raise UsageError(f"--contrast {text}: no field has two values ({_FORM})")
    return Contrast(" ".join(text.split()), terms)


def check_contrast(contrast: Contrast, systems: Sequence[System], fields: Sequence[str]) -> None:
    """Check the names of fields and values.

    Raises:
        UsageError: a field or a value is unknown, or values of the collection are compared.
    """
    for name, values in contrast.terms.items():
        check_name(fields, name, "field of --contrast")
        known = sorted({_value(system, name) for system in systems} - {""})
        for value in values:
            if value != MEAN:
                check_name(known, value, f"{name} of --contrast")
    if contrast.terms.get("collection", ("",)) == (MEAN,) or len(contrast.terms.get("collection", ())) == 2:
        raise UsageError(
            f"--contrast {contrast}: collections have different queries (name one, or leave it out)"
        )


def systems_of(contrast: Contrast, systems: Iterable[System], fields: Sequence[str]) -> list[WeightedSystems]:
    """Return one group of systems for each combination of values of the fields that are not named.

    The weight is the product over fields: 1 for the first of two values, −1 for the second, 1/k for each of
    the k values of a mean. Groups without all systems that the contrast needs are left out, and said.

    Raises:
        UsageError: two systems cannot be told apart, or no group is complete.
    """
    rest = [name for name in fields if name not in contrast.terms and name != "run"]
    groups: dict[tuple[str, ...], dict[tuple[str, ...], System]] = {}
    for system in systems:
        cell = tuple(_value(system, name) for name in contrast.terms)
        wanted = zip(cell, contrast.terms.values(), strict=True)
        if all(value in values or (value and values == (MEAN,)) for value, values in wanted):
            members = groups.setdefault(tuple(_value(system, name) for name in rest), {})
            if cell in members:
                one, other = members[cell].name, system.name
                raise UsageError(f"--contrast {contrast}: {one} and {other} differ in none of its fields")
            members[cell] = system
    found: list[WeightedSystems] = []
    missing: list[str] = []
    for key, members in groups.items():
        weights = _weights(contrast, members)
        lacking = next((cell for cell in weights if cell not in members), None)
        own = dict(zip(rest, key, strict=True))
        if lacking is None:
            found.append(WeightedSystems(own, [(weights[cell], members[cell]) for cell in weights]))
        else:
            wanted_fields = own | dict(zip(contrast.terms, lacking, strict=True))
            words = " ".join(f"{name}={value}" for name, value in wanted_fields.items())
            missing.append(f"no run has {words}")
    if not found:
        raise UsageError(f"--contrast {contrast}: {[*missing, 'no run has all its values'][0]}")
    for reason in missing:
        log.info("--contrast %s: left out: %s", contrast, reason)
    return found


def _weights(contrast: Contrast, members: Mapping[tuple[str, ...], System]) -> dict[tuple[str, ...], float]:
    levels: list[list[tuple[str, float]]] = []
    for place, values in enumerate(contrast.terms.values()):
        if values == (MEAN,):
            own = list(dict.fromkeys(cell[place] for cell in members))
            levels.append([(value, 1 / len(own)) for value in own])
        else:
            levels.append(list(zip(values, (1.0, -1.0), strict=False)))
    weights = {}
    for cell in product(*levels):
        weight = 1.0
        for _, factor in cell:
            weight *= factor
        weights[tuple(value for value, _ in cell)] = weight
    return weights


def _value(system: System, name: str) -> str:
    return system.name if name == "run" else system.fields[name]
