"""Search sources for candidates and filter them: the part that retrieval and training groups share."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from rdtools.core.arrival import batches
from rdtools.core.errors import UsageError
from rdtools.core.log import log
from rdtools.core.randomness import generator
from rdtools.core.records import QRELS_SOURCE, Doc, Qrels, Record
from rdtools.core.scores import forget_scores
from rdtools.data.corpus import Corpus
from rdtools.formats.runs import RunColumns, run_columns
from rdtools.mine.filters import Filters
from rdtools.mine.judged_query import JudgedQuery
from rdtools.mine.options import Selection
from rdtools.mine.sources import RECORDS, SearchRequest, Source, SourceRanking
from rdtools.mine.tally import Counts, Tally

_PATIENCE = 0.1
"""So many seconds a query may wait for others, to be searched together."""
_SLACK = 16
"""Extra candidates, which replace copies of a positive."""


@dataclass(frozen=True)
class Pools:
    """The candidates of one query.

    Attributes:
        rankings: the ranking of each source.
        docs: the documents of each source that passed the filters.
        seen: the ids of all candidates, also of those that did not pass.
    """

    query: JudgedQuery
    rankings: list[SourceRanking]
    docs: list[list[Doc]]
    seen: set[str]
    counts: Counts


class Miner(ABC):
    """Turns queries into records with candidates of `sources`: `Retrieval` or `TrainingGroups`.

    With `as_run` a run will be written. Documents without a score would be lost there, so with several
    sources none gets a score: their order is the ranking.

    Attributes:
        tally: the counts of documents and queries, by source and filter.

    Raises:
        UsageError: padding without a corpus.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        selection: Selection,
        qrels: Qrels,
        corpus: Corpus | None,
        as_run: bool = False,
    ) -> None:
        if selection.pad and corpus is None:
            raise UsageError("--pad needs a corpus (give --dataset or --corpus)")
        self.tally = Tally()
        self._sources = sources
        self._selection = selection
        self._filters = Filters(selection, [source.name for source in sources])
        self._limits = [selection.limits_of(source.name) for source in sources]
        self._qrels = qrels
        self._corpus = corpus
        self._excludes_positives = selection.is_group and not selection.paper_compat
        self._order_is_ranking = as_run and len(sources) > 1
        self._keeps_docs = any(source.name == RECORDS for source in sources)
        scoring = [source for source in sources if source.scale is not None]
        # The scores of input records are on a scale of their own, so no other source's may join them.
        one_scale = len(scoring) == 1 and not self._keeps_docs and not self._order_is_ranking
        self._scoring = scoring[0] if one_scale else None

    def mine(self, queries: Iterable[Record]) -> Iterator[Record]:
        """Yield one record for each query of the sample, in order."""
        for query, rankings in self._searched(queries):
            yield self._mined(query, rankings)

    def runs(self, queries: Iterable[Record]) -> Iterator[RunColumns]:
        """Yield the ranking of each record that `mine` yields."""
        return map(run_columns, self.mine(queries))

    def report(self) -> None:
        """Write the counts to stderr, with a warning if positives were needed and no query had one."""
        self.tally.report()
        needed = self._filters.need_positives or any(
            source.name.startswith("graph") for source in self._sources
        )
        if needed and self.tally.queries and not self.tally.with_positives:
            log.warning("no query has a positive (give --qrels or --dataset)")

    def _mined(self, query: JudgedQuery, rankings: list[SourceRanking]) -> Record:
        pools = self._pools(query, rankings)
        docs = self._documents(pools)
        self.tally.add(pools.counts)
        self.tally.with_positives += bool(query.positives)
        record = query.record.copy()
        record["docs"] = docs
        if not self._keeps_docs:  # the scores of the input are gone
            forget_scores(record)
            if self._scoring is not None and self._scoring.scale is not None:
                record["score_scale"] = self._scoring.scale
        return record

    @abstractmethod
    def _documents(self, pools: Pools) -> list[Doc]:
        """Choose the documents of a record."""

    def _searched(self, queries: Iterable[Record]) -> Iterator[tuple[JudgedQuery, list[SourceRanking]]]:
        """Yield each query of the sample with the ranking of each source."""
        most = max(source.batch for source in self._sources)
        for records in batches(queries, most, _PATIENCE):
            batch = [
                JudgedQuery(record, self._qrels.get(record["query_id"], {}), self._corpus)
                for record in records
                if self._in_sample(record)
            ]
            if not batch:
                continue
            rankings = [
                source.search([self._request(query, number) for query in batch])
                for number, source in enumerate(self._sources, 1)
            ]
            for query, *its_rankings in zip(batch, *rankings, strict=True):
                yield query, its_rankings

    def _in_sample(self, record: Record) -> bool:
        if self._selection.sample == 1:
            return True
        inside = self._generator(record, "sample").random() < self._selection.sample
        self.tally.not_sampled += not inside
        return inside

    def _generator(self, record: Record, purpose: str) -> random.Random:
        return generator(self._selection.seed, record["query_id"], purpose)

    def _request(self, query: JudgedQuery, number: int) -> SearchRequest:
        """Ask source `number` for enough documents without positives and those of earlier sources."""
        depth = sum(limits.depth for limits in self._limits[:number])
        more = self._excludes_positives * (len(query.positives) + _SLACK)
        return SearchRequest(query.record, depth + more, query.positives)

    def _pools(self, query: JudgedQuery, rankings: list[SourceRanking]) -> Pools:
        pools = Pools(query, [], [], set(), Counter())
        for number, (source, ranking) in enumerate(zip(self._sources, rankings, strict=True), 1):
            ranking, candidates = self._to_depth(pools, source, number, ranking)
            pools.rankings.append(ranking)
            pools.counts[source.name, "left out, no score"] += ranking.unscored
            pools.seen.update(map(itemgetter("doc_id"), candidates))
            docs = candidates[self._limits[number - 1].range_min :]
            if self._filters.active:
                docs = self._filters.passed(query, source.name, ranking, docs, pools.counts)
            pools.counts[source.name, "candidates"] += len(docs)
            pools.docs.append(docs)
        return pools

    def _to_depth(
        self, pools: Pools, source: Source, number: int, ranking: SourceRanking
    ) -> tuple[SourceRanking, list[Doc]]:
        """Return the candidates, after deeper searches if too many were left out and the source has more."""
        request, depth = self._request(pools.query, number), self._limits[number - 1].depth
        while True:
            left_out: Counts = Counter()
            docs = self._candidates(pools, source, depth, ranking, left_out)
            if len(docs) == depth or len(ranking.doc_ids) < request.depth:
                pools.counts.update(left_out)
                return ranking, docs
            request = replace(request, depth=2 * request.depth)
            (ranking,) = source.search([request])

    def _candidates(
        self, pools: Pools, source: Source, depth: int, ranking: SourceRanking, counts: Counts
    ) -> list[Doc]:
        """Return the first `depth` documents that may be candidates."""
        query, seen = pools.query, pools.seen
        excludes = self._excludes_positives and query.positives
        if source is self._scoring and ranking.rows is not None and not (excludes or seen or query.own_docs):
            return self._all_docs(query, source.name, depth, ranking)
        docs: list[Doc] = []
        for place, doc_id in enumerate(ranking.doc_ids):
            if len(docs) == depth:
                break
            if doc_id in seen:
                counts[source.name, "left out, given by an earlier source"] += 1
            elif not query.has(doc_id):
                counts[source.name, "left out, not in the corpus"] += 1
            elif self._excludes_positives and doc_id in query.positives:
                counts[source.name, "left out, positives by id"] += 1
            elif self._excludes_positives and query.copies_a_positive(doc_id):
                counts[source.name, "left out, copies of a positive"] += 1
            else:
                score = ranking.scores[place] if ranking.scores and source is self._scoring else None
                docs.append(self._doc(query, doc_id, score, source.name, place + 1))
        return docs

    def _all_docs(self, query: JudgedQuery, source: str, depth: int, ranking: SourceRanking) -> list[Doc]:
        """Make the documents that `_doc` makes, ten times as fast for those that nobody judged."""
        assert ranking.rows is not None and ranking.scores is not None and self._corpus is not None  # noqa: PT018
        ranks = range(1, depth + 1)
        ranked = zip(ranks, ranking.rows, ranking.doc_ids, ranking.scores, strict=False)
        if not self._selection.no_text:
            texts = self._corpus.texts
            docs: list[Doc] = [
                {"doc_id": doc_id, "text": texts[row], "score": score, "rank": rank, "source": source}
                for rank, row, doc_id, score in ranked
            ]
        else:
            docs = [
                {"doc_id": doc_id, "score": score, "rank": rank, "source": source}
                for rank, _, doc_id, score in ranked
            ]
        for place, doc in enumerate(docs) if query.grades else ():
            if doc["doc_id"] in query.grades:
                docs[place] = self._doc(query, doc["doc_id"], doc["score"], source, doc["rank"])
        return docs

    def _positives(self, pools: Pools) -> list[Doc]:
        """Return all judged positives, with the rank and score that a source gives them."""
        docs = []
        for doc_id in pools.query.positives:
            if not pools.query.has(doc_id):
                pools.counts["", "positives not in the corpus"] += 1
                continue
            name, rank, score = QRELS_SOURCE, None, None
            for source, limits, ranking in zip(self._sources, self._limits, pools.rankings, strict=True):
                if source is self._scoring:
                    score = ranking.positives.get(doc_id)
                in_depth = ranking.doc_ids[: limits.depth]
                if rank is None and doc_id in in_depth:
                    name, rank = source.name, in_depth.index(doc_id) + 1
            docs.append(self._doc(pools.query, doc_id, score, name, rank))
        return docs

    def _doc(
        self, query: JudgedQuery, doc_id: str, score: float | None, source: str, rank: int | None
    ) -> Doc:
        keep = self._keeps_docs and doc_id in query.own_docs
        doc = query.own_docs[doc_id].copy() if keep else Doc(doc_id=doc_id)
        if self._selection.no_text:
            doc.pop("text", None)
        elif (text := query.text(doc_id)) is not None:
            doc["text"] = text
        if doc_id in query.grades:
            doc["relevance"] = query.grades[doc_id]
        if doc_id in query.judged:
            doc.pop("relabelled", None)
        if keep:
            return doc
        if score is not None:
            doc["score"] = score
        if rank is not None:
            doc["rank"] = rank
        doc["source"] = source
        return doc
