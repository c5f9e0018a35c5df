"""The manual, made from the options and docstrings of the commands.

`python -m rdtools.cli.manual .` writes into a checkout docs/rd-*.md, docs/man/*.1 and completions/.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from rdtools import __version__
from rdtools.cli.command import EntryPoint
from rdtools.cli.completions import COMMANDS, scripts
from rdtools.core.flags import Flag, Option, OptionGroup, options_of

_SEE_ALSO = {
    "rd-mine": ["data.md", "formats.md", "recipes.md"],
    "rd-label": ["teachers.md", "formats.md", "recipes.md"],
    "rd-train": ["choosing-settings.md", "gpu.md"],
    "rd-eval": ["comparing-systems.md", "data.md", "recipes.md"],
    "rd-entropy": ["reading-rd-entropy.md", "choosing-settings.md"],
}
_STATUS = """0 success; 1 bad input, a file or model that cannot be read or written; 2 a wrong command line;
130 interrupted, 143 terminated. A reader that leaves (such as head) ends the command by SIGPIPE."""


class Block(NamedTuple):
    """A paragraph of a docstring; `fixed` keeps its lines as they are."""

    lines: list[str]
    fixed: bool


def open_entry_point(command: str) -> EntryPoint:
    """Import the entry point of `rd-mine` and the like."""
    entry: EntryPoint = import_module(f"rdtools.cli.{command.removeprefix('rd-')}").main
    return entry


def blocks_of(manual: str) -> Iterator[Block]:
    """Split a docstring into its paragraphs; one that begins with \\b is fixed."""
    for paragraph in re.split(r"\n\s*\n", manual.strip()):
        lines = paragraph.splitlines()
        fixed = lines[0].strip() == "\b"
        yield Block(lines[1:] if fixed else [line.strip() for line in lines], fixed)


def default_of(option: Option) -> str:
    """Return the default as a reader sees it; empty where there is none."""
    if option.flag.default_text is not None:
        return option.flag.default_text
    if option.default is MISSING:
        return "required"
    if option.default is None or option.default is False or option.default == ():
        return ""
    return " ".join(option.default) if isinstance(option.default, tuple) else str(option.default)


def range_of(one: Flag) -> str:
    """Return the range of a number in words: `above 0 and at most 1`."""
    bounds = {"above": one.above, "at least": one.min, "below": one.below, "at most": one.max}
    return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)


def names_of(option: Option) -> str:
    """Return the names of an option and what follows it: `-n, --num-negatives N|all`."""
    one = option.flag
    names = ", ".join(sorted(one.names, key=len)) if not one.is_argument else one.title
    if one.is_argument or option.type is bool:
        return names
    return f"{names} {one.metavar or 'X'}"


def sections_of(groups: list[type[OptionGroup]]) -> dict[str, list[Option]]:
    """Return the options by heading, in order."""
    sections: dict[str, list[Option]] = {}
    for group in groups:
        sections.setdefault(group.heading, []).extend(options_of(group))
    return sections


def page(command: str) -> str:
    """Return the page of a command in Markdown."""
    entry = open_entry_point(command)
    summary, *blocks = blocks_of(entry.manual)
    parts = [f"# {command}", "\n".join(summary.lines)]
    for block in blocks:
        parts.append(_markdown_block(block))
    for heading, options in sections_of(entry.groups).items():
        rows = [
            f"| `{_cell(names_of(option))}` | {_cell(_markdown(default_of(option)))} | {_meaning(option)} |"
            for option in options
        ]
        parts += [f"## {heading}", "\n".join(["| option | default | meaning |", "|:--|:--|:--|", *rows])]
    links = [f"[{name.removesuffix('.md').replace('-', ' ')}]({name})" for name in _SEE_ALSO[command]]
    parts += ["## Exit status", _STATUS, "See also: " + ", ".join(links) + "."]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: Block) -> str:
    if not block.fixed:
        return _markdown("\n".join(block.lines))
    heading, *lines = block.lines
    if heading.strip() == "Examples:":
        code = "\n".join(line.strip() for line in lines)
        return f"## Examples\n\n```sh\n{code}\n```"
    return "```text\n" + "\n".join(block.lines) + "\n```"


def _markdown(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _meaning(option: Option) -> str:
    limits, needs = range_of(option.flag), option.flag.needs
    text = option.flag.help
    if limits:
        text += f" {limits[0].upper()}{limits[1:]}."
    if needs:
        text += f" Needs {' or '.join(needs)}."
    return _cell(_markdown(text))


def man_page(command: str) -> str:
    """Return the man page of a command, section 1."""
    entry = open_entry_point(command)
    summary, *blocks = blocks_of(entry.manual)
    name = command.upper()
    lines = [f'.TH {name} 1 "" "rdtools {__version__}" "User Commands"', ".SH NAME"]
    lines.append(f"{command} \\- {_roff(' '.join(summary.lines).rstrip('.'))}")
    arguments = [
        option.flag.title for group in entry.groups for option in options_of(group) if option.flag.is_argument
    ]
    lines += [".SH SYNOPSIS", f".B {command}", f"[OPTIONS] {_roff(' '.join(arguments))}", ".SH DESCRIPTION"]
    examples: list[str] = []
    for block in blocks:
        if block.fixed and block.lines[0].strip() == "Examples:":
            examples = [".SH EXAMPLES", ".nf", *map(_roff, (line.strip() for line in block.lines[1:])), ".fi"]
        elif block.fixed:
            lines += [".PP", ".nf", *map(_roff, block.lines), ".fi"]
        else:
            lines += [".PP", *map(_roff, block.lines)]
    lines.append(".SH OPTIONS")
    for heading, options in sections_of(entry.groups).items():
        lines.append(f".SS {_roff(heading)}")
        for option in options:
            default = default_of(option)
            text = option.flag.help + (f" Default: {default}." if default else "")
            lines += [".TP", f".B {_roff(names_of(option))}", _roff(text)]
    lines += [*examples, ".SH EXIT STATUS", *map(_roff, _STATUS.splitlines()), ".SH SEE ALSO"]
    lines.append(", ".join(f"\\fB{_roff(other)}\\fR(1)" for other in COMMANDS if other != command))
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def files() -> Iterator[tuple[str, str]]:
    """Yield path and text of every file that is made from the commands."""
    for command in COMMANDS:
        yield f"docs/{command}.md", page(command)
        yield f"docs/man/{command}.1", man_page(command)
    yield from scripts()


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1], "pyproject.toml").exists():
        sys.exit("usage: python -m rdtools.cli.manual CHECKOUT")
    for name, text in files():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
