"""Which learning rate, length, batch and temperature train well? A grid on held-back queries.

    python examples/settings/grid.py FOLDER --dataset scifact --model sentence-transformers/all-MiniLM-L6-v2
    python examples/settings/grid.py FOLDER ... --blocks rates,steps --seeds 0,1,2 --jobs 2

The train queries are split: four fifths to fit, a fifth (at most 200) to measure. The test queries are not
used. A bi-encoder searches 2,000 documents: the relevant ones, BM25's first ten of each query, and others. A
cross-encoder re-ranks BM25's first 30. Each run is a line of FOLDER/rows.jsonl; a call goes on where an
earlier one stopped.
"""

import argparse
import hashlib
import json
import os
import random
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product
from pathlib import Path

from rdtools.data.datasets import open_dataset

LOSSES = ("lce", "kl", "margin-mse")
LABELS = {  # name -> how the documents are mined, and the teachers besides the model
    "cosine": ("--from bm25", ""),
    "zscore": ("--from bm25", "--teacher bm25 --normalize zscore"),
    "random": ("--from random", ""),
    "mixed": ("--from bm25 --from random --depth 50", ""),
    "dense": ("--from dense:{model}", ""),
}
SHAPE = "--group-size 8 --batch-size 8 --max-steps 100"
TWO = f"be cosine --layers 2 {SHAPE}"
TEMPERATURES = {
    "cosine": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
    "zscore": (0.1, 0.2, 0.35, 0.45, 0.55, 0.75, 1, 1.33, 1.5),
}
BLOCKS = {  # runs: kind of student, labels, options of rd-train (of a repeated option the last one counts)
    "rates": [
        *(f"{TWO} --loss {loss} --lr {lr}" for loss, lr in product(LOSSES, (5e-5, 1e-4, 2e-4, 4e-4, 8e-4))),
        *(
            f"be zscore {SHAPE} --loss {loss} --lr {lr}"
            for loss, lr in product(LOSSES, (2e-5, 5e-5, 1e-4, 2e-4, 4e-4))
        ),
    ],
    "cross": [
        f"ce zscore {SHAPE} --max-steps 300 --loss {loss} --lr {lr}"
        for loss, lr in product(LOSSES, (1e-4, 2e-4, 4e-4))
    ],
    "temperature": [
        f"be {labels} --layers 2 {SHAPE} --loss kl --lr 2e-4 --teacher-temperature {temperature}"
        for labels, grid in TEMPERATURES.items()
        for temperature in grid
    ],
    "steps": [f"{TWO} --max-steps 300 --loss {loss} --lr {lr}" for loss, lr in product(LOSSES, (2e-4, 4e-4))],
    "shape": [
        f"{TWO} --group-size {group} --batch-size {batch} --max-steps {steps} --loss {loss} --lr 3e-4"
        for loss in ("lce", "kl")
        for group, batch, steps in ((4, 16, 100), (8, 8, 100), (16, 4, 100), (8, 4, 200), (16, 8, 100))
    ],
    "warmup": [
        f"{TWO} --warmup {share} --loss {loss} --lr 3e-4"
        for loss, share in product(("lce", "kl"), (0, 0.05, 0.1, 0.2))
    ],
    "layers": [
        f"{TWO} --layers {layers} --loss {loss} --lr 3e-4"
        for loss, layers in product(("lce", "kl"), ("2", "3", "0,5"))
    ],
    "pools": [
        f"be {labels} --layers 2 {SHAPE} --loss {loss} --lr 2e-4"
        for loss, labels in product(LOSSES, ("random", "mixed", "dense"))
    ],
}


