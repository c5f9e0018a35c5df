"""rd-entropy of 500,000 records x 16 beside the paper's way, numpy query by query, and a bare parse."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from measuring import BIN, Options, Row, Side, compare, in_turn, left_out, prepare, worker

MINUTES = (0.2, 4)
DOCS = 16
WORDS = 60


def file(folder: Path, records: int, words: int) -> Path:
    return folder / f"{records}x{DOCS}-{words}-words.jsonl"


def make_records(folder: Path, records: int, words: int) -> None:
    """Write labelled records, with texts of so many words, or none."""
    target = file(folder, records, words)
    prepare(target, *worker("entropy", "write_records", target, records, words))


def write_records(target: str, records: str, words: str) -> None:
    import random

    import orjson

    rng = random.Random(0)
    vocabulary = [
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)
    ]
    part = Path(target + ".part")
    with part.open("wb") as out:
        for number in range(int(records)):
            docs = [{"doc_id": str(rng.randrange(10**6) * DOCS + place)} for place in range(DOCS)]
            for doc in docs:
                if int(words):
                    doc["text"] = " ".join(rng.choices(vocabulary, k=int(words)))
                doc["score"] = round(rng.gauss(0, 3), 4)  # type: ignore[assignment]
            record = {"query_id": str(number), "docs": docs, "teacher": "ce", "score_scale": "logit"}
            out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    part.rename(target)


def paper(path: str) -> None:
    """As the paper's scripts do it: a frame of all scores, its groups one by one, the pairs of each in arrays."""
    import json

    import numpy as np
    import pandas as pd

    rows = []
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            rows += [(record["query_id"], doc["doc_id"], doc["score"]) for doc in record["docs"]]
    frame = pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])

    def entropy(scores: pd.Series) -> float:
        values = scores.to_numpy()
        left, right = np.triu_indices(len(values), k=1)
        p = np.clip(1 / (1 + np.exp(-(values[left] - values[right]))), 1e-12, 1 - 1e-12)
        return float((-p * np.log2(p) - (1 - p) * np.log2(1 - p)).mean())

    print(frame.groupby("query_id")["score"].apply(entropy).mean())


def query_by_query(path: str) -> None:
    """The same with numpy and a fast parser, a query at a time."""
    import numpy as np
    import orjson

    entropies = []
    with open(path, "rb") as lines:
        for line in lines:
            values = np.array([doc["score"] for doc in orjson.loads(line)["docs"]])
            left, right = np.triu_indices(len(values), k=1)
            p = np.clip(1 / (1 + np.exp(-(values[left] - values[right]))), 1e-12, 1 - 1e-12)
            entropies.append((-p * np.log2(p) - (1 - p) * np.log2(1 - p)).mean())
    print(np.mean(entropies))


PARSE = "import sys, orjson\nfor line in open(sys.argv[1], 'rb'): orjson.loads(line)"


def make(options: Options) -> None:
    make_records(options.folder, options.size(500_000, 5_000), words=0)
    make_records(options.folder, options.size(50_000, 1_000), words=WORDS)


def rows(options: Options) -> Iterator[Row]:
    without = options.size(500_000, 5_000), 0
    with_texts = options.size(50_000, 1_000), WORDS
    for (records, words), target in ((without, "≤ 1.3 s; floor"), (with_texts, "≥ 0.83")):
        path = file(options.folder, records, words)
        jobs = [
            Side("rd-entropy", [BIN / "rd-entropy", path]),
            Side("orjson parse", [sys.executable, "-c", PARSE, path]),
        ]
        if not words:
            jobs += [
                Side("paper's way (pandas)", worker("entropy", "paper", path), needs=("pandas",)),
                Side("numpy, query by query", worker("entropy", "query_by_query", path)),
            ]
        taken = in_turn(jobs, options)
        ours = taken.pop("rd-entropy")
        job = f"rd-entropy, {records:,} x {DOCS}" + (f", texts of {words} words" if words else "")
        yield from compare(job, "s", ours, taken, {"orjson parse": target, "paper's way (pandas)": "≥ 30"})
        yield from left_out(job, *jobs)
