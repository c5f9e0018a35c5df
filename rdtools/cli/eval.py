"""rd-eval: judgements and runs to effectiveness, with tests of difference and of equivalence."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdtools.cli import old_options as options
from rdtools.cli.old_command import entry_point, need_input
from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log, plural
from rdtools.core.output import open_output
from rdtools.core.registry import check_name, resolve
from rdtools.core.streams import STDIN
from rdtools.formats import Reading

if TYPE_CHECKING:
    from rdtools.core.records import Qrels
    from rdtools.evaluate.layout import Layout
    from rdtools.evaluate.rankings import Run
    from rdtools.evaluate.systems import Names, System

TESTS = {
    "t": "rdtools.evaluate.significance:t_test",
    "wilcoxon": "rdtools.evaluate.significance:wilcoxon",
    "permutation": "rdtools.evaluate.significance:permutation_test",
    "bootstrap": "rdtools.evaluate.significance:bootstrap_test",
}
CORRECTIONS = {
    "holm": "rdtools.evaluate.significance:holm",
    "bonferroni": "rdtools.evaluate.significance:bonferroni",
    "none": "rdtools.evaluate.significance:uncorrected",
}
GRIDS = ("markdown", "latex")
FORMATS = ("tsv", "jsonl", *GRIDS)
Rows = list[dict[str, Any]]


def evaluate(
    qrels: Annotated[
        str,
        typer.Argument(
            metavar="QRELS",
            help="Judgements (TREC, BEIR TSV, records) or a dataset (DIR:test, pydoc:test); "
            "may name fields of --fields, as in 'qrels/{collection}.txt'.",
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
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--fields",
            metavar="PATTERN",
            help="Read fields from names of runs, as in '{run}-s{seed}'; repeated: the first that fits.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="A,B", help="Fields down the side of a markdown or latex table."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B", help="Fields across its top, outermost first."),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", min=1, metavar="N", help="Cut rankings after N documents, as trec_eval -M."),
    ] = None,
    run_queries_only: Annotated[
        bool,
        typer.Option("--run-queries-only", help="Leave out what a run lacks, as trec_eval without -c."),
    ] = False,
    ignore_identical_ids: Annotated[
        bool,
        typer.Option("--ignore-identical-ids", help="Leave out a document that has the query's own id."),
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
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="A,B", help="Letter only runs that agree in these fields together."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", metavar="A", help="Level of the equivalence tests.  [default: 0.05]"),
    ] = None,
    paper_compat: Annotated[
        bool,
        typer.Option("--paper-compat", help="Letter runs as the tables of arXiv 2505.21058 do (see above)."),
    ] = False,
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
      rd-eval qrels.txt runs/*.run --fields '{loss}-{source}-s{seed}' --columns source -f latex

    A run is a TREC run, TSV (query_id, doc_id, score), an MS MARCO run or records, its lines in any order;
    documents that rd-mine added from the qrels, rather than found, do not count. A run is named by its
    file, without folder and extension, and on standard input by its tag. The output is run, measure,
    value, and with -q run, query_id, measure, value; markdown and latex have one row a run and one column
    a measure, the best value bold.

    Values are trec_eval's for every measure: documents go by score as a float32, ties by larger doc_id.
    All judged queries count, those that a run lacks as zero; queries without judgements are ignored.
    Memory holds the qrels, and of a TREC file in which each query's lines are together only the documents
    that are judged; of other runs, one whole run at a time.

    --fields reads fields from the end of a run's path. Three have a meaning. Runs that differ only in {seed},
    a number, are one system: its value is the mean over seeds, then come their deviation (n-1) and count.
    {collection} keeps apart runs with judgements of their own, which QRELS says: rd-eval
    'qrels/{collection}.txt' runs/*/*.trec --fields '{collection}/{loss}-{source}-{student}-s{seed}'. {run}
    is the name, or else the other fields joined by -. In tsv and jsonl fields follow the run's name.
    --columns collection,student makes of it the rows loss, source and the columns collection, student,
    measure. LaTeX needs the packages booktabs and, with several fields down the side, multirow.

    --baseline adds delta (run minus baseline), p and p_corrected: t is Student's, wilcoxon the signed-rank
    test, permutation flips signs 100,000 times, and bootstrap (studentised; Sakai 2006) draws 10,000 times,
    both from --seed. --equivalence adds letters: two runs of a collection share one where two one-sided
    paired t-tests both have p < --alpha. The bound has the unit of the measures; fix it before you look.
    With seeds, an observation is a query's mean over them. t and the equivalence test add to the variance
    over queries what the seeds bring (quasi-t, Satterthwaite's degrees of freedom); the other tests do not,
    and hold for the runs given, not for further seeds.

    --paper-compat letters without a test of equivalence: unpaired tests, as bound 0.1 % of the observed
    difference (or --equivalence BOUND: the paper's BEIR tables have 0.01), two runs linked where both
    one-sided p exceed --alpha (default 0.1), a letter for each connected set of linked runs.
    """
    _check_combination(by_query, baseline, test, correction, equivalence, alpha, within, fields, paper_compat)
    if (rows or columns) and (by_query or format not in GRIDS):
        raise UsageError("--rows and --columns lay out means in markdown or latex (-f, without -q)")
    from rdtools.evaluate import systems as room
    from rdtools.evaluate.measures import DEFAULT_MEASURES, Evaluator, parse_measures
    from rdtools.evaluate.rankings import read_run
    from rdtools.evaluate.systems import run_names

    parsed = parse_measures(measures or DEFAULT_MEASURES)
    names = room.Names(fields) if fields else None
    layout = _layout(names, _words(rows), _words(columns), by_query) if format in GRIDS else None
    reading = Reading(input_format=input_format, max_line=max_line, on_error=on_error)
    paths = need_input(runs) or [STDIN]
    if baseline is not None and baseline not in [*paths, *run_names(paths)] and _is_file(baseline):
        same = [path for path in paths if os.path.realpath(path) == os.path.realpath(baseline)]
        paths, baseline = (paths, same[0]) if same else ([baseline, *paths], baseline)

    @functools.cache
    def evaluator(file: str) -> Evaluator:
        return Evaluator(parsed, _read_qrels(file, replace(reading, input_format=None)))

    by_path: dict[str, System] = {}
    for path, name in zip(paths, run_names(paths), strict=True):
        known = names.read(path) if names else {"run": name}
        evaluate_run = evaluator(room.fill(qrels, known) if names else qrels)
        run = read_run(path, evaluate_run.qrels, reading, ignore_identical_ids)
        run = run if depth is None else run.cut(depth)
        known["run"] = known["run"] or run.tag
        if not known["run"]:  # nothing came in
            log.warning("<stdin>: no run")
            continue
        _report(name or run.tag, run, evaluate_run.qrels)
        values = evaluate_run(run, run_queries_only=run_queries_only)
        by_path[path] = room.add_run(by_path.values(), known, evaluate_run, values)

    systems = list(dict.fromkeys(by_path.values()))
    table = list(room.query_rows(systems, names)) if by_query else room.mean_rows(systems, names)
    if baseline is not None:
        name = by_path[baseline].name if baseline in by_path else baseline
        check_name(dict.fromkeys(system.name for system in systems), name, "run")
        _add_tests(table, systems, name, test or "t", correction or "holm", seed)
    if equivalence is not None or paper_compat:
        _add_letters(table, systems, equivalence, alpha, _words(within), paper_compat)
    _write(table, format, layout, places, output)


