"""Measures: their names, and their values for a run, by our own formulas or by ir-measures.

The providers of ir-measures break ties in different ways. They therefore receive scores without ties,
made from the ranks in trec_eval's order.
"""

from __future__ import annotations

import difflib
import math
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rdtools.core.errors import RdError, UsageError
from rdtools.core.records import Qrels
from rdtools.evaluate import formulas
from rdtools.evaluate.rankings import EMPTY_RANKING, Ranking, Run

Values = dict[str, dict[str, float]]
"""measure -> query_id -> value, for one run."""


def parse_measures(names: Iterable[str]) -> list[Any]:
    """Parse ir-measures names, separated by blanks, and check that they can be computed.

    Returns one `formulas.Measure` or ir-measures measure for each different name.

    Raises:
        UsageError: a name is unknown, its parameters are invalid, or no installed provider computes it.
    """
    # A blank inside parentheses, as in "AP(rel=2, judged_only=True)", is no separator.
    written = [word for name in names for word in re.split(r"\s+(?![^(]*\))", name.strip()) if word]
    words = [word for name in written for word in _from_trec_eval(name)]
    names = {str(formulas.parse_formula(word) or _parse_measure(word)): word for word in words}
    return [formulas.parse_formula(name) or _parse_measure(word) for name, word in names.items()]


_TREC_EVAL = {
    "ndcg_cut": "nDCG@{}", "recall": "R@{}", "P": "P@{}", "map_cut": "AP@{}", "success": "Success@{}",
    "iprec_at_recall": "IPrec@{}",
}  # fmt: skip
"""Names of trec_eval that take a parameter, and the same measures in ir-measures."""
_TREC_EVAL_PLAIN = {
    "ndcg": "nDCG", "recip_rank": "RR", "map": "AP", "Rprec": "Rprec", "bpref": "Bpref", "infAP": "infAP",
    "num_q": "NumQ", "num_ret": "NumRet", "num_rel": "NumRel", "num_rel_ret": "NumRelRet",
    "set_P": "SetP", "set_recall": "SetR", "set_F": "SetF", "set_map": "SetAP", "set_relative_P": "SetRelP",
}  # fmt: skip


def _from_trec_eval(name: str) -> list[str]:
    """Return the ir-measures names of a measure of trec_eval: nDCG@10 for ndcg_cut_10 or ndcg_cut.10.

    `ndcg_cut.5,10` is several measures. Any other name is returned as it is.
    """
    if name in _TREC_EVAL_PLAIN:
        return [_TREC_EVAL_PLAIN[name]]
    matched = re.fullmatch(r"(\w+?)[._](\d+(?:\.\d+)?(?:,\d+(?:\.\d+)?)*)", name)
    if matched is None or matched[1] not in _TREC_EVAL:
        return [name]
    return [_TREC_EVAL[matched[1]].format(value) for value in matched[2].split(",")]


_OTHER_NAMES = {"mrr": "RR", "map": "AP", "recall": "R", "precision": "P", "ndcg": "nDCG", "hit": "Success"}
"""Words for measures, in small letters, that differ from their ir-measures names."""


def _parse_measure(name: str) -> Any:
    import ir_measures

    try:
        measure: Any = ir_measures.parse_measure(name)
        measure.validate_params()
    except NameError:
        word = re.split(r"[@(]", name)[0]
        known = {key.lower(): key for key in sorted(ir_measures.measures.registry)} | _OTHER_NAMES
        cut = re.fullmatch(r"([^\W\d]+?)(?:_cut|_at)?[@_.]*(\d+)", name)
        if cut and cut[1].lower() in known:  # nDCG10, ndcg_10
            raise UsageError(
                f"unknown measure {name!r}; did you mean '{known[cut[1].lower()]}@{cut[2]}'?"
            ) from None
        near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
        meant = f"; did you mean {name.replace(word, known[near[0]], 1)!r}?" if near else ""
        raise UsageError(f"unknown measure {name!r}{meant}") from None
    except (AssertionError, ValueError, AttributeError, TypeError) as error:
        reason = str(error).removeprefix("problem parsing measure ")
        reason = re.sub(r"invalid param (\w+)=<object object at \w+>", r"it needs \1", reason)
        raise UsageError(f"measure {name!r}: {reason}") from None
    if measure.params.get("cutoff", 1) < 1:
        raise UsageError(f"measure {name!r}: the cutoff must be at least 1")
    if any(isinstance(value, int) and abs(value) >= 2**31 for value in measure.params.values()):
        raise UsageError(f"measure {name!r}: trec_eval's numbers have 32 bits")
    pipeline: Any = ir_measures.DefaultPipeline
    if not pipeline.supports(measure):
        raise UsageError(f"measure {name!r}: no installed provider of ir-measures computes it")
    if "iteration" in pipeline.qrel_inputs([measure]):
        raise UsageError(f"measure {name!r}: it needs judgements of subtopics, which rd-eval does not read")
    return measure


