"""The options that name a collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag

NAMED = ("pydoc", "pydoc:train", "pydoc:test", "irds:")
"""Datasets that TAB offers besides folders."""


def complete_dataset(incomplete: str) -> list[str]:
    """Complete the name of a dataset, or the split of a folder; folders are in BEIR layout."""
    folder, colon, _ = incomplete.rpartition(":")
    if colon and Path(folder).is_dir():
        found = [
            f"{folder}:{file.name.split('.')[0]}" for file in sorted(Path(folder, "qrels").glob("*.tsv*"))
        ]
    else:
        place, slash, _ = incomplete.rpartition("/")
        corpora = sorted(Path(place + slash or ".").expanduser().glob("*/corpus.jsonl*"))
        names = dict.fromkeys(f"{place}{slash}{corpus.parent.name}" for corpus in corpora)
        found = [*NAMED, *(name + end for name in names for end in ("", ":"))]
    return [name for name in found if name.startswith(incomplete)]


@dataclass(frozen=True)
class CorpusOptions(OptionGroup):
    """The source of documents."""

    heading: ClassVar[str] = "Collection"

    dataset: str | None = flag(
        "--dataset", default=None, metavar="ID", complete=complete_dataset,
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
