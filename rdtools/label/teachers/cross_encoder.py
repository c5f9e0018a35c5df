"""`ce[:MODEL]`: a cross-encoder, which reads query and document together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch

from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TeacherResources, TextPair
from rdtools.models.encoding import default_batch_tokens, log_probabilities, logits, pad, token_batches
from rdtools.models.loading import fingerprint, load_cross_encoder

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"


class CrossEncoderTeacher:
    """Score by the raw logit in float32, without a sigmoid; with two labels, by the second minus the first.

    With --paper-compat and two labels, score by the log-softmax of the second label, which is nearly 0 for
    all documents near the top.
    """

    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        self.name = argument or DEFAULT_CROSS_ENCODER
        self._model, self._tokenizer = load_cross_encoder(self.name, resources.model)
        self._batch_tokens = resources.model.batch_tokens or default_batch_tokens(self._model.device)
        self._dtype = resources.model.dtype
        as_paper = resources.paper_compat and self._model.config.num_labels == 2
        self._output = log_probabilities if as_paper else logits
        self.scale = "log-probability" if as_paper else "logit"

    @cached_property
    def key(self) -> str:
        return f"ce {fingerprint(self.name)} {self._dtype} {self._tokenizer.model_max_length}" + (
            f" {self.scale}" if self.scale != "logit" else ""
        )

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        features = self._tokenizer(
            [pair.query for pair in pairs], [pair.text for pair in pairs], truncation=True
        ).data
        lengths = [len(ids) for ids in features["input_ids"]]
        for rows in token_batches(lengths, self._batch_tokens):
            batch = pad(self._tokenizer, features, rows, self._model.device)
            with torch.inference_mode():
                yield rows, floats(self._output(self._model, batch).cpu().numpy())
