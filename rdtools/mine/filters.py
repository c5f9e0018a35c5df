"""Filters of candidates: limits of their scores, and tests for false negatives by margin and by text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdtools.core.records import Doc
from rdtools.mine.judged_query import JudgedQuery
from rdtools.mine.options import FALSE_NEGATIVES, Limits, Selection
from rdtools.mine.sources import SourceRanking
from rdtools.mine.tally import Counts


class Filters:
    """The filters that a `Selection` asks for.

    Attributes:
        active: True if a candidate may be dropped for its score or its text.
        need_positives: True if candidates are compared with positives.
    """

    def __init__(self, selection: Selection, sources: Iterable[str]) -> None:
        self._selection = selection
        self._limits = {source: selection.limits_of(source) for source in sources}
        with_margin = any(limits.has_margin for limits in self._limits.values())
        self.need_positives = with_margin or selection.near_copies is not None
        self.active = self.need_positives or any(limits.has_bound for limits in self._limits.values())

    def passed(
        self, query: JudgedQuery, source: str, ranking: SourceRanking, docs: Sequence[Doc], counts: Counts
    ) -> list[Doc]:
        """Return the documents of a source that pass, suspected false negatives as the user wants them."""
        scores = dict(zip(ranking.doc_ids, ranking.scores or (), strict=False))
        lowest = min(ranking.positives.values(), default=None)
        limits = self._limits[source]
        if limits.has_margin and (lowest is None or ranking.scores is None):
            counts[source, "passed unfiltered, no scored positive"] += len(docs)
        elif limits.has_bound and ranking.scores is None:
            counts[source, "passed unfiltered, no score"] += len(docs)
        if self._selection.near_copies is not None:
            uncompared = sum(not query.comparable(doc["doc_id"]) for doc in docs)
            counts[source, "passed uncompared, no text or no positive"] += uncompared
        kept = []
        for doc in docs:
            score = scores.get(doc["doc_id"])
            if score is not None and (limit := _exceeded_limit(limits, score)):
                counts[source, f"dropped by --{limit}"] += 1
            elif test := self._suspected_by(query, doc["doc_id"], limits, score, lowest):
                treatment = self._selection.false_negatives or "drop"
                if treatment == "relabel" and "relevance" in doc:
                    treatment = "drop"  # judged as not relevant: no new positive, and no sure negative
                counts[source, f"{FALSE_NEGATIVES[treatment]} --{test}"] += 1
                if treatment == "relabel":
                    doc["relevance"], doc["relabelled"] = 1, True
                if treatment != "drop":
                    kept.append(doc)
            else:
                kept.append(doc)
        return kept

    def is_near_copy(self, query: JudgedQuery, doc_id: str) -> bool:
        """Return whether --near-copies suspects a document."""
        least = self._selection.near_copies
        return least is not None and query.similarity(doc_id) >= least

    def _suspected_by(
        self, query: JudgedQuery, doc_id: str, limits: Limits, score: float | None, lowest: float | None
    ) -> str | None:
        """Return the name of the test that suspects a candidate of being a false negative, if one does."""
        positive = doc_id in query.positives
        if positive and not self._selection.is_group:
            return None
        margin = None if score is None or lowest is None else self._failed_margin(limits, score, lowest)
        if margin is not None:
            return margin
        return "near-copies" if not positive and self.is_near_copy(query, doc_id) else None

    def _failed_margin(self, limits: Limits, score: float, lowest: float) -> str | None:
        """Return the name of a margin that a score is not below; `lowest` is s⁺."""
        relative, absolute = limits.relative_margin, limits.absolute_margin
        if relative is not None and not score < lowest - relative * abs(lowest):
            return "relative-margin"
        if absolute is not None:
            edge = lowest - absolute
            if not (score < edge or (self._selection.paper_compat and score == edge)):
                return "absolute-margin"
        return None


def _exceeded_limit(limits: Limits, score: float) -> str | None:
    if limits.max_score is not None and score > limits.max_score:
        return "max-score"
    return "min-score" if limits.min_score is not None and score < limits.min_score else None
