"""sentence-transformers: what `mine_hard_negatives` gives and what the losses take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rdtools.core.records import Doc, Record, is_positive
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import (
    Fields,
    all_scored,
    as_relevant,
    by_id,
    by_text,
    joined,
    negatives_of,
    positives_of,
    query_text,
    take_list,
    take_query,
    text_of,
    with_scores,
)
from rdtools.formats.records import dump, is_score, parse_object
from rdtools.formats.texts import string


def read_sentence_transformers(lines: Lines) -> Iterator[Record]:
    """Read the rows that `mine_hard_negatives` writes and the losses read, one per line.

    - `anchor` (or `query`), `positive` (or `answer`), `negative` or `negative_1` … `negative_n`, with
      `scores` (or `labels`) of the positive and each negative;
    - the same with one number per negative, in `score` or `label`, too: the margins. The positive then
      gets the score 0 and a negative minus its margin, as only differences are known;
    - a pair of `anchor` and `positive` with `label` (its relevance) or `score`;
    - `query`, `docs` and `labels` or `scores`, lists of equal length.

    Where the query is a whole number, it and the documents are ids.
    """
    return lines.parsed(partial(_sentence_transformers, lines))


def _sentence_transformers(lines: Lines, line: bytes) -> Record:
    fields = parse_object(line)
    has_ids = any(isinstance(fields.get(key), int) for key in ("anchor", "query"))
    if has_ids:
        fields["query_id"] = fields.pop("anchor", fields.pop("query", None))
    as_docs = by_id if has_ids else by_text
    query = take_query(fields, "anchor", "query")
    many = next((key for key in ("docs", "documents") if key in fields), None)
    if many is not None:
        docs = as_docs(take_list(fields, many))
        if "labels" in fields:
            docs = _labelled(with_scores(docs, fields.pop("labels"), "labels"))
        if "scores" in fields:
            docs = with_scores(docs, fields.pop("scores"), "scores")
        return joined(lines, query, docs, fields)
    positive_key = "positive" if "positive" in fields else "answer"
    if not has_ids:
        string(fields, positive_key)
    (positive,) = as_docs([fields.pop(positive_key, None)])
    names = [name for name in fields if name == "negative" or name.removeprefix("negative_").isdecimal()]
    negatives = as_docs(fields.pop(name) for name in names)
    value_key = next(
        (key for key in ("scores", "score", "labels", "label") if fields.get(key) is not None), None
    )
    value = fields.pop(value_key) if value_key is not None else None
    values: list[Any] = value if isinstance(value, list) else [value]
    if not negatives and value_key is not None:
        docs = with_scores([positive], values, value_key)
        return joined(lines, query, _labelled(docs) if value_key == "label" else docs, fields)
    if value_key is not None:
        if len(values) == len(negatives):
            values = [0.0, *(-margin if is_score(margin) else margin for margin in values)]
        positive, *negatives = with_scores([positive, *negatives], values, value_key)
    return joined(lines, query, as_relevant([positive]) + negatives, fields)


def _labelled(docs: list[Fields]) -> list[Fields]:
    """Take whole numbers, which stand in `score`, for judgements; a fraction makes them scores."""
    labels = [doc["score"] for doc in docs]
    if any(isinstance(label, float) and label != int(label) for label in labels if is_score(label)):
        return docs
    return [
        {**{key: doc[key] for key in ("doc_id", "text") if key in doc}, "relevance": label}
        for doc, label in zip(docs, labels, strict=True)
    ]


def write_sentence_transformers(record: Record) -> bytes:
    """One line per positive, with all negatives: `mine_hard_negatives(output_format="n-tuple")`.

    The table needs as many negatives in every line: mine with one `--num-negatives`.
    """
    return _tuples(record, lambda negatives: [negatives])


def write_triplet(record: Record) -> bytes:
    """One line per positive and negative: `mine_hard_negatives(output_format="triplet")`."""
    return _tuples(record, lambda negatives: [[doc] for doc in negatives], numbered=False)


def _tuples(record: Record, groups: Callable[[list[Doc]], list[list[Doc]]], numbered: bool = True) -> bytes:
    rows = []
    scored = all_scored(record["docs"])
    for positive in positives_of(record):
        for negatives in groups(negatives_of(record)):
            docs = [positive, *negatives]
            row: Fields = {"anchor": query_text(record), "positive": text_of(positive)}
            for place, doc in enumerate(negatives, start=1):
                row[f"negative_{place}" if numbered else "negative"] = text_of(doc)
            if scored:
                row["scores"] = [doc["score"] for doc in docs]
            rows.append(dump(row))
    return b"".join(rows)


def write_list(record: Record) -> bytes:
    """All documents with scores, or else labels: `mine_hard_negatives(output_format="labeled-list")`."""
    docs = record["docs"]
    row: Fields = {"query": query_text(record), "docs": [text_of(doc) for doc in docs]}
    if all_scored(docs):
        row["scores"] = [doc["score"] for doc in docs]
    else:
        row["labels"] = [int(is_positive(doc)) for doc in docs]
    return dump(row)