def _check_combination(
    by_query: bool, baseline: str | None, test: str | None, correction: str | None,
    equivalence: float | None, alpha: float | None, within: str | None, fields: list[str] | None,
    paper_compat: bool,
) -> None:  # fmt: skip
    letters = equivalence is not None or paper_compat
    if by_query and (baseline is not None or letters):
        flags = "--baseline, --equivalence and --paper-compat"
        raise UsageError(f"--by-query prints values, not tests (leave out {flags})")
    if baseline is None and (test or correction):
        raise UsageError(f"{'--test' if test else '--correction'} needs --baseline")
    if not letters and (alpha is not None or within):
        raise UsageError(f"{'--within' if within else '--alpha'} needs --equivalence")
    if within and not fields:
        raise UsageError("--within needs --fields")
    if equivalence is not None and not 0 < equivalence < float("inf"):
        raise UsageError(f"--equivalence must be above 0, not {equivalence:g}")
    if alpha is not None and not 0 < alpha < 1:
        raise UsageError(f"--alpha must lie between 0 and 1, not {alpha:g}")


def _words(text: str | None) -> list[str]:
    """Read the fields of `A,B`."""
    return [word.strip() for word in text.split(",")] if text else []


def _layout(names: Names | None, rows: list[str], columns: list[str], by_query: bool) -> Layout:
    from rdtools.evaluate.layout import Layout, complete

    shown = names.shown if names else []
    collection = ["collection"] if "collection" in shown else []
    if by_query:
        return Layout(["run", *collection, "query_id"], ["measure"])
    if not rows and not columns:
        return Layout(["run"], [*collection, "measure"])
    if "run" in [*rows, *columns]:  # it tells systems apart, so no other field has to
        return complete(rows, columns, needed=["run", *collection], fields=["run", *shown])
    needed = shown if names and "run" not in names.fields else ["run", *shown]
    return complete(rows, columns, needed, needed)


