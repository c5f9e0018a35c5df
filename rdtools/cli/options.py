"""Groups of options (`rdtools.core.flags`) as the parameters of a Typer command, and back as objects."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from inspect import Parameter
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rdtools.core.errors import UsageError
from rdtools.core.flags import Flag, Option, OptionGroup, options_of
from rdtools.core.registry import any_of, check_name, close_name, split_spec

ParserError: type[Any] = typing.cast(Any, typer.BadParameter.__base__)
"""The UsageError of click, which some versions of Typer contain and others import."""

Given = Mapping[str, str]
"""The options that the command line gives: field -> `--option`."""


def parameters_of(groups: Iterable[type[OptionGroup]]) -> list[Parameter]:
    """Return one keyword parameter for each option of the groups, annotated for Typer."""
    return [_parameter(option) for group in groups for option in options_of(group)]


def _parameter(option: Option) -> Parameter:
    """Typer reads the text of a value; defaults, numbers and ranges are left to `objects_from`."""
    one = option.flag
    settings: dict[str, Any] = {
        "metavar": one.title if one.is_argument else one.metavar,
        "callback": _act(one) if one.act else _check_choice(one) if one.choices else None,
        "is_eager": one.act is not None,
    }
    info = typer.Argument(**settings) if one.is_argument else typer.Option(*one.names, **settings)
    default: Any = Parameter.empty if option.default is MISSING else None
    kind: Any = list[str] if is_repeated(option) else str
    if option.type is bool:
        kind, default = bool, option.default
    elif option.default is not MISSING:
        kind = kind | None
    return Parameter(option.field, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def is_repeated(option: Option) -> bool:
    return typing.get_origin(option.type) is tuple or bool(option.flag.per)


def _check_choice(one: Flag) -> Any:
    def check(value: str | list[str] | None) -> str | list[str] | None:
        for text in value if isinstance(value, list) else [] if value is None else [value]:
            if one.spec:
                _check_spec(one, text)
            else:
                check_name(one.choices, text, one.kind)
        return value

    return check


def _check_spec(one: Flag, text: str) -> None:
    """Check the name before the colon; a model without one is told the names that it may need.

    Raises:
        UsageError: the name is unknown.
    """
    name = split_spec(text)[0]
    kinds = [form for form, what in spec_forms(one) if what == "MODEL" and ":" not in form]
    is_model = ":" not in text  # probably: bert-base is like colbert, but not very much
    near = "/" not in name and close_name(one.choices, name, 0.6 if is_model else 0.5)
    if name in one.choices or not kinds or near:
        check_name(one.choices, name, one.kind)
        return
    named = (own for pattern, own in _NAMES if pattern.search(text))
    fit = ([kind for kind in kinds if kind in own] for own in named)
    likely = next((found for found in fit if found), kinds)
    model = split_spec(text)[1] or text
    meant = " or ".join(repr(f"{kind}:{model}") for kind in likely)
    choices = ", ".join(one.choices)
    raise UsageError(f"unknown {one.kind} {text!r}; did you mean {meant}? (choose from {choices})")


_NAMES = (
    (re.compile(r"cross-?encoder|re-?rank|mono(bert|electra|t5)", re.IGNORECASE), ("ce",)),
    (re.compile(r"splade|sparse", re.IGNORECASE), ("sparse",)),
    (re.compile(r"col-?bert", re.IGNORECASE), ("colbert",)),
    (re.compile(r"sentence-transformers/|bi-?encoder|embed", re.IGNORECASE), ("be", "dense")),
)
"""Words in the names of models, and the kinds that they tell."""


def spec_forms(one: Flag) -> list[tuple[str, str]]:
    """Return the forms of a value as the help words them: ("ce", "") for ce, ("ce", "MODEL") for ce:MODEL."""
    name, end = r"(?<![\w:/-])([a-z][\w-]*(?::[a-z][\w-]*)*)", r"(?=[,;.]| \(| or |$)"
    words = re.findall(rf"{name}(?::([A-Z]+)(?![\w:/-])|{end})", one.help)
    return [(name, what) for name, what in dict.fromkeys(words) if name.partition(":")[0] in one.choices]


def _act(one: Flag) -> Any:
    def act(context: typer.Context, value: Any) -> None:
        if value and one.act is not None:
            one.act(value, context.info_name or "")
            raise typer.Exit

    return act


_LARGEST = 2**62
"""Larger whole numbers, or one more, do not fit the 64 bits of the libraries that count with them."""
_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class GroupedCommand(TyperCommand):
    """A command whose --help lists options under the headings of their groups."""

    groups: typing.ClassVar[Sequence[type[OptionGroup]]] = ()

    def get_help(self, ctx: Any) -> str:
        return super().get_help(ctx).replace(_HYPHEN, "-")

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_unbroken(self.help or ""))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections = {
            heading: [(names_of(option), _help_with_default(option)) for option in options]
            for heading, options in sections_of(self.groups).items()
        }
        ours = {option.field for group in self.groups for option in options_of(group)}
        others = [each.get_help_record(ctx) for each in self.get_params(ctx) if each.name not in ours]
        last = [*sections][-1]
        sections[last] += [record for record in others if record is not None]
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(_unbroken(names), _unbroken(text)) for names, text in records])


def _unbroken(text: str) -> str:
    """Keep the formatter from breaking lines within names such as --explain-loss."""
    return text.replace("-", _HYPHEN)


def _help_with_default(option: Option) -> str:
    default = default_of(option)
    text = help_of(option.flag)
    if option.default is MISSING:
        return f"{text}  [required]"
    return f"{text}  [default: {default}]" if default else text


def grouped(groups: Sequence[type[OptionGroup]]) -> type[GroupedCommand]:
    """Return a command class that knows which heading each option belongs under."""
    return type("Command", (GroupedCommand,), {"groups": groups})


def sections_of(groups: Iterable[type[OptionGroup]]) -> dict[str, list[Option]]:
    """Return the options by heading, in order."""
    sections: dict[str, list[Option]] = {}
    for group in groups:
        sections.setdefault(group.heading, []).extend(options_of(group))
    return sections


def names_of(option: Option) -> str:
    """Return the names of an option and what follows it: `-n, --num-negatives N|all`."""
    one = option.flag
    names = ", ".join(sorted(one.names, key=len)) if not one.is_argument else one.title
    if one.is_argument or option.type is bool:
        return names
    return f"{names} {one.metavar or 'X'}"


def help_of(one: Flag) -> str:
    """Return the help of an option with its range and what it needs: `… Above 0. Needs --confidence.`"""
    text = one.help
    if limits := one.range_in_words:
        text += f" {limits[0].upper()}{limits[1:]}."
    if one.needs:
        text += f" Needs {any_of(one.needs)}."
    return text


def default_of(option: Option) -> str:
    """Return the default as a reader sees it; empty where there is none."""
    if option.flag.default_text is not None:
        return option.flag.default_text
    if option.default is MISSING or option.default is None or option.default is False:
        return ""
    return " ".join(option.default) if isinstance(option.default, tuple) else str(option.default)


def usage_error(error: Any) -> UsageError:
    """Return the complaint of the command line's parser, worded as our own messages are."""
    option: Any = getattr(error, "option_name", None)
    parameter: Any = getattr(error, "param", None)
    if option is None and parameter is None:
        return UsageError(error.message)
    if option is None:  # nothing but a required one: values are read in `objects_from`
        title = parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0]
        return UsageError(f"{title} is required")
    if hasattr(error, "possibilities"):
        meant = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return UsageError(f"no such option {option}{meant}")
    return UsageError(f"{option} {'takes no value' if 'does not take' in error.message else 'needs a value'}")


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
    one = option.flag
    if value is None or value == []:
        return option.default
    if one.per:
        return _number_per_name(option, value)
    if is_repeated(option):
        return tuple(map(one.parse, value)) if one.parse else tuple(value)
    if option.type is bool:
        return value
    return one.parse(value) if one.parse else _plain_value(option, value)


