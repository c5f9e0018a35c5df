"""Groups of options (`rdtools.core.flags`) as the parameters of a Typer command, and back as objects."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from inspect import Parameter
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rdtools.core.errors import UsageError
from rdtools.core.flags import Flag, Option, OptionGroup, options_of
from rdtools.core.registry import check_name, split_spec

Given = Mapping[str, str]
"""The options that the command line gives: field -> `--option`."""


def parameters_of(groups: Iterable[type[OptionGroup]]) -> list[Parameter]:
    """Return one keyword parameter for each option of the groups, annotated for Typer."""
    return [_parameter(option) for group in groups for option in options_of(group)]


def _parameter(option: Option) -> Parameter:
    one = option.flag
    simple = one.parse is None and one.above is None and one.below is None  # as Typer checks and shows
    bounds = {"min": one.min, "max": one.max} if simple else {}
    settings: dict[str, Any] = {
        "help": one.help,
        "metavar": one.title if one.is_argument else one.metavar,
        "callback": _act(one) if one.act else _check_choice(one) if one.choices else None,
        "is_eager": one.act is not None,
        "autocompletion": _completion(one),
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }
    default = Parameter.empty if option.default is MISSING else option.default
    if one.default_text is not None or default is None or default is False or default == ():
        settings["show_default"] = one.default_text or False
    info = typer.Argument(**settings) if one.is_argument else typer.Option(*one.names, **settings)
    if isinstance(default, tuple):
        default = list(default) or None
    kind = str | None if one.parse is not None and not _is_repeated(option.type) else _for_typer(option.type)
    return Parameter(option.field, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def _is_repeated(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _for_typer(kind: Any) -> Any:
    """Typer reads repeated options as lists, and knows only plain types."""
    if _is_repeated(kind):
        return list[str] | None
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (inner,) = (part for part in typing.get_args(kind) if part is not type(None))
        return _for_typer(inner) | None
    return str if typing.get_origin(kind) is typing.Literal else kind


def _check_choice(one: Flag) -> Any:
    def check(value: str | list[str] | None) -> str | list[str] | None:
        for text in value if isinstance(value, list) else [] if value is None else [value]:
            check_name(one.choices, split_spec(text)[0] if one.spec else text, one.kind)
        return value

    return check


def _act(one: Flag) -> Any:
    def act(context: typer.Context, value: Any) -> None:
        if value and one.act is not None:
            one.act(value, context.info_name or "")
            raise typer.Exit

    return act


def _completion(one: Flag) -> Any:
    if one.complete is not None:
        return one.complete
    return (
        (lambda incomplete: [name for name in one.choices if name.startswith(incomplete)])
        if one.choices
        else None
    )


class GroupedCommand(TyperCommand):
    """A command whose --help lists options under the headings of their groups."""

    headings: typing.ClassVar[Mapping[str, str]] = {}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                sections.setdefault(self.headings.get(parameter.name or "", "Every command"), []).append(
                    record
                )
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def grouped(groups: Iterable[type[OptionGroup]]) -> type[GroupedCommand]:
    """Return a command class that knows which heading each option belongs under."""
    headings = {option.field: group.heading for group in groups for option in options_of(group)}
    return type("Command", (GroupedCommand,), {"headings": headings})


def objects_from(groups: Sequence[type[OptionGroup]], values: Mapping[str, Any], given: Given) -> list[Any]:
    """Make an object of each group out of the values of all options.

    Raises:
        UsageError: a value is out of range, or options do not go together.
    """
    options = [(group, option) for group in groups for option in options_of(group)]
    typed = {option.flag.title: values[option.field] for _, option in options if option.field in given}
    for _, option in options:
        if option.flag.title in typed:
            _check_company(option.flag, typed)
    made: dict[type[OptionGroup], dict[str, Any]] = {group: {} for group in groups}
    for group, option in options:
        made[group][option.field] = _value(option, values[option.field])
    return [group(**fields) for group, fields in made.items()]


def given_on(context: typer.Context) -> Given:
    """Return the options that the command line gives, be it at their defaults."""
    sources = {one: context.get_parameter_source(one.name or "") for one in context.command.params}
    return {
        one.name: one.opts[0]
        for one, source in sources.items()
        if one.name and source is not None and source.name == "COMMANDLINE"
    }


def _value(option: Option, value: Any) -> Any:
    if value is None:
        return option.default
    if _is_repeated(option.type):
        return tuple(map(option.flag.parse, value)) if option.flag.parse else tuple(value)
    return option.flag.parse(value) if option.flag.parse and isinstance(value, str) else value


def _check_company(one: Flag, given: Mapping[str, Any]) -> None:
    """Refuse an option that would do nothing, or contradict another."""
    if one.needs and not any(_meets(need, given) for need in one.needs):
        *most, last = one.needs
        raise UsageError(f"{one.title} needs {', '.join(most)}{' or ' if most else ''}{last}")
    reason, others = one.excludes
    for other in others:
        if other in given:
            raise UsageError(f"{reason}: {other} does not go with it")


def _meets(need: str, given: Mapping[str, Any]) -> bool:
    title, _, wanted = need.partition(" ")
    if title not in given or not wanted:
        return title in given
    value = given[title]
    words = value if isinstance(value, list) else [value]
    return any(split_spec(str(word))[0] == split_spec(wanted)[0] for word in words)


def refuse_idle(given: Given, because: str, *fields: str) -> None:
    """Refuse options that the command line gives while nothing looks at them.

    Raises:
        UsageError: one was given; `because` says what makes it idle.
    """
    for field, title in given.items():
        if field in fields:
            raise UsageError(f"{title} does nothing here: {because}")
