"""`llm:MODEL`: a causal language model as a pointwise re-ranker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import one_line
from rdtools.label.teachers import Scored, TeacherResources, TextPair, model_of
from rdtools.label.teachers.prompted import (
    PromptTokens,
    chat_text,
    check_answers,
    keep_answers,
    not_one_token,
    score_of_answers,
)
from rdtools.models.encoding import default_batch_tokens, run_padded
from rdtools.models.loading import fingerprint, load_causal_model


class CausalTeacher:
    """Score by logit(yes) − logit(no) of the token that follows the prompt, in float32.

    With one answer, its logit is the score. The model's head computes only the logits of the answers, not
    those of the whole vocabulary.
    """

    scale = "logit"
    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        self.name = model_of("llm", argument)
        self._question = resources.prompt.question("llm")
        self._dtype = resources.model.dtype
        self._model, self._tokenizer = load_causal_model(argument, resources.model)
        if self._question.chat and not self._tokenizer.chat_template:
            raise UsageError(f"--chat: model {argument} has no chat template")
        self._batch_tokens = resources.model.batch_tokens or default_batch_tokens(self._model.device)
        self._tokens = PromptTokens(argument, self._tokenizer, self._render, self._first_tokens())
        self._answers = [self._token(answer) for answer in self._question.answers]
        check_answers(argument, self._answers)
        keep_answers(self._model, self._answers, argument)

    @cached_property
    def key(self) -> str:
        asked = [self._render("{query}", "{document}"), self._answers, self._tokens.limit]
        return f"llm {fingerprint(self.name)} {self._dtype} {asked}"

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        inputs, model = self._tokens(pairs), self._model
        # Padding on the right changes nothing: the prompt's last token does not see what follows it.
        for rows, logits in run_padded(
            model, self._logits, self._tokenizer, {"input_ids": inputs}, self._batch_tokens, model.device
        ):
            last = torch.tensor([len(inputs[row]) - 1 for row in rows], device=logits.device)
            yield rows, score_of_answers(logits[torch.arange(len(rows), device=logits.device), last])

    def _logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the logits of the answers, (rows, tokens, answers) float32."""
        logits: torch.Tensor = self._model(**batch, use_cache=False).logits
        return logits.float()

    def _render(self, query: str, document: str) -> str:
        text = self._question(query, document)
        if not self._question.chat:
            return text
        message = {"role": "user", "content": text}
        try:
            return chat_text(self._tokenizer, [message])
        except Exception as error:  # a template is a program of the model's author
            reason = one_line(str(error)) or type(error).__name__
            raise RdError(f"model {self.name}: its chat template fails: {reason}") from error

    def _first_tokens(self) -> list[int]:
        """Return the tokenizer's begin-of-text token, if it has one; a chat template brings its own."""
        first: list[int] = self._tokenizer("")["input_ids"][:1]
        return first if first == [self._tokenizer.bos_token_id] and not self._question.chat else []

    def _token(self, answer: str) -> int:
        """Return the single token of `answer` after the prompt."""
        prompt = self._render("", "")
        before, after = self._tokens.of([prompt, prompt + answer])
        if after[:-1] != before or after[-1] == self._tokenizer.unk_token_id:
            pieces = self._tokenizer.convert_ids_to_tokens(after[len(before) :])
            raise not_one_token(self.name, answer, " after the prompt", pieces)
        return after[-1]
