"""Small jobs, where starting counts: rd-eval of 100 queries x 1,000, rd-entropy of 1,000 records x 16."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import entropy
import eval as evaluation
from measuring import BIN, Options, Row, Side, compare, in_turn

MINUTES = (0.1, 0.3)
QUERIES, DEPTH = 100, 1000
RECORDS = 1000
BARE = "import sys, numpy, orjson\nfor line in open(sys.argv[1], 'rb'): orjson.loads(line)"


def make(options: Options) -> None:
    evaluation.make_run(options.folder, QUERIES, DEPTH)
    entropy.make_records(options.folder, RECORDS, words=0)


def rows(options: Options) -> Iterator[Row]:
    options = replace(options, repeats=max(5, options.repeats))
    qrels, run = evaluation.files(options.folder, QUERIES, DEPTH)
    sides = evaluation.sides(qrels, run)
    taken = in_turn(sides, options)
    ours = taken.pop("rd-eval")
    yield from compare(f"rd-eval, {QUERIES} x {DEPTH}", "ms", ours, taken, {"ir_measures": "≥ 1"})

    file = entropy.file(options.folder, RECORDS, words=0)
    sides = [
        Side("rd-entropy", [BIN / "rd-entropy", file]),
        Side("numpy and orjson imported, lines parsed", [sys.executable, "-c", BARE, file]),
    ]
    taken = in_turn(sides, options)
    ours = taken.pop("rd-entropy")
    yield from compare(
        f"rd-entropy, {RECORDS} x {entropy.DOCS}", "ms", ours, taken,
        dict.fromkeys(taken, "≤ 150 ms; floor"),
    )  # fmt: skip
