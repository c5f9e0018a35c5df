"""Students: the models that rd-train trains, behind one small interface.

A batch of groups becomes a set of distinct inputs (texts, or pairs), which are tokenised once and encoded
in micro-batches of about equal length; `Batch.scores` then turns the encoded rows into scores (B, G).
Rows do not depend on each other, so it does not matter to the result how they were cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rdtools.core.errors import RdError, UsageError
from rdtools.models.encoding import logits, pad
from rdtools.models.layers import _numbered, keep_layers
from rdtools.models.loading import (
    check_room,
    load_bi_encoder,
    load_cross_encoder,
    positions,
    quiet_libraries,
)
from rdtools.models.options import ModelOptions
from rdtools.train.groups import Group

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Shape:
    """What a student is made of: which model, which of its layers, how long its inputs, how it scores."""

    model: str
    layers: str | None = None
    query_max_len: int | None = None
    doc_max_len: int | None = None
    similarity: str | None = None
    scale: float | None = None
    seed: int = 0
    """Of the head that a cross-encoder gets where the model has none."""
    log_probability: bool = False
    """Whether a cross-encoder is trained on log σ of its logit, as the paper's was."""


@dataclass(frozen=True)
class Batch:
    """Tokenised inputs of a step and the way from their encodings to scores."""

    features: dict[str, list[Any]]
    """Columns such as `input_ids`, a list of ids for each of n inputs, not padded."""
    scores: Callable[[Tensor], Tensor]
    """Encodings (n, width) -> scores (B, G)."""

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids in self.features["input_ids"]]


class Student(ABC):
    """A model that scores documents for a query, and can be trained and saved."""

    module: nn.Module
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    card_kind: str
    card_tags: str
    card_usage: str

    @abstractmethod
    def batch(self, groups: Sequence[Group]) -> Batch:
        """Tokenise groups. Where one is shorter than the longest, its scores end in arbitrary numbers."""

    @abstractmethod
    def encode(self, features: dict[str, Tensor]) -> Tensor:
        """Run padded features (n, length) through the model: (n, width) float32."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what the Hugging Face libraries open, in safetensors."""

    def encode_rows(self, batch: Batch, rows: Sequence[int]) -> Tensor:
        """Encode the named inputs of a batch: (len(rows), width)."""
        return self.encode(pad(self.tokenizer, batch.features, rows, self.device))


class BiEncoderStudent(Student):
    """A SentenceTransformer: the score is the cosine or dot product of query and document, times `scale`."""

    card_kind = "bi-encoder"
    card_tags = "sentence-transformers, feature-extraction, sentence-similarity"
    card_usage = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("DIR")
scores = model.similarity(model.encode_query([query]), model.encode_document(documents))"""

    def __init__(self, shape: Shape, loading: ModelOptions = ModelOptions()) -> None:
        self.module = self.model = load_bi_encoder(shape.model, loading)
        self.tokenizer = self.model.tokenizer
        if not getattr(self.tokenizer, "is_fast", False):
            raise RdError(f"model {shape.model}: it has no transformer with a fast tokenizer to be trained")
        transformer: Any = self.model[0].auto_model
        if shape.layers is not None:
            place = next(name for name, child in self.model[0].named_children() if child is transformer)
            setattr(self.model[0], place, keep_layers(transformer, shape.layers))
        if shape.similarity is not None:
            self.model.similarity_fn_name = shape.similarity  # type: ignore[assignment]
        self.cosine = self.model.similarity_fn_name == "cosine"
        self.scale = shape.scale if shape.scale is not None else 20.0 if self.cosine else 1.0
        most = min(self.tokenizer.model_max_length, positions(transformer) or 512)
        own = self.model.max_seq_length or most
        check_room(self.tokenizer, "--query-max-len", shape.query_max_len)
        check_room(self.tokenizer, "--doc-max-len", shape.doc_max_len)
        self._limits = {
            "query": min(shape.query_max_len or own, most),
            "document": min(shape.doc_max_len or own, most),
        }
        self.model.max_seq_length = self._limits["document"]  # the saved model cuts documents as this does
        self.device = self.model.device

    def batch(self, groups: Sequence[Group]) -> Batch:
        queries = _numbered(group.query for group in groups)
        documents = _numbered(document.text for group in groups for document in group.documents)
        features = self._tokenise("query", list(queries))
        for key, column in self._tokenise("document", list(documents)).items():
            features[key] = features[key] + column
        query_rows = torch.tensor([queries[group.query] for group in groups], device=self.device)  # (B,)
        texts = [[document.text for document in group.documents] for group in groups]
        document_rows = len(queries) + _index(texts, documents, self.device)  # (B, G)

        def scores(embeddings: Tensor) -> Tensor:
            if self.cosine:
                embeddings = nn.functional.normalize(embeddings, dim=-1)
            return self.scale * torch.einsum("bd,bgd->bg", embeddings[query_rows], embeddings[document_rows])

        return Batch(features, scores)

    def encode(self, features: dict[str, Tensor]) -> Tensor:
        embeddings: Tensor = self.model(features)["sentence_embedding"]
        return embeddings.float()

    def save(self, folder: Path) -> None:
        with quiet_libraries():
            self.model.save_pretrained(str(folder), create_model_card=False)

    def _tokenise(self, role: str, texts: list[str]) -> dict[str, list[Any]]:
        prompt = (self.model.prompts or {}).get(role) or ""
        return dict(
            self.tokenizer([prompt + text for text in texts], truncation=True, max_length=self._limits[role])
        )


class CrossEncoderStudent(Student):
    """A sequence classifier over (query, document): the score is its logit.

    Only documents are truncated: a query is first cut to `query_max_len` tokens, and a pair then holds
    `query_max_len + doc_max_len` tokens and the special ones, so that a short query leaves its room to the
    document. Without limits a query has at most half of the model's length, which is what
    `CrossEncoder.predict` does with long pairs.
    """

    card_kind = "cross-encoder"
    card_tags = "sentence-transformers, cross-encoder, text-ranking"
    card_usage = """from sentence_transformers import CrossEncoder

