"""`--help` of the five commands beside a bare typer program and an empty Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from measuring import BIN, Options, Row, Side, compare, in_turn

MINUTES = (0.1, 0.3)
COMMANDS = ("rd-mine", "rd-label", "rd-train", "rd-eval", "rd-entropy")
BARE_TYPER = """
import typer
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
@app.command()
def main(name: str, times: int = typer.Option(1, help="How often.")) -> None:
    "Say something."
app()
"""


def make(options: Options) -> None:
    """There is nothing to write."""


def rows(options: Options) -> Iterator[Row]:
    sides = [Side(name, [BIN / name, "--help"]) for name in COMMANDS]
    sides.append(Side("a bare typer program", [sys.executable, "-c", BARE_TYPER, "--help"]))
    sides.append(Side("python -c pass", [sys.executable, "-c", "pass"]))
    taken = in_turn(sides, replace(options, repeats=max(5, options.repeats)))
    peers = {name: own for name, own in taken.items() if name not in COMMANDS}
    for name in COMMANDS:
        targets = {"a bare typer program": "≤ 100 ms", "python -c pass": "floor"}
        yield from compare(f"{name} --help", "ms", taken[name], peers, targets)
