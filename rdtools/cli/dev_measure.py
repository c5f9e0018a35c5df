"""The measure of `rd-train --dev`: that of rd-eval, which rd-train may not import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdtools.core.errors import UsageError

if TYPE_CHECKING:
    from rdtools.core.records import Qrels
    from rdtools.train.dev_set import DevMeasure, Scores


def dev_measure(name: str) -> DevMeasure:
    """Return the function that gives the value of a run, as rd-eval does."""
    from rdtools.evaluate.measures import Evaluator, parse_measures
    from rdtools.evaluate.rankings import Run, rank_scores

    measures = parse_measures([name])
    if len(measures) != 1:
        raise UsageError(f"--dev-measure {name}: give one measure, such as nDCG@10")

    def value(qrels: Qrels, scores: Scores) -> float:
        rankings = {query_id: rank_scores(own, qrels[query_id]) for query_id, own in scores.items() if own}
        evaluator = Evaluator(measures, qrels)
        (found,) = evaluator.aggregate(evaluator(Run(rankings, "", 0))).values()
        return found

    return value
