"""Judgements: TREC's four columns, BEIR's TSV with a header, JSON rows, or records with relevance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.records import Qrels
from rdtools.core.streams import Lines, open_lines
from rdtools.formats import Reading
from rdtools.formats.records import identifier, is_score, parse_object, read_jsonl, show
from rdtools.formats.runs import whole_number
from rdtools.formats.texts import decode


def read_qrels(path: str, reading: Reading = Reading()) -> Qrels:
    """Read all judgements of a file; a pair judged twice with two grades is an error."""
    qrels: Qrels = {}
    with open_lines(path, max_line=reading.max_line, on_error=reading.on_error) as lines:
        for query_id, doc_id, grade in _judgements(lines):
            grades = qrels.setdefault(query_id, {})
            if grades.setdefault(doc_id, grade) != grade:
                lines.bad(
                    f'document "{doc_id}" is judged {grades[doc_id]} and {grade} for query "{query_id}"'
                )
    return qrels


def _judgements(lines: Lines) -> Iterator[tuple[str, str, int]]:
    first = lines.first()
    if first is None:
        return
    if first.lstrip().startswith(b"{") and b'"corpus-id"' in first:
        yield from lines.parsed(_parse_row)
        return
    if first.lstrip().startswith(b"{"):
        for record in read_jsonl(lines):
            for doc in record["docs"]:
                if "relevance" in doc and not doc.get("relabelled"):  # nobody judged those
                    yield record["query_id"], doc["doc_id"], doc["relevance"]
        return
    if first.lower().startswith((b"query-id\t", b"query_id\t")):
        next(iter(lines))
    yield from lines.parsed(_parse)


def _parse_row(line: bytes) -> tuple[str, str, int]:
    """`{"query-id", "corpus-id", "score"}`: the rows of BEIR's judgements on the hub."""
    fields = parse_object(line)
    grade: Any = fields.get("score")
    if not is_score(grade) or grade != int(grade):
        raise BadLine(f'"score" must be a whole number, not {show(grade)}')
    return identifier(fields, "query-id"), identifier(fields, "corpus-id"), int(grade)


def _parse(line: bytes) -> tuple[str, str, int]:
    text = decode(line)
    # BEIR's ids may hold spaces, so its tabs are looked at first; TREC's columns are words.
    columns = text.split("\t") if text.count("\t") == 2 else text.split()
    if len(columns) == 4:
        query_id, _, doc_id, grade = columns
    elif len(columns) == 3:
        query_id, doc_id, grade = columns
    else:
        shapes = "4 columns (query_id 0 doc_id grade) or 3 (query-id corpus-id score)"
        raise BadLine(f"a judgement has {shapes}, not {len(columns)}")
    if not query_id or not doc_id:
        raise BadLine("an id is empty")
    return query_id, doc_id, whole_number(grade, "grade")