class Evaluator:
    """Computes `measures` of runs against `qrels`."""

    def __init__(self, measures: Sequence[Any], qrels: Qrels) -> None:
        self.measures = {str(measure): measure for measure in measures}
        self.qrels = qrels
        others = [measure for measure in measures if not isinstance(measure, formulas.Measure)]
        self._providers = _Providers(others, qrels) if others else None

    def __call__(self, run: Run, *, run_queries_only: bool = False) -> Values:
        """Return every measure by query, in the order of the qrels.

        All judged queries count, with an empty ranking if the run lacks them; with `run_queries_only` only
        those in the run, as in trec_eval without -c.
        """
        queries = [query_id for query_id in self.qrels if query_id in run.rankings or not run_queries_only]
        provided = self._providers(run) if self._providers and run.rankings else {}
        values: Values = {name: {} for name in self.measures}
        for query_id in queries:
            grades, ranking = self.qrels[query_id], run.rankings.get(query_id, EMPTY_RANKING)
            by_rank = {rank: grades[doc_id] for doc_id, rank in ranking.ranks.items()}
            graded = formulas.GradedRanking(by_rank, grades.values(), ranking.size)
            for name, measure in self.measures.items():
                own = isinstance(measure, formulas.Measure)
                values[name][query_id] = measure(graded) if own else provided.get((name, query_id), 0.0)
        return values

    def aggregate(self, values: Values) -> dict[str, float]:
        """Sum counts such as NumRet and average other measures over queries; NaN without queries."""
        return {name: self._aggregate(name, by_query) for name, by_query in values.items()}

    def is_count(self, name: str) -> bool:
        """Return whether a measure is added up over queries, such as NumRet."""
        return _is_count(self.measures[name])

    def _aggregate(self, name: str, by_query: Mapping[str, float]) -> float:
        if not by_query:
            return math.nan
        total = math.fsum(by_query.values())
        return total if self.is_count(name) else total / len(by_query)


class _Providers:
    """The providers of ir-measures, applied to rankings of which only the judged documents are known."""

    def __init__(self, measures: Sequence[Any], qrels: Qrels) -> None:
        import ir_measures

        largest = max((max(grades.values(), default=0) for grades in qrels.values()), default=0)
        for measure in measures:
            _check_grades(measure, largest)
        # If no grade reaches the level, the value is 0; for some measures trec_eval reads beyond its array.
        measures = [measure for measure in measures if measure.params.get("rel", 0) <= largest]
        self._qrels = qrels
        # gdeval requires query ids that are numbers.
        self._numbers = {query_id: str(number) for number, query_id in enumerate(qrels, start=1)}
        self._queries = {number: query_id for query_id, number in self._numbers.items()}
        numbered = {self._numbers[query_id]: _with_grade_zero(grades) for query_id, grades in qrels.items()}
        self._evaluator = ir_measures.evaluator(measures, numbered) if measures else None

    def __call__(self, run: Run) -> dict[tuple[str, str], float]:
        """Return the values by measure and query_id. trec_eval's library crashes if the run is empty."""
        if self._evaluator is None:
            return {}
        scores = {
            self._numbers[query_id]: _scores_from_ranks(ranking, self._qrels[query_id])
            for query_id, ranking in run.rankings.items()
        }
        try:
            return {
                (str(metric.measure), self._queries[metric.query_id]): metric.value
                for metric in self._evaluator.iter_calc(scores)
            }
        except subprocess.CalledProcessError as error:
            raise RdError(f"a program of ir-measures failed: {error}") from error


def _check_grades(measure: Any, largest: int) -> None:
    """Refuse grades that gdeval does not know, or so large that trec_eval allocates too much memory."""
    if measure.params.get("rel", 1) < 1:
        raise UsageError(f"measure {measure}: the level of relevance must be at least 1")
    by_gdeval = measure.NAME == "ERR" or measure.params.get("dcg") == "exp-log2"
    limit = 4 if by_gdeval else 2**16
    if largest > limit:
        problem = f"measure {measure}: the largest grade may be {limit}, not {largest}"
        raise RdError(f"{problem} (map the grades of the judgements, or leave out the measure)")


def _with_grade_zero(grades: Mapping[str, int]) -> Mapping[str, int]:
    """Add a document that no run has if all grades are negative: trec_eval reads stray memory otherwise."""
    if max(grades.values(), default=-1) >= 0:
        return grades
    return {**grades, f"{max(grades, key=len, default='')}-none": 0}


def _scores_from_ranks(ranking: Ranking, grades: Mapping[str, int]) -> dict[str, float]:
    """Return the scores n, …, 2, 1 by rank. (Compat gives documents that were not retrieved the score 0.)

    Unjudged documents get ids that no judged document has.
    """
    doc_ids = {rank: doc_id for doc_id, rank in ranking.ranks.items()}
    prefix = "unjudged-"
    while any(doc_id.startswith(prefix) for doc_id in grades):
        prefix += "-"
    return {
        doc_ids.get(rank, f"{prefix}{rank}"): float(ranking.size + 1 - rank)
        for rank in range(1, ranking.size + 1)
    }


def _is_count(measure: Any) -> bool:
    if isinstance(measure, formulas.Measure):
        return measure.is_count
    from ir_measures.measures.base import SumAgg

    return isinstance(measure.aggregator(), SumAgg)