def _read_qrels(qrels: str, reading: Reading) -> Qrels:
    """Read judgements from a file, and where there is none of that name, from a dataset."""
    if _is_file(qrels):
        from rdtools.formats.qrels import read_qrels

        judged = read_qrels(qrels, reading)
    else:
        from rdtools.data.datasets import load_qrels

        try:
            judged = load_qrels(qrels)
        except UsageError as error:
            raise UsageError(f"{qrels}: no such file; {error}") from None
    if not judged:
        raise RdError(f"{qrels}: no judgements")
    return judged


def _is_file(path: str) -> bool:
    """Whether there is something to read, a pipe such as the shell's <(…) too."""
    return os.path.exists(path) and not os.path.isdir(path)


def _report(name: str, run: Run, judged: Qrels) -> None:
    missing = len(judged) - len(run.rankings)
    if not run.rankings:
        log.warning("%s: none of the judged queries is in the run", name)
    elif missing:
        log.info("%s: %s of %s not in the run", name, f"{missing:,}", plural(len(judged), "judged query"))
    if run.unjudged:
        log.info("%s: %s without judgements ignored", name, plural(run.unjudged, "query"))


def _add_tests(
    rows: Rows, systems: Sequence[System], baseline: str, test: str, correction: str, seed: int
) -> None:
    from rdtools.evaluate.significance import compare

    correct = resolve(CORRECTIONS, correction, "correction")
    p_values = compare(systems, baseline, resolve(TESTS, test, "test"), correct, seed)
    cells = list(zip(rows, _cells(systems), strict=True))
    means = {(s.collection, measure): row["value"] for row, (s, measure) in cells if s.name == baseline}
    for row, (system, measure) in cells:
        p, corrected = p_values.get((system, measure), (None, None))
        delta = None if p is None else row["value"] - means[system.collection, measure]
        row.update(delta=delta, p=p, p_corrected=corrected)


def _add_letters(
    rows: Rows, systems: Sequence[System], bound: float | None, alpha: float | None, within: list[str],
    paper_compat: bool,
) -> None:  # fmt: skip
    from rdtools.evaluate.equivalence import equivalence_letters, paper_letters

    if paper_compat:
        letters = paper_letters(systems, bound, 0.1 if alpha is None else alpha, within)
    else:
        assert bound is not None
        letters = equivalence_letters(systems, bound, 0.05 if alpha is None else alpha, within)
    for row, cell in zip(rows, _cells(systems), strict=True):
        row["equivalent"] = letters[cell]


def _cells(systems: Iterable[System]) -> Iterator[tuple[System, str]]:
    """Yield what the rows of means are about, in their order."""
    return ((system, measure) for system in systems for measure in system.evaluator.measures)


def _write(rows: Rows, format: str, layout: Layout | None, places: int, output: str | None) -> None:
    from rdtools.core import tables

    if format == "jsonl":
        lines = list(map(tables.jsonl, rows))
    elif format == "tsv":
        lines = [tables.tsv(tables.format_cell(*item, places) for item in row.items()) for row in rows]
    else:
        from rdtools.evaluate.layout import LATEX, MARKDOWN, grid

        assert layout is not None
        lines = [grid(rows, layout, MARKDOWN if format == "markdown" else LATEX, places)] if rows else []
    with open_output(output) as out:
        out.write(b"".join(lines))


main = entry_point("rd-eval", evaluate)
