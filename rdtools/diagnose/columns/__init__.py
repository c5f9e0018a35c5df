"""Diagnostics of rd-entropy, a file each. A new one is its file and its line in DIAGNOSTICS."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, options_of
from rdtools.core.registry import check_name
from rdtools.diagnose.columns.check_against import CheckAgainst
from rdtools.diagnose.columns.cost import Cost
from rdtools.diagnose.columns.coverage import Coverage
from rdtools.diagnose.columns.false_negatives import SuspectedFalseNegatives
from rdtools.diagnose.columns.geometry import Geometry
from rdtools.diagnose.columns.score_shares import PaperOptions, ScoreShares
from rdtools.diagnose.columns.student_kl import StudentKl
from rdtools.diagnose.diagnostic import Diagnostic
from rdtools.diagnose.options import SHARED

if TYPE_CHECKING:
    from rdtools.search.resources import Resources

DIAGNOSTICS: tuple[type[Diagnostic], ...] = (
    ScoreShares,
    SuspectedFalseNegatives,
    Cost,
    CheckAgainst,
    Coverage,
    StudentKl,
    Geometry,
)
"""All diagnostics, in the order of their columns."""


def option_groups() -> list[type[OptionGroup]]:
    """Return the groups of options that diagnostics declare, each once."""
    return list(dict.fromkeys(one.option_group for one in DIAGNOSTICS))


def is_any_wanted(given: Mapping[str, str]) -> bool:
    """Return whether the command line asks for diagnostics; `given` has field -> option of those given."""
    return any(one.option in given.values() for one in DIAGNOSTICS)


def open_diagnostics(
    groups: Iterable[OptionGroup], temperature: float, resources: Resources
) -> list[Diagnostic]:
    """Open the diagnostics that the options ask for; `groups` holds an object of each of `option_groups`."""
    options = {type(group): group for group in groups}
    opened = (one.open(options[one.option_group], temperature, resources) for one in DIAGNOSTICS)
    wanted = [one for one in opened if one is not None]
    if any(isinstance(group, PaperOptions) and group.paper_compat for group in options.values()):
        for one in wanted:
            one.repeat_paper()
    return wanted


def refuse_unused(given: Mapping[str, str]) -> None:
    """Refuse options of SHARED groups that no diagnostic of `given` reads.

    Raises:
        UsageError: an option is given without one that uses it.
    """
    for group in SHARED:
        users = list(dict.fromkeys(one.option for one in DIAGNOSTICS if group in one.uses))
        for option in options_of(group):
            if option.field in given and not set(users) & set(given.values()):
                raise UsageError(f"{option.flag.title} needs {' or '.join(users)}")


def refuse_columns(given: Mapping[str, str], because: str) -> None:
    """Refuse all options that add columns.

    Raises:
        UsageError: `given` has one, which cannot be combined with `because`.
    """
    for one in DIAGNOSTICS:
        if one.option in given.values():
            raise UsageError(f"{one.option} cannot be combined with {because}")


def check_column(name: str, names: Iterable[str]) -> None:
    """Refuse the name of a column that is not among `names`.

    Raises:
        UsageError: it is unknown, or the option that adds it is missing.
    """
    names = list(names)
    added_by = {column.name: one.option for one in DIAGNOSTICS for column in one.columns}
    check_name(dict.fromkeys([*names, *added_by]), name, "column")
    if name not in names:
        raise UsageError(f"--by {name} needs {added_by[name]}")


def manual_of_columns() -> str:
    """Return the part of the manual about the columns that options add, an entry per option."""
    texts: dict[str, list[str]] = {}
    for one in DIAGNOSTICS:
        texts.setdefault(one.option, []).extend((one.__doc__ or "").split())
    indent = " " * (max(map(len, texts)) + 2)
    entries = (
        textwrap.wrap(" ".join(parts), 78, initial_indent=f"{option:{len(indent)}}", subsequent_indent=indent)
        for option, parts in texts.items()
    )
    return "\n".join(line for entry in entries for line in entry)
