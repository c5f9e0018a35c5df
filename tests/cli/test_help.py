"""What --help prints can be pasted, and --debug changes no status."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from rdtools.cli.command import _with_shared_flags
from rdtools.cli.entropy import entropy
from rdtools.cli.eval import evaluate
from rdtools.cli.label import label
from rdtools.cli.mine import mine
from rdtools.cli.train import train

COMMANDS = {"rd-mine": mine, "rd-label": label, "rd-train": train, "rd-eval": evaluate, "rd-entropy": entropy}


def command_line(name):
    """The command `name` with its options."""
    app = typer.Typer()
    app.command(name)(_with_shared_flags(name, COMMANDS[name]))
    return typer.main.get_command(app)


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
