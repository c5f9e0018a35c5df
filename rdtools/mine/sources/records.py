"""`records`: the documents of the input records, to be selected again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rdtools.core.records import Record
from rdtools.data.run_file import scores_by_doc
from rdtools.formats.runs import found_docs, ranking
from rdtools.mine.sources import SearchRequest, SourceRanking, refuse_argument
from rdtools.search.resources import Resources


class RecordsSource:
    """The documents of the record, by score; in their order if none has a score."""

    name = "records"
    scale = None  # the record keeps its own scores and scale
    batch = 1

    def __init__(self, argument: str, resources: Resources) -> None:
        refuse_argument("records", argument, "for a file of records: run:FILE")

    def search(self, requests: Sequence[SearchRequest]) -> list[SourceRanking]:
        return [up_to_depth(rank_record(one.record), one) for one in requests]


def rank_record(record: Record) -> SourceRanking:
    """Rank all documents of a record except added positives; `positives` has the scores of these too."""
    ranked, found = ranking(record), found_docs(record)
    return SourceRanking(
        [doc_id for doc_id, _ in ranked],
        [score for _, score in ranked] if any("score" in doc for doc in found) else None,
        scores_by_doc(record),
        unscored=len(found) - len(ranked),
    )


def up_to_depth(whole: SourceRanking, request: SearchRequest) -> SourceRanking:
    """Return the first documents of a ranking, and the scores of the positives, as requested."""
    return replace(
        whole,
        doc_ids=whole.doc_ids[: request.depth],
        scores=None if whole.scores is None else whole.scores[: request.depth],
        positives={
            doc_id: whole.positives[doc_id] for doc_id in request.positives if doc_id in whole.positives
        },
    )
