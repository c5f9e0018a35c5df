"""Judgements and runs to the values of measures, over ir-measures and so trec_eval.

Providers of ir-measures break ties in different ways. They are therefore never shown the scores of
a run but the places of its documents in trec_eval's order, which no two documents share.
"""

from __future__ import annotations

import difflib
import math
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from rdtools.errors import RdError, UsageError
from rdtools.formats.runs import rank, run_tag
from rdtools.records import QRELS_SOURCE, Doc, Qrels, Record
from rdtools.streams import STDIN

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "AP", "R@100")

Values = dict[str, dict[str, float]]
"""measure -> query_id -> value, of one run."""


@dataclass
class Run:
    """What a run says about the judged queries.

    Attributes:
        rankings: query_id -> doc_ids, best first; a query without documents is not there.
        tag: what made the run, by its first record.
        unjudged: how many of its queries are not judged, and so left out.
    """

    rankings: dict[str, list[str]] = field(default_factory=dict)
    tag: str = ""
    unjudged: int = 0


def read_run(records: Iterable[Record], qrels: Qrels) -> Run:
    """Rank the documents of each judged query; records of one query are merged.

    Raises:
        RdError: a document comes twice for a query.
    """
    run = Run()
    found: dict[str, dict[str, float | None]] = {}
    unjudged = set()
    for record in records:
        query_id = record["query_id"]
        run.tag = run.tag or run_tag(record)
        if query_id not in qrels:
            unjudged.add(query_id)
            continue
        scores = found.setdefault(query_id, {})
        is_ranks = record.get("score_scale") == "rank"
        for doc in record["docs"]:
            if doc.get("source") == QRELS_SOURCE:
                continue
            if doc["doc_id"] in scores:
                raise RdError(f'document "{doc["doc_id"]}" stands twice for query "{query_id}" of the run')
            scores[doc["doc_id"]] = _score(doc, is_ranks)
    run.unjudged = len(unjudged)
    for query_id in list(found):  # emptied as it goes: a run is held once
        scores = found.pop(query_id)
        if scores:
            run.rankings[query_id] = [doc_id for doc_id, _ in rank(scores)]
    return run


def _score(doc: Doc, is_ranks: bool) -> float | None:
    if is_ranks and "score" not in doc and "rank" in doc:
        return -float(doc["rank"])
    return doc.get("score")


def parse_measures(names: Iterable[str]) -> list[Any]:
    """Parse ir-measures names, each argument one or several between blanks, and check that they can be computed.

    Raises:
        UsageError: a name is misspelt, its parameters do not fit, or no installed provider has it.
    """
    # A blank inside parentheses, as in "AP(rel=2, judged_only=True)", separates nothing.
    words = [word for name in names for word in re.split(r"\s+(?![^(]*\))", name.strip()) if word]
    return list({str(measure): measure for measure in map(_parse_measure, words)}.values())


def _parse_measure(name: str) -> Any:
    import ir_measures

    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()
    except NameError:
        word = re.split(r"[@(]", name)[0]
        known = {key.lower(): key for key in sorted(ir_measures.measures.registry)}
        near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
        meant = f"; did you mean {name.replace(word, known[near[0]], 1)!r}?" if near else ""
        raise UsageError(f"unknown measure {name!r}{meant}") from None
    except (AssertionError, ValueError, AttributeError, TypeError) as error:
        reason = re.sub(r"=<object object at \w+>", " is missing", str(error)).removeprefix("problem parsing measure ")
        raise UsageError(f"measure {name!r}: {reason}") from None
    if measure.params.get("cutoff", 1) < 1:
        raise UsageError(f"measure {name!r}: the cutoff must be at least 1")
    pipeline = ir_measures.DefaultPipeline
    if not pipeline.supports(measure):
        raise UsageError(f"measure {name!r}: no installed provider of ir-measures computes it with these parameters")
    if "iteration" in pipeline.qrel_inputs([measure]):
        raise UsageError(f"measure {name!r}: it needs judged subtopics, which are not read")
    return measure


