"""The completion scripts in `completions/`: `python -m rdtools.cli.completions DIR` writes them anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = ("rd-mine", "rd-label", "rd-train", "rd-eval", "rd-entropy")
SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """Return the script that completes all commands in `shell`."""
    parts = [f"# TAB completion of {', '.join(COMMANDS)} for {shell}: source this file."]
    for command in COMMANDS:
        variable = f"_{command.upper().replace('-', '_')}_COMPLETE"
        done = subprocess.run(
            [Path(sys.executable).parent / command],
            env={**os.environ, variable: f"source_{shell}"},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.rstrip() for line in done.stdout.strip().splitlines()]
        parts.append("\n".join(line for line in lines if not line.startswith("#compdef")))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for shell in SHELLS:
        (folder / f"rdtools.{shell}").write_text(script(shell))
