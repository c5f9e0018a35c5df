"""Filters of candidates: limits of their scores, and tests for false negatives by margin and by text."""

from __future__ import annotations

from collections.abc import Sequence

from rdtools.core.records import Doc
from rdtools.mine.judged_query import JudgedQuery
from rdtools.mine.options import FALSE_NEGATIVES, Selection
from rdtools.mine.sources import SourceRanking
from rdtools.mine.tally import Counts


class Filters:
    """The filters that a `Selection` asks for.

    Attributes:
        active: True if a candidate may be dropped for its score or its text.
        need_positives: True if candidates are compared with positives.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._margins = selection.relative_margin is not None or selection.absolute_margin is not None
        self.need_positives = self._margins or selection.near_copies is not None
        self.active = selection.limits or self.need_positives

    def passed(
        self, query: JudgedQuery, source: str, ranking: SourceRanking, docs: Sequence[Doc], counts: Counts
    ) -> list[Doc]:
        """Return the documents of a source that pass, suspected false negatives as the user wants them."""
        scores = dict(zip(ranking.doc_ids, ranking.scores or (), strict=False))
        lowest = min(ranking.positives.values(), default=None)
        if self._margins and (lowest is None or ranking.scores is None):
            counts[source, "passed unfiltered, no scored positive"] += len(docs)
        if self._selection.near_copies is not None:
            uncompared = sum(not query.comparable(doc["doc_id"]) for doc in docs)
            counts[source, "passed uncompared, no text or no positive"] += uncompared
        kept = []
        for doc in docs:
            score = scores.get(doc["doc_id"])
            if score is not None and (limit := self._exceeded_limit(score)):
                counts[source, f"dropped by --{limit}"] += 1
            elif test := self._suspected_by(query, doc["doc_id"], score, lowest):
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

    def _exceeded_limit(self, score: float) -> str | None:
        highest, lowest = self._selection.max_score, self._selection.min_score
        if highest is not None and score > highest:
            return "max-score"
        return "min-score" if lowest is not None and score < lowest else None

    def _suspected_by(
        self, query: JudgedQuery, doc_id: str, score: float | None, lowest: float | None
    ) -> str | None:
        """Return the name of the test that suspects a candidate of being a false negative, if one does."""
        positive = doc_id in query.positives
        if positive and not self._selection.is_group:
            return None
        if score is not None and lowest is not None and (margin := self._failed_margin(score, lowest)):
            return margin
        return "near-copies" if not positive and self.is_near_copy(query, doc_id) else None

    def _failed_margin(self, score: float, lowest: float) -> str | None:
        """Return the name of a margin that a score is not below; `lowest` is s⁺."""
        relative, absolute = self._selection.relative_margin, self._selection.absolute_margin
        if relative is not None and not score < lowest - relative * abs(lowest):
            return "relative-margin"
        if absolute is not None:
            edge = lowest - absolute
            if not (score < edge or (self._selection.paper_compat and score == edge)):
                return "absolute-margin"
        return None