class Evaluator:
    """Computes `measures` against `qrels`, for one run after the other."""

    def __init__(self, measures: Sequence[Any], qrels: Qrels) -> None:
        import ir_measures

        self.measures = {str(measure): measure for measure in measures}
        self._qrels = qrels
        # Numbers in place of query ids: gdeval takes no other.
        self._numbers = {query_id: str(number) for number, query_id in enumerate(qrels, start=1)}
        numbered = {self._numbers[query_id]: grades for query_id, grades in qrels.items()}
        self._evaluator = ir_measures.evaluator(list(measures), numbered)

    def __call__(self, run: Run, *, run_queries_only: bool = False) -> Values:
        """Return every measure by query, in the order of the qrels.

        All judged queries are there, those that the run lacks with 0, or as trec_eval without -c only
        those that the run has.
        """
        queries = [query for query in self._numbers if query in run.rankings or not run_queries_only]
        places = {
            self._numbers[query_id]: {doc_id: float(-place) for place, doc_id in enumerate(ranking)}
            for query_id, ranking in run.rankings.items()
        }
        values: dict[tuple[str, str], float] = {}
        if places:  # trec_eval's library crashes on an empty run
            try:
                for metric in self._evaluator.iter_calc(places):
                    values[str(metric.measure), metric.query_id] = metric.value
            except subprocess.CalledProcessError as error:
                raise RdError(f"a program of ir-measures failed: {error}") from error
        return {
            name: {
                query_id: values.get((name, self._numbers[query_id]), 0.0)
                if query_id in run.rankings
                else _of_missing(measure, self._qrels[query_id])
                for query_id in queries
            }
            for name, measure in self.measures.items()
        }

    def aggregate(self, values: Values) -> dict[str, float]:
        """Sum counts such as NumRet, average all else; a measure without queries is NaN."""
        return {name: self._aggregate(name, by_query) for name, by_query in values.items()}

    def _aggregate(self, name: str, by_query: Mapping[str, float]) -> float:
        if not by_query:
            return math.nan
        total = math.fsum(by_query.values())
        return total if _is_count(self.measures[name]) else total / len(by_query)


def _of_missing(measure: Any, grades: Mapping[str, int]) -> float:
    """The value of a judged query that a run lacks: 0, but for the counts of what is judged, as trec_eval -c has it."""
    if measure.NAME == "NumQ":
        return 1.0
    if measure.NAME == "NumRel":
        return float(sum(grade >= measure["rel"] for grade in grades.values()))
    return 0.0


def _is_count(measure: Any) -> bool:
    from ir_measures.measures.base import SumAgg

    return isinstance(measure.aggregator(), SumAgg)


def run_names(paths: Sequence[str]) -> list[str]:
    """Name runs by file: without folder and extension, or in full where two would have one name; stdin is ""."""
    stems = ["" if path == STDIN else _stem(path) for path in paths]
    return [stem if stems.count(stem) == 1 else path for stem, path in zip(stems, paths, strict=True)]


def _stem(path: str) -> str:
    file = PurePath(path)
    return PurePath(file.stem).stem if file.suffix in (".gz", ".zst") else file.stem


def mean_rows(means: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """One row a run and measure: run, measure, value."""
    return [
        {"run": run, "measure": measure, "value": value}
        for run, by_measure in means.items()
        for measure, value in by_measure.items()
    ]


def query_rows(values: Mapping[str, Values]) -> Iterator[dict[str, Any]]:
    """One row a run, query and measure: run, query_id, measure, value; queries in the order of the qrels."""
    for run, by_measure in values.items():
        for query_id in next(iter(by_measure.values())):
            for measure, by_query in by_measure.items():
                yield {"run": run, "query_id": query_id, "measure": measure, "value": by_query[query_id]}
