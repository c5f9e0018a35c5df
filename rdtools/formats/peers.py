"""The training files of other toolkits: JSON lines, ColBERT's arrays, tables of pairs.

Where a format has texts but no ids, the first 16 hexadecimal digits of the text's BLAKE2b hash are its
id. A document that stands twice in one line counts once, as what it was first: positives come first.
Positives get `relevance` 1. No format says the scale of its scores, so it is `unknown`. Fields that a
format does not define stay in the record.

ColBERT, PyLate and MS MARCO's hard negatives number their queries and passages: ids made of digits are
written as integers there.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rdtools.errors import BadLine
from rdtools.formats.jsonl import check, dump, identifier, is_score, parse_json, parse_object, show
from rdtools.formats.runs import cell, number
from rdtools.formats.texts import decode, string, titled_text
from rdtools.records import Doc, Record
from rdtools.streams import Lines

Fields = dict[str, Any]


# --- what the readers share


def _text_id(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _by_text(texts: Iterable[Any]) -> list[Fields]:
    docs = []
    for text in texts:
        if not isinstance(text, str):
            raise BadLine(f"a document must be a text, not {show(text)}")
        docs.append({"doc_id": _text_id(text), "text": text})
    return docs


def _by_id(ids: Iterable[Any]) -> list[Fields]:
    return [{"doc_id": doc_id} for doc_id in ids]


def _scored(docs: list[Fields], scores: Any, key: str) -> list[Fields]:
    """Give each document its score, in order."""
    if not isinstance(scores, list) or len(scores) != len(docs):
        count = f"{len(scores)}" if isinstance(scores, list) else show(scores)
        raise BadLine(f'"{key}" must be a list of {len(docs)} scores, one a document, not {count}')
    return [{**doc, "score": score} for doc, score in zip(docs, scores, strict=True)]


def _relevant(docs: list[Fields]) -> list[Fields]:
    return [{**doc, "relevance": 1} for doc in docs]


def _record(query: Fields, docs: Iterable[Fields], others: Fields | None = None) -> Record:
    """Check the parts as a record and put them together, each document once."""
    first: dict[str, Fields] = {}
    for doc in docs:
        first.setdefault(identifier(doc, "doc_id"), doc)
    record = {**query, "docs": list(first.values())}
    if any("score" in doc for doc in first.values()):
        record["score_scale"] = "unknown"
    return check({**(others or {}), **record})


def _query(fields: Fields, *text_keys: str) -> Fields:
    """Take the query out of `fields`: its id, or what is made from its text."""
    key = next((key for key in text_keys if fields.get(key) is not None), None)
    query: Fields = {} if key is None else {"query": string(fields, key)}
    for key in text_keys:
        fields.pop(key, None)
    if fields.get("query_id") is None and "query" in query:
        fields["query_id"] = _text_id(query["query"])
    query_id = identifier(fields, "query_id")
    del fields["query_id"]
    return {"query_id": query_id, **query}


def _list(fields: Fields, key: str) -> list[Any]:
    """Take the list under `key` out of `fields`; it must be there."""
    value = fields.pop(key, None)
    if not isinstance(value, list):
        raise BadLine(f'missing "{key}"' if value is None else f'"{key}" must be a list, not {show(value)}')
    return value


# --- what the writers share


def _positives(record: Record) -> list[Doc]:
    return [doc for doc in record["docs"] if doc.get("relevance", 0) > 0]


def _negatives(record: Record) -> list[Doc]:
    return [doc for doc in record["docs"] if doc.get("relevance", 0) <= 0]


def _text(doc: Doc) -> str:
    if "text" not in doc:
        raise BadLine(
            f'document "{doc["doc_id"]}" has no text, which this format needs', "leave out --no-text"
        )
    return doc["text"]


def _query_text(record: Record) -> str:
    if "query" not in record:
        raise BadLine("it has no query text, which this format needs", "give --queries or --dataset")
    return record["query"]


def _score(doc: Doc) -> float:
    if "score" not in doc:
        raise BadLine(
            f'document "{doc["doc_id"]}" has no score, which this format needs', "run rd-label first"
        )
    return doc["score"]


def _all_scored(docs: Sequence[Doc]) -> bool:
    """Whether the scores can be written: those of some documents only would be taken for others'."""
    return bool(docs) and all("score" in doc for doc in docs)


def _number_id(identifier: str) -> int | str:
    """An id that is a plain number as an integer: `12`, but not `012`."""
    plain = identifier.isdecimal() and len(identifier) < 19 and str(int(identifier)) == identifier
    return int(identifier) if plain else identifier


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- triples and scores of the paper "Disentangling Locality and Entropy in Ranking Distillation"


