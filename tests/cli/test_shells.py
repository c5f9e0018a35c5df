"""TAB in real shells: what is typed, and the words that the command then gets."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import time
from pathlib import Path

import pytest

COMPLETIONS = Path(__file__).parents[2] / "completions"
READY = "ready> "

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"source {COMPLETIONS}/rdtools.bash"),
    "bash, a file a command": (
        ["bash", "--norc", "--noprofile", "-i"],
        f"for f in {COMPLETIONS}/bash/*; do source $f; done",
    ),
    "zsh": (["zsh", "-f", "-i"], f"autoload -Uz compinit; compinit -u -D; source {COMPLETIONS}/rdtools.zsh"),
    "zsh, a file a command": (
        ["zsh", "-f", "-i"],
        f"fpath=({COMPLETIONS}/zsh $fpath); autoload -Uz compinit; compinit -u -D",
    ),
    "fish": (["fish", "--no-config", "-i"], f"source {COMPLETIONS}/rdtools.fish"),
    "fish, a file a command": (
        ["fish", "--no-config", "-i"],
        f"for f in {COMPLETIONS}/fish/*; source $f; end",
    ),
}
PROMPTS = {
    "bash": f"PS1='{READY}'; bind 'set enable-bracketed-paste off'",
    "zsh": f"PROMPT='{READY}'; unsetopt zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste",
    "fish": f"function fish_prompt; echo -n '{READY}'; end",
}
TYPED = {
    "rd-train --loss kl:py\t": "rd-train --loss kl:pylate",
    "rd-train --loss=kl:py\t": "rd-train --loss=kl:pylate",
    "rd-train --loss 'kl+0.2*lc\t": "rd-train --loss kl+0.2*lce",
    "rd-train --posit\tal\t --student be:org/mo\t": "rd-train --positives all --student be:org/model",
    "rd-train records/labe\t": "rd-train records/labelled.jsonl",
    "rd-label --teacher ll\tmodels/ti\t": "rd-label --teacher llm:models/tiny/",
    "rd-eval qrels -m Success@10\t": "rd-eval qrels -m Success@10",
    "rd-mine --dataset pydoc:te\t": "rd-mine --dataset pydoc:test",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory, warm_bin):
    """A folder to type in, whose commands complete as ours and otherwise note their words in `words`."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "bin").mkdir()
    for command in ("rd-mine", "rd-label", "rd-train", "rd-eval", "rd-entropy"):
        script = folder / "bin" / command
        script.write_text(
            f'#!/bin/sh\nif [ -n "$RDTOOLS_COMPLETE" ]; then exec {warm_bin}/{command} "$@"; fi\n'
            f'echo {command} "$@" >> {folder}/words\n'
        )
        script.chmod(0o755)
    for path in ("models/tiny/config.json", "records/labelled.jsonl", "data/collection/corpus.jsonl"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).touch()
    (folder / "hub" / "models--org--model").mkdir(parents=True)
    return folder


class Typist:
    """A shell in a terminal, and keys for it."""

    def __init__(self, shell, start, folder):
        environment = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb",
            "LANG": "C.UTF-8", "HF_HUB_CACHE": f"{folder}/hub", "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }  # fmt: skip
        self.words = folder / "words"
        self.words.unlink(missing_ok=True)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(shell[0], shell, environment)
        self.shown = ""
        self.type(f"{start}; {PROMPTS[shell[0]]}\n")
        self.wait(lambda: READY in self.shown.replace(f"'{READY}'", ""))

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def wait(self, done, seconds=20.0):
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, self.shown
            self.read(0.05)

    def read(self, seconds):
        """Take up what the shell shows until it shows nothing for so long."""
        while select.select([self.terminal], [], [], seconds)[0]:
            data = os.read(self.terminal, 65536).decode(errors="replace")
            self.shown += data
            if "\x1b[c" in data or "\x1b[0c" in data:  # fish asks what the terminal is
                self.type("\x1b[?6c")

    def command(self, line):
        """Type a line; after each TAB wait until the shell has completed."""
        before = len(self.got())
        for part in line.split("\t")[:-1]:
            self.type(part)
            self.read(0.03)
            shown = len(self.shown)
            self.type("\t")
            with contextlib.suppress(AssertionError):
                self.wait(lambda shown=shown: len(self.shown) > shown, 3)
            self.read(0.04)
        self.type(line.split("\t")[-1] + "\n")
        self.wait(lambda: len(self.got()) > before)
        return self.got()[-1]

    def got(self):
        return self.words.read_text().splitlines() if self.words.exists() else []

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize("name", SHELLS)
def test_tab_completes(name, place):
    shell, start = SHELLS[name]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    typist = Typist(shell, start, place)
    try:
        typed = list(TYPED)[:2] if "," in name else TYPED
        got = {line: typist.command(line).rstrip() for line in typed}
    finally:
        typist.close()
    assert got == {line: TYPED[line] for line in typed}