scores = CrossEncoder("DIR").predict([(query, document) for document in documents])  # logits"""

    def __init__(self, shape: Shape, loading: ModelOptions = ModelOptions()) -> None:
        if shape.similarity is not None or shape.scale is not None:
            raise UsageError("--similarity and --scale are for bi-encoders (--student be:MODEL)")
        torch.manual_seed(shape.seed)
        try:
            self.model, self.tokenizer = load_cross_encoder(shape.model, loading, num_labels=1)
        except RdError as error:
            if "mismatched" not in str(error):  # as the library names sizes
                raise
            raise RdError(f"model {shape.model}: its head has more than one label") from error
        if not self.tokenizer.is_fast:
            raise RdError(f"model {shape.model}: its tokenizer is not a fast one, which training needs")
        if shape.layers is not None:
            self.model = keep_layers(self.model, shape.layers)
        self.module = self.model
        self.device = self.model.device
        self._log_probability = shape.log_probability
        special = self.tokenizer.num_special_tokens_to_add(pair=True)
        room = self.tokenizer.model_max_length - special
        self._query_limit = min(shape.query_max_len or room // 2, room - 1)
        if shape.doc_max_len is not None:
            room = min(room, self._query_limit + shape.doc_max_len)
        self.tokenizer.model_max_length = room + special  # saved, so that CrossEncoder(DIR) cuts there too

    def batch(self, groups: Sequence[Group]) -> Batch:
        cut = self._cut(list(dict.fromkeys(group.query for group in groups)))
        keys = [[(cut[group.query], document.text) for document in group.documents] for group in groups]
        pairs = _numbered(pair for row in keys for pair in row)
        queries, documents = (list(side) for side in zip(*pairs, strict=True))
        features = self.tokenizer(queries, documents, truncation="only_second")
        rows = _index(keys, pairs, self.device)  # (B, G)

        def scores(encoded: Tensor) -> Tensor:
            logits = encoded[rows, 0]
            # log softmax of the second of two labels is log σ of their difference, which is our logit.
            return nn.functional.logsigmoid(logits) if self._log_probability else logits

        return Batch(dict(features), scores)

    def encode(self, features: dict[str, Tensor]) -> Tensor:
        return logits(self.model, features).unsqueeze(1)

    def save(self, folder: Path) -> None:
        # CrossEncoder.predict then returns the logit that was trained, not its sigmoid.
        self.model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
        with quiet_libraries():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def _cut(self, queries: list[str]) -> dict[str, str]:
        """Map each query to its beginning of at most `query_max_len` tokens."""
        encoded = self.tokenizer(
            queries, add_special_tokens=False, truncation=True, max_length=self._query_limit,
            return_offsets_mapping=True,
        )  # fmt: skip
        ends = [offsets[-1][1] if offsets else 0 for offsets in encoded["offset_mapping"]]
        return {query: query[:end] for query, end in zip(queries, ends, strict=True)}


def _index(rows: Sequence[Sequence[Any]], numbers: dict[Any, int], device: torch.device) -> Tensor:
    """(B, G) numbers of the items in `rows`; 0 where a row is shorter than the longest."""
    width = max(map(len, rows))
    table = [[numbers[item] for item in row] + [0] * (width - len(row)) for row in rows]
    return torch.tensor(table, device=device)
