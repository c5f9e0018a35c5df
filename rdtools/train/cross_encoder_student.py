"""`ce:MODEL`: a cross-encoder as student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rdtools.core.errors import RdError
from rdtools.models.cross_encoder import open_cross_encoder
from rdtools.models.first_token import compute_first_token_only
from rdtools.models.layers import keep_layers, size_of
from rdtools.models.options import ModelOptions
from rdtools.models.preprocessing import Features
from rdtools.train.groups import Group
from rdtools.train.options import StudentOptions
from rdtools.train.students import Batch, Student, index_of, numbered


class CrossEncoderStudent(Student):
    """A CrossEncoder: the score is its logit, through its own template, prompt and modules.

    Without limits, pairs are truncated as by `CrossEncoder.predict`. With limits, queries are truncated to
    `query_max_len` tokens (by default half of the model's length), and a document gets the remaining tokens
    of both limits together, so it may be longer beside a short query.
    """

    reads_pairs = True
    card_kind = "cross-encoder"
    card_tags = "sentence-transformers, cross-encoder, text-ranking"
    card_usage = """from sentence_transformers import CrossEncoder

scores = CrossEncoder("DIR").predict([(query, document) for document in documents])  # logits"""

    def __init__(self, options: StudentOptions, loading: ModelOptions = ModelOptions()) -> None:
        torch.manual_seed(options.seed)
        self._scorer = open_cross_encoder(options.model, loading, student=True)
        self.module = self.model = self._scorer.model
        self.tokenizer, self.device = self._scorer.tokenizer, self._scorer.device
        if not self.tokenizer.is_fast:
            raise RdError(f"model {options.model}: it has no fast tokenizer, which training needs")
        if options.layers is not None:
            keep_layers(self.model, self.model.model, options.layers)
        compute_first_token_only(self.model, self.model.model)
        self.size = size_of(self.model.model)
        self._log_probability = options.log_probability
        self._limited = options.query_max_len is not None or options.doc_max_len is not None
        overhead = self._scorer.overhead
        room = self.tokenizer.model_max_length - overhead
        self._query_limit = min(options.query_max_len or room // 2, room - 1)
        if options.doc_max_len is not None:
            room = min(room, self._query_limit + options.doc_max_len)
        self.tokenizer.model_max_length = room + overhead  # saved: CrossEncoder(DIR) truncates there too

    def batch(self, groups: Sequence[Group]) -> Batch:
        truncated = self._truncated(list(dict.fromkeys(group.query for group in groups)))
        keys = [[(truncated[group.query], document.text) for document in group.documents] for group in groups]
        pairs = numbered(pair for row in keys for pair in row)
        features = self._tokenise(list(pairs))
        rows = index_of(keys, pairs, self.device)  # (B, G)

        def scores(encoded: Tensor) -> Tensor:
            logits = encoded[rows, 0]
            # log softmax of the second of two labels is log σ of their difference, which is our logit.
            return nn.functional.logsigmoid(logits) if self._log_probability else logits

        return Batch(features, scores)

    @property
    def called(self) -> nn.Module:
        return self._scorer.called

    def encode(self, features: dict[str, Tensor]) -> Tensor:
        return self._scorer.logits(features).unsqueeze(1)

    def rank(
        self, queries: Sequence[str], documents: Sequence[str], candidates: Sequence[Sequence[int]] | None
    ) -> Iterator[Tensor]:
        for number, query in enumerate(queries):
            places = range(len(documents)) if candidates is None else candidates[number]
            pairs = [(query, documents[place]) for place in places]
            yield self.encode_all(self._scorer.tokenise(pairs))[:, 0] if pairs else torch.empty(0)

    def save(self, folder: Path) -> str:
        return self._scorer.save(folder)

    def _tokenise(self, pairs: list[tuple[str, str]]) -> Features:
        # A template renders a pair as one text, whose end is the document's in most templates.
        first = {"truncation": "only_second"} if self._limited and not self._scorer.template else {}
        return self._scorer.tokenise(pairs, **first)

    def _truncated(self, queries: list[str]) -> dict[str, str]:
        """Map each query to its beginning of at most `query_max_len` tokens, if there are limits."""
        if not self._limited:
            return {query: query for query in queries}
        encoded = self.tokenizer(
            queries, add_special_tokens=False, truncation=True, max_length=self._query_limit,
            return_offsets_mapping=True,
        )  # fmt: skip
        ends = [offsets[-1][1] if offsets else 0 for offsets in encoded["offset_mapping"]]
        return {query: query[:end] for query, end in zip(queries, ends, strict=True)}
