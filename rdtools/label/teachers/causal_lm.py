"""`llm:MODEL`: a causal language model as a pointwise re-ranker, by the logits of its two answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch

from rdtools.core.errors import RdError, UsageError
from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TeacherResources, TextPair
from rdtools.models.encoding import default_batch_tokens, pad, token_batches
from rdtools.models.loading import fingerprint, load_causal_model


class CausalTeacher:
    """score = logit(yes) − logit(no) of the token that follows the prompt, in float32.

    Only these two rows of the model's head are computed, never the vocabulary. What is too long for the
    model loses the end of the document, then that of the query; the prompt's own words stay.
    """

    scale = "logit"
    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        if not argument:
            raise UsageError("--teacher llm: it needs a model, llm:MODEL")
        self.name = argument
        self._prompt = resources.prompt
        self._dtype = resources.model.dtype
        self._model, self._tokenizer = load_causal_model(argument, resources.model)
        if self._prompt.chat and not self._tokenizer.chat_template:
            raise UsageError(f"--chat: model {argument} has no chat template")
        self._batch_tokens = resources.model.batch_tokens or default_batch_tokens(self._model.device)
        self._limit: int = self._tokenizer.model_max_length
        self._first = self._first_tokens()
        self._answers = [self._token(answer) for answer in (self._prompt.yes, self._prompt.no)]
        if len(set(self._answers)) == 1:
            raise UsageError(
                f"model {argument}: its two answers are one token (--answers YES,NO names others)"
            )
        _keep_two_rows(self._model, self._answers, argument)

    @cached_property
    def key(self) -> str:
        asked = [self._render("{query}", "{document}"), self._answers, self._limit]
        return f"llm {fingerprint(self.name)} {self._dtype} {asked}"

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        inputs = self._tokens([self._render(pair.query, pair.text) for pair in pairs])
        inputs = [
            ids if len(ids) <= self._limit else self._cut(pair)
            for ids, pair in zip(inputs, pairs, strict=True)
        ]
        lengths = [len(ids) for ids in inputs]
        for rows in token_batches(lengths, self._batch_tokens):
            # On the right: padding is after all that a causal model reads for the last token of the prompt.
            batch = pad(self._tokenizer, {"input_ids": inputs}, rows, self._model.device)
            with torch.inference_mode():
                logits = self._model(**batch, use_cache=False).logits.float()  # (rows, tokens, 2)
                last = torch.tensor([lengths[row] - 1 for row in rows], device=logits.device)
                yes, no = logits[torch.arange(len(rows), device=logits.device), last].unbind(-1)
                yield rows, floats((yes - no).cpu().numpy())

    def _render(self, query: str, document: str) -> str:
        text = self._prompt(query, document)
        if not self._prompt.chat:
            return text
        message = {"role": "user", "content": text}
        # Templates that know of thinking are told that the answer comes first.
        return str(
            self._tokenizer.apply_chat_template(
                [message], tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        return [self._first + ids for ids in self._tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def _first_tokens(self) -> list[int]:
        """The token of a text's beginning, where the tokenizer puts one; a chat template brings its own."""
        first: list[int] = self._tokenizer("")["input_ids"][:1]
        return first if first == [self._tokenizer.bos_token_id] and not self._prompt.chat else []

    def _token(self, answer: str) -> int:
        """Return the one token that `answer` is where it follows the prompt."""
        prompt = self._render("", "")
        before, after = self._tokens([prompt, prompt + answer])
        if after[:-1] != before or after[-1] == self._tokenizer.unk_token_id:
            pieces = self._tokenizer.convert_ids_to_tokens(after[len(before) :])
            raise UsageError(
                f"model {self.name}: after the prompt the answer {answer!r} is not one token but "
                f"{' '.join(map(repr, pieces))} (--answers YES,NO names others)"
            )
        return after[-1]

    def _cut(self, pair: TextPair) -> list[int]:
        """Return the tokens of a prompt that is too long without as much of its texts as makes it fit."""
        query, document = pair.query, pair.text
        ids = self._tokens([self._render(query, document)])[0]
        while len(ids) > self._limit:
            if document:
                document = self._shorter(document, len(ids) - self._limit)
            elif query:
                query = self._shorter(query, len(ids) - self._limit)
            else:
                raise RdError(f"model {self.name}: the prompt itself is longer than {self._limit} tokens")
            ids = self._tokens([self._render(query, document)])[0]
        return ids

    def _shorter(self, text: str, tokens: int) -> str:
        """Return `text` without its last `tokens` tokens, several of which may be of one character."""
        spans = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept = spans[: max(0, len(spans) - tokens)]
        return text[: min(kept[-1][1], len(text) - 1)] if kept else ""


def _keep_two_rows(model: torch.nn.Module, rows: list[int], name: str) -> None:
    """Replace the head by its rows of the two answers, in float32.

    What a model does to its logits besides, such as scaling them, it does to these.
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    if not isinstance(head, torch.nn.Linear):
        raise RdError(f"model {name}: its head is no linear layer over the vocabulary")
    two = torch.nn.Linear(head.in_features, len(rows), bias=head.bias is not None, device=head.weight.device)
    with torch.no_grad():
        two.weight.copy_(head.weight[rows])
        if head.bias is not None:
            two.bias.copy_(head.bias[rows])
    two.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    model.set_output_embeddings(two)  # type: ignore[operator]
