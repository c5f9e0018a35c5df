"""The nouns that travel between the commands. No logic, standard library only.

A record is the JSON object itself, typed: unknown fields stay in it untouched, and a command
that only adds a score rewrites nothing else.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, get_args

ScoreScale = Literal["logit", "probability", "log-probability", "cosine", "dot", "bm25", "rank", "unknown"]
SCORE_SCALES: tuple[str, ...] = get_args(ScoreScale)

QRELS_SOURCE = "qrels"
"""The `source` of a positive that was added to a record, not found: runs never count it."""


class _DocId(TypedDict):
    doc_id: str


class Doc(_DocId, total=False):
    """One document of a query's record."""

    text: str
    """The title, if any, a space, and the text."""
    title: str
    """The title with which `text` begins, where a format keeps it apart."""
    relevance: int
    """Judged grade; absent where the document is not judged."""
    score: float
    """A finite float32, as the last command that scored wrote it."""
    rank: int
    """1-based rank in `source`."""
    source: str
    relabelled: bool
    """True where `relevance` is 1 because rd-mine took it for a false negative: nobody judged it."""
    scores: dict[str, float]
    """The score of each teacher, if `score` was calculated from them."""
    embedding: str
    """A teacher's embedding of `text`, see `rdtools.formats.vectors`."""


class _QueryId(TypedDict):
    query_id: str
    docs: list[Doc]


def is_positive(doc: Doc) -> bool:
    """Return whether a document is judged relevant."""
    return doc.get("relevance", 0) > 0


class Record(_QueryId, total=False):
    """One query and its documents: one JSON line. A query without candidates has `docs: []`."""

    query: str
    query_embedding: str
    """That of `query`."""
    embedding_teacher: str
    """The model that made the embeddings."""
    teacher: str
    score_scale: str
    transformations: list[dict[str, Any]]
    """Transformations that produced `score`, in order, such as [{"temperature": 2.0}]."""
    augmentation: dict[str, Any]
    """Augmentations of the texts that the teacher read. "text" says who reads them; "before" lists those that
    the texts of the record already had."""


Qrels = dict[str, dict[str, int]]
"""query_id -> doc_id -> grade."""
