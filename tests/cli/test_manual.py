"""The pages, man pages and completion scripts in the checkout are those of the commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rdtools.cli.manual import files

ROOT = Path(__file__).parents[2]
MADE = dict(files())


@pytest.mark.parametrize("name", MADE)
def test_made_files_are_fresh(name):
    assert (ROOT / name).read_text() == MADE[name], "run: python -m rdtools.cli.manual ."


def test_no_made_file_is_left_over():
    folders = {str(Path(name).parent) for name in MADE if name.startswith(("docs/man", "completions/"))}
    there = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).iterdir()
        if path.is_file()
    }
    assert there == {name for name in MADE if str(Path(name).parent) in folders}


@pytest.mark.parametrize("name", [name for name in MADE if name.startswith("docs/man/")])
def test_man_pages_have_the_sections_that_readers_look_for(name):
    sections = [line[4:] for line in MADE[name].splitlines() if line.startswith(".SH ")]
    assert sections == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"]


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_manual_is_written_into_a_checkout_only(tmp_path, arguments):
    command = [sys.executable, "-m", "rdtools.cli.manual", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "usage: python -m rdtools.cli.manual CHECKOUT\n")
    assert not list(tmp_path.iterdir())
