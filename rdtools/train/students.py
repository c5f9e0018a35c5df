"""Students: the models that rd-train trains. A new kind is a class and a line in `options.STUDENTS`.

A batch of groups becomes a set of distinct inputs (texts, or pairs of query and document). They are tokenised
once and encoded in micro-batches of similar length; `Batch.scores` turns the encodings into scores (B, G).
Inputs do not influence each other, so the cut into micro-batches does not change the result.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from rdtools.core.errors import RdError
from rdtools.models.encoding import default_batch_tokens, embeddings, feature_batches, pad
from rdtools.models.first_token import compute_first_token_only
from rdtools.models.layers import keep_layers, size_of
from rdtools.models.loading import check_room, load_bi_encoder, positions, quiet_libraries
from rdtools.models.older_form import write_older_form
from rdtools.models.options import ModelOptions
from rdtools.models.preprocessing import (
    OLDEST_VERSION,
    Features,
    Preprocessing,
    installed_version,
    runs_in_batches,
)
from rdtools.train.groups import Group
from rdtools.train.options import LEARNED, StudentOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

MAX_SCALE = 100.0
"""A learned scale stays at or below this, as in CLIP (arXiv 2103.00020, section 2.5)."""


@dataclass(frozen=True)
class Batch:
    """Tokenised inputs of some groups, and the function from their encodings to scores."""

    features: Features
    """The tokens of n inputs, not padded."""
    scores: Callable[[Tensor], Tensor]
    """Encodings (n, width) -> scores (B, G)."""
    queries: int = 0
    """So many of the first inputs are queries, the others documents; 0 for pairs."""
    vectors: Callable[[Tensor, int], Tensor] | None = None
    """Encodings, n -> those of each group's query and then of its first n documents, (B, 1 + n, width)."""

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids in self.features["input_ids"]]


class Student(ABC):
    """A model that scores documents for a query and can be trained and saved.

    Attributes:
        module: its weights.
        reads_pairs: whether its inputs are pairs of query and document.
        card_kind, card_tags, card_usage: its kind, tags and example code in the saved README.md.
    """

    module: nn.Module
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    reads_pairs: bool
    card_kind: str
    card_tags: str
    card_usage: str
    size: tuple[int | None, int | None]
    """The number of layers and the size of the hidden states, None if unknown."""
    cosine = False
    """Whether the score is a cosine, times a scale."""
    scale = 1.0
    """The factor on the model's own similarity in training; its start, if it is learned."""
    ln_scale: nn.Parameter | None = None
    """The natural logarithm of the factor, a parameter of `module`; None if the factor is fixed."""

    @property
    def called(self) -> nn.Module:
        """The module that `encode` calls: `module`, or the only one in it that has weights."""
        return self.module

    @property
    def learned_scale(self) -> float | None:
        """The present value of a learned factor; None if the factor is fixed."""
        return None if self.ln_scale is None else float(f"{math.exp(self.ln_scale.item()):.6g}")

    @property
    def reach(self) -> float | None:
        """How far apart the scores of two documents can be; None: without limit."""
        most = self.scale if self.ln_scale is None else MAX_SCALE
        return 2 * most if self.cosine else None

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Keep a learned factor within MAX_SCALE; called after each optimiser step."""
        if self.ln_scale is not None:
            self.ln_scale.clamp_(max=math.log(MAX_SCALE))

    @abstractmethod
    def batch(self, groups: Sequence[Group]) -> Batch:
        """Tokenise groups. The scores of a group shorter than the longest end in arbitrary numbers."""

    @abstractmethod
    def encode(self, features: dict[str, Tensor]) -> Tensor:
        """Run padded features (n, length) through the model: (n, width) float32."""

    @abstractmethod
    def rank(
        self, queries: Sequence[str], documents: Sequence[str], candidates: Sequence[Sequence[int]] | None
    ) -> Iterator[Tensor]:
        """Yield for each query the scores of its candidates, as the saved model gives them.

        `candidates` are places of `documents`; None means all of them.
        """

    @abstractmethod
    def save(self, folder: Path) -> str:
        """Write a model in safetensors; return the version of sentence-transformers that it needs."""

    def encode_rows(self, batch: Batch, rows: Sequence[int]) -> Tensor:
        """Encode some inputs of a batch: (len(rows), width)."""
        return self.encode(pad(self.tokenizer, batch.features, rows, self.device))

    @torch.no_grad()
    def encode_all(self, features: Features) -> Tensor:
        """Encode all inputs without a graph, in micro-batches of similar length: (n, width)."""
        order, encoded = zip(*self.encode_parts(features), strict=True)
        rows = torch.tensor([row for part in order for row in part], device=self.device)
        return torch.cat(encoded)[rows.argsort()]

    @torch.no_grad()
    def encode_parts(self, features: Features) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the rows of a micro-batch, and their encodings."""
        for rows in feature_batches(features, default_batch_tokens(self.device)):
            yield rows, self.encode(pad(self.tokenizer, features, rows, self.device))


class BiEncoderStudent(Student):
    """A SentenceTransformer: the score is the cosine or dot product of query and document, times `scale`.

    A learned scale is a parameter of the model during training. The saved model does not have it.
    """

    reads_pairs = False
    card_kind = "bi-encoder"
    card_tags = "sentence-transformers, feature-extraction, sentence-similarity"
    card_usage = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("DIR")
