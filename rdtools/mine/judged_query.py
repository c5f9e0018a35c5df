"""A query, its judgements and the texts of its documents. Use them to recognise positives and copies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from rdtools.core.folding import folded
from rdtools.core.records import Record
from rdtools.data.corpus import Corpus, find_text

_SHINGLE = 3


class JudgedQuery:
    """A query, the grades of its documents, and their texts.

    Attributes:
        own_docs: the documents of the record, by id.
        judged: the grades that judgements give, by doc_id.
        grades: by doc_id; a judgement replaces the relevance in the record.
        positives: the ids with a grade above 0, those of the record first.
    """

    def __init__(self, record: Record, judged: Mapping[str, int], corpus: Corpus | None) -> None:
        self.record = record
        self.own_docs = {doc["doc_id"]: doc for doc in record["docs"]}
        graded = {doc_id: doc["relevance"] for doc_id, doc in self.own_docs.items() if "relevance" in doc}
        self.judged = judged
        self.grades = graded | dict(judged)
        self.positives = [doc_id for doc_id, grade in self.grades.items() if grade > 0]
        self._corpus = corpus

    def has(self, doc_id: str) -> bool:
        """Return whether the record or the corpus has the document; True if there is no corpus."""
        return self._corpus is None or doc_id in self.own_docs or doc_id in self._corpus.row_of

    def text(self, doc_id: str) -> str | None:
        """Return the text of a document: the record's, or else the corpus's; None if there is none."""
        return find_text(self.own_docs.get(doc_id) or {"doc_id": doc_id}, self._corpus)

    def folded_text(self, doc_id: str) -> str | None:
        """Return the text in one letter case, white space and compatibility form; copies have the same."""
        text = self.text(doc_id)
        return None if text is None else folded(text)

    def copies_a_positive(self, doc_id: str) -> bool:
        """Return whether the folded text is that of a positive."""
        return self.folded_text(doc_id) in self._positive_texts

    def comparable(self, doc_id: str) -> bool:
        """Return whether the document and a positive have texts."""
        return self.text(doc_id) is not None and bool(self._positive_texts)

    def similarity(self, doc_id: str) -> float:
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
    """Return |A ∩ B| / |A ∪ B|, and 0 for two empty sets (Broder, 1997: the resemblance of documents)."""
    return len(one & other) / (len(one | other) or 1)
