"""Time and memory of rd-eval beside its peers: whole commands on the same synthetic run, both sides in turn.

    python tests/benchmarks/eval.py [--repeats 5] [--queries 100 7000] [--depth 1000]

Peers are the command of ir_measures, a program that reads the run as pytrec_eval's documentation does, and
trec_eval where one is on PATH. The run of 7,000 queries is
250 MB. What each printed stands below the table, for comparison.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
MEASURES = ["nDCG@10", "RR@10", "AP", "R@100"]
PYTREC_EVAL = """
import sys, pytrec_eval
with open(sys.argv[1]) as file:
    qrels = pytrec_eval.parse_qrel(file)
with open(sys.argv[2]) as file:
    run = pytrec_eval.parse_run(file)
names = {"ndcg_cut_10", "recip_rank", "map", "recall_100"}
values = pytrec_eval.RelevanceEvaluator(qrels, names).evaluate(run)
for name in sorted(names):
    print(name, pytrec_eval.compute_aggregated_measure(name, [own[name] for own in values.values()]), sep="\\t")
"""


def write_collection(folder: Path, queries: int, depth: int) -> tuple[Path, Path]:
    """Write judgements (20 a query, half of them found) and a run with descending scores, a few of them tied."""
    rng = random.Random(0)
    qrels, run = folder / f"{queries}.qrels", folder / f"{queries}.run"
    with qrels.open("w") as judged, run.open("w") as found:
        for query in range(queries):
            doc_ids = rng.sample(range(8_841_823), depth)
            for doc_id in [*rng.sample(doc_ids, 10), *rng.sample(range(8_841_823), 10)]:
                judged.write(f"{query} 0 {doc_id} {rng.randint(0, 3)}\n")
            score = 40.0
            for rank, doc_id in enumerate(doc_ids, start=1):
                score -= rng.choice([0.0, *[0.001 * step for step in range(1, 40)]])
                found.write(f"{query} Q0 {doc_id} {rank} {score:.6f} bm25\n")
    return qrels, run


def commands(qrels: Path, run: Path) -> dict[str, list[str]]:
    peers = {
        "ir_measures": [str(BIN / "ir_measures"), str(qrels), str(run), *MEASURES],
        "pytrec_eval": [sys.executable, "-c", PYTREC_EVAL, str(qrels), str(run)],
    }
    if trec_eval := shutil.which("trec_eval"):
        names = ["ndcg_cut.10", "recip_rank", "map", "recall.100"]
        peers["trec_eval"] = [
            trec_eval, "-c", *(word for name in names for word in ("-m", name)), str(qrels), str(run),
        ]  # fmt: skip
    return {"rd-eval": [str(BIN / "rd-eval"), str(qrels), str(run), "--places", "6"], **peers}


def measured(command: list[str]) -> tuple[float, float, str]:
    """Seconds, peak memory in MB and output of one run of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with status {process.returncode}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024, output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--queries", type=int, nargs="+", default=[100, 7000])
    parser.add_argument("--depth", type=int, default=1000)
    arguments = parser.parse_args()
    print("job\tcommand\tseconds\tours/theirs\tpeak MB")
    with tempfile.TemporaryDirectory() as folder:
        for queries in arguments.queries:
            jobs = commands(*write_collection(Path(folder), queries, arguments.depth))
            taken: dict[str, list[tuple[float, float, str]]] = {name: [] for name in jobs}
            for _ in range(arguments.repeats):
                for name, command in jobs.items():
                    taken[name].append(measured(command))
            medians = {name: statistics.median(row[0] for row in rows) for name, rows in taken.items()}
            for name, rows in taken.items():
                ratio = f"{medians['rd-eval'] / medians[name]:.2f}"
                peak = f"{max(row[1] for row in rows):.0f}"
                job = f"{queries} x {arguments.depth}"
                print(job, name, f"{medians[name]:.3f}", ratio, peak, sep="\t", flush=True)
            for name, rows in taken.items():
                print(f"# {name}: {' '.join(rows[0][2].split())}")


if __name__ == "__main__":
    main()
