"""`listwise-cmd:ARGV`: any program that ranks lists of documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rdtools.core.errors import BadLine
from rdtools.core.log import plural
from rdtools.core.records import Record
from rdtools.formats.records import dump, parse_object, show
from rdtools.label.program import Program, program_key, words_of
from rdtools.label.teachers import RecordScores, TeacherResources
from rdtools.label.teachers.windows import ListwiseTeacher, Window


class ListwiseCommandTeacher(ListwiseTeacher):
    """Let one process rank all windows.

    It must answer each line at once, because the next windows depend on the answer.
    """

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        super().__init__(f"listwise-cmd:{argument}", resources)
        self._argv = words_of("listwise-cmd", argument)
        if resources.cache is not None:
            self.key = program_key("listwise-cmd", self._argv, resources.cache_key)
        self._program: Program | None = None

    def score_records(self, records: Iterable[tuple[Record, Any]]) -> Iterator[RecordScores]:
        reading, timeout = self._resources.reading, self._resources.timeout
        with Program(self._argv, reading.max_line, timeout, "listwise-cmd") as self._program:
            yield from super().score_records(records)
            for _ in self._program.finish():
                raise self._program.ended("wrote more lines than it read")
            self._program.check_success()

    def answers(self, windows: Sequence[Window]) -> Iterator[tuple[int, str]]:
        assert self._program is not None
        lines = [self._line(window) for window in windows]
        for place, line in enumerate(self._program.ask(lines)):
            if place == len(windows):
                raise self._program.ended(f"wrote more than {plural(place, 'answer')} to as many lines")
            try:
                answer = parse_object(line).get("ranking")
                if not isinstance(answer, str):
                    raise BadLine(f'"ranking" must be a string, not {show(answer)}')
            except BadLine as error:
                problem = f'the answer to query "{windows[place].query_id}": {error.problem}'
                raise self._program.failure(problem) from None
            yield place, answer

    def _line(self, window: Window) -> bytes:
        docs = [
            {"doc_id": doc_id, "text": text}
            for doc_id, text in zip(window.doc_ids, window.texts, strict=True)
        ]
        messages = window.messages(self._words)
        return dump({"query_id": window.query_id, "query": window.query, "docs": docs, "messages": messages})