scores = model.similarity(model.encode_query([query]), model.encode_document(documents))"""

    def __init__(self, options: StudentOptions, loading: ModelOptions = ModelOptions()) -> None:
        self.module = self.model = self._load(options, loading)
        self.start = options.model
        self.tokenizer = self.model.tokenizer
        if not getattr(self.tokenizer, "is_fast", False):
            raise RdError(f"model {options.model}: it has no fast tokenizer, which training needs")
        if not runs_in_batches(self.model):
            first = type(self.model[0]).__name__
            raise RdError(f"model {options.model}: its first module is a {first}, not a transformer")
        transformer: Any = self.model[0].auto_model
        if options.layers is not None:
            keep_layers(self.model, transformer, options.layers)
        compute_first_token_only(self.model, self.model[0].auto_model)
        self.size = size_of(transformer)
        if options.similarity is not None:
            self.model.similarity_fn_name = options.similarity
        self.cosine = self.model.similarity_fn_name == "cosine"
        fixed = options.scale if isinstance(options.scale, int | float) else None
        self.scale = fixed if fixed is not None else 20.0 if self.cosine else 1.0
        if options.scale == LEARNED:
            self.ln_scale = nn.Parameter(torch.tensor(math.log(self.scale), device=self.model.device))
            self.model.register_parameter("ln_scale", self.ln_scale)
        self._preprocess = Preprocessing(self.model)
        self._set_limits(options)
        self.device = self.model.device

    def _load(self, options: StudentOptions, loading: ModelOptions) -> Any:
        return load_bi_encoder(options.model, loading)

    def _set_limits(self, options: StudentOptions) -> None:
        """Truncate queries and documents as the options say; the saved model has one limit, the larger."""
        most = min(self.tokenizer.model_max_length, positions(self.model[0].auto_model) or 512)
        own = self.model.max_seq_length or most
        for task, flag, limit in (("query", "--query-max-len", options.query_max_len),
                                  ("document", "--doc-max-len", options.doc_max_len)):  # fmt: skip
            check_room(flag, limit, len(self._preprocess([""], task)["input_ids"][0]))
        self._limits = {
            "query": min(options.query_max_len or own, most),
            "document": min(options.doc_max_len or own, most),
        }
        self.model.max_seq_length = max(self._limits.values())

    def batch(self, groups: Sequence[Group]) -> Batch:
        queries = numbered(group.query for group in groups)
        documents = numbered(document.text for group in groups for document in group.documents)
        features = self._tokenise("query", list(queries))
        for key, column in self._tokenise("document", list(documents)).items():
            features[key] = features[key] + column
        query_rows = torch.tensor([queries[group.query] for group in groups], device=self.device)  # (B,)
        texts = [[document.text for document in group.documents] for group in groups]
        document_rows = index_of(texts, documents, self.device)  # (B, G)

        def scores(encoded: Tensor) -> Tensor:
            factor = self.scale if self.ln_scale is None else self.ln_scale.exp()
            products = self._similarities(encoded[: len(queries)], encoded[len(queries) :])
            return factor * products[query_rows.unsqueeze(1), document_rows]

        rows = torch.cat([query_rows.unsqueeze(1), len(queries) + document_rows], dim=1)  # (B, 1 + G)
        return Batch(features, scores, len(queries), lambda encoded, n: encoded[rows[:, : 1 + n]])

    def _similarities(self, queries: Tensor, documents: Tensor) -> Tensor:
        """Return the similarity of each of n encoded queries to each of m documents, (n, m)."""
        if self.cosine:
            queries, documents = (nn.functional.normalize(side, dim=-1) for side in (queries, documents))
        return queries @ documents.T

    def encode(self, features: dict[str, Tensor]) -> Tensor:
        return embeddings(self.model, features)

    @property
    def dimension(self) -> int:
        """The number of dimensions of its embeddings."""
        return self._embed("query", [""]).shape[1]

    def rank(
        self, queries: Sequence[str], documents: Sequence[str], candidates: Sequence[Sequence[int]] | None
    ) -> Iterator[Tensor]:
        vectors = self._embed("query", queries)
        encoded = self._embed("document", documents)
        for number, vector in enumerate(vectors):
            yield (encoded if candidates is None else encoded[candidates[number]]) @ vector

    def _embed(self, role: str, texts: Sequence[str]) -> Tensor:
        """Return the embeddings of texts, (n, width), of length 1 for cosines."""
        encoded = self.encode_all(self._preprocess(list(texts), role))
        return nn.functional.normalize(encoded, dim=-1) if self.cosine else encoded

    def save(self, folder: Path) -> str:
        with quiet_libraries():
            self.model.save_pretrained(str(folder), create_model_card=False)
        older = write_older_form(folder, self.model.max_seq_length)
        return OLDEST_VERSION if older else installed_version()

    def _tokenise(self, role: str, texts: list[str]) -> Features:
        return self._preprocess(texts, role, max_length=self._limits[role])


def numbered(items: Iterable[T]) -> dict[T, int]:
    """Number the distinct items in the order of their first occurrence."""
    return {item: number for number, item in enumerate(dict.fromkeys(items))}


def index_of(rows: Sequence[Sequence[Any]], numbers: dict[Any, int], device: torch.device) -> Tensor:
    """Return the numbers of the items in `rows`, (B, G); 0 where a row is shorter than the longest."""
    width = max(map(len, rows))
    table = [[numbers[item] for item in row] + [0] * (width - len(row)) for row in rows]
    return torch.tensor(table, device=device)
