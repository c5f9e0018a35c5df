"""`-n all`: the documents that the sources find, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from rdtools.core.records import Doc, Record
from rdtools.formats.runs import RunColumns, one_word, run_columns
from rdtools.mine.miner import Miner, Pools
from rdtools.mine.sources import SourceRanking


class Retrieval(Miner):
    """Records with all documents that passed the filters, and those that --add-positives adds."""

    def _documents(self, pools: Pools) -> list[Doc]:
        docs = list(chain.from_iterable(pools.docs))
        if self._selection.add_positives:
            found = {doc["doc_id"] for doc in docs}
            added = [doc for doc in self._positives(pools) if doc["doc_id"] not in found]
            pools.counts["", "positives added"] = len(added)
            docs += added
        return docs

    def runs(self, queries: Iterable[Record]) -> Iterator[RunColumns]:
        """Yield the rankings of the records that `mine` yields; one that needs no documents makes none."""
        needs_docs = self._filters.active or self._selection.add_positives or len(self._sources) > 1
        for query, rankings in self._searched(queries):
            if needs_docs or self._scoring is None or rankings[0].rows is None:
                yield run_columns(self._mined(query, rankings))
            else:
                yield self._columns(query.record["query_id"], rankings[0])

    def _columns(self, query_id: str, ranking: SourceRanking) -> RunColumns:
        assert ranking.scores is not None
        name = self._sources[0].name
        kept = slice(self._limits[0].range_min, self._limits[0].depth)
        doc_ids = ranking.doc_ids[kept]
        self.tally.add(Counter({(name, "candidates"): len(doc_ids)}))
        return RunColumns(query_id, doc_ids, ranking.scores[kept], one_word(name))