def command(folder, model, run):
    """Return the command line of a run."""
    kind, labels, *options = run.split()
    dev, length = (f"{folder}/dev30.jsonl", 160) if kind == "ce" else (f"{folder}/small:dev", 128)
    steps = int(options[len(options) - options[::-1].index("--max-steps")])
    scale = ["--score-scale", "logit"] if labels == "zscore" else []
    line = (
        f"rd-train --quiet {folder}/{labels}.jsonl --dataset {folder}/whole --student {kind}:{model} "
        f"--dev {dev} --dev-every {max(25, steps // 4)} --query-max-len 48 --doc-max-len {length} "
        f"--overwrite -o {folder}/"
    )
    return [*(line + "run-" + hashlib.sha256(run.encode()).hexdigest()[:12]).split(), *scale, *options]


def prepare(folder, dataset, model):
    """Write the split, the small corpus and the labelled documents of the queries to fit."""
    whole, small, dev30 = folder / "whole", folder / "small", folder / "dev30.jsonl"
    mine = f"rd-mine --quiet --index {folder}/index --dataset {whole}"
    if not dev30.exists():
        train = open_dataset(f"{dataset}:train")
        docs, qrels = dict(train.documents()), train.qrels()
        queries = [{"_id": record["query_id"], "text": record["query"]} for record in train.queries()]
        held_back = {query for query in qrels if hashlib.md5(query.encode()).digest()[0] % 5 == 0}
        dev = {query: qrels[query] for query in [each for each in qrels if each in held_back][:200]}
        fit = {query: judged for query, judged in qrels.items() if query not in held_back}
        write(whole, docs, queries, {"fit": fit, "dev": dev})
        shell(f"{mine}:dev --from bm25 --depth 30 -n all -f jsonl -o {dev30}")
        first = (json.loads(line)["docs"][:10] for line in dev30.read_text().splitlines())
        kept = {doc["doc_id"] for doc in chain(*first)} | set(chain(*dev.values()))
        others = [doc_id for doc_id in docs if doc_id not in kept]
        random.Random(0).shuffle(others)
        kept |= set(others[: max(0, 2000 - len(kept))])
        write(small, {doc_id: docs[doc_id] for doc_id in docs if doc_id in kept}, queries, {"dev": dev})
    for labels, (sources, teachers) in LABELS.items():
        target = folder / f"{labels}.jsonl"
        if not target.exists():
            label = (
                f"rd-label --quiet --index {folder}/index --dataset {whole} --teacher be:{model} {teachers}"
            )
            shell(f"{mine}:fit {sources.format(model=model)} --no-text | {label} -o {target}")


def write(folder, docs, queries, splits):
    """Write a folder in BEIR layout."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    texts = ({"_id": doc_id, "text": text} for doc_id, text in docs.items())
    for name, rows in (("corpus", texts), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, qrels in splits.items():
        lines = (f"{query}\t{doc}\t{grade}\n" for query in qrels for doc, grade in qrels[query].items())
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))


def shell(line):
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--blocks", default=",".join(BLOCKS), help="default: %(default)s")
    parser.add_argument("--seeds", default="0", help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--list", action="store_true", help="print the command lines instead of running them")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    given.folder.mkdir(parents=True, exist_ok=True)
    prepare(given.folder, given.dataset, given.model)
    rows = given.folder / "rows.jsonl"
    done = {json.loads(line)["run"] for line in rows.read_text().splitlines()} if rows.exists() else set()

    def measure(run):
        line = command(given.folder, given.model, run)
        printed = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        found = [json.loads(each) for each in printed]
        curve = [
            [each["step"], round(each["dev"], 4)] for each in found if "dev" in each and "loss" not in each
        ]
        with open(rows, "a") as file:
            file.write(json.dumps({"run": run, "dataset": given.dataset, "curve": curve[:-1]}) + "\n")

    blocks = [BLOCKS[name] for name in given.blocks.split(",")]
    runs = [f"{run} --seed {seed}" for seed in given.seeds.split(",") for run in chain(*blocks)]
    left = [run for run in dict.fromkeys(runs) if run not in done]
    if given.list:
        print("\n".join(shlex.join(command(given.folder, given.model, run)) for run in left))
        return
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(measure, left))


if __name__ == "__main__":
    main()
