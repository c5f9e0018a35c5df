"""rd-eval against trec_eval, through pytrec_eval, on random runs: does every value agree to 1e-9?

    python tests/system/chaos/agreement.py --runs 10000 --seed 0

Runs have ties, queries that only one side knows, single documents, negative grades, and ids that sort as
strings; they come as TREC runs, TSV or records, their lines in any order, and are evaluated with and without
what trec_eval calls -c, -l and -M. The last line counts the runs that disagree.
"""

# pytrec_eval holds scores as float32, as trec_eval did up to 9.0.7 and rd-eval does; trec_eval 10 holds them as
# float64, so that scores which differ by less than a float32 tells apart are ties here and none there. Both
# read uninitialised memory for a query whose grades are all negative, which rd-eval counts as zero.

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytrec_eval

from rdtools.cli.eval import evaluate
from rdtools.core.log import log
from rdtools.evaluate.options import (
    BaselineOptions,
    ComparisonOptions,
    EquivalenceOptions,
    MeasureOptions,
    RunOptions,
    TableOptions,
)
from rdtools.formats import Reading

TOLERANCE = 1e-9
QUERIES = ["1", "2", "9", "10", "q", "é", "Q-7", "😀"]
DOCUMENTS = [*map(str, range(1, 160)), "d", "D", "d1", "01", "é", "漢", "😀", "\uffee", "_", "~"]
Docs = dict[str, float]
Values = dict[tuple[str, str], float | None]
"""(query_id, or "" for the mean; measure) -> value."""


@dataclass(frozen=True)
class Trial:
    """A run, judgements, and how they are evaluated."""

    run: dict[str, Docs]
    qrels: dict[str, dict[str, int]]
    form: str
    level: int
    depth: int | None
    run_queries_only: bool
    k: int

    @property
    def names(self) -> dict[str, str]:
        """rd-eval's measures, the default ones first -> those of trec_eval; RR@10 is made of recip_rank."""
        rel = f"(rel={self.level})" if self.level > 1 else ""
        return {
            "nDCG@10": "ndcg_cut_10", f"RR{rel}@10": "recip_rank", f"AP{rel}": "map", f"R{rel}@100": "recall_100",
            "nDCG": "ndcg", f"RR{rel}": "recip_rank", f"nDCG@{self.k}": f"ndcg_cut_{self.k}",
            f"AP{rel}@{self.k}": f"map_cut_{self.k}", f"P{rel}@{self.k}": f"P_{self.k}",
            f"R{rel}@{self.k}": f"recall_{self.k}", f"Success{rel}@{self.k}": f"success_{self.k}",
            "NumRet": "num_ret",
        }  # fmt: skip


def draw(rng: random.Random) -> Trial:
    values = rng.choice([
        lambda: rng.choice([0.0, 1.0, 2.5, -1.5]),
        lambda: float(rng.randint(-3, 3)),
        lambda: rng.choice([1.0, 1.000000001, 16777216.0, 16777217.0, 1e-50, -1e-50, 3e38]),
        lambda: round(rng.gauss(10, 4), 2),
        lambda: rng.gauss(0, 1),
    ])  # fmt: skip
    grades = rng.choice([(0, 1), (0, 1, 2, 3), (-2, -1, 0, 1, 2), (-1, 0), (1, 2, 3, 4)])

    def documents() -> list[str]:
        return rng.sample(DOCUMENTS, rng.choice([1, 1, 2, 3, 5, 8, 15, 30, 140]))

    def judgements() -> dict[str, int]:
        first, *others = documents()
        return {first: max(0, rng.choice(grades)), **{d: rng.choice(grades) for d in others}}

    return Trial(
        run={q: {d: values() for d in documents()} for q in rng.sample(QUERIES, rng.randint(0, 6))},
        qrels={q: judgements() for q in rng.sample(QUERIES, rng.randint(1, 6))},
        form=rng.choice(["trec", "tsv", "records"]),
        level=rng.choice([1, 1, 2, 3, 4]),
        depth=rng.choice([None, None, 1, 2, 5, 10, 100]),
        run_queries_only=rng.random() < 0.4,
        k=rng.choice([1, 2, 3, 5, 7, 20, 100, 1000]),
    )  # fmt: skip


