"""The options that name a collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag


@dataclass(frozen=True)
class CorpusOptions(OptionGroup):
    """The source of documents."""

    heading: ClassVar[str] = "Collection"

    dataset: str | None = flag(
        "--dataset", default=None, metavar="ID",
        help="DIR or DIR:SPLIT, a folder in BEIR layout; pydoc[:train|:test], the docstrings of Python's "
        "standard library; irds:NAME, a dataset of ir-datasets.",
    )  # fmt: skip
    corpus: str | None = flag(
        "--corpus", default=None, metavar="FILE", help="Documents: BEIR JSONL, or doc_id TAB text."
    )


@dataclass(frozen=True)
class TextOptions(CorpusOptions):
    """The source of the texts of documents and queries."""

    queries: str | None = flag(
        "--queries", default=None, metavar="FILE", help="Queries: BEIR JSONL, query_id TAB text, or records."
    )


@dataclass(frozen=True)
class CollectionOptions(TextOptions):
    """The source of documents, queries and judgements."""

    qrels: str | None = flag(
        "--qrels", default=None, metavar="FILE", help="Judgements: TREC, BEIR TSV, or records."
    )
