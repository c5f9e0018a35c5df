"""What --help prints can be pasted, and --debug changes no status."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from rdtools.cli.completions import COMMANDS
from rdtools.cli.manual import open_entry_point
from rdtools.cli.options import given_on, objects_from


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
    found = re.search(r"Examples:\n(.*?)\n\n", text, re.DOTALL)
    assert found is not None
    examples = found[1].splitlines()
    assert len(examples) == 3
    for example in examples:
        assert name in example
        for command, *arguments in stages(example.strip()):
            if command in COMMANDS:
                entry = open_entry_point(command)
                context = command_line(command).make_context(
                    command, arguments
                )  # raises as the command would
                objects_from(entry.groups, context.params, given_on(context))


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "last"),
    [
        (["--temperature", "0"], "", 2, "Try 'rd-label --help' for help."),
        (["--nonsense"], "", 2, "Try 'rd-label --help' for help."),
        (["--teacher", "qrels"], "nonsense\n", 1, "rd-label: "),
    ],
)
def test_debug_shows_the_traceback_and_leaves_the_status(run, arguments, stdin, status, last):
    plain, debug = (run("rd-label", *arguments, *more, stdin=stdin) for more in ([], ["--debug"]))
    assert (plain.returncode, debug.returncode) == (status, status)
    assert debug.stderr.endswith(plain.stderr)
    assert "Traceback" in debug.stderr
    assert "Traceback" not in plain.stderr
    assert debug.stderr.splitlines()[-1].startswith(last)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rd-mine --depht 3", "no such option --depht; did you mean --depth?"),
        ("rd-mine --qq", "no such option --qq"),
        ("rd-mine -x", "no such option -x"),
        ("rd-mine --depth", "--depth needs a value"),
        ("rd-mine -n", "-n needs a value"),
        ("rd-mine --pad=3", "--pad takes no value"),
        (f"rd-mine --depth {2**63}", f"--depth must be at most 2^62, not {2**63}"),
        (f"rd-label --max-line {2**62 + 1}", f"--max-line must be at most 2^62, not {2**62 + 1}"),
        ("rd-mine --depth x", "--depth must be a whole number, not 'x'"),
        ("rd-mine --depth 1.5", "--depth must be a whole number, not '1.5'"),
        ("rd-mine --max-score bm25=high", "--max-score must be a number, not 'high'"),
        ("rd-mine --depth =5", "--depth must be a whole number, not '=5'"),
        ("rd-mine --depth bm25=0", "--depth must be at least 1, not 0"),
        ("rd-mine --min-score bm25=nan", "--min-score nan: a finite number is needed"),
        (
            "rd-mine --max-score bm52=20",
            "unknown source of --max-score 'bm52'; did you mean 'bm25'? (choose from bm25)",
        ),
        (
            "rd-mine --from dense:a --from dense:b --depth dense:c=2",
            "unknown source of --depth 'dense:c'; did you mean 'dense:b'? (choose from dense:a, dense, dense:b)",
        ),
        (
            "rd-mine --from bm25 --from random --depth random=5 --range-min 7",
            "--range-min 7 skips all candidates of --depth 5",
        ),
        ("rd-mine --max-score high", "--max-score must be a number, not 'high'"),
        ("rd-mine --depth 0", "--depth must be at least 1, not 0"),
        ("rd-mine --b 2", "--b must be at least 0 and at most 1, not 2"),
        ("rd-mine --sample nan", "--sample nan: a finite number is needed"),
        ("rd-eval", "QRELS is required"),
        ("rd-train", "--student is required"),
        ("rd-entropy --by margin", "--by needs --cut"),
        (
            "rd-mine --false-negatives keep",
            "--false-negatives needs --relative-margin, --absolute-margin or --near-copies",
        ),
    ],
)
def test_every_usage_error_is_a_line_and_a_pointer_to_help(run, line, message):
    command, *arguments = line.split()
    done = run(command, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{command}: {message}\nTry '{command} --help' for help.\n"


def option_in(text, name):
    """Return what --help says of an option, on one line."""
    found = re.search(rf"^  {re.escape(name)}\s+(.*?)(?=^  \S|^$)", text, re.M | re.S)
    assert found is not None
    return " ".join(found[1].split())


@pytest.mark.parametrize(
    ("command", "name", "says"),
    [
        ("rd-mine", "--depth [SOURCE=]N", "Candidates of each source, not counting positives. At least 1. [default: 100]"),
        ("rd-mine", "--b B", "BM25's b: how much length counts. At least 0 and at most 1. [default: 0.75]"),
        ("rd-label", "--temperature T", "Divide scores by T; the record says so. Above 0. [default: 1.0]"),
        ("rd-entropy", "--by COLUMN", "Column to cut by. Needs --cut. [default: pairwise_entropy_bits]"),
        ("rd-mine", "--device NAME", "cpu, cuda, cuda:1, mps. [default: a GPU if there is one]"),
        ("rd-train", "-o, --output DIR", "Folder of the trained model. [required]"),
        ("rd-mine", "--no-text", "Write ids without texts."),
        ("rd-mine", "[QUERIES]...", "Queries; - is standard input."),
    ],
)  # fmt: skip
def test_help_says_range_needs_and_default(run, command, name, says):
    assert option_in(run(command, "--help", check=True).stdout, name) == says


@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_no_line_within_a_name(run, command):
    text = run(command, "--help", check=True).stdout
    assert not re.search(r"\w-$", text, re.M)
    assert "\N{NON-BREAKING HYPHEN}" not in text
    assert "[default: (" not in text
