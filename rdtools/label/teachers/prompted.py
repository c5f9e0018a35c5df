"""What models that read a prompt share: tokens of a prompt, truncated to fit, and a head for its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from rdtools.core.errors import RdError, UsageError
from rdtools.core.scores import floats
from rdtools.label.teachers import TextPair
from rdtools.models.layers import keep_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PromptTokens:
    """The tokens of prompts.

    If a prompt is too long for the model, the document is truncated first, then the query; the prompt's own
    words stay.

    Args:
        render: makes a prompt of a query and a document.
        first, last: the tokens before and after each prompt.
    """

    def __init__(
        self,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        render: Callable[[str, str], str],
        first: Sequence[int] = (),
        last: Sequence[int] = (),
    ) -> None:
        self._name, self._tokenizer, self._render = name, tokenizer, render
        self._first, self._last = list(first), list(last)
        self.limit: int = tokenizer.model_max_length

    def __call__(self, pairs: Sequence[TextPair]) -> list[list[int]]:
        tokens = self.of([self._render(pair.query, pair.text) for pair in pairs])
        return [
            ids if len(ids) <= self.limit else self._truncated(pair)
            for ids, pair in zip(tokens, pairs, strict=True)
        ]

    def of(self, texts: list[str]) -> list[list[int]]:
        found = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [self._first + ids + self._last for ids in found]

    def _truncated(self, pair: TextPair) -> list[int]:
        """Return the tokens of a prompt whose texts are truncated until it fits."""
        query, document = pair.query, pair.text
        ids = self.of([self._render(query, document)])[0]
        while len(ids) > self.limit:
            if document:
                document = self._shorter(document, len(ids) - self.limit)
            elif query:
                query = self._shorter(query, len(ids) - self.limit)
            else:
                raise RdError(f"model {self._name}: the prompt itself is longer than {self.limit} tokens")
            ids = self.of([self._render(query, document)])[0]
        return ids

    def _shorter(self, text: str, tokens: int) -> str:
        """Return `text` without its last `tokens` tokens; one character may consist of several tokens."""
        spans = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept = spans[: max(0, len(spans) - tokens)]
        return text[: min(kept[-1][1], len(text) - 1)] if kept else ""


def chat_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]) -> str:
    """Return messages as the model's chat template renders them, up to where the model answers."""
    # enable_thinking: models that can think aloud before they answer must answer at once.
    return str(
        tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    )


def check_answers(name: str, answers: Sequence[int]) -> None:
    """Refuse answers that are the same token.

    Raises:
        UsageError: they are.
    """
    if len(set(answers)) < len(answers):
        raise UsageError(f"model {name}: both answers are the same token (give others with --answers YES,NO)")


def not_one_token(name: str, answer: str, place: str, pieces: Sequence[str]) -> UsageError:
    """Return the error that names the tokens of an answer."""
    return UsageError(
        f"model {name}: the answer {answer!r}{place} is not one token but {' '.join(map(repr, pieces))} "
        "(give others with --answers YES,NO)"
    )


def keep_answers(model: torch.nn.Module, rows: Sequence[int], name: str) -> None:
    """Replace the model's head by its rows for the answers, in float32.

    The model still applies what follows its head, such as a scaling of logits.
    """
    if not keep_rows(model, list(rows)):
        raise RdError(f"model {name}: its head is not a linear layer over the vocabulary")


def score_of_answers(logits: torch.Tensor) -> list[float]:
    """Return logit(yes) − logit(no) of each row of (n, 2), the logit of (n, 1)."""
    first, *second = logits.unbind(-1)
    return floats((first - second[0] if second else first).cpu().numpy())
