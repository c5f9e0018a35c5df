"""Documents of a batch as negatives of its other queries."""

from __future__ import annotations

from dataclasses import replace

from rdtools.core.folding import folded
from rdtools.train.groups import Group


def share_negatives(groups: list[Group]) -> list[Group]:
    """Give each group the documents of all others as negatives, but those known as relevant to its query.

    Relevant are the ids that its record judged so. No text comes twice, but for case, white space and
    compatibility forms.
    """
    texts = [[folded(document.text) for document in group.documents] for group in groups]
    return [_with_foreign(place, groups, texts) for place in range(len(groups))]


def _with_foreign(place: int, groups: list[Group], texts: list[list[str]]) -> Group:
    group = groups[place]
    ids = {*group.relevant, *(document.doc_id for document in group.documents)}
    for other in groups:  # one query may stand in several records, each with a positive of its own
        if other.query == group.query:
            ids.update(other.relevant, (document.doc_id for document in other.documents if document.positive))
    seen = set(texts[place])
    foreign = []
    for other, its_texts in zip(groups, texts, strict=True):
        for document, text in zip(other.documents, its_texts, strict=True):
            if document.doc_id not in ids and text not in seen:
                ids.add(document.doc_id)
                seen.add(text)
                foreign.append(document._replace(positive=False))
    return replace(group, documents=group.documents + foreign, foreign=len(foreign))
