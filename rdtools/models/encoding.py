"""Run models on batches of about equally long texts.

The size of a batch is limited by its number of tokens, padding included.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from rdtools.core.log import bar, bars_shown
from rdtools.models.loading import quiet_libraries
from rdtools.models.preprocessing import Features, Preprocessing, runs_in_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerBase

DEFAULT_BATCH_TOKENS = 1024
GPU_BATCH_TOKENS = 65536
WINDOW_TEXTS = 16384
"""So many texts are tokenised and sorted by length together."""


def default_batch_tokens(device: torch.device) -> int:
    """Return the number of tokens in a batch; a GPU needs more than a CPU to be busy."""
    return DEFAULT_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS


def token_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield batches of indices of texts, longest first; `lengths` are in tokens.

    A batch has at most `batch_tokens` tokens, padding included, or one text.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@contextlib.contextmanager
def _quiet_tokenizer() -> Iterator[None]:
    """Silence the advice of fast tokenizers against a separate `pad`, which we need."""
    name = "transformers.tokenization_utils_base"
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def pad(
    tokenizer: PreTrainedTokenizerBase, features: Features, rows: Sequence[int], device: torch.device
) -> dict[str, Any]:
    """Collate some rows of unpadded `features` into tensors (rows, longest row) on `device`."""
    shared = {key: column[rows[0]] for key, column in features.items() if not isinstance(column[0], list)}
    tokens = {key: [features[key][row] for row in rows] for key in features if key not in shared}
    with _quiet_tokenizer():
        batch = tokenizer.pad(tokens, return_tensors="pt")
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()} | shared


def groups_of_kind(features: Features) -> list[list[int]]:
    """Return the rows of features that may share a batch, group by group."""
    shared = [column for column in features.values() if not isinstance(column[0], list)]
    if not shared:
        return [list(range(len(features["input_ids"])))]
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for row, kind in enumerate(zip(*shared, strict=True)):
        kinds.setdefault(kind, []).append(row)
    return list(kinds.values())


def feature_batches(features: Features, batch_tokens: int) -> Iterator[list[int]]:
    """Yield batches of rows of features as `token_batches` does, each of rows that may share a batch."""
    lengths = [len(ids) for ids in features["input_ids"]]
    for group in groups_of_kind(features):
        for part in token_batches([lengths[row] for row in group], batch_tokens):
            yield [group[index] for index in part]


def embeddings(model: SentenceTransformer, features: dict[str, Any]) -> torch.Tensor:
    """Return the embeddings of a padded batch, (n, dimension) float32, as `encode` gives them."""
    task = {"task": features["task"]} if "task" in features else {}
    found: torch.Tensor = model(features, **task)["sentence_embedding"].float()
    return found[:, : model.truncate_dim]


class BiEncoder:
    """A SentenceTransformer that encodes queries and documents in batches of about equal length.

    `scale` is "cosine" or "dot". Embeddings are normalised for cosine, so the dot product is the score in
    both cases.
    """

    def __init__(self, model: SentenceTransformer, batch_tokens: int | None = None) -> None:
        self.model = model
        self.scale: str = model.similarity_fn_name
        self.batch_tokens = batch_tokens or default_batch_tokens(model.device)
        self._preprocess = Preprocessing(model) if runs_in_batches(model) else None

    @property
    def mark(self) -> str:
        """A mark for the key of a cache, empty if the model reads no more than the tokens of a text."""
        model = self.model
        if self._preprocess is None:
            return " encoded by sentence-transformers"
        more = self._preprocess.mark("query", "document")
        return more + ("" if model.truncate_dim is None else f" {model.truncate_dim} dimensions")

    @property
    def dimension(self) -> int:
        return int(self.model.encode_query("").shape[-1])

    def encode_queries(self, queries: Sequence[str], *, alone: bool = True) -> NDArray[np.float32]:
        """Return (n, dimension) float32.

        A query encoded `alone` has the same embedding, to the last bit, whichever other queries come with it.
        Batches are faster, and differ by some 1e-7.
        """
        parts = [[query] for query in queries] if alone else [queries] if queries else []
        return self._stack([self._encode(part, "query") for part in parts])

    def encode_documents(self, texts: Sequence[str], description: str = "") -> NDArray[np.float32]:
        """Return (n, dimension) float32; a `description` shows a progress bar."""
        with bar(len(texts), description, "doc") if description else contextlib.nullcontext() as progress:
            parts = []
            for start in range(0, len(texts), WINDOW_TEXTS):
                window = texts[start : start + WINDOW_TEXTS]
                parts.append(self._encode(window, "document", progress.update if progress else None))
        return self._stack(parts)

    def _stack(self, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)

    def _encode(
        self, texts: Sequence[str], role: str, progress: Callable[[int], Any] | None = None
    ) -> NDArray[np.float32]:
        if self._preprocess is None:  # routers, static embeddings: the library encodes them
            encode = self.model.encode_query if role == "query" else self.model.encode_document
            with quiet_libraries():
                found = encode(list(texts), convert_to_tensor=True, show_progress_bar=bars_shown())
            return self._finish(found.float())
        features = self._preprocess(texts, role)
        result: NDArray[np.float32] | None = None
        with torch.inference_mode():
            for rows in feature_batches(features, self.batch_tokens):
                batch = pad(self.model.tokenizer, features, rows, self.model.device)
                part = self._finish(embeddings(self.model, batch))
                if result is None:
                    result = np.empty((len(texts), part.shape[1]), np.float32)
                result[rows] = part
                if progress is not None:
                    progress(len(rows))
        assert result is not None, "no texts to encode"
        return result

    def _finish(self, found: torch.Tensor) -> NDArray[np.float32]:
        if self.scale == "cosine":
            found = torch.nn.functional.normalize(found, dim=-1)
        return cast("NDArray[np.float32]", found.cpu().numpy())
