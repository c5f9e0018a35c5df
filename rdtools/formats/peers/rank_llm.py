"""rank_llm: requests, which it reads, and results, which it writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.records import Record
from rdtools.core.streams import Lines
from rdtools.formats.peers.parts import Fields, joined, query_text, text_of
from rdtools.formats.records import dump, identifier, parse_json, show
from rdtools.formats.runs import ranking
from rdtools.formats.texts import string, titled_text

_TEXTS = ("text", "segment", "contents", "content", "body", "passage")
"""Names of a document's text, in the order in which rank_llm looks for them."""


def read_rank_llm(lines: Lines) -> Iterator[Record]:
    """`{"query": {"qid", "text"}, "candidates": [{"docid", "score", "doc": {…}}]}`, best first.

    One in a line, or all of them in one JSON array, which memory then holds.
    """
    first = lines.first()
    if first is not None and first.lstrip().startswith(b"["):
        yield from _array(lines)
    else:
        yield from lines.parsed(lambda line: _request(lines, parse_json(line)))


def _array(lines: Lines) -> Iterator[Record]:
    requests = lines.parse(parse_json, b"\n".join(lines))
    for request in requests if isinstance(requests, list) else []:
        try:
            yield _request(lines, request)
        except BadLine as error:
            lines.bad(error.problem, error.hint)


def _request(lines: Lines, request: Any) -> Record:
    if not isinstance(request, dict) or not isinstance(request.get("query"), dict):
        raise BadLine(f'expected {{"query": {{"qid", "text"}}, "candidates": […]}}, not {show(request)}')
    query = request.pop("query")
    candidates = request.pop("candidates", None)
    if not isinstance(candidates, list):
        raise BadLine(f'"candidates" must be a list, not {show(candidates)}')
    docs = [_candidate(candidate, rank) for rank, candidate in enumerate(candidates, start=1)]
    parts = {"query_id": identifier(query, "qid"), "query": string(query, "text")}
    return joined(lines, parts, docs, request)


def _candidate(candidate: Any, rank: int) -> Fields:
    if not isinstance(candidate, dict):
        raise BadLine(f"a candidate must be an object, not {show(candidate)}")
    doc: Fields = {"doc_id": identifier(candidate, "docid"), "rank": rank}
    if candidate.get("score") is not None:
        doc["score"] = candidate["score"]
    content = candidate.get("doc")
    if not isinstance(content, dict):
        return doc
    name = next((name for name in _TEXTS if name in content), None)
    if name is not None:
        doc["text"] = titled_text({"title": content.get("title"), "text": content[name]})
    return doc


def write_rank_llm(record: Record) -> bytes:
    """Write a request, its candidates as a run: best first, with a score each."""
    query = {"text": query_text(record), "qid": record["query_id"]}
    texts = {doc["doc_id"]: text_of(doc) for doc in record["docs"]}
    candidates: Iterable[Fields] = (
        {"docid": doc_id, "score": float(score), "doc": {"text": texts[doc_id]}}
        for doc_id, score in ranking(record)
    )
    return dump({"query": query, "candidates": list(candidates)})
