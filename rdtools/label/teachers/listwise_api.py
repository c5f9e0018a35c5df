"""`listwise-api:MODEL`: a model behind an OpenAI-compatible server that ranks lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdtools.label.teachers import TeacherResources
from rdtools.label.teachers.chat_api import ChatClient
from rdtools.label.teachers.windows import ListwiseTeacher, Window


class ListwiseApiTeacher(ListwiseTeacher):
    """Let the model write the ranking, at temperature 0; it may think first."""

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        self._client = ChatClient("listwise-api", argument, resources)
        super().__init__(self._client.name, resources)
        self.key = self._client.key

    def answers(self, windows: Sequence[Window]) -> Iterator[tuple[int, str]]:
        requests = [{"messages": window.messages(self._words), "temperature": 0} for window in windows]
        for place, choice in self._client.complete(requests):
            yield place, choice.message.content or ""

    def report(self) -> None:
        super().report()
        self._client.report()
