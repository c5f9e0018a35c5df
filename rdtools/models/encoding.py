"""Run models on batches of about equally long texts.

The size of a batch is limited by its number of tokens, padding included.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch

from rdtools.core.log import bar, bars_shown
from rdtools.models.cores import run_batches
from rdtools.models.first_token import compute_first_token_only
from rdtools.models.loading import quiet_libraries
from rdtools.models.preprocessing import Features, Preprocessing, runs_in_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer, SparseEncoder
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

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


def run_padded(
    module: torch.nn.Module,
    run: Callable[[dict[str, Any]], T],
    tokenizer: PreTrainedTokenizerBase,
    features: Features,
    batch_tokens: int,
    device: torch.device,
) -> Iterator[tuple[list[int], T]]:
    """Yield the rows of each batch of features, and what `run`, which calls `module`, makes of it."""
    batches = [*feature_batches(features, batch_tokens)]
    return run_batches(module, run, batches, lambda rows: pad(tokenizer, features, rows, device))


def embeddings(model: SentenceTransformer | SparseEncoder, features: dict[str, Any]) -> torch.Tensor:
    """Return the embeddings of a padded batch, (n, dimension) float32, as `encode` gives them."""
    options = {"task": features["task"]} if "task" in features else {}
    most = getattr(model, "max_active_dims", None)
    if most is not None:
        options["max_active_dims"] = most
    found: torch.Tensor = model(features, **options)["sentence_embedding"].float()
    if most is not None:
        from sentence_transformers.util import select_max_active_dims

        return select_max_active_dims(found.clone(), most)  # before 5.4 in place
    return found[:, : getattr(model, "truncate_dim", None)]


class BiEncoder:
    """A SentenceTransformer that encodes queries and documents in batches of about equal length.

    `scale` is "cosine" or "dot". Embeddings are normalised for cosine, so the dot product is the score in
    both cases.
    """

    def __init__(self, model: SentenceTransformer | SparseEncoder, batch_tokens: int | None = None) -> None:
        self.model = model
        self.scale: str = model.similarity_fn_name
        self.batch_tokens = batch_tokens or default_batch_tokens(model.device)
        self._preprocess = Preprocessing(model) if runs_in_batches(model) else None
        if self._preprocess is not None:
            compute_first_token_only(model, model[0].auto_model)

    @property
    def mark(self) -> str:
        """A mark for the key of a cache, empty if the model reads no more than the tokens of a text."""
        model = self.model
        if self._preprocess is None:
            return " encoded by sentence-transformers"
        more = self._preprocess.mark("query", "document")
        kept = getattr(model, "truncate_dim", None)
        return more + ("" if kept is None else f" {kept} dimensions")

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
        return self._stack([*self.encoded(texts, len(texts), description)])

    def encoded(
        self, texts: Iterable[str], count: int, description: str = ""
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the embeddings of `count` documents in their order, those of some at a time."""
        with bar(count, description, "doc") if description else contextlib.nullcontext() as progress:
            texts = iter(texts)
            while window := list(islice(texts, WINDOW_TEXTS)):
                yield self._encode(window, "document", progress.update if progress else None)

    @staticmethod
    def product(document: Any, query: NDArray[np.float64]) -> float:
        """Return the similarity of an embedding to one of `wide`, summed in float64.

        So a score does not depend on which others are computed with it.
        """
        return float(document.astype(np.float64) @ query)

    @staticmethod
    def wide(queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the embeddings of queries as `product` takes them, (n, dimension)."""
        return queries.astype(np.float64)

    def _stack(self, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)

    def _in_order(self, parts: list[NDArray[np.float32]], order: Sequence[int]) -> NDArray[np.float32]:
        """Stack parts whose rows are those of the texts `order`, in the order of the texts."""
        result = np.empty((len(order), parts[0].shape[1]), np.float32)
        result[order] = np.concatenate(parts)
        return result

    def _encode(
        self, texts: Sequence[str], role: str, progress: Callable[[int], Any] | None = None
    ) -> NDArray[np.float32]:
        if self._preprocess is None:  # routers, static embeddings: the library encodes them
            encode = self.model.encode_query if role == "query" else self.model.encode_document
            with quiet_libraries():
                found = encode(list(texts), convert_to_tensor=True, show_progress_bar=bars_shown())
            return self._finish(found.float())
        model, features = self.model, self._preprocess(texts, role)
        parts: list[NDArray[np.float32]] = []
        order: list[int] = []
        for rows, part in run_padded(
            model, lambda batch: self._finish(embeddings(model, batch)),
            model.tokenizer, features, self.batch_tokens, model.device,
        ):  # fmt: skip
            parts.append(part)
            order += rows
            if progress is not None:
                progress(len(rows))
        assert parts, "no texts to encode"
        return self._in_order(parts, order)

    def _finish(self, found: torch.Tensor) -> NDArray[np.float32]:
        if self.scale == "cosine":
            found = torch.nn.functional.normalize(found, dim=-1)
        return cast("NDArray[np.float32]", found.cpu().numpy())


class SparseBiEncoder(BiEncoder):
    """A SparseEncoder, likewise; embeddings are the rows of a csr_matrix."""

    @staticmethod
    def product(document: Any, query: NDArray[np.float64]) -> float:
        return float(document.data.astype(np.float64) @ query[document.indices])

    @staticmethod
    def wide(queries: Any) -> NDArray[np.float64]:
        return cast("NDArray[np.float64]", queries.toarray().astype(np.float64))

    def _stack(self, parts: list[Any]) -> Any:
        from scipy.sparse import csr_matrix, vstack

        return vstack(parts, "csr") if parts else csr_matrix((0, self.dimension), dtype=np.float32)

    def _in_order(self, parts: list[Any], order: Sequence[int]) -> Any:
        return self._stack(parts)[np.argsort(order)]

    def _finish(self, found: torch.Tensor) -> Any:
        from scipy.sparse import csr_matrix

        return csr_matrix(super()._finish(found.to_dense()))
