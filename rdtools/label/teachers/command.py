"""`cmd:ARGV`: any program that reads records and writes as many, in order, with a score for each document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rdtools.core.errors import BadLine, RdError
from rdtools.core.log import log, plural
from rdtools.core.records import SCORE_SCALES, Record
from rdtools.core.scores import floats, forget_scores
from rdtools.formats.records import dump, is_score, parse_json, parse_object, show
from rdtools.formats.vectors import forget_embeddings
from rdtools.label.program import Program, program_key, words_of
from rdtools.label.score_cache import answer_key
from rdtools.label.spooled_queue import SpooledQueue
from rdtools.label.teachers import RecordScores, TeacherResources

_Answer = tuple[list[float | None], str | None]
"""The scores of a record's documents, and their scale if the program says it."""


class CommandTeacher:
    """Let one process score the whole stream.

    It may answer each record at once, or all at the end of its input. It gets records without scores; of its
    answers only `score` of each document and `score_scale` are used. A record whose answer is in the cache
    does not reach the program; if all are, the program does not start.
    """

    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        self._argv = words_of("cmd", argument)
        self.name = f"cmd:{argument}"
        self._scale = resources.score_scale or "unknown"
        self._max_line = resources.reading.max_line
        self._timeout = resources.timeout
        self._cache = resources.cache
        self._key = program_key("cmd", self._argv, resources.cache_key) if self._cache is not None else ""

    def score_records(self, records: Iterable[tuple[Record, Any]]) -> Iterator[RecordScores]:
        waiting = _Waiting()
        with Program(self._argv, self._max_line, self._timeout) as program:
            for record, companion in records:
                line = dump(_without_scores(record))
                key = answer_key(self._key, line) if self._cache is not None else b""
                known = self._cache.answer(key) if self._cache is not None else None
                waiting.push(record, companion, key, known)
                for answer in program.feed(line if known is None else b""):
                    yield from self._settle(program, waiting, answer)
                yield from self._known(waiting)
            for answer in program.finish():
                yield from self._settle(program, waiting, answer)
            if waiting.answered < waiting.fed:
                raise program.ended(f"wrote {waiting.answered:,} of {plural(waiting.fed, 'record')}")
            program.check_success()
        log.debug("%s: %s, exit status 0", self.name, plural(waiting.answered, "record"))

    def _settle(self, program: Program, waiting: _Waiting, line: bytes) -> Iterator[RecordScores]:
        """Yield the record that `line` answers, and those after it whose answers are known."""
        if waiting.answered == waiting.fed:
            raise program.ended(f"wrote more than the {plural(waiting.fed, 'record')} that it read")
        query_id, doc_ids, companion, key = waiting.pop()
        try:
            scores, scale = _read_answer(line, query_id, doc_ids)
        except BadLine as error:
            raise program.failure(f"record {waiting.answered:,} of its output: {error.problem}") from None
        if self._cache is not None:
            self._cache.put_answer(bytes.fromhex(key), dump([scores, scale]))
        yield RecordScores(companion, scores, self._stated(scale))
        yield from self._known(waiting)

    def _known(self, waiting: _Waiting) -> Iterator[RecordScores]:
        for companion, (scores, scale) in waiting.known():
            yield RecordScores(companion, scores, self._stated(scale), cached=True)

    def _stated(self, scale: str | None) -> str:
        return self._scale if scale is None or scale == "unknown" else scale


class _Waiting:
    """Records in the order of the stream, until they have an answer.

    Attributes:
        fed, answered: the numbers of records that the program was given, and that it answered.
    """

    def __init__(self) -> None:
        self.fed = self.answered = 0
        self._queue = SpooledQueue()
        self._head: list[Any] | None = None  # the first record that the program has not answered, if read

    def push(self, record: Record, companion: Any, key: bytes, known: bytes | None) -> None:
        """Add a record, with the answer that the cache has for it."""
        doc_ids = [doc["doc_id"] for doc in record["docs"]]
        answer = None if known is None else parse_json(known)
        try:
            self._queue.push(dump([record["query_id"], doc_ids, companion, key.hex(), answer]))
        except BadLine as error:
            raise RdError(f'query "{record["query_id"]}": {error.problem}') from None
        self.fed += known is None

    def known(self) -> Iterator[tuple[Any, _Answer]]:
        """Remove the first records as long as their answers are known; yield what came with each."""
        while self._head is None and self._queue:
            *head, answer = parse_json(self._queue.pop())
            if answer is None:
                self._head = head
            else:
                yield head[2], answer

    def pop(self) -> list[Any]:
        """Remove the record that the program answers next; return its id, documents, companion and key."""
        head: list[Any] = parse_json(self._queue.pop())[:-1] if self._head is None else self._head
        self._head = None
        self.answered += 1
        return head


def _without_scores(record: Record) -> Record:
    """Return a copy of the record without scores, so that no older score is taken for the program's.

    Embeddings are left out for their size.
    """
    bare = record.copy()
    forget_scores(bare)
    bare["docs"] = [doc.copy() for doc in record["docs"]]
    for doc in bare["docs"]:
        doc.pop("score", None)
        doc.pop("scores", None)
    forget_embeddings(bare)
    return bare


def _read_answer(line: bytes, query_id: str, doc_ids: list[str]) -> _Answer:
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
