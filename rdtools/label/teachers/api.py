"""`api:MODEL`: a model behind an OpenAI-compatible server as a pointwise re-ranker."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log, plural
from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TeacherResources, TextPair
from rdtools.label.teachers.chat_api import ChatClient


class ApiTeacher:
    """Score by log P(yes) − log P(no) of the first token that the model would write.

    Tokens that differ in case and surrounding space count together. If only one answer is among the likeliest
    tokens that the server lists, the other gets the probability of the last one listed; if none is, the
    document gets no score.
    """

    scale = "logit"
    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        self._client = ChatClient("api", argument, resources)
        self.name = self._client.name
        self._question = resources.prompt.question("api")
        if len(self._question.answers) != 2:
            raise UsageError("--answers: api needs two answers separated by a comma: YES,NO")
        self._answers = [answer.strip().lower() for answer in self._question.answers]
        self.key = f"{self._client.key} {self._question.template} {self._answers}"
        self._bounded = self._unanswered = 0

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        requests = [
            {
                "messages": [{"role": "user", "content": self._question(pair.query, pair.text)}],
                "temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20,
            }
            for pair in pairs
        ]  # fmt: skip
        for place, choice in self._client.complete(requests):
            score = self._score(choice)
            yield [place], [None] if score is None else floats([score])

    def _score(self, choice: Any) -> float | None:
        tokens = choice.logprobs.content if choice.logprobs is not None else None
        if not tokens or not tokens[0].top_logprobs:
            raise RdError(
                f"{self.name}: the server gives no probabilities of tokens "
                f"(listwise-api:{self.name.partition(':')[2]} needs none)"
            )
        listed = tokens[0].top_logprobs
        yes, no = (
            [each.logprob for each in listed if each.token.strip().lower() == word] for word in self._answers
        )
        if not yes and not no:
            self._unanswered += 1
            return None
        if not yes or not no:
            self._bounded += 1
        least = min(each.logprob for each in listed)
        return _sum(yes or [least]) - _sum(no or [least])

    def report(self) -> None:
        self._client.report()
        if self._bounded:
            count = plural(self._bounded, "score")
            log.warning("%s: %s with only one answer among the listed tokens", self.name, count)
        if self._unanswered:
            count = plural(self._unanswered, "pair")
            log.warning("%s: %s without an answer among the listed tokens", self.name, count)


def _sum(logs: Sequence[float]) -> float:
    """Return log Σ exp."""
    top = max(logs)
    return top + math.log(math.fsum(math.exp(each - top) for each in logs))
