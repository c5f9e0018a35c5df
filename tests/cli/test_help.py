"""What --help prints can be pasted, and --debug changes no status."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from rdtools.cli.completions import COMMANDS
from rdtools.cli.manual import open_entry_point


def command_line(name):
    """Return the command `name` with its options, as Typer makes it."""
    return typer.main.get_command(open_entry_point(name).app())


def stages(line):
    """The commands of a pipeline, as argument lists, without their redirections."""
    words = shlex.split(line)
    ends = [place for place, word in enumerate(words) if word == "|"]
    for start, end in zip([0, *(place + 1 for place in ends)], [*ends, len(words)], strict=True):
        stage = words[start:end]
        yield stage[: stage.index(">")] if ">" in stage else stage


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_help_are_command_lines(name):
    text = command_line(name).help.replace("\b", "")
    examples = re.search(r"Examples:\n(.*?)\n\n", text, re.DOTALL)[1].splitlines()
    assert len(examples) == 3
    for example in examples:
        assert name in example
        for command, *arguments in stages(example.strip()):
            if command in COMMANDS:
                command_line(command).make_context(command, arguments)  # it raises what the command would


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "last"),
    [
        (["--temperature", "0"], "", 2, "Try 'rd-label --help' for help."),
        (["--nonsense"], "", 2, None),
        (["--teacher", "qrels"], "nonsense\n", 1, "rd-label: "),
    ],
)
def test_debug_shows_the_traceback_and_leaves_the_status(run, arguments, stdin, status, last):
    plain, debug = (run("rd-label", *arguments, *more, stdin=stdin) for more in ([], ["--debug"]))
    assert (plain.returncode, debug.returncode) == (status, status)
    assert debug.stderr.endswith(plain.stderr)
    assert ("Traceback" in debug.stderr) == (last is not None)
    if last is not None:
        assert debug.stderr.splitlines()[-1].startswith(last)
