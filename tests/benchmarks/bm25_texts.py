"""rd-mine -n 15 with texts beside the same search with ids alone."""

from __future__ import annotations

from collections.abc import Iterator

import bm25
from measuring import Options, Row, compare, parts_in_turn

MINUTES = (0.2, 1.5)


def make(options: Options) -> None:
    bm25.make(options)


def rows(options: Options) -> Iterator[Row]:
    folder = bm25.collection(options)
    bm25.build_indexes(folder)
    sides = bm25.sides(folder, 1, [100], "rd-mine -n 15, texts", "rd-mine")
    for part, taken in parts_in_turn(sides, options).items():
        if part.endswith(bm25.ALONE):
            continue
        ours, ids_alone = taken.values()
        yield from compare(
            f"rd-mine bm25 -n 15, texts, {part}",
            "q/s",
            ours,
            {"ids alone, all": ids_alone},
            {"ids alone, all": "≥ 0.6"},
        )