def _number_per_name(option: Option, texts: Sequence[str]) -> Any:
    """Read `20` and `bm25=20`: a number if no name is given, else a mapping."""
    numbers: dict[str, Any] = {} if option.default is None else {"": option.default}
    for text in texts:
        name, _, number = text.rpartition("=")  # names of files may have one too
        numbers[name] = _plain_value(option, number if name else text)
    return numbers[""] if numbers.keys() == {""} else numbers


def _plain_value(option: Option, text: str) -> str | int | float:
    """Read a number, or return the text of an option that takes text."""
    kinds = typing.get_args(option.type) or (option.type,)
    for kind, words in ((int, "a whole number"), (float, "a number")):
        if kind in kinds:
            try:
                number: int | float = kind(text)
            except ValueError:
                raise UsageError(f"{option.flag.title} must be {words}, not {text!r}") from None
            if kind is int and abs(number) > _LARGEST:
                raise UsageError(f"{option.flag.title} must be at most 2^62, not {text}")
            return number
    return text


def _check_company(one: Flag, given: Mapping[str, Any]) -> None:
    """Refuse an option that would do nothing, or contradict another."""
    if one.needs and not any(_meets(need, given) for need in one.needs):
        raise UsageError(f"{one.title} needs {any_of(one.needs)}")
    what_it_does, others = one.excludes
    for other in others:
        if other in given:
            raise UsageError(f"{other} cannot be combined with {one.title}, which {what_it_does}")


def _meets(need: str, given: Mapping[str, Any]) -> bool:
    title, _, wanted = need.partition(" ")
    if title not in given or not wanted:
        return title in given
    value = given[title]
    words = value if isinstance(value, list) else [value]
    return any(split_spec(str(word))[0] == split_spec(wanted)[0] for word in words)


def refuse_idle(given: Given, because: str, *fields: str) -> None:
    """Refuse options of the command line that have no effect.

    Raises:
        UsageError: one was given; `because` says what makes it idle.
    """
    for field, title in given.items():
        if field in fields:
            raise UsageError(f"{title} does nothing here: {because}")
