"""`cmd:ARGV`: any program that reads records and writes as many, in order, with a score for each document."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from rdtools.core.errors import BadLine, RdError, UsageError
from rdtools.core.log import log, plural
from rdtools.core.records import SCORE_SCALES, Record
from rdtools.core.scores import floats, forget_scores
from rdtools.formats.records import dump, is_score, parse_json, parse_object, show
from rdtools.label.program import Program
from rdtools.label.spooled_queue import SpooledQueue
from rdtools.search.resources import Resources


class CommandTeacher:
    """Let one process score the whole stream.

    It may answer each record at once, or all at the end of its input. It gets records without scores; of its
    answers only `score` of each document and `score_scale` are used.
    """

    needs_text = True

    def __init__(self, argument: str, resources: Resources) -> None:
        try:
            self._argv = shlex.split(argument)
        except ValueError as error:
            raise UsageError(f"--teacher cmd:{argument}: {error}") from None
        if not self._argv:
            raise UsageError("--teacher cmd needs a program and its arguments: cmd:ARGV")
        self.name = f"cmd:{argument}"
        self._scale = resources.score_scale or "unknown"
        self._max_line = resources.reading.max_line

    def score_records(
        self, records: Iterable[tuple[Record, Any]]
    ) -> Iterator[tuple[Any, list[float | None], str]]:
        unanswered = SpooledQueue()
        with Program(self._argv, self._max_line) as program:
            for record, companion in records:
                doc_ids = [doc["doc_id"] for doc in record["docs"]]
                try:
                    unanswered.push(dump([record["query_id"], doc_ids, companion]))
                except BadLine as error:
                    raise RdError(f'query "{record["query_id"]}": {error.problem}') from None
                for line in program.feed(dump(_without_scores(record))):
                    yield self._answer(program, unanswered, line)
            for line in program.finish():
                yield self._answer(program, unanswered, line)
            if unanswered:
                count = plural(unanswered.pushed, "record")
                raise program.ended(f"wrote {unanswered.popped:,} of {count}")
            program.check_success()
        log.debug("%s: %s, exit status 0", self.name, plural(unanswered.popped, "record"))

    def _answer(
        self, program: Program, unanswered: SpooledQueue, line: bytes
    ) -> tuple[Any, list[float | None], str]:
        if not unanswered:
            raise program.ended(f"wrote more than the {plural(unanswered.popped, 'record')} that it read")
        query_id, doc_ids, companion = parse_json(unanswered.pop())
        try:
            scores, scale = _read_answer(line, query_id, doc_ids)
        except BadLine as error:
            raise program.failure(f"record {unanswered.popped:,} of its output: {error.problem}") from None
        return companion, scores, self._scale if scale in (None, "unknown") else scale


def _without_scores(record: Record) -> Record:
    """Return a copy of the record without scores, so that no older score is taken for the program's."""
    bare = record.copy()
    forget_scores(bare)
    bare["docs"] = [doc.copy() for doc in record["docs"]]
    for doc in bare["docs"]:
        doc.pop("score", None)
        doc.pop("scores", None)
    return bare


def _read_answer(line: bytes, query_id: str, doc_ids: list[str]) -> tuple[list[float | None], str | None]:
    """Return the scores and the scale in a line that must hold this query and these documents, in order.

    Raises:
        BadLine: the line is not such an answer.
    """
    fields = parse_object(line)
    if str(fields.get("query_id")) != query_id:
        raise BadLine(f'"query_id" must be {show(query_id)}, not {show(fields.get("query_id"))}')
    docs = fields.get("docs")
    if not isinstance(docs, list) or not all(isinstance(doc, dict) for doc in docs):
        raise BadLine(f'"docs" of query "{query_id}" must be a list of objects, not {show(docs)}')
    if [str(doc.get("doc_id")) for doc in docs] != doc_ids:
        raise BadLine(f'"docs" of query "{query_id}" must be those of the input, in the same order')
    for doc in docs:
        if doc.get("score") is not None and not is_score(doc["score"]):
            raise BadLine(
                f'"score" of document "{doc["doc_id"]}" must be a finite float32, not {show(doc["score"])}'
            )
    scale = fields.get("score_scale")
    if scale is not None and scale not in SCORE_SCALES:
        raise BadLine(f'unknown "score_scale" {show(scale)}')
    written = iter(floats([doc["score"] for doc in docs if doc.get("score") is not None]))
    return [None if doc.get("score") is None else next(written) for doc in docs], scale
