"""The question that a causal model is asked of a pair (`llm:MODEL`), and the two answers compared."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter

from rdtools.core.errors import UsageError

DEFAULT_TEMPLATE = (
    "Document: {document}\n\nQuery: {query}\n\nDoes the document answer the query? Answer yes or no.\nAnswer:"
)
DEFAULT_ANSWERS = " yes, no"
DEFAULT_CHAT_ANSWERS = "yes,no"


@dataclass(frozen=True)
class Prompt:
    """A format string with {query} and {document}; the answers for and against, as they follow it.

    Attributes:
        chat: whether the model's chat template makes a user's message of it, which the answer replies to.
    """

    template: str = DEFAULT_TEMPLATE
    yes: str = " yes"
    no: str = " no"
    chat: bool = False

    def __call__(self, query: str, document: str) -> str:
        return self.template.format(query=query, document=document)


def parse_prompt(template: str | None, answers: str | None, chat: bool) -> Prompt:
    """Read `--prompt`, `--answers YES,NO` and `--chat`; None is the default.

    Raises:
        UsageError: the template lacks a field, has another, or there are not two answers.
    """
    template = DEFAULT_TEMPLATE if template is None else template
    try:
        fields = {tuple(field) for _, *field in Formatter().parse(template) if field[0] is not None}
    except ValueError as error:
        raise UsageError(f"--prompt: {error} (a brace that is text is doubled)") from None
    if fields != {("query", "", None), ("document", "", None)}:  # name, format, conversion
        raise UsageError("--prompt: it needs {query} and {document}, and nothing else in braces")
    if answers is None:
        answers = DEFAULT_CHAT_ANSWERS if chat else DEFAULT_ANSWERS
    yes, _, no = answers.partition(",")
    if not yes or not no or "," in no:
        raise UsageError(f"--answers {answers!r}: two answers are needed, with a comma between: YES,NO")
    return Prompt(template, yes, no, chat)
