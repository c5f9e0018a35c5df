"""A query with its judgements and the texts of its documents: what is a positive, or a copy of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from rdtools.core.folding import folded
from rdtools.core.records import Record
from rdtools.data.corpus import Corpus

_SHINGLE = 3


class JudgedQuery:
    """A query, the grades of its documents (the judgements' before the record's), and where their texts are.

    Attributes:
        own: the documents that the record brings along, by id.
        positives: the ids with a grade above 0, the record's first, each in the order it has there.
    """

    def __init__(self, record: Record, judged: Mapping[str, int], corpus: Corpus | None) -> None:
        self.record = record
        self.own = {doc["doc_id"]: doc for doc in record["docs"]}
        graded = {doc_id: doc["relevance"] for doc_id, doc in self.own.items() if "relevance" in doc}
        self.grades = graded | dict(judged)
        self.positives = [doc_id for doc_id, grade in self.grades.items() if grade > 0]
        self._corpus = corpus

    def knows(self, doc_id: str) -> bool:
        """Whether there is such a document: in the record, or in the corpus if one is given."""
        return self._corpus is None or doc_id in self.own or doc_id in self._corpus.row_of

    def text(self, doc_id: str) -> str | None:
        doc = self.own.get(doc_id)
        if doc is not None and "text" in doc:
            return doc["text"]
        row = self._corpus.row_of.get(doc_id) if self._corpus is not None else None
        return None if self._corpus is None or row is None else self._corpus.texts[row]

    def folded_text(self, doc_id: str) -> str | None:
        """The text without what does not tell copies apart: case, white space and compatibility forms."""
        text = self.text(doc_id)
        return None if text is None else folded(text)

    def copies_a_positive(self, doc_id: str) -> bool:
        """Whether the folded text is that of a positive."""
        return self.folded_text(doc_id) in self._positive_texts

    def comparable(self, doc_id: str) -> bool:
        """Whether there are texts to compare: of the document, and of a positive."""
        return self.text(doc_id) is not None and bool(self._positive_texts)

    def nearness(self, doc_id: str) -> float:
        """Return the largest `jaccard` similarity of a document with a positive; 0 if not `comparable`."""
        own = shingles(self.folded_text(doc_id) or "")
        return max((jaccard(own, others) for others in self._positive_shingles), default=0.0)

    @cached_property
    def _positive_texts(self) -> set[str]:
        texts = map(self.folded_text, self.positives)
        return {text for text in texts if text is not None}

    @cached_property
    def _positive_shingles(self) -> list[set[tuple[str, ...]]]:
        return [shingles(text) for text in self._positive_texts]


def shingles(text: str) -> set[tuple[str, ...]]:
    """Return the runs of three words (letters, digits, _) in a text; a shorter text is one run."""
    words = re.findall(r"\w+", text)
    starts = range(max(len(words) - _SHINGLE, 0) + 1)
    return {tuple(words[start : start + _SHINGLE]) for start in starts} if words else set()


def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    """|A ∩ B| / |A ∪ B|; 0 of two empty sets (Broder, 1997: the resemblance of two documents)."""
    return len(one & other) / (len(one | other) or 1)
