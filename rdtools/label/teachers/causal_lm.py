"""`llm:MODEL`: a causal language model as a pointwise re-ranker."""

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
    """Score by logit(yes) − logit(no) of the token that follows the prompt, in float32.

    The model's head computes only these two logits, not those of the whole vocabulary. If a prompt is too
    long for the model, the document is truncated first, then the query; the prompt's own words stay.
    """

    scale = "logit"
    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        if not argument:
            raise UsageError("--teacher llm needs a model: llm:MODEL")
        self.name = argument
        self._prompt = resources.prompt
        self._dtype = resources.model.dtype
        self._model, self._tokenizer = load_causal_model(argument, resources.model)
        if self._prompt.chat and not self._tokenizer.chat_template:
            raise UsageError(f"--chat: model {argument} has no chat template")
        self._batch_tokens = resources.model.batch_tokens or default_batch_tokens(self._model.device)
        self._limit: int = self._tokenizer.model_max_length
        self._first = self._first_tokens()
        self._answers = [self._token(answer) for answer in self._prompt.yes_and_no]
        if len(set(self._answers)) == 1:
            raise UsageError(
                f"model {argument}: both answers are the same token (give others with --answers YES,NO)"
            )
        _keep_two_rows(self._model, self._answers, argument)

    @cached_property
    def key(self) -> str:
        asked = [self._render("{query}", "{document}"), self._answers, self._limit]
        return f"llm {fingerprint(self.name)} {self._dtype} {asked}"

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        inputs = self._tokens([self._render(pair.query, pair.text) for pair in pairs])
        inputs = [
            ids if len(ids) <= self._limit else self._truncated(pair)
            for ids, pair in zip(inputs, pairs, strict=True)
        ]
        lengths = [len(ids) for ids in inputs]
        for rows in token_batches(lengths, self._batch_tokens):
            # Padding on the right changes nothing: the prompt's last token does not see what follows it.
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
        # enable_thinking: models that can think aloud before they answer must answer at once.
        return str(
            self._tokenizer.apply_chat_template(
                [message], tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        return [self._first + ids for ids in self._tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def _first_tokens(self) -> list[int]:
        """Return the tokenizer's begin-of-text token, if it has one; a chat template brings its own."""
        first: list[int] = self._tokenizer("")["input_ids"][:1]
        return first if first == [self._tokenizer.bos_token_id] and not self._prompt.chat else []

    def _token(self, answer: str) -> int:
        """Return the single token of `answer` after the prompt."""
        prompt = self._render("", "")
        before, after = self._tokens([prompt, prompt + answer])
        if after[:-1] != before or after[-1] == self._tokenizer.unk_token_id:
            pieces = self._tokenizer.convert_ids_to_tokens(after[len(before) :])
            raise UsageError(
                f"model {self.name}: the answer {answer!r} after the prompt is not one token but "
                f"{' '.join(map(repr, pieces))} (give others with --answers YES,NO)"
            )
        return after[-1]

    def _truncated(self, pair: TextPair) -> list[int]:
        """Return the tokens of a prompt whose texts are truncated until it fits."""
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
        """Return `text` without its last `tokens` tokens; one character may consist of several tokens."""
        spans = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept = spans[: max(0, len(spans) - tokens)]
        return text[: min(kept[-1][1], len(text) - 1)] if kept else ""


def _keep_two_rows(model: torch.nn.Module, rows: list[int], name: str) -> None:
    """Replace the model's head by its two rows for the answers, in float32.

    The model still applies what follows its head, such as a scaling of logits.
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    if not isinstance(head, torch.nn.Linear):
        raise RdError(f"model {name}: its head is not a linear layer over the vocabulary")
    two = torch.nn.Linear(head.in_features, len(rows), bias=head.bias is not None, device=head.weight.device)
    with torch.no_grad():
        two.weight.copy_(head.weight[rows])
        if head.bias is not None:
            two.bias.copy_(head.bias[rows])
    two.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    model.set_output_embeddings(two)  # type: ignore[operator]