def theirs(trial: Trial) -> Values:
    """What trec_eval says, query by query and in the mean, with -c unless `run_queries_only`."""
    run = trial.run
    if trial.depth is not None:  # pytrec_eval has no -M, which cuts what is sorted
        run = {query_id: dict(_sorted(docs)[: trial.depth]) for query_id, docs in run.items()}
    evaluator = pytrec_eval.RelevanceEvaluator(
        trial.qrels, set(trial.names.values()), relevance_level=trial.level
    )
    found = evaluator.evaluate(run) if run else {}
    queries = [query_id for query_id in trial.qrels if query_id in run or not trial.run_queries_only]
    values: Values = {}
    for name, theirs in trial.names.items():
        of_query = {query_id: found.get(query_id, {}).get(theirs, 0.0) for query_id in queries}
        if name.startswith("RR") and name.endswith("@10"):
            of_query = {query_id: value * (value >= 1 / 10) for query_id, value in of_query.items()}
        values.update({(query_id, name): value for query_id, value in of_query.items()})
        count = 1 if name == "NumRet" else len(queries)
        values["", name] = sum(of_query.values()) / count if queries else None
    return values


def _sorted(docs: Docs) -> list[tuple[str, float]]:
    return sorted(docs.items(), key=lambda item: (np.float32(item[1]), item[0].encode()), reverse=True)


def ours(trial: Trial, folder: Path, rng: random.Random) -> Values:
    """What rd-eval prints."""
    run, qrels = folder / "run", folder / "qrels"
    rows = [(query_id, *item) for query_id, docs in trial.run.items() for item in docs.items()]
    rng.shuffle(rows)
    if trial.form == "records":  # a query may stand in several
        lines = [json.dumps({"query_id": q, "docs": [{"doc_id": d, "score": s}]}) for q, d, s in rows]
    elif trial.form == "tsv":
        lines = [f"{q}\t{d}\t{s!r}" for q, d, s in rows]
    else:
        rows = sorted(rows) if rng.random() < 0.5 else rows
        lines = [f"{q} Q0 {d} {rank} {s!r} tag" for rank, (q, d, s) in enumerate(rows)]
    run.write_text("".join(f"{line}\n" for line in lines))
    judged = [f"{q} 0 {d} {grade}\n" for q, grades in trial.qrels.items() for d, grade in grades.items()]
    rng.shuffle(judged)
    qrels.write_text("".join(judged))
    values: Values = {}
    for by_query in (True, False):
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as out:
            evaluate(
                RunOptions(qrels=str(qrels), runs=(str(run),)),
                MeasureOptions(
                    allow_empty=True,
                    measures=tuple(trial.names), depth=trial.depth, run_queries_only=trial.run_queries_only
                ),
                TableOptions(by_query=by_query, format="jsonl"),
                BaselineOptions(), ComparisonOptions(), EquivalenceOptions(), Reading(),
            )  # fmt: skip
            printed = out.buffer.getvalue()
        for row in map(json.loads, printed.splitlines()):
            values[row.get("query_id", ""), row["measure"]] = row["value"]
    return values


def differ(one: Mapping[tuple[str, str], float | None], two: Mapping[tuple[str, str], float | None]) -> bool:
    if one.keys() != two.keys():
        return True
    pairs = ((value, two[key]) for key, value in one.items())
    return any(a != b if a is None or b is None else not abs(a - b) <= TOLERANCE for a, b in pairs)


def disagreements(runs: int, seed: int) -> int:
    """Compare so many runs; return how many disagree, and describe these on stderr."""
    before = log.level
    log.setLevel("ERROR")
    count = 0
    with tempfile.TemporaryDirectory(prefix="rdtools-") as folder:
        for number in range(runs):
            rng = random.Random(f"{seed} {number}")
            trial = draw(rng)
            expected, printed = theirs(trial), ours(trial, Path(folder), rng)
            if differ(expected, printed):
                count += 1
                wrong = {key: (printed.get(key), expected.get(key)) for key in {**expected, **printed}
                         if printed.get(key) != expected.get(key)}  # fmt: skip
                print(f"run {number} of seed {seed}: rd-eval, trec_eval {wrong}\n  {trial}", file=sys.stderr)
    log.setLevel(before)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for what, default in (("runs", 10_000), ("seed", 0)):
        parser.add_argument(f"--{what}", type=int, default=default, metavar="N")
    given = parser.parse_args()
    count = disagreements(given.runs, given.seed)
    print(f"disagreements with trec_eval: {count:,} / {given.runs:,} runs compared")
    sys.exit(count > 0)


if __name__ == "__main__":
    main()
