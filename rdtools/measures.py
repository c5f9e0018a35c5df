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
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from rdtools.errors import BadLine, RdError, UsageError
from rdtools.formats import Reading, read_records
from rdtools.formats.runs import rank, run_tag
from rdtools.records import QRELS_SOURCE, Doc, Qrels, Record
from rdtools.streams import STDIN

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "AP", "R@100")

Values = dict[str, dict[str, float]]
"""measure -> query_id -> value, of one run."""


@dataclass(frozen=True)
class Run:
    """What a run says about the judged queries.

    Attributes:
        rankings: query_id -> doc_ids, best first; a query without documents is not there.
        tag: what made the run, by its first record.
        unjudged: how many of its queries are not judged, and so left out.
    """

    rankings: dict[str, list[str]]
    tag: str
    unjudged: int


def read_run(path: str, qrels: Qrels, reading: Reading) -> Run:
    """Read a run, its lines in any order. Records of one query are merged; a document twice is bad input."""
    gathered = _Gathered(qrels)
    for _ in read_records([path], replace(reading, together=False), gathered.add):
        pass
    return Run(gathered.rankings(), gathered.tag, len(gathered.unjudged))


class _Gathered:
    """The scores of a run by query and document, None where a document has none."""

    def __init__(self, qrels: Qrels) -> None:
        self.tag = ""
        self.unjudged: set[str] = set()
        self._scores: dict[str, dict[str, float | None]] = {}
        self._qrels = qrels

    def add(self, record: Record) -> None:
        """Add the documents that were found, not those that came from the qrels."""
        self.tag = self.tag or run_tag(record)
        query_id = record["query_id"]
        if query_id not in self._qrels:
            self.unjudged.add(query_id)
            return
        found = (doc for doc in record["docs"] if doc.get("source") != QRELS_SOURCE)
        scores = {doc["doc_id"]: _score(doc, record) for doc in found}
        known = self._scores.setdefault(query_id, {})
        for doc_id in scores:
            if doc_id in known:
                raise BadLine(f'document "{doc_id}" stands twice for query "{query_id}"')
        known.update(scores)

    def rankings(self) -> dict[str, list[str]]:
        """Return query_id -> doc_ids, best first, and let go of the scores."""
        return {
            query_id: [doc_id for doc_id, _ in rank(self._scores.pop(query_id))]
            for query_id in [query_id for query_id, scores in self._scores.items() if scores]
        }


def _score(doc: Doc, record: Record) -> float | None:
    """The score, in a run of ranks their negative: as lines may come in any order, so may ranks."""
    if "score" not in doc and "rank" in doc and record.get("score_scale") == "rank":
        return -float(doc["rank"])
    return doc.get("score")


def parse_measures(names: Iterable[str]) -> list[Any]:
    """Parse ir-measures names, one or several between blanks, and check that they can be computed.

    Raises:
        UsageError: a name is misspelt, its parameters do not fit, or no installed provider has it.
    """
    # A blank inside parentheses, as in "AP(rel=2, judged_only=True)", separates nothing.
    words = [word for name in names for word in re.split(r"\s+(?![^(]*\))", name.strip()) if word]
    return list({str(measure): measure for measure in map(_parse_measure, words)}.values())


def _parse_measure(name: str) -> Any:
    import ir_measures

    try:
        measure: Any = ir_measures.parse_measure(name)
        measure.validate_params()
    except NameError:
        word = re.split(r"[@(]", name)[0]
        known = {key.lower(): key for key in sorted(ir_measures.measures.registry)}
        near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
        meant = f"; did you mean {name.replace(word, known[near[0]], 1)!r}?" if near else ""
        raise UsageError(f"unknown measure {name!r}{meant}") from None
    except (AssertionError, ValueError, AttributeError, TypeError) as error:
        reason = str(error).removeprefix("problem parsing measure ")
        reason = re.sub(r"invalid param (\w+)=<object object at \w+>", r"it needs \1", reason)
        raise UsageError(f"measure {name!r}: {reason}") from None
    if measure.params.get("cutoff", 1) < 1:
        raise UsageError(f"measure {name!r}: the cutoff must be at least 1")
    pipeline: Any = ir_measures.DefaultPipeline
    if not pipeline.supports(measure):
        raise UsageError(f"measure {name!r}: no installed provider of ir-measures computes it so")
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
    """The value of a query that a run lacks: 0, but for counts of what is judged, as in trec_eval -c."""
    if measure.NAME == "NumQ":
        return 1.0
    if measure.NAME == "NumRel":
        return float(sum(grade >= measure["rel"] for grade in grades.values()))
    return 0.0


def _is_count(measure: Any) -> bool:
    from ir_measures.measures.base import SumAgg

    return isinstance(measure.aggregator(), SumAgg)


def run_names(paths: Sequence[str]) -> list[str]:
    """Name runs by file, without folder and extension, or in full where names clash; stdin is ""."""
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
