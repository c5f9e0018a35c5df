"""The completion scripts of all commands for bash, zsh and fish."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

COMMANDS = ("rd-mine", "rd-label", "rd-train", "rd-eval", "rd-entropy")
SHELLS = ("bash", "zsh", "fish")
_INSTALLED = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}
"""The name under which a shell looks for the script of a command."""


def script_of(command: str, shell: str) -> str:
    """Return the script that completes one command, as the command itself prints it."""
    variable = f"_{command.upper().replace('-', '_')}_COMPLETE"
    done = subprocess.run(
        [Path(sys.executable).parent / command],
        env={**os.environ, variable: f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n"


def script(shell: str) -> str:
    """Return the script that completes all commands in `shell`."""
    parts = [f"# TAB completion of {', '.join(COMMANDS)} for {shell}: source this file.\n"]
    parts += [script_of(command, shell).replace(f"#compdef {command}\n", "") for command in COMMANDS]
    return "\n".join(parts)


def scripts() -> Iterator[tuple[str, str]]:
    """Yield path and text: a file for each shell to source, and one per command and shell."""
    for shell in SHELLS:
        yield f"completions/rdtools.{shell}", script(shell)
        for command in COMMANDS:
            yield f"completions/{shell}/{_INSTALLED[shell].format(command)}", script_of(command, shell)
