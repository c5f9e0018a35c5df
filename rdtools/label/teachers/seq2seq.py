"""`t5:MODEL`: a T5-like re-ranker, such as monoT5 and RankT5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch

from rdtools.label.teachers import Scored, TeacherResources, TextPair, model_of
from rdtools.label.teachers.prompted import (
    PromptTokens,
    check_answers,
    keep_answers,
    not_one_token,
    score_of_answers,
)
from rdtools.models.encoding import default_batch_tokens, run_padded
from rdtools.models.loading import fingerprint
from rdtools.models.seq2seq import load_seq2seq_model


class Seq2SeqTeacher:
    """Score by logit(true) − logit(false) of the decoder's first token, in float32.

    With one answer, as RankT5 has it, its logit is the score.
    """

    scale = "logit"
    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        self.name = model_of("t5", argument)
        self._question = resources.prompt.question("t5")
        self._dtype = resources.model.dtype
        self._model, self._tokenizer = load_seq2seq_model(argument, resources.model)
        self._batch_tokens = resources.model.batch_tokens or default_batch_tokens(self._model.device)
        last = self._tokenizer("")["input_ids"]  # the end of the text, as models are trained with
        self._tokens = PromptTokens(argument, self._tokenizer, self._question, last=last)
        self._answers = [self._token(answer) for answer in self._question.answers]
        check_answers(argument, self._answers)
        keep_answers(self._model, self._answers, argument)
        self._start: int = self._model.config.decoder_start_token_id

    @cached_property
    def key(self) -> str:
        asked = [self._question.template, self._answers, self._tokens.limit]
        return f"t5 {fingerprint(self.name)} {self._dtype} {asked}"

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        features, model = {"input_ids": self._tokens(pairs)}, self._model
        for rows, logits in run_padded(
            model, self._logits, self._tokenizer, features, self._batch_tokens, model.device
        ):
            yield rows, score_of_answers(logits)

    def _logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the logits of the answers, (rows, answers) float32."""
        start = torch.full((len(batch["input_ids"]), 1), self._start, device=self._model.device)
        logits: torch.Tensor = self._model(**batch, decoder_input_ids=start, use_cache=False).logits
        return logits[:, 0].float()

    def _token(self, answer: str) -> int:
        """Return the single token of `answer` at the beginning of a text."""
        ids: list[int] = self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        if len(ids) != 1 or ids[0] == self._tokenizer.unk_token_id:
            raise not_one_token(self.name, answer, "", self._tokenizer.convert_ids_to_tokens(ids))
        return ids[0]
