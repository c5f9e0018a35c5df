"""Records a second and peak memory of the streaming commands: ten thousand records beside a million.

What starting takes (ten records) is subtracted from both. The peer of each command is itself with few records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from measuring import BIN, Options, Row, Side, Taken, compare, in_turn, prepare, worker

MINUTES = (0.3, 5)
START = 10


def sizes(options: Options) -> tuple[int, int]:
    return options.size(10_000, 1_000), options.size(1_000_000, 10_000)


def file(options: Options, count: int, kind: str = "jsonl") -> Path:
    return options.folder / f"stream-{count}.{kind}"


def make(options: Options) -> None:
    for count in (START, *sizes(options)):
        prepare(file(options, count), *worker("streams", "write_records", file(options, count), count))
        run, qrels = file(options, count, "run"), file(options, count, "qrels")
        prepare(run, *worker("streams", "write_run", run, qrels, count))


def write_records(target: str, count: str) -> None:
    """Records of 4 documents with short texts, all judged."""
    import json

    part = Path(target + ".part")
    with part.open("w") as out:
        for query in range(int(count)):
            docs = [
                {
                    "doc_id": f"d{query * 7 % 1009}-{place}",
                    "text": f"wing {place} in a flow of {query % 97}",
                    "score": query * 31 % 100 / 8 - place,
                    "relevance": int(place == 0),
                }
                for place in range(4)
            ]
            record = {"query_id": f"q{query}", "query": f"flow {query % 89}", "docs": docs}
            out.write(json.dumps({**record, "teacher": "ce", "score_scale": "logit"}) + "\n")
    part.rename(target)


def write_run(run: str, qrels: str, count: str) -> None:
    """The same number of queries as a run of 4 documents, the first 1,000 of them judged."""
    with open(qrels, "w") as judged:
        judged.writelines(f"q{query} 0 d0 1\n" for query in range(min(1000, int(count))))
    part = Path(run + ".part")
    with part.open("w") as out:
        for query in range(int(count)):
            out.writelines(f"q{query} Q0 d{place} {place + 1} {4.5 - place} made\n" for place in range(4))
    part.rename(run)


def commands(options: Options, count: int) -> dict[str, list[object]]:
    records, run = file(options, count), file(options, count, "run")
    return {
        "rd-mine --from records": [BIN / "rd-mine", records, "--from", "records", "-n", 2, "-o", "/dev/null", "--quiet"],
        "rd-label --teacher qrels": [BIN / "rd-label", records, "--teacher", "qrels", "-o", "/dev/null", "--quiet"],
        "rd-entropy": [BIN / "rd-entropy", records, "--quiet"],
        "rd-entropy -q": [BIN / "rd-entropy", "-q", records, "-o", "/dev/null", "--quiet"],
        "rd-entropy --cut middle": [BIN / "rd-entropy", "--cut", "middle", records, "-o", "/dev/null", "--quiet"],
        "rd-eval": [BIN / "rd-eval", file(options, count, "qrels"), run, "--quiet"],
    }  # fmt: skip


def rows(options: Options) -> Iterator[Row]:
    few, many = sizes(options)
    by_size: dict[int, dict[str, Taken]] = {}
    for count in (START, few, many):
        sides = [Side(name, command) for name, command in commands(options, count).items()]
        by_size[count] = in_turn(sides, options)
    for name, ours in by_size[many].items():
        start = by_size[START][name].seconds
        long, short = started(ours, start, many), started(by_size[few][name], start, few)
        peer = f"itself, {few:,}"
        target = {peer: "0.9 to 1.1, memory too"}
        yield from compare(f"{name}, {many:,} records", "records/s", long, {peer: short}, target)


def started(taken: Taken, start: float, count: int) -> Taken:
    """What was taken for so many records after the start."""
    return replace(taken, seconds=max(taken.seconds - start, 1e-3), count=count)
