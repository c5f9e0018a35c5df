"""rd-mine's room: queries and sources of candidates -> records, as training groups or as rankings."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from operator import itemgetter
from typing import cast

from rdtools.core.errors import RdError, UsageError
from rdtools.core.randomness import generator, shuffled
from rdtools.core.records import QRELS_SOURCE, Doc, Qrels, Record
from rdtools.core.scores import forget_scores
from rdtools.data.corpus import Corpus
from rdtools.formats.runs import Columns
from rdtools.mine.judged_query import JudgedQuery
from rdtools.mine.options import FALSE_NEGATIVES, Selection
from rdtools.mine.sampling import SAMPLING
from rdtools.mine.sources import RECORDS, Found, Source, Wanted
from rdtools.mine.tally import Counts, Tally

RANDOM = "random"
_PATIENCE = 0.1  # seconds that a query may wait for others to be searched with
_SLACK = 16  # candidates asked for beyond those needed, in place of copies of a positive


class Miner:
    """Turns queries into records with candidates from `sources`; counts what it does in `tally`.

    Raises:
        UsageError: padding is asked for, and there is no corpus to take it from.
    """

    def __init__(
        self, sources: Sequence[Source], selection: Selection, qrels: Qrels, corpus: Corpus | None
    ) -> None:
        if selection.pad and corpus is None:
            raise UsageError("--pad: it takes documents from a corpus (give --dataset or --corpus)")
        self.tally = Tally()
        self._sources = sources
        self._selection = selection
        self._group = selection.is_group
        self._excludes_positives = self._group and not selection.paper_compat
        self._qrels = qrels
        self._corpus = corpus
        self._batch = max(source.batch for source in sources)
        scoring = [source for source in sources if source.scale is not None]
        self._keeps_docs = any(source.name == RECORDS for source in sources)
        # The scores that records bring along are on a scale of their own: no other may stand beside them.
        one_scores = len(scoring) == 1 and not self._keeps_docs
        self._pooled_run = selection.as_run and len(sources) > 1
        self._scoring = scoring[0] if one_scores and not self._pooled_run else None
        # Nothing is asked of the documents but what a run says of them.
        self._bare_run = (
            selection.as_run
            and len(sources) == 1
            and self._scoring is not None
            and not (self._group or selection.add_positives or selection.looks_at_each)
        )

    def mine(self, queries: Iterable[Record]) -> Iterator[Record]:
        """Yield one record for each query of the sample, in order."""
        queries = filter(self._in_sample, queries) if self._selection.sample < 1 else iter(queries)
        for records in _batches(queries, self._batch):
            batch = [
                JudgedQuery(record, self._qrels.get(record["query_id"], {}), self._corpus)
                for record in records
            ]
            answers = [self._search(source, number, batch) for number, source in enumerate(self._sources, 1)]
            for query, *found in zip(batch, *answers, strict=True):
                yield self._mine(query, found)

    def _in_sample(self, record: Record) -> bool:
        inside = self._generator(record, "sample").random() < self._selection.sample
        self.tally.not_sampled += not inside
        return inside

    def _generator(self, record: Record, purpose: str) -> random.Random:
        return generator(self._selection.seed, record["query_id"], purpose)

    def _search(self, source: Source, number: int, batch: list[JudgedQuery]) -> Iterable[Found]:
        return source.search([self._wanted(query, number) for query in batch])

    def _wanted(self, query: JudgedQuery, number: int) -> Wanted:
        """Ask for as many as fill the depth once positives and what earlier sources gave are left out."""
        more = self._excludes_positives * (len(query.positives) + _SLACK)
        return Wanted(query.record, self._selection.depth * number + more, query.positives)

    def _mine(self, query: JudgedQuery, answers: list[Found]) -> Record:
        counts: Counts = Counter()
        if self._bare_run and answers[0].rows is not None:
            name = self._sources[0].name
            columns = self._columns(name, answers[0])
            counts[name, "candidates"] = len(columns)
            self.tally.add(counts)
            return self._record(query, columns)
        pools: list[list[Doc]] = []
        seen: set[str] = set()
        for place, source in enumerate(self._sources):
            found, candidates = self._to_depth(query, place, answers[place], seen, counts)
            answers[place] = found
            counts[source.name, "left out, no score"] += found.unscored
            seen.update(map(itemgetter("doc_id"), candidates))
            pools.append(
                self._filtered(query, source, found, candidates[self._selection.range_min :], counts)
            )
        if self._group:
            docs = self._training_group(query, answers, pools, seen, counts)
        else:
            docs = self._ranking(query, answers, list(chain.from_iterable(pools)), counts)
        self.tally.add(counts)
        return self._record(query, docs)

    def _columns(self, name: str, found: Found) -> Columns:
        """What was found, as the columns of a run."""
        assert found.scores is not None
        kept = slice(self._selection.range_min, self._selection.depth)
        return Columns(found.doc_ids[kept], found.scores[kept], name)

    def _ranking(
        self, query: JudgedQuery, answers: list[Found], pool: list[Doc], counts: Counts
    ) -> list[Doc]:
        """What was found, in order; then the positives that were not, where they are asked for."""
        if not self._selection.add_positives:
            return pool
        there = {doc["doc_id"] for doc in pool}
        added = [doc for doc in self._positives(query, answers, counts) if doc["doc_id"] not in there]
        counts["", "positives added"] = len(added)
        return pool + added

    def _training_group(
        self, query: JudgedQuery, answers: list[Found], pools: list[list[Doc]], seen: set[str], counts: Counts
    ) -> list[Doc]:
        """All positives, judged and relabelled, then the negatives that the sampling chooses in the pools."""
        n = self._selection.num_negatives or 0
        relabelled: list[Doc] = []
        candidates: list[Doc] = []
        ranks: list[int] = []
        for pool in pools:
            # Only relabelling gives a document another relevance than its judgement, if it has one.
            as_judged = [doc for doc in pool if doc.get("relevance") == query.grades.get(doc["doc_id"])]
            relabelled += [doc for doc in pool if doc.get("relevance") != query.grades.get(doc["doc_id"])]
            candidates += as_judged
            ranks += range(1, len(as_judged) + 1)
        places = SAMPLING[self._selection.sampling](
            candidates, ranks, n, self._generator(query.record, "negatives")
        )
        drawn = [candidates[place] for place in places]
        negatives = [doc for doc in drawn if doc["doc_id"] not in query.positives]
        counts["", "positives drawn as negatives"] = len(drawn) - len(negatives)
        positives = self._positives(query, answers, counts) + relabelled
        counts["", "positives"] = len(positives)
        padding = self._padding(query, n - len(drawn), positives + negatives, seen)
        negatives += padding
        counts["", "negatives"] = len(negatives)
        counts["", "negatives that --pad drew"] = len(padding)
        counts["", "negatives missing"] = n - len(negatives)
        return self._as_found(positives + negatives) if self._pooled_run else positives + negatives

    def _as_found(self, docs: list[Doc]) -> list[Doc]:
        """A group in the order of `_ranking`: its positives lead a record, but no run that was found."""
        order = {source.name: place for place, source in enumerate(self._sources)}
        last = len(order)
        return sorted(docs, key=lambda doc: (order.get(doc.get("source", ""), last), doc.get("rank", 0)))

    def _padding(self, query: JudgedQuery, missing: int, docs: list[Doc], seen: set[str]) -> list[Doc]:
        """Random documents of the corpus: none that a source gave or holds, kept or not, and no copies."""
        if not self._selection.pad or self._corpus is None or missing == 0:
            return []
        if self._keeps_docs:
            seen = seen | query.own.keys()
        rng = self._generator(query.record, "padding")
        ranked = enumerate(shuffled(self._corpus.doc_ids, rng), start=1)
        if self._selection.paper_compat:
            there = {doc["doc_id"] for doc in docs}
            fit = ((rank, doc_id) for rank, doc_id in islice(ranked, missing) if doc_id not in there)
        else:
            texts = {query.folded_text(doc["doc_id"]) for doc in docs}
            fit = (
                (rank, doc_id)
                for rank, doc_id in ranked
                if doc_id not in seen and self._may_pad(query, doc_id, texts)
            )
        return [self._doc(query, doc_id, None, RANDOM, rank) for rank, doc_id in islice(fit, missing)]

    def _may_pad(self, query: JudgedQuery, doc_id: str, texts: set[str | None]) -> bool:
        """Whether a document is no positive, and no copy of `texts`, to which its own is then added."""
        text = query.folded_text(doc_id)
        near = self._selection.near_copies
        if doc_id in query.positives or text in texts:
            return False
        if near is not None and query.nearness(doc_id) >= near:
            return False
        texts.add(text)
        return True

    def _to_depth(
        self, query: JudgedQuery, place: int, found: Found, seen: set[str], counts: Counts
    ) -> tuple[Found, list[Doc]]:
        """The candidates, asked for again, deeper, where too many were left out and the source has more."""
        source, wanted = self._sources[place], self._wanted(query, place + 1)
        while True:
            left_out: Counts = Counter()
            kept = self._candidates(query, source, found, seen, left_out)
            if len(kept) == self._selection.depth or len(found.doc_ids) < wanted.depth:
                counts.update(left_out)
                return found, kept
            wanted = replace(wanted, depth=2 * wanted.depth)
            (found,) = source.search([wanted])

    def _candidates(
        self, query: JudgedQuery, source: Source, found: Found, seen: set[str], counts: Counts
    ) -> list[Doc]:
        """The first `depth` documents that may be candidates."""
        excludes = self._excludes_positives and query.positives
        if source is self._scoring and found.rows is not None and not (excludes or seen or query.own):
            return self._all_found(query, source.name, found)  # there is none to leave out
        kept: list[Doc] = []
        for place, doc_id in enumerate(found.doc_ids):
            if len(kept) == self._selection.depth:
                break
            if doc_id in seen:
                counts[source.name, "left out, given by an earlier source"] += 1
            elif not query.knows(doc_id):
                counts[source.name, "left out, not in the corpus"] += 1
            elif self._excludes_positives and doc_id in query.positives:
                counts[source.name, "left out, positives by id"] += 1
            elif self._excludes_positives and query.copies_a_positive(doc_id):
                counts[source.name, "left out, copies of a positive"] += 1
            else:
                score = found.scores[place] if found.scores and source is self._scoring else None
                kept.append(self._doc(query, doc_id, score, source.name, place + 1))
        return kept

    def _all_found(self, query: JudgedQuery, name: str, found: Found) -> list[Doc]:
        """The documents as `_doc` makes them, at a tenth of the time for those that nobody judged."""
        assert found.rows is not None and found.scores is not None and self._corpus is not None  # noqa: PT018
        ranks = range(1, self._selection.depth + 1)
        ranked = zip(ranks, found.rows, found.doc_ids, found.scores, strict=False)
        if not self._selection.no_text:
            texts = self._corpus.texts
            docs: list[Doc] = [
                {"doc_id": doc_id, "text": texts[row], "score": score, "rank": rank, "source": name}
                for rank, row, doc_id, score in ranked
            ]
        else:
            docs = [
                {"doc_id": doc_id, "score": score, "rank": rank, "source": name}
                for rank, _, doc_id, score in ranked
            ]
        for place, doc in enumerate(docs) if query.grades else ():
            if doc["doc_id"] in query.grades:
                docs[place] = self._doc(query, doc["doc_id"], doc["score"], name, doc["rank"])
        return docs

    def _filtered(
        self, query: JudgedQuery, source: Source, found: Found, docs: list[Doc], counts: Counts
    ) -> list[Doc]:
        """The candidates within the limits, and what becomes of those that are suspected false negatives."""
        if not self._selection.looks_at_each:
            counts[source.name, "candidates"] += len(docs)
            return docs
        scores = dict(zip(found.doc_ids, found.scores or (), strict=False))
        lowest = min(found.positives.values(), default=None)
        if self._selection.margins and (lowest is None or found.scores is None):
            counts[source.name, "passed unfiltered, no scored positive"] += len(docs)
        if self._selection.near_copies is not None:
            uncompared = sum(not query.comparable(doc["doc_id"]) for doc in docs)
            counts[source.name, "passed uncompared, no text or no positive"] += uncompared
        kept = []
        for doc in docs:
            score = scores.get(doc["doc_id"])
            if score is not None and (limit := self._selection.limit_exceeded(score)):
                counts[source.name, f"dropped by --{limit}"] += 1
            elif test := self._suspected_by(query, doc["doc_id"], score, lowest):
                fate = self._selection.false_negatives or "drop"
                if fate == "relabel" and "relevance" in doc:
                    fate = "drop"  # judged, and not relevant: neither a new positive nor a sure negative
                counts[source.name, f"{FALSE_NEGATIVES[fate]} --{test}"] += 1
                if fate == "relabel":
                    doc["relevance"], doc["relabelled"] = 1, True
                if fate != "drop":
                    kept.append(doc)
            else:
                kept.append(doc)
        counts[source.name, "candidates"] += len(kept)
        return kept

    def _suspected_by(
        self, query: JudgedQuery, doc_id: str, score: float | None, lowest: float | None
    ) -> str | None:
        """Name the test that suspects a candidate of being a false negative, if any does."""
        selection = self._selection
        positive = doc_id in query.positives
        if positive and not self._group:
            return None
        if score is not None and lowest is not None and (margin := selection.margin_failed(score, lowest)):
            return margin
        near = selection.near_copies
        if near is not None and not positive and query.nearness(doc_id) >= near:
            return "near-copies"
        return None

    def _positives(self, query: JudgedQuery, answers: list[Found], counts: Counts) -> list[Doc]:
        """All judged positives, with the rank and score that a source gives them."""
        docs = []
        for doc_id in query.positives:
            if not query.knows(doc_id):
                counts["", "positives not in the corpus"] += 1
                continue
            name, rank, score = QRELS_SOURCE, None, None
            for source, found in zip(self._sources, answers, strict=True):
                if source is self._scoring:
                    score = found.positives.get(doc_id)
                in_depth = found.doc_ids[: self._selection.depth]
                if rank is None and doc_id in in_depth:
                    name, rank = source.name, in_depth.index(doc_id) + 1
            docs.append(self._doc(query, doc_id, score, name, rank))
        return docs

    def _doc(
        self, query: JudgedQuery, doc_id: str, score: float | None, source: str, rank: int | None
    ) -> Doc:
        keep = self._keeps_docs and doc_id in query.own
        doc = query.own[doc_id].copy() if keep else Doc(doc_id=doc_id)
        if self._selection.no_text:
            doc.pop("text", None)
        elif (text := query.text(doc_id)) is not None:
            doc["text"] = text
        if doc_id in query.grades:
            doc["relevance"] = query.grades[doc_id]
        if keep:
            return doc
        if score is not None:
            doc["score"] = score
        if rank is not None:
            doc["rank"] = rank
        doc["source"] = source
        return doc

    def _record(self, query: JudgedQuery, docs: Sequence[Doc]) -> Record:
        record = query.record.copy()
        record["docs"] = cast("list[Doc]", docs)  # or columns, which only a writer of runs is given
        if not self._keeps_docs:  # the scores of the input, if any, are gone
            forget_scores(record)
            if self._scoring is not None and self._scoring.scale is not None:
                record["score_scale"] = self._scoring.scale
        return record


def _batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    """Yield records in lists of `size`; where they come slowly, not waiting for more than are there.

    Bad input ends them after what came before it.
    """
    more = True
    while more:
        late = time.monotonic() + _PATIENCE
        batch: list[Record] = []
        failure = None
        try:
            for record in islice(records, size):
                batch.append(record)
                if time.monotonic() > late:
                    break
        except RdError as error:
            failure = error
        if batch:
            yield batch
        if failure is not None:
            raise failure
        more = bool(batch)