def read_paper_triples(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "doc_id_a", "doc_id_b"}`: positive and negative ids, each one or a list."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        sides = [fields.pop(key, None) for key in ("doc_id_a", "doc_id_b")]
        positives, negatives = (_by_id(side if isinstance(side, list) else [side]) for side in sides)
        return _record(_query(fields, "query"), _relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def write_paper_triples(record: Record) -> bytes:
    """A line a positive, with all negatives."""
    negatives = [doc["doc_id"] for doc in _negatives(record)]
    return b"".join(
        dump({"query_id": record["query_id"], "doc_id_a": doc["doc_id"], "doc_id_b": negatives})
        for doc in _positives(record)
    )


def write_paper_scores(record: Record) -> bytes:
    """`"query_id":{doc_id: score, …}`, a member of the one object that the file is."""
    scores = {doc["doc_id"]: _score(doc) for doc in record["docs"]}
    return dump({record["query_id"]: scores}).strip()[1:-1]


def read_paper_scores(lines: Lines) -> Iterator[Record]:
    """`{query_id: {doc_id: score, …}, …}`, one object in a line: a record per query."""
    for queries in lines.parsed(_paper_scores):
        yield from queries


def _paper_scores(line: bytes) -> list[Record]:
    records = []
    for query_id, scores in parse_object(line).items():
        if not isinstance(scores, dict):
            raise BadLine(f'"{query_id}" must be an object of scores by doc_id, not {show(scores)}')
        docs = [{"doc_id": doc_id, "score": score} for doc_id, score in scores.items()]
        records.append(_record({"query_id": query_id}, docs))
    return records


# --- Tevatron


def read_tevatron(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "query", "positive_passages": [{"docid", "title", "text"}], "negative_passages"}`."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        positives = [_passage(passage) for passage in _list(fields, "positive_passages")]
        negatives = [_passage(passage) for passage in _list(fields, "negative_passages")]
        return _record(_query(fields, "query"), _relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def _passage(passage: Any) -> Fields:
    if not isinstance(passage, dict):
        raise BadLine(f"a passage must be an object, not {show(passage)}")
    text = titled_text(passage)
    others = {key: value for key, value in passage.items() if key not in ("docid", "title", "text")}
    doc_id = identifier(passage, "docid") if passage.get("docid") is not None else _text_id(text)
    return {"doc_id": doc_id, "text": text, **others}


def write_tevatron(record: Record) -> bytes:
    """With a `score` in each passage that has one, as Tevatron's distillation reads it."""

    def passage(doc: Doc) -> Fields:
        score = {"score": doc["score"]} if "score" in doc else {}
        return {"docid": doc["doc_id"], "title": "", "text": _text(doc), **score}

    return dump(
        {
            "query_id": record["query_id"],
            "query": _query_text(record),
            "positive_passages": [passage(doc) for doc in _positives(record)],
            "negative_passages": [passage(doc) for doc in _negatives(record)],
        }
    )


def read_tevatron_ids(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "query_text", "positive_document_ids", "negative_document_ids"}`."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        positives = _by_id(_list(fields, "positive_document_ids"))
        negatives = _by_id(_list(fields, "negative_document_ids"))
        return _record(_query(fields, "query_text"), _relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def write_tevatron_ids(record: Record) -> bytes:
    return dump(
        {
            "query_id": record["query_id"],
            "query_text": _query_text(record),
            "positive_document_ids": [doc["doc_id"] for doc in _positives(record)],
            "negative_document_ids": [doc["doc_id"] for doc in _negatives(record)],
        }
    )


def read_tevatron_kd(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "query", "passages": [{"title", "text"}], "scores": [...]}`."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        passages = [_passage(passage) for passage in _list(fields, "passages")]
        docs = _scored(passages, fields.pop("scores", None), "scores")
        return _record(_query(fields, "query"), docs, fields)

    return lines.parsed(parse)


def write_tevatron_kd(record: Record) -> bytes:
    docs = record["docs"]
    return dump(
        {
            "query_id": record["query_id"],
            "query": _query_text(record),
            "passages": [{"docid": doc["doc_id"], "title": "", "text": _text(doc)} for doc in docs],
            "scores": [_score(doc) for doc in docs],
        }
    )


# --- sentence-transformers


def read_sentence_transformers(lines: Lines) -> Iterator[Record]:
    """What `mine_hard_negatives` gives, and what the losses take, a row in a line.

    - `anchor` (or `query`), `positive` (or `answer`), `negative` or `negative_1` … `negative_n`, with
      `scores` (or `labels`) of the positive and each negative;
    - the same with one number a negative, in `score` or `label`, too: the margins. The positive then
      gets the score 0 and a negative minus its margin, as only differences are known;
    - a pair of `anchor` and `positive` with `label` (its relevance) or `score`;
    - `query`, `docs` and `labels` or `scores`, lists of equal length.
    """
    return lines.parsed(_sentence_transformers)


def _sentence_transformers(line: bytes) -> Record:
    fields = parse_object(line)
    query = _query(fields, "anchor", "query")
    many = next((key for key in ("docs", "documents") if key in fields), None)
    if many is not None:
        docs = _by_text(_list(fields, many))
        if "labels" in fields:
            docs = _labelled(_scored(docs, fields.pop("labels"), "labels"))
        if "scores" in fields:
            docs = _scored(docs, fields.pop("scores"), "scores")
        return _record(query, docs, fields)
    positive_key = "positive" if "positive" in fields else "answer"
    (positive,) = _by_text([string(fields, positive_key)])
    del fields[positive_key]
    names = [name for name in fields if name == "negative" or name.removeprefix("negative_").isdecimal()]
    negatives = _by_text(fields.pop(name) for name in names)
    value_key = next(
        (key for key in ("scores", "score", "labels", "label") if fields.get(key) is not None), None
    )
    value = fields.pop(value_key) if value_key is not None else None
    values: list[Any] = value if isinstance(value, list) else [value]
    if not negatives and value_key is not None:
        docs = _scored([positive], values, value_key)
        return _record(query, _labelled(docs) if value_key == "label" else docs, fields)
    if value_key is not None:
        if len(values) == len(negatives):
            values = [0.0, *(-margin if is_score(margin) else margin for margin in values)]
        positive, *negatives = _scored([positive, *negatives], values, value_key)
    return _record(query, _relevant([positive]) + negatives, fields)


def _labelled(docs: list[Fields]) -> list[Fields]:
    """Take whole numbers, which stand in `score`, for judgements; a fraction makes them scores."""
    labels = [doc["score"] for doc in docs]
    if any(isinstance(label, float) and label != int(label) for label in labels if is_score(label)):
        return docs
    return [
        {**{key: doc[key] for key in ("doc_id", "text")}, "relevance": label}
        for doc, label in zip(docs, labels, strict=True)
    ]


def write_sentence_transformers(record: Record) -> bytes:
    """A line a positive, with all negatives: `mine_hard_negatives(output_format="n-tuple")`.

    The table needs as many negatives in every line: mine with one `--num-negatives`.
    """
    return _tuples(record, lambda negatives: [negatives])


def write_sentence_transformers_triplet(record: Record) -> bytes:
    """A line a positive and negative: `mine_hard_negatives(output_format="triplet")`."""
    return _tuples(record, lambda negatives: [[doc] for doc in negatives], numbered=False)


def _tuples(record: Record, groups: Callable[[list[Doc]], list[list[Doc]]], numbered: bool = True) -> bytes:
    rows = []
    for positive in _positives(record):
        for negatives in groups(_negatives(record)):
            docs = [positive, *negatives]
            row: Fields = {"anchor": _query_text(record), "positive": _text(positive)}
            for place, doc in enumerate(negatives, start=1):
                row[f"negative_{place}" if numbered else "negative"] = _text(doc)
            if _all_scored(docs):
                row["scores"] = [doc["score"] for doc in docs]
            rows.append(dump(row))
    return b"".join(rows)


def write_sentence_transformers_list(record: Record) -> bytes:
    """All documents with scores, or else labels: `mine_hard_negatives(output_format="labeled-list")`."""
    docs = record["docs"]
    row: Fields = {"query": _query_text(record), "docs": [_text(doc) for doc in docs]}
    if _all_scored(docs):
        row["scores"] = [doc["score"] for doc in docs]
    else:
        row["labels"] = [int(doc.get("relevance", 0) > 0) for doc in docs]
    return dump(row)


# --- FlagEmbedding, ms-swift


def read_flagembedding(lines: Lines) -> Iterator[Record]:
    """`{"query", "pos": [texts], "neg": [texts], "pos_scores", "neg_scores"}`; the scores may be missing."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        positives = _by_text(_list(fields, "pos"))
        negatives = _by_text(_list(fields, "neg")) if fields.get("neg") is not None else []
        scores = [fields.pop(key, None) or None for key in ("pos_scores", "neg_scores")]
        if scores != [None, None]:  # an empty list may stand for none
            positives = _scored(positives, scores[0] or [], "pos_scores")
            negatives = _scored(negatives, scores[1] or [], "neg_scores")
        return _record(_query(fields, "query"), _relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def write_flagembedding(record: Record) -> bytes:
    """With `pos_scores` and `neg_scores` where all documents are scored; `prompt` and `type` stay."""
    positives, negatives = _positives(record), _negatives(record)
    row: Fields = {
        "query": _query_text(record),
        "pos": [_text(doc) for doc in positives],
        "neg": [_text(doc) for doc in negatives],
    }
    if _all_scored(record["docs"]):
        row["pos_scores"] = [doc["score"] for doc in positives]
        row["neg_scores"] = [doc["score"] for doc in negatives]
    row.update({key: value for key, value in record.items() if key in ("prompt", "type")})
    return dump(row)


def write_ms_swift(record: Record) -> bytes:
    """`{"messages", "positive_messages", "negative_messages"}`, for its rerankers and embedders."""

    def said(role: str, text: str) -> list[Fields]:
        return [{"role": role, "content": text}]

    return dump(
        {
            "messages": said("user", _query_text(record)),
            "positive_messages": [said("assistant", _text(doc)) for doc in _positives(record)],
            "negative_messages": [said("assistant", _text(doc)) for doc in _negatives(record)],
        }
    )


# --- PyLate, ColBERT


def read_pylate(lines: Lines) -> Iterator[Record]:
    """`{"query_id", "document_ids", "scores"}`; the lists may be stored as strings, as its datasets do."""

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        for key in ("document_ids", "scores"):
            if isinstance(fields.get(key), str):
                fields[key] = _literal(fields[key], key)
        docs = _scored(_by_id(_list(fields, "document_ids")), fields.pop("scores", None), "scores")
        return _record(_query(fields, "query"), docs, fields)

    return lines.parsed(parse)


def _literal(text: str, key: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise BadLine(f'"{key}" must be a list, or one written out in a string, not {show(text)}') from None


def write_pylate(record: Record) -> bytes:
    docs = record["docs"]
    return dump(
        {
            "query_id": _number_id(record["query_id"]),
            "document_ids": [_number_id(doc["doc_id"]) for doc in docs],
            "scores": [_score(doc) for doc in docs],
        }
    )


def read_colbert_triples(lines: Lines) -> Iterator[Record]:
    """`[query_id, positive, negative, …]`: ids only."""

    def parse(line: bytes) -> Record:
        query, (positive, *negatives) = _array(line, "[query_id, positive id, negative id, …]")
        return _record(query, _relevant(_by_id([positive])) + _by_id(negatives))

    return lines.parsed(parse)


def read_colbert_nway(lines: Lines) -> Iterator[Record]:
    """`[query_id, [doc_id, score], …]`, what ColBERT is trained on. It does not say which are relevant."""
    shape = "[query_id, [doc_id, score], …]"

    def parse(line: bytes) -> Record:
        query, pairs = _array(line, shape)
        return _record(query, [_pair(pair, "doc_id", "score", shape) for pair in pairs])

    return lines.parsed(parse)


def read_colbert_scores(lines: Lines) -> Iterator[Record]:
    """`[query_id, [[score, doc_id], …]]`, what ColBERT's scorers write; the inner list may be missing."""
    shape = "[query_id, [[score, doc_id], …]]"

    def parse(line: bytes) -> Record:
        query, pairs = _array(line, shape)
        if (
            len(pairs) == 1
            and isinstance(pairs[0], list)
            and all(isinstance(pair, list) for pair in pairs[0])
        ):
            pairs = pairs[0]
        return _record(query, [_pair(pair, "score", "doc_id", shape) for pair in pairs])

    return lines.parsed(parse)


def _array(line: bytes, shape: str) -> tuple[Fields, list[Any]]:
    value = parse_json(line)
    if not isinstance(value, list) or len(value) < 2:
        raise BadLine(f"expected {shape}, not {show(value)}")
    return {"query_id": value[0]}, value[1:]


def _pair(pair: Any, first: str, second: str, shape: str) -> Fields:
    if not isinstance(pair, list) or len(pair) != 2:
        raise BadLine(f"expected {shape}; {show(pair)} is no pair")
    return {first: pair[0], second: pair[1]}


def write_colbert_triples(record: Record) -> bytes:
    """A line a positive and negative."""
    query_id = _number_id(record["query_id"])
    return b"".join(
        dump([query_id, _number_id(positive["doc_id"]), _number_id(negative["doc_id"])])
        for positive in _positives(record)
        for negative in _negatives(record)
    )


def write_colbert_nway(record: Record) -> bytes:
    """Positives first, as ColBERT takes the first for the relevant one."""
    docs = _positives(record) + _negatives(record)
    if not docs:
        return b""
    return dump([_number_id(record["query_id"]), *([_number_id(doc["doc_id"]), _score(doc)] for doc in docs)])


def write_colbert_scores(record: Record) -> bytes:
    return dump(
        [_number_id(record["query_id"]), [[_score(doc), _number_id(doc["doc_id"])] for doc in record["docs"]]]
    )


# --- MS MARCO's hard negatives, GPL, SPLADE


def read_hard_negatives(lines: Lines) -> Iterator[Record]:
    """`{"qid", "pos": [ids], "neg": {system: [ids], …}}`.

    The `source` of a negative is its system, the first of several, and `rank` its place there. An entry
    may be `{"pid": id, "ce-score": score}` as well.
    """

    def parse(line: bytes) -> Record:
        fields = parse_object(line)
        fields["query_id"] = fields.pop("qid", None)
        positives = [_entry(entry) for entry in _list(fields, "pos")]
        systems = fields.pop("neg", None)
        if not isinstance(systems, dict) or not all(isinstance(ids, list) for ids in systems.values()):
            raise BadLine(f'"neg" must be an object of lists of ids by system, not {show(systems)}')
        negatives = [
            {**_entry(entry), "source": system, "rank": rank}
            for system, entries in systems.items()
            for rank, entry in enumerate(entries, start=1)
        ]
        return _record(_query(fields, "query"), _relevant(positives) + negatives, fields)

    return lines.parsed(parse)


def _entry(entry: Any) -> Fields:
    if not isinstance(entry, dict):
        return {"doc_id": entry}
    score = {"score": entry["ce-score"]} if entry.get("ce-score") is not None else {}
    return {"doc_id": identifier(entry, "pid"), **score}


def write_msmarco_hard_negatives(record: Record) -> bytes:
    return dump(_hard_negatives(record, _number_id))


def write_gpl_hard_negatives(record: Record) -> bytes:
    """GPL looks ids up in BEIR files, where they are strings."""
    return dump(_hard_negatives(record, str))


def _hard_negatives(record: Record, as_id: Callable[[str], int | str]) -> Fields:
    systems: dict[str, list[int | str]] = {}
    for doc in _negatives(record):
        systems.setdefault(doc.get("source", "unknown"), []).append(as_id(doc["doc_id"]))
    positives = [as_id(doc["doc_id"]) for doc in _positives(record)]
    return {"qid": as_id(record["query_id"]), "pos": positives, "neg": systems}


def read_gpl(lines: Lines) -> Iterator[Record]:
    """`query_id⇥positive id⇥negative id⇥margin`.

    The positive gets the score 0 and the negative minus the margin, as only the difference is known.
    """

    def parse(line: bytes) -> Record:
        query_id, positive, negative, margin = _columns(line, "query_id, positive id, negative id, margin")
        scores = [0.0, -number(margin, "margin")]
        docs = _scored(_by_id([positive, negative]), scores, "margin")
        return _record({"query_id": query_id}, _relevant(docs[:1]) + docs[1:])

    return lines.parsed(parse)


def write_gpl(record: Record) -> bytes:
    """A line a positive and negative, with the difference of their scores."""
    return "".join(
        f"{cell(record['query_id'])}\t{cell(positive['doc_id'])}\t{cell(negative['doc_id'])}\t"
        f"{float(_score(positive) - _score(negative))!r}\n"
        for positive in _positives(record)
        for negative in _negatives(record)
    ).encode()


def read_splade(lines: Lines) -> Iterator[Record]:
    """`query⇥positive⇥negative⇥score⇥score`, all of them texts."""

    def parse(line: bytes) -> Record:
        query, positive, negative, *scores = _columns(line, "query, positive, negative, its score, its score")
        docs = _scored(_by_text([positive, negative]), [number(score, "score") for score in scores], "scores")
        return _record({"query_id": _text_id(query), "query": query}, _relevant(docs[:1]) + docs[1:])

    return lines.parsed(parse)


def write_splade(record: Record) -> bytes:
    """A line a positive and negative; white space within a text becomes one space."""
    return "".join(
        f"{_one_line(_query_text(record))}\t{_one_line(_text(positive))}\t{_one_line(_text(negative))}\t"
        f"{float(_score(positive))!r}\t{float(_score(negative))!r}\n"
        for positive in _positives(record)
        for negative in _negatives(record)
    ).encode()


def _columns(line: bytes, names: str) -> list[str]:
    columns = decode(line).split("\t")
    count = names.count(",") + 1
    if len(columns) != count:
        raise BadLine(f"{count} columns expected ({names}, separated by tabs), not {len(columns)}")
    if not all(columns):
        raise BadLine("a column is empty")
    return columns
