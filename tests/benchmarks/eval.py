"""rd-eval of a run of 7 million lines beside ir_measures, pytrec_eval and trec_eval (where it is on PATH)."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from measuring import BIN, Options, Row, Side, compare, in_turn, left_out, prepare, worker

MINUTES = (0.2, 3)
DEPTH = 1000
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


def files(folder: Path, queries: int, depth: int) -> tuple[Path, Path]:
    stem = folder / f"{queries}x{depth}"
    return stem.with_suffix(".qrels"), stem.with_suffix(".run")


def make_run(folder: Path, queries: int, depth: int) -> None:
    qrels, run = files(folder, queries, depth)
    prepare(run, *worker("eval", "write_run", queries, depth, qrels, run))


def write_run(queries: str, depth: str, qrels: str, run: str) -> None:
    """Write judgements (20 a query, half of them found) and a run with descending scores, a few of them tied."""
    rng = random.Random(0)
    ids = range(8_841_823)
    with open(qrels, "w") as judged, open(run + ".part", "w") as found:
        for query in range(int(queries)):
            doc_ids = rng.sample(ids, int(depth))
            for doc_id in [*rng.sample(doc_ids, 10), *rng.sample(ids, 10)]:
                judged.write(f"{query} 0 {doc_id} {rng.randint(0, 3)}\n")
            score = 40.0
            for rank, doc_id in enumerate(doc_ids, start=1):
                score -= rng.choice([0.0, *[0.001 * step for step in range(1, 40)]])
                found.write(f"{query} Q0 {doc_id} {rank} {score:.6f} bm25\n")
    Path(run + ".part").rename(run)


def sides(qrels: Path, run: Path) -> list[Side]:
    """Whole commands; ours is the first."""
    both = [
        Side("rd-eval", [BIN / "rd-eval", qrels, run, "--places", 6, *_options(MEASURES)]),
        Side("ir_measures", [BIN / "ir_measures", qrels, run, *MEASURES], needs=("ir_measures",)),
        Side("pytrec_eval", [sys.executable, "-c", PYTREC_EVAL, qrels, run], needs=("pytrec_eval",)),
    ]
    if trec_eval := shutil.which("trec_eval"):
        names = _options(["ndcg_cut.10", "recip_rank", "map", "recall.100"])
        both.append(Side("trec_eval", [trec_eval, "-c", *names, qrels, run]))
    return both


def _options(names: list[str]) -> list[str]:
    return [word for name in names for word in ("-m", name)]


def make(options: Options) -> None:
    make_run(options.folder, options.size(7000, 200), DEPTH)


def rows(options: Options) -> Iterator[Row]:
    queries = options.size(7000, 200)
    jobs = sides(*files(options.folder, queries, DEPTH))
    taken = in_turn(jobs, options)
    ours = taken.pop("rd-eval")
    job = f"rd-eval, {queries * DEPTH / 1e6:g}M lines"
    yield from compare(job, "s", ours, taken, {"trec_eval": "≥ 1, memory too; try for 3"})
    yield from left_out(job, *jobs)
    if "trec_eval" not in taken:
        yield Row(job, "trec_eval", "not measured: it is not on PATH", "", "", "≥ 1, memory too; try for 3")
