"""What the tests of mining share: a source whose ranking is known, a corpus, and a query mined from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdtools.data.corpus import Corpus
from rdtools.mine.options import Selection
from rdtools.mine.retrieval import Retrieval
from rdtools.mine.sources import SearchRequest, Source, SourceRanking
from rdtools.mine.training_groups import TrainingGroups


class Fixed:
    """A source that gives the same ranking to every query."""

    batch = 1

    def __init__(self, doc_ids, scores=None, name="fixed", scale="dot"):
        self.name, self.scale = name, scale if scores is not None else None
        self.doc_ids, self.scores = doc_ids, scores

    def search(self, requests):
        known = dict(zip(self.doc_ids, self.scores or [], strict=False))
        return [
            SourceRanking(
                self.doc_ids[: one.depth],
                self.scores and self.scores[: one.depth],
                {doc_id: known[doc_id] for doc_id in one.positives if doc_id in known},
            )
            for one in requests
        ]


CORPUS = Corpus([(f"d{n}", f"text {n}") for n in range(10)] + [("copy", "Ｔext \n 1"), ("e", "")])
QUERY: Any = {"query_id": "q", "query": "x", "docs": [], "mine": [1]}


def searched(source: Source, requests: Sequence[SearchRequest]) -> list[Any]:
    return list(source.search(requests))


def miner_of(sources, selection, *rest):
    return (TrainingGroups if selection.is_group else Retrieval)(sources, selection, *rest)


def mined(sources, qrels=None, as_run=False, **selection):
    options = Selection(**{"sampling": "top", **selection})
    miner = miner_of(sources, options, {"q": qrels or {}}, CORPUS, as_run)
    return next(miner.mine([QUERY])), list(miner.tally.lines())


def ids(record):
    return [doc["doc_id"] for doc in record["docs"]]
