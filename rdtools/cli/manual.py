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
from rdtools.cli.options import default_of, help_of, names_of, sections_of
from rdtools.core.flags import Option, options_of

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


def page(command: str) -> str:
    """Return the page of a command in Markdown."""
    entry = open_entry_point(command)
    summary, *blocks = blocks_of(entry.manual)
    parts = [f"# {command}", "\n".join(summary.lines)]
    for block in blocks:
        parts.append(_markdown_block(block))
    for heading, options in sections_of(entry.groups).items():
        rows = [
            f"| `{_cell(names_of(option))}` | {_cell(_markdown(_default(option)))} "
            f"| {_cell(_markdown(help_of(option.flag)))} |"
            for option in options
        ]
        parts += [f"## {heading}", "\n".join(["| option | default | meaning |", "|:--|:--|:--|", *rows])]
    links = [f"[{name.removesuffix('.md').replace('-', ' ')}]({name})" for name in _SEE_ALSO[command]]
    parts += ["## Exit status", _STATUS, "See also: " + ", ".join(links) + "."]
    return "\n\n".join(parts) + "\n"


def _default(option: Option) -> str:
    return "required" if option.default is MISSING else default_of(option)


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
            text = help_of(option.flag)
            if default := default_of(option):
                text += f" Default: {default}."
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
