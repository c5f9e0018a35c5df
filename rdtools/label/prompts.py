"""The question that a causal model (`llm:MODEL`) answers about a pair, and its two answers."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import ClassVar

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag

DEFAULT_TEMPLATE = (
    "Document: {document}\n\nQuery: {query}\n\nDoes the document answer the query? Answer yes or no.\nAnswer:"
)
DEFAULT_ANSWERS = " yes, no"
DEFAULT_CHAT_ANSWERS = "yes,no"
_LLM = "--teacher llm:MODEL"


@dataclass(frozen=True)
class Prompt(OptionGroup):
    """The prompt of `llm`: a format string with {query} and {document}, and the answers for and against.

    Raises:
        UsageError: the template lacks a field or has another one, or there are not two answers.
    """

    heading: ClassVar[str] = "Prompt of llm"

    template: str = flag(
        "--prompt", default=DEFAULT_TEMPLATE, metavar="TEXT", default_text="see above", needs=_LLM,
        help="The question, with {query} and {document}.",
    )  # fmt: skip
    answers: str | None = flag(
        "--answers", default=None, metavar="YES,NO", needs=_LLM,
        default_text=f"{DEFAULT_ANSWERS!r}, with --chat {DEFAULT_CHAT_ANSWERS!r}",
        help="The two answers as they follow the prompt, with any leading space; one token each.",
    )  # fmt: skip
    chat: bool = flag(
        "--chat", default=False, needs=_LLM,
        help="Put the prompt into the model's chat template, as a message of the user.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            fields = {tuple(field) for _, *field in Formatter().parse(self.template) if field[0] is not None}
        except ValueError as error:
            raise UsageError(f"--prompt: {error} (write a literal brace twice)") from None
        if fields != {("query", "", None), ("document", "", None)}:  # name, format, conversion
            raise UsageError("--prompt must contain {query} and {document}, and nothing else in braces")
        if len(self.yes_and_no) != 2 or not all(self.yes_and_no):
            raise UsageError(f"--answers {self.answers!r}: give two answers separated by a comma: YES,NO")

    @property
    def yes_and_no(self) -> list[str]:
        default = DEFAULT_CHAT_ANSWERS if self.chat else DEFAULT_ANSWERS
        return (default if self.answers is None else self.answers).split(",")

    def __call__(self, query: str, document: str) -> str:
        return self.template.format(query=query, document=document)
