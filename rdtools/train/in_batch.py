"""In-batch negatives: the documents of a batch are negatives for its other queries."""

from __future__ import annotations

from dataclasses import replace

from rdtools.core.folding import folded
from rdtools.train.groups import Group


def add_in_batch_negatives(groups: list[Group]) -> list[Group]:
    """Add to each group the documents of all others, except those judged relevant to its query.

    No text is added twice, ignoring case, white space and compatibility forms.
    """
    texts = [[folded(document.text) for document in group.documents] for group in groups]
    return [_with_negatives(place, groups, texts) for place in range(len(groups))]


def _with_negatives(place: int, groups: list[Group], texts: list[list[str]]) -> Group:
    group = groups[place]
    ids = {*group.relevant, *(document.doc_id for document in group.documents)}
    for other in groups:  # a query may have several records, each with other positives
        if other.query == group.query:
            ids.update(other.relevant, (document.doc_id for document in other.documents if document.positive))
    seen = set(texts[place])
    negatives = []
    for other, other_texts in zip(groups, texts, strict=True):
        for document, text in zip(other.documents, other_texts, strict=True):
            if document.doc_id not in ids and text not in seen:
                ids.add(document.doc_id)
                seen.add(text)
                negatives.append(document._replace(positive=False))
    return replace(group, documents=group.documents + negatives, in_batch_negatives=len(negatives))
