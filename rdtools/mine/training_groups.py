"""`-n N`: training groups of all positives and N negatives."""

from __future__ import annotations

from itertools import islice

from rdtools.core.randomness import shuffled
from rdtools.core.records import Doc
from rdtools.mine.judged_query import JudgedQuery
from rdtools.mine.miner import Miner, Pools
from rdtools.mine.sampling import SAMPLING

_RANDOM = "random"


class TrainingGroups(Miner):
    """Records with all positives, judged and relabelled, then the negatives that --sampling chooses."""

    def _documents(self, pools: Pools) -> list[Doc]:
        query, counts, n = pools.query, pools.counts, self._selection.num_negatives or 0
        relabelled: list[Doc] = []
        candidates: list[Doc] = []
        ranks: list[int] = []
        for docs in pools.docs:
            before = len(candidates)
            for doc in docs:  # only relabelling gives a document another relevance than its grade
                changed = doc.get("relevance") != query.grades.get(doc["doc_id"])
                (relabelled if changed else candidates).append(doc)
            ranks += range(1, len(candidates) - before + 1)
        sample = SAMPLING[self._selection.sampling]
        places = sample(candidates, ranks, n, self._generator(query.record, "negatives"))
        drawn = [candidates[place] for place in places]
        negatives = [doc for doc in drawn if doc["doc_id"] not in query.positives]
        counts["", "positives drawn as negatives"] = len(drawn) - len(negatives)
        positives = self._positives(pools) + relabelled
        counts["", "positives"] = len(positives)
        padding = self._padding(pools, n - len(drawn), positives + negatives)
        counts["", "negatives"] = len(negatives) + len(padding)
        counts["", "negatives that --pad drew"] = len(padding)
        counts["", "negatives missing"] = n - len(negatives) - len(padding)
        group = positives + negatives + padding
        return self._in_source_order(group) if self._order_is_ranking else group

    def _in_source_order(self, docs: list[Doc]) -> list[Doc]:
        """Return a group in the order of retrieval, since a run must not begin with its positives."""
        order = {source.name: place for place, source in enumerate(self._sources)}
        last = len(order)
        return sorted(docs, key=lambda doc: (order.get(doc.get("source", ""), last), doc.get("rank", 0)))

    def _padding(self, pools: Pools, missing: int, docs: list[Doc]) -> list[Doc]:
        """Return random documents of the corpus that no source returned, without copies of `docs`.

        With --paper-compat they are any documents that `docs` does not have.
        """
        if not self._selection.pad or self._corpus is None or missing == 0:
            return []
        query, seen = pools.query, pools.seen
        if self._keeps_docs:
            seen = seen | query.own_docs.keys()
        rng = self._generator(query.record, "padding")
        ranked = enumerate(shuffled(self._corpus.doc_ids, rng), start=1)
        if self._selection.paper_compat:
            ids = {doc["doc_id"] for doc in docs}
            fit = ((rank, doc_id) for rank, doc_id in islice(ranked, missing) if doc_id not in ids)
        else:
            texts = {query.folded_text(doc["doc_id"]) for doc in docs}
            fit = (
                (rank, doc_id)
                for rank, doc_id in ranked
                if doc_id not in seen and self._may_pad(query, doc_id, texts)
            )
        return [self._doc(query, doc_id, None, _RANDOM, rank) for rank, doc_id in islice(fit, missing)]

    def _may_pad(self, query: JudgedQuery, doc_id: str, texts: set[str | None]) -> bool:
        """Return whether a document is no positive and no copy of `texts`; if so, add its text to them."""
        text = query.folded_text(doc_id)
        if doc_id in query.positives or text in texts or self._filters.is_near_copy(query, doc_id):
            return False
        texts.add(text)
        return True
