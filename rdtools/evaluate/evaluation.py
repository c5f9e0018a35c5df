"""Evaluation: reads runs and their judgements, and computes the values of all systems."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace

from rdtools.core.errors import RdError
from rdtools.core.log import log, plural
from rdtools.core.records import Qrels
from rdtools.core.streams import STDIN
from rdtools.data.datasets import is_file, read_judgements
from rdtools.evaluate.measures import Evaluator, parse_measures
from rdtools.evaluate.options import MeasureOptions
from rdtools.evaluate.rankings import Run, read_rankings
from rdtools.evaluate.systems import NamePatterns, System, add_run, fill_fields, run_names
from rdtools.formats import Reading, check_count


def with_baseline(paths: Sequence[str], baseline: str | None) -> tuple[Sequence[str], str | None]:
    """Return the runs and the baseline, which becomes one of the runs if it is a file that is not among them.

    A baseline that is the same file under another path gets the path of the run.
    """
    if baseline is None or baseline in [*paths, *run_names(paths)] or not is_file(baseline):
        return paths, baseline
    same = [path for path in paths if os.path.realpath(path) == os.path.realpath(baseline)]
    return (paths, same[0]) if same else ([baseline, *paths], baseline)


def evaluate_runs(
    paths: Sequence[str], qrels: str, patterns: NamePatterns, options: MeasureOptions, reading: Reading
) -> dict[str, System]:
    """Evaluate runs one after the other: path -> the system that the run belongs to.

    `qrels` may name fields, such as `qrels/{collection}.txt`, if there are `patterns`.
    """
    measures = parse_measures(options.measures)

    @functools.cache
    def evaluator_for(qrels: str) -> Evaluator:
        return Evaluator(measures, read_judgements(qrels, replace(reading, input_format=None)))

    systems: dict[str, System] = {}
    for path, name in zip(paths, run_names(paths), strict=True):
        fields = patterns.read(path, name)
        evaluator = evaluator_for(fill_fields(qrels, fields) if patterns.patterns else qrels)
        run = read_rankings(path, evaluator.qrels, reading, options.ignore_identical_ids)
        source = "<stdin>" if path == STDIN else path
        check_count(plural(run.queries, "query"), run.queries, reading, source)
        if options.depth is not None:
            run = run.truncate(options.depth)
        fields["run"] = fields["run"] or run.tag
        if not run.rankings and not options.allow_empty:
            problem = "none of the judged queries is in it" if run.tag or run.unjudged else "the run is empty"
            raise RdError(f"{name or run.tag or '<stdin>'}: {problem} (--allow-empty accepts it)")
        if not fields["run"]:
            log.warning("<stdin>: no run")
            continue
        _report(name or run.tag, run, evaluator.qrels, options.run_queries_only)
        values = evaluator(run, run_queries_only=options.run_queries_only)
        systems[path] = add_run(systems.values(), fields, evaluator, values)
    return systems


def _report(name: str, run: Run, qrels: Qrels, run_queries_only: bool) -> None:
    missing = len(qrels) - len(run.rankings)
    if not run.rankings:
        log.warning("%s: none of the judged queries is in the run", name)
    elif missing:
        treatment = "ignored" if run_queries_only else "they count as 0; --run-queries-only ignores them"
        queries = f"{missing:,} of {plural(len(qrels), 'judged query')}"
        log.info("%s: %s not in the run (%s)", name, queries, treatment)
    if run.unjudged:
        log.info("%s: %s without judgements ignored", name, plural(run.unjudged, "query"))
