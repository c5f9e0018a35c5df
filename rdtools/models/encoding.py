"""Run models on batches of about equally long texts: embeddings and logits.

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

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_BATCH_TOKENS = 1024
GPU_BATCH_TOKENS = 65536
WINDOW_TEXTS = 16384
"""So many texts are tokenised and sorted by length together."""


def logits(model: PreTrainedModel, features: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return raw scores, (n,) float32: the logit, or of two logits the second minus the first."""
    output: torch.Tensor = model(**features).logits.float()
    return output[:, 0] if output.shape[1] == 1 else output[:, 1] - output[:, 0]


def log_probabilities(model: PreTrainedModel, features: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the log-softmax of the second of two labels, (n,) float32 ≤ 0, as the paper's code does."""
    output: torch.Tensor = model(**features).logits.float()
    return output.log_softmax(-1)[:, 1]


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
    tokenizer: PreTrainedTokenizerBase,
    features: dict[str, list[Any]],
    rows: Sequence[int],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """Collate some rows of unpadded `features` into tensors (rows, longest row) on `device`."""
    with _quiet_tokenizer():
        batch = tokenizer.pad(
            {key: [column[row] for row in rows] for key, column in features.items()}, return_tensors="pt"
        )
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}


class BiEncoder:
    """A SentenceTransformer that encodes queries and documents in batches of about equal length.

    `scale` is "cosine" or "dot". Embeddings are normalised for cosine, so the dot product is the score in
    both cases.
    """

    def __init__(self, model: SentenceTransformer, batch_tokens: int | None = None) -> None:
        self.model = model
        self.scale: str = model.similarity_fn_name
        self.batch_tokens = batch_tokens or default_batch_tokens(model.device)
        self._fast = bool(getattr(model.tokenizer, "is_fast", False))

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
        if not self._fast:  # routers, static embeddings: the library encodes them
            encode = self.model.encode_query if role == "query" else self.model.encode_document
            with quiet_libraries():
                embeddings = encode(list(texts), convert_to_tensor=True, show_progress_bar=bars_shown())
            return self._finish(embeddings)
        prompt = (self.model.prompts or {}).get(role) or ""
        tokenizer = self.model.tokenizer
        features = tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=self.model.max_seq_length
        )
        lengths = [len(ids) for ids in features["input_ids"]]
        result: NDArray[np.float32] | None = None
        with torch.inference_mode():
            for rows in token_batches(lengths, self.batch_tokens):
                batch = pad(tokenizer, features.data, rows, self.model.device)
                part = self._finish(self.model(batch)["sentence_embedding"])
                if result is None:
                    result = np.empty((len(texts), part.shape[1]), np.float32)
                result[rows] = part
                if progress is not None:
                    progress(len(rows))
        assert result is not None, "no texts to encode"
        return result

    def _finish(self, embeddings: torch.Tensor) -> NDArray[np.float32]:
        embeddings = embeddings.float()
        if self.scale == "cosine":
            embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
        return cast("NDArray[np.float32]", embeddings.cpu().numpy())
