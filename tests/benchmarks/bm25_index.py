"""BM25 indexes of a million passages, from the file to the disk, beside tantivy and bm25s."""

from __future__ import annotations

from collections.abc import Iterator

import bm25
from measuring import Options, Row, Side, compare, in_turn, note

MINUTES = (0.2, 3)


def make(options: Options) -> None:
    bm25.make(options)


def rows(options: Options) -> Iterator[Row]:
    """On one processor; the last of each stays for the searches."""
    folder = bm25.collection(options)
    commands = bm25.index_commands(folder)
    sides = [
        Side(name, ["bash", "-c", 'rm -rf "$0"; "$@"', folder / name, *command], threads=1)
        for name, command in commands.items()
    ]
    taken = in_turn(sides, options)
    for name in commands:
        size = sum(file.stat().st_size for file in (folder / name).rglob("*"))
        note(f"{name}: {size / 1e6:.0f} MB on disk")
    ours = taken.pop("rdtools")
    yield from compare("bm25 index", "s", ours, taken, {"bm25s": "≥ 1, below 2,000 MB"})
