"""rd-mine | rd-label | rd-train together beside the slowest of the three alone."""

from __future__ import annotations

from collections.abc import Iterator

import texts
from measuring import BIN, Options, Row, Side, compare, in_turn, left_out, missing, prepare, worker

MINUTES = (0.9, 3)


def make(options: Options) -> None:
    if not missing(*texts.NEEDS):
        texts.make_cross_encoder(options)
        queries = options.folder / "pipe-queries.tsv"
        prepare(queries, *worker("pipe", "write_queries", queries, options.size(24, 4)))


def write_queries(target: str, count: str) -> None:
    """The first queries of SciFact."""
    records = texts.records("passages", int(count), 1)
    with open(target, "w") as out:
        out.writelines(f"{record['query_id']}\t{record['query']}\n" for record in records)


def rows(options: Options) -> Iterator[Row]:
    """The stages alone read what the stage before has written to a file."""
    needs = (*texts.NEEDS, "transformers")
    if missing(*needs):
        yield from left_out("one pipe", Side("its slowest stage", [], needs=needs))
        return
    folder = options.folder / "pipe"
    folder.mkdir(exist_ok=True)
    corpus, queries = texts.scifact() / "corpus.jsonl", options.folder / "pipe-queries.tsv"
    length = "--max-length 128"
    mine = f"{BIN}/rd-mine --corpus {corpus} --queries {queries} --index {folder}/index -n 7 --quiet"
    label = f"{BIN}/rd-label --teacher ce:{texts.cross_encoder(options)} {length} --quiet"
    train = (
        f"{BIN}/rd-train --student be:{texts.bi_encoder()} --loss kl --doc-max-len 128 --group-size 7 "
        f"--batch-size 4 --max-steps 12 -o {folder}/student --overwrite --quiet"
    )
    mined, labelled = folder / "mined.jsonl", folder / "labelled.jsonl"
    prepare(folder / "index", *_shell(f"{mine} -o {mined}"))
    sides = [
        Side("rd-mine", _shell(f"{mine} -o {mined}")),
        Side("rd-label", _shell(f"{label} {mined} -o {labelled}")),
        Side("rd-train", _shell(f"{train} {labelled} > {folder}/log")),
        Side("together", _shell(f"{mine} | {label} | {train} > {folder}/log")),
    ]
    taken = in_turn(sides, options)
    together = taken.pop("together")
    slowest = max(taken, key=lambda name: taken[name].seconds)
    peers = {f"{name} alone{', the slowest' * (name == slowest)}": alone for name, alone in taken.items()}
    target = {f"{slowest} alone, the slowest": "≥ 0.87 where each stage has a processor"}
    yield from compare("mine | label | train", "s", together, peers, target)


def _shell(line: str) -> list[object]:
    return ["bash", "-o", "pipefail", "-c", line]
