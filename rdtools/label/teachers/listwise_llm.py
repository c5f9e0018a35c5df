"""`listwise-llm:MODEL`: a causal language model that ranks lists, such as RankZephyr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, cast

import torch

from rdtools.core.errors import RdError, UsageError
from rdtools.label.teachers import TeacherResources, model_of
from rdtools.label.teachers.prompted import chat_text
from rdtools.label.teachers.windows import ListwiseTeacher, Window
from rdtools.models.encoding import default_batch_tokens, pad, token_batches
from rdtools.models.loading import fingerprint, load_causal_model


class ListwiseCausalTeacher(ListwiseTeacher):
    """Let the model write the ranking, the likeliest token at each step.

    If a window is too long for the model, each document loses its last words. The answer has at most as many
    tokens as a ranking of the window needs.
    """

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        super().__init__(f"listwise-llm:{model_of('listwise-llm', argument)}", resources)
        self._path, self._dtype = argument, resources.model.dtype
        self._model, self._tokenizer = load_causal_model(argument, resources.model)
        if not self._tokenizer.chat_template:
            raise UsageError(f"--teacher {self.name}: the model has no chat template")
        self._limit: int = self._tokenizer.model_max_length
        self._tokenizer.padding_side = "left"  # the answer follows the last token of the prompt
        self._batch_tokens = resources.model.batch_tokens or default_batch_tokens(self._model.device)
        self._generate_greedily()

    @cached_property
    def key(self) -> str:  # type: ignore[override]
        return f"listwise-llm {fingerprint(self._path)} {self._dtype} {self._limit}"

    def _generate_greedily(self) -> None:
        """Replace the model's settings, which may sample or discourage repetition, by greedy ones."""
        from transformers import GenerationConfig

        own = getattr(self._model, "generation_config", None)
        end = getattr(own, "eos_token_id", None)
        self._model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            eos_token_id=self._tokenizer.eos_token_id if end is None else end,
            pad_token_id=self._tokenizer.pad_token_id,
        )

    def answers(self, windows: Sequence[Window]) -> Iterator[tuple[int, str]]:
        room = [self._answer_tokens(len(window.texts)) for window in windows]
        prompts = [self._fitted(window, count) for window, count in zip(windows, room, strict=True)]
        lengths = [len(ids) + count for ids, count in zip(prompts, room, strict=True)]
        for rows in token_batches(lengths, self._batch_tokens):
            batch = pad(self._tokenizer, {"input_ids": prompts}, rows, self._model.device)
            most = max(room[row] for row in rows)
            with torch.inference_mode():
                written = cast(Any, self._model).generate(**batch, max_new_tokens=most)
            for row, tokens in zip(rows, written[:, batch["input_ids"].shape[1] :], strict=True):
                yield row, str(self._tokenizer.decode(tokens[: room[row]], skip_special_tokens=True))

    def _answer_tokens(self, count: int) -> int:
        """Return the number of tokens of a ranking of `count` documents, its end included."""
        longest = " > ".join(f"[{number}]" for number in range(1, count + 1))
        return len(self._tokenizer(longest, add_special_tokens=False)["input_ids"]) + 1

    def _fitted(self, window: Window, room: int) -> list[int]:
        """Return the tokens of the prompt, with as many words of each document as fit."""
        words = self._words
        while True:
            ids = self._prompt(window, words)
            over = len(ids) + room - self._limit
            if over <= 0:
                return ids
            if words == 1:
                raise RdError(
                    f"{self.name}: {len(window.texts)} documents with one word each and their ranking need "
                    f"{len(ids) + room:,} tokens, and the limit is {self._limit:,} (a smaller --window)"
                )
            words = max(1, words - max(1, over // (4 * len(window.texts))))

    def _prompt(self, window: Window, words: int) -> list[int]:
        from jinja2 import TemplateError

        try:
            text = chat_text(self._tokenizer, window.messages(words))
        except TemplateError as error:
            raise RdError(f"{self.name}: its chat template refuses the messages: {error}") from None
        begins = self._tokenizer.bos_token is not None and text.startswith(self._tokenizer.bos_token)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        first: list[int] = [] if begins else self._tokenizer("")["input_ids"][:1]
        return ids if first != [self._tokenizer.bos_token_id] else first + ids
