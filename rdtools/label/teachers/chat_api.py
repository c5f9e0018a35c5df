"""A client of servers with OpenAI's chat API: many requests at once, with retries and counts."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log, plural
from rdtools.label.teachers import TeacherResources, model_of

KEY = "OPENAI_API_KEY"
TIMEOUT_SECONDS = 120.0


class ChatClient:
    """Send requests for chat completions of one model.

    Raises:
        UsageError: the package openai is not installed, or there is no key.
    """

    def __init__(self, teacher: str, model: str, resources: TeacherResources) -> None:
        self.name = f"{teacher}:{model_of(teacher, model)}"
        try:
            from openai import OpenAI
        except ImportError:
            raise UsageError(
                f"--teacher {self.name} needs openai (pip install 'ranking-distillation-tools[api]')"
            ) from None
        self._model, self._options = model, resources.api
        url = self._options.base_url or os.environ.get("OPENAI_BASE_URL")
        key = os.environ.get(KEY)
        if not key and not url:
            raise UsageError(
                f"--teacher {self.name} needs a key in ${KEY} (or --base-url of a server without one)"
            )
        self._client = OpenAI(
            api_key=key or "none", base_url=url, max_retries=self._options.retries,
            timeout=resources.timeout or TIMEOUT_SECONDS,
        )  # fmt: skip
        self.url = str(self._client.base_url)
        fields = json.dumps(self._options.fields, sort_keys=True)
        self.key = f"{self.name} {resources.cache_key or self.url} {fields}"
        self._requests = self._retries = self._read = self._written = 0

    def complete(self, requests: Sequence[dict[str, Any]]) -> Iterator[tuple[int, Any]]:
        """Yield the place of each request and the first choice of its completion, in the order of arrival.

        If a request fails for good, no further one is sent; those under way are still yielded.

        Raises:
            RdError: a request failed.
        """
        jobs = deque(enumerate(requests))
        done: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()

        def work() -> None:
            while True:
                try:
                    place, request = jobs.popleft()
                except IndexError:
                    break
                try:
                    done.put((place, self._send(request)))
                except Exception as error:  # the thread that reads the queue raises it
                    jobs.clear()
                    done.put((place, error))
            done.put(None)

        workers = min(self._options.concurrency, len(requests))
        for _ in range(workers):
            Thread(target=work, daemon=True).start()
        failure: Exception | None = None
        try:
            while workers:
                answer = done.get()
                if answer is None:
                    workers -= 1
                elif isinstance(answer[1], Exception):
                    failure = failure or answer[1]
                else:
                    yield answer[0], self._counted(*answer[1])
        finally:
            jobs.clear()
        if failure is not None:
            raise self._error(failure) from failure

    def _send(self, request: dict[str, Any]) -> tuple[Any, int]:
        """Return the completion, and how often the request was sent again."""
        merged = {**request, **(self._options.fields or {})}
        body = {name: value for name, value in merged.items() if value is not None}
        messages = body.pop("messages")
        raw = self._client.chat.completions.with_raw_response.create(
            model=self._model, messages=messages, extra_body=body
        )
        completion: Any = raw.parse()
        if not getattr(completion, "choices", None):
            raise RdError(f"{self.name}: {self.url}: the answer is no chat completion")
        return completion, raw.retries_taken

    def _counted(self, completion: Any, retries: int) -> Any:
        self._requests += 1
        self._retries += retries
        if completion.usage is not None:
            self._read += completion.usage.prompt_tokens
            self._written += completion.usage.completion_tokens
        return completion.choices[0]

    def _error(self, error: Exception) -> Exception:
        from openai import OpenAIError

        if not isinstance(error, OpenAIError | ValueError):  # ValueError: what came is no JSON
            return error
        return RdError(f"{self.name}: {self.url}: {error} (with --cache, the same command continues)")

    def report(self) -> None:
        """Print the counts of requests and tokens on stderr."""
        again = f" ({self._retries:,} sent again)" if self._retries else ""
        cost = ""
        if self._options.prices is not None:
            read, written = self._options.prices
            cost = f", cost {(self._read * read + self._written * written) / 1e6:.4f}"
        log.info(
            "%s: %s%s, %s read, %s written%s", self.name, plural(self._requests, "request"), again,
            plural(self._read, "token"), f"{self._written:,}", cost,
        )  # fmt: skip
