"""The options of teachers that rank lists, and of those behind a server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag

_APIS = ("--teacher api:MODEL", "--teacher listwise-api:MODEL")
_LISTWISE = (
    "--teacher listwise-llm:MODEL", "--teacher listwise-api:MODEL", "--teacher listwise-cmd:ARGV",
)  # fmt: skip


@dataclass(frozen=True)
class WindowOptions(OptionGroup):
    """How lists are shown to a model that ranks them."""

    heading: ClassVar[str] = "Listwise teachers"

    size: int = flag(
        "--window", default=20, metavar="N", min=2, needs=_LISTWISE, help="Documents that are ranked at once."
    )
    stride: int | None = flag(
        "--stride", default=None, metavar="N", min=1, needs=_LISTWISE, default_text="half of --window",
        help="Documents by which the window moves towards the beginning of the ranking.",
    )  # fmt: skip
    words: int = flag(
        "--passage-words", default=300, metavar="N", min=1, needs=_LISTWISE,
        help="Words of a document that are shown; fewer if a local model's limit needs it.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step > self.size:
            raise UsageError(f"--stride {self.stride} skips documents: it is above --window {self.size}")

    @property
    def step(self) -> int:
        return self.size // 2 if self.stride is None else self.stride


def parse_prices(text: str) -> tuple[float, float]:
    """Read the prices of a million tokens in and out: `0.15,0.6`."""
    try:
        read, written = (float(part) for part in text.split(","))
    except ValueError:
        read = written = -1.0
    if not (0 <= read < float("inf") and 0 <= written < float("inf")):
        raise UsageError(f"--prices {text}: give the prices of a million tokens in and out, such as 0.15,0.6")
    return read, written


def parse_fields(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--request-fields: not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError("--request-fields: give a JSON object, such as '{\"seed\": 1}'")
    return fields


def parse_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise UsageError(f"--base-url {text}: give a URL that begins with http:// or https://")
    return text


@dataclass(frozen=True)
class ApiOptions(OptionGroup):
    """The server of `api` and `listwise-api`, and how it is used."""

    heading: ClassVar[str] = "Servers"

    base_url: str | None = flag(
        "--base-url", default=None, metavar="URL", needs=_APIS, parse=parse_url,
        default_text="$OPENAI_BASE_URL, or else OpenAI's",
        help="A server with OpenAI's chat API, such as http://localhost:8000/v1.",
    )  # fmt: skip
    concurrency: int = flag(
        "--concurrency", default=8, metavar="N", min=1, needs=_APIS, help="Requests that run at once."
    )
    retries: int = flag(
        "--retries", default=5, metavar="N", min=0, needs=_APIS,
        help="Send a request again so often if the server fails, is silent or limits the rate, after pauses "
        "that grow or that it asks for.",
    )  # fmt: skip
    prices: tuple[float, float] | None = flag(
        "--prices", default=None, metavar="IN,OUT", needs=_APIS, parse=parse_prices,
        help="Prices of a million tokens that the model reads and writes, to print the cost.",
    )  # fmt: skip
    fields: dict[str, Any] | None = flag(
        "--request-fields", default=None, metavar="JSON", needs=_APIS, parse=parse_fields,
        help="Fields to add to each request, or to replace; null leaves one out.",
    )  # fmt: skip
