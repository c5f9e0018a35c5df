"""Functions that the formats of other toolkits share: read a line, return the parts of a record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.records import Doc, Record, is_positive
from rdtools.core.streams import Lines
from rdtools.formats.records import check_record, identifier, show
from rdtools.formats.texts import decode, string

Fields = dict[str, Any]


def text_id(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def by_text(texts: Iterable[Any]) -> list[Fields]:
    docs = []
    for text in texts:
        if not isinstance(text, str):
            raise BadLine(f"a document must be a text, not {show(text)}")
        docs.append({"doc_id": text_id(text), "text": text})
    return docs


def by_id(ids: Iterable[Any]) -> list[Fields]:
    return [{"doc_id": doc_id} for doc_id in ids]


def with_scores(docs: list[Fields], scores: Any, key: str) -> list[Fields]:
    """Give each document its score, in order."""
    if not isinstance(scores, list) or len(scores) != len(docs):
        count = f"{len(scores)}" if isinstance(scores, list) else show(scores)
        raise BadLine(f'"{key}" must be a list of {len(docs)} scores, one per document, not {count}')
    return [{**doc, "score": score} for doc, score in zip(docs, scores, strict=True)]


def as_relevant(docs: list[Fields]) -> list[Fields]:
    return [{**doc, "relevance": 1} for doc in docs]


def joined(lines: Lines, query: Fields, docs: Iterable[Fields], others: Fields | None = None) -> Record:
    """Check the parts as a record and put them together, each document once."""
    first: dict[str, Fields] = {}
    for doc in docs:
        known = first.setdefault(identifier(doc, "doc_id"), doc)
        if known.get("score") != doc.get("score"):
            lines.leave_out("repeated document", "with another score")
    record = {**query, "docs": list(first.values())}
    if any("score" in doc for doc in first.values()):
        record["score_scale"] = "unknown"
    return check_record({**(others or {}), **record})


def take_query(fields: Fields, *text_keys: str) -> Fields:
    """Take the query out of `fields`: its id, or what is made from its text."""
    key = next((key for key in text_keys if fields.get(key) is not None), None)
    query: Fields = {} if key is None else {"query": string(fields, key)}
    for key in text_keys:
        fields.pop(key, None)
    if fields.get("query_id") is None and "query" in query:
        fields["query_id"] = text_id(query["query"])
    query_id = identifier(fields, "query_id")
    del fields["query_id"]
    return {"query_id": query_id, **query}


def take_list(fields: Fields, key: str) -> list[Any]:
    """Take the list under `key` out of `fields`; it must be there."""
    value = fields.pop(key, None)
    if not isinstance(value, list):
        raise BadLine(f'missing "{key}"' if value is None else f'"{key}" must be a list, not {show(value)}')
    return value


def columns_of(line: bytes, names: str) -> list[str]:
    columns = decode(line).split("\t")
    count = names.count(",") + 1
    if len(columns) != count:
        raise BadLine(f"{count} columns expected ({names}, separated by tabs), not {len(columns)}")
    if not all(columns):
        raise BadLine("a column is empty")
    return columns


def positives_of(record: Record) -> list[Doc]:
    return list(filter(is_positive, record["docs"]))


def negatives_of(record: Record) -> list[Doc]:
    return [doc for doc in record["docs"] if not is_positive(doc)]


def pairs_of(record: Record) -> Iterator[tuple[Doc, Doc]]:
    """Each positive with each negative."""
    return product(positives_of(record), negatives_of(record))


def positives_leading(record: Record) -> list[Doc]:
    """Return the documents with the positives in front, where loaders that read a part of the list look."""
    return positives_of(record) + negatives_of(record)


def text_of(doc: Doc) -> str:
    if "text" not in doc:
        raise BadLine(
            f'document "{doc["doc_id"]}" has no text, which this format needs', "leave out --no-text"
        )
    return doc["text"]


def title_and_text(doc: Doc) -> tuple[str, str]:
    """Return the title of a document and its text without the title; most documents have no title."""
    title, text = doc.get("title"), text_of(doc)
    if isinstance(title, str) and title and f"{text} ".startswith(f"{title} "):
        return title, text[len(title) + 1 :]
    return "", text


def query_text(record: Record) -> str:
    if "query" not in record:
        raise BadLine("it has no query text, which this format needs", "give --queries or --dataset")
    return record["query"]


def score_of(doc: Doc) -> float:
    if "score" not in doc:
        raise BadLine(
            f'document "{doc["doc_id"]}" has no score, which this format needs', "run rd-label first"
        )
    return doc["score"]


def all_scored(docs: Sequence[Doc]) -> bool:
    """True if every document has a score."""
    return bool(docs) and all("score" in doc for doc in docs)


def single_spaced(text: str) -> str:
    """Return the text with one space for any white space; there must be something else."""
    words = text.split()
    if not words:
        raise BadLine("an empty text, which this format cannot hold")
    return " ".join(words)
