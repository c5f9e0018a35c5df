"""rd-eval: judgements and runs to effectiveness, with tests of difference and of equivalence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdtools.cli import options
from rdtools.cli.door import door, need_input
from rdtools.errors import RdError, UsageError
from rdtools.formats import Reading
from rdtools.log import log, plural
from rdtools.registry import check_name, resolve
from rdtools.streams import STDIN, open_output

if TYPE_CHECKING:
    from rdtools.measures import Run, Values
    from rdtools.records import Qrels

TESTS = {
    "t": "rdtools.significance:t_test",
    "wilcoxon": "rdtools.significance:wilcoxon",
    "permutation": "rdtools.significance:permutation_test",
    "bootstrap": "rdtools.significance:bootstrap_test",
}
CORRECTIONS = {
    "holm": "rdtools.significance:holm",
    "bonferroni": "rdtools.significance:bonferroni",
    "none": "rdtools.significance:uncorrected",
}
FORMATS = ("tsv", "jsonl", "markdown", "latex")
Rows = list[dict[str, Any]]


def evaluate(
    qrels: Annotated[
        str,
        typer.Argument(
            metavar="QRELS", help="Judgements (TREC, BEIR TSV, records) or a dataset (DIR:test, pydoc:test)."
        ),
    ],
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs; - or no RUN is standard input.", show_default=False),
    ] = None,
    measures: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            metavar="MEASURE",
            help="A measure by its ir-measures name: nDCG@10, 'AP(rel=2)'; may be repeated.  "
            "[default: nDCG@10 RR@10 AP R@100]",
            show_default=False,
        ),
    ] = None,
    by_query: Annotated[bool, typer.Option("--by-query", "-q", help="Print each query's values.")] = False,
    format: Annotated[
        str,
        options.choice(
            "--format", "-f", names=FORMATS, kind="format", metavar="|".join(FORMATS), help="Output format."
        ),
    ] = "tsv",
    places: Annotated[
        int, typer.Option("--places", min=-1, metavar="N", help="Decimals (-1: all; jsonl always has all).")
    ] = 4,
    run_queries_only: Annotated[
        bool,
        typer.Option("--run-queries-only", help="Leave out what a run lacks, as trec_eval without -c."),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="RUN", help="Test all runs against this one (name or file)."),
    ] = None,
    test: Annotated[
        str | None,
        options.choice(
            "--test", names=TESTS, kind="test", metavar="|".join(TESTS),
            help="Paired, two-sided test against the baseline.  [default: t]",
        ),
    ] = None,
    correction: Annotated[
        str | None,
        options.choice(
            "--correction", names=CORRECTIONS, kind="correction", metavar="|".join(CORRECTIONS),
            help="Correction of p, over all runs and measures of the call.  [default: holm]",
        ),
    ] = None,
    equivalence: Annotated[
        float | None,
        typer.Option("--equivalence", metavar="BOUND", help="Letter runs equivalent within BOUND (TOST)."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", metavar="A", help="Level of the equivalence tests.  [default: 0.05]"),
    ] = None,
    seed: options.Seed = 0,
    input_format: options.InputFormat = None,
    on_error: options.OnError = "fail",
    max_line: options.MaxLine = options.MAX_LINE,
    output: options.Output = None,
) -> None:  # fmt: skip
    """Evaluate runs against relevance judgements.

    \b
    Examples:
      rd-mine --dataset pydoc:test -n all | rd-eval pydoc:test
      rd-eval qrels.txt bm25.run student.run -m nDCG@10 -m "AP(rel=2)" --baseline bm25
      rd-eval qrels.txt *.run -f latex --equivalence 0.01

    A run is a TREC run, TSV (query_id, doc_id, score), an MS MARCO run or records, its lines in any order;
    documents that rd-mine added from the qrels, rather than found, do not count. A run is named by its
    file, without folder and extension, and on standard input by its tag. The output is run, measure,
    value, and with -q run, query_id, measure, value; markdown and latex have one row a run and one column
    a measure, the best value bold.

    Values are trec_eval's for every measure: documents go by score as a float32, ties by larger doc_id.
    All judged queries count, those that a run lacks as zero; queries without judgements are ignored.
    The qrels and one run at a time are held in memory.

    --baseline adds delta (run minus baseline), p and p_corrected: t is Student's, wilcoxon the signed-rank
    test, permutation flips signs 100,000 times, and bootstrap (studentised; Sakai 2006) draws 10,000 times,
    both from --seed. --equivalence adds letters: two runs share one where two one-sided paired t-tests
    both have p < --alpha. The bound has the unit of the measures; fix it before you look.
    """
    _check_combination(by_query, baseline, test, correction, equivalence, alpha)
    from rdtools import measures as room

    parsed = room.parse_measures(measures or room.DEFAULT_MEASURES)
    paths = need_input(runs) or [STDIN]
    if baseline is not None and baseline not in [*paths, *room.run_names(paths)] and os.path.isfile(baseline):
        paths = [baseline, *paths]
    judged = _read_qrels(qrels, Reading(max_line=max_line, on_error=on_error))
    evaluator = room.Evaluator(parsed, judged)
    reading = Reading(input_format, max_line, on_error)
    values: dict[str, Values] = {}
    for path, name in zip(paths, room.run_names(paths), strict=True):
        run = room.read_run(path, judged, reading)
        name = name or run.tag
        if not name:  # nothing came in
            log.warning("<stdin>: no run")
            continue
        if name in values:
            raise UsageError(f"two runs are called {name}")
        if path == baseline:
            baseline = name
        values[name] = evaluator(run, run_queries_only=run_queries_only)
        _report(name, run, judged)

    if by_query:
        rows = list(room.query_rows(values))
    else:
        rows = room.mean_rows({name: evaluator.aggregate(by_measure) for name, by_measure in values.items()})
    if baseline is not None:
        _add_tests(rows, values, check_name(values, baseline, "run"), test or "t", correction or "holm", seed)
    if equivalence is not None and rows:
        _add_letters(rows, values, equivalence, 0.05 if alpha is None else alpha)
    _write(rows, format, places, output)


def _check_combination(
    by_query: bool, baseline: str | None, test: str | None, correction: str | None,
    equivalence: float | None, alpha: float | None,
) -> None:  # fmt: skip
    if by_query and (baseline is not None or equivalence is not None):
        raise UsageError("--by-query prints values, not tests (leave out --baseline and --equivalence)")
    if baseline is None and (test or correction):
        raise UsageError(f"{'--test' if test else '--correction'} needs --baseline")
    if equivalence is None and alpha is not None:
        raise UsageError("--alpha needs --equivalence")
    if equivalence is not None and not 0 < equivalence < float("inf"):
        raise UsageError(f"--equivalence must be above 0, not {equivalence:g}")
    if alpha is not None and not 0 < alpha < 1:
        raise UsageError(f"--alpha must lie between 0 and 1, not {alpha:g}")


def _read_qrels(qrels: str, reading: Reading) -> Qrels:
    """Read judgements from a file, and where there is none of that name, from a dataset."""
    if os.path.exists(qrels) and not os.path.isdir(qrels):
        from rdtools.formats.qrels import read_qrels

        judged = read_qrels(qrels, reading)
    else:
        from rdtools.collections import load_qrels

        try:
            judged = load_qrels(qrels)
        except UsageError as error:
            raise UsageError(f"{qrels}: no such file; {error}") from None
    if not judged:
        raise RdError(f"{qrels}: no judgements")
    return judged


def _report(name: str, run: Run, judged: Qrels) -> None:
    missing = len(judged) - len(run.rankings)
    if not run.rankings:
        log.warning("%s: none of the judged queries is in the run", name)
    elif missing:
        log.info("%s: %s of %s not in the run", name, f"{missing:,}", plural(len(judged), "judged query"))
    if run.unjudged:
        log.info("%s: %s without judgements ignored", name, plural(run.unjudged, "query"))


def _add_tests(
    rows: Rows, values: dict[str, Values], baseline: str, test: str, correction: str, seed: int
) -> None:
    from rdtools.significance import compare

    correct = resolve(CORRECTIONS, correction, "correction")
    p_values = compare(values, baseline, resolve(TESTS, test, "test"), correct, seed)
    reference = {row["measure"]: row["value"] for row in rows if row["run"] == baseline}
    for row in rows:
        p, corrected = p_values.get((row["run"], row["measure"]), (None, None))
        delta = None if p is None else row["value"] - reference[row["measure"]]
        row.update(delta=delta, p=p, p_corrected=corrected)


def _add_letters(rows: Rows, values: dict[str, Values], bound: float, alpha: float) -> None:
    from rdtools.significance import equivalence_letters

    letters = equivalence_letters(values, bound, alpha)
    for row in rows:
        row["equivalent"] = letters[row["run"], row["measure"]]


def _write(rows: Rows, format: str, places: int, output: str | None) -> None:
    from rdtools import tables

    if format == "jsonl":
        lines = list(map(tables.jsonl, rows))
    elif format == "tsv":
        lines = [tables.tsv(tables.cell(*item, places) for item in row.items()) for row in rows]
    else:
        style = tables.MARKDOWN if format == "markdown" else tables.LATEX
        lines = [tables.by_measure(rows, style, places)] if rows else []
    with open_output(output) as out:
        out.write(b"".join(lines))


main = door("rd-eval", evaluate)
