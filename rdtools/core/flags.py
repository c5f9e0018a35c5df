"""Options of the commands, each declared once: a dataclass field that carries its flag.

The command line, --help, TAB completion and the manual are made from these fields (`rdtools.cli.command`);
the dataclass is the settings object that the library reads.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple

from rdtools.core.errors import UsageError

FLAG = "flag"


@dataclass(frozen=True)
class Flag:
    """The option of a field. Names without a dash mean a positional argument.

    Attributes:
        choices: the allowed values; for a `spec` the allowed parts before the colon, as in `dense:MODEL`.
        kind: the word for a choice in messages: `unknown sampling 'tpo'`.
        parse: turn the text into the value; raises `UsageError`.
        complete: return the values that TAB offers for a prefix, if `choices` does not fit.
        per: the names that a number may be for, as in `bm25=20`; the option may then be repeated, and its
            value is a mapping with the number of all others under an empty name.
        min, max: the range, bounds included. above, below: the range, bounds excluded.
        default_text: the default in words, where the field's own default does not tell.
        needs: the options of which one must be given too, such as `--baseline`; with a value, as in
            `--teacher llm:MODEL`, that option must have this value, or this name before the colon.
        excludes: what the option does (`writes records`), and the options that must not be given too.
        act: called with the value and the name of the command before anything else is checked; the command
            ends after it.
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    kind: str = ""
    spec: bool = False
    per: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    complete: Callable[[str], Iterable[str]] | None = None
    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    default_text: str | None = None
    needs: tuple[str, ...] = ()
    excludes: tuple[str, tuple[str, ...]] = ("", ())
    act: Callable[[Any, str], None] | None = None

    @property
    def is_argument(self) -> bool:
        return not self.names[0].startswith("-")

    @property
    def title(self) -> str:
        """The name that messages use: `--depth`, or the metavar of an argument."""
        return self.names[0]

    @property
    def range_in_words(self) -> str:
        """The range of a number: `above 0 and at most 1`; empty without one."""
        bounds = {"above": self.above, "at least": self.min, "below": self.below, "at most": self.max}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)


def flag(
    *names: str,
    default: Any = MISSING,
    help: str,
    choices: Iterable[str] = (),
    per: Iterable[str] = (),
    needs: str | tuple[str, ...] = (),
    **more: Any,
) -> Any:
    """Declare a dataclass field that the command line sets; without a default it is required."""
    one = Flag(
        names, help, choices=tuple(choices), per=tuple(per),
        needs=(needs,) if isinstance(needs, str) else needs, **more,
    )  # fmt: skip
    return dataclasses.field(default=default, kw_only=True, metadata={FLAG: one})


class Option(NamedTuple):
    """One field of a group of options: its name, its type, its default (MISSING: required) and its flag."""

    field: str
    type: Any
    default: Any
    flag: Flag


def options_of(group: type[OptionGroup]) -> Iterator[Option]:
    """Yield the fields of a dataclass that have a flag; others are set by the library alone."""
    types = _type_hints(typing.cast(Any, group))
    for field in dataclasses.fields(typing.cast(Any, group)):
        if FLAG in field.metadata:
            yield Option(field.name, types[field.name], field.default, field.metadata[FLAG])


_type_hints = cache(typing.get_type_hints)  # a command asks for those of each group several times


class OptionGroup:
    """The base of dataclasses whose fields are options; making one checks the range of each number.

    Raises:
        UsageError: a value is out of range.
    """

    heading: ClassVar[str] = "Options"
    """The heading of the group in --help and the manual."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(typing.cast(Any, self)):
            if FLAG in field.metadata:
                _check_range(field.metadata[FLAG], getattr(self, field.name))


def _check_range(one: Flag, value: Any) -> None:
    for number in value.values() if isinstance(value, Mapping) else ():
        _check_range(one, number)
    if not isinstance(value, int | float):
        return
    if not math.isfinite(value):  # nan is below no limit and above none
        raise UsageError(f"{one.title} {value}: a finite number is needed")
    over = (one.above is None or value > one.above) and (one.min is None or value >= one.min)
    under = (one.below is None or value < one.below) and (one.max is None or value <= one.max)
    if over and under:
        return
    raise UsageError(f"{one.title} must be {one.range_in_words}, not {value:g}")


def seed_flag() -> Any:
    return flag("--seed", default=0, metavar="N", help="Seed of everything random.")
