"""The embeddings of a corpus by a bi-encoder, and exact search in them, part by part."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rdtools.core.errors import RdError
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import load_bi_encoder
from rdtools.models.options import ModelOptions
from rdtools.models.products import product
from rdtools.search.arrays import ArrayWriter, open_array, release
from rdtools.search.embeddings import EmbeddingIndex, EmbeddingSearch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FILE = "embeddings.npy"
SLACK = 16
"""More places than wanted, because rounded scores may order near ones otherwise."""
_ROUNDING = 2e-6
"""float32 products differ from exact ones by less, in units of both norms."""
_PART = 2**26
"""Bytes of the embeddings, as float32, that are searched at once."""
_FREE = 2**30
"""Bytes of a GPU's memory that kept embeddings leave free."""


class DenseIndex(EmbeddingIndex):
    """The embeddings of a bi-encoder, an array (places, dimension) of float32 or, rounded, of float16."""

    kind = "dense"
    embeddings: NDArray[np.floating[Any]]

    @staticmethod
    def open_encoder(model: str, options: ModelOptions) -> BiEncoder:
        return BiEncoder(load_bi_encoder(model, options), options.batch_tokens)

    @staticmethod
    def is_finite(embeddings: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(embeddings).all())

    def rows_of(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of documents."""
        return self.embeddings[self.places.of_row[rows]].astype(np.float32)

    def scores(self, query: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        found = super().scores(query, places)
        release(self.embeddings)  # each row maps the pages around it too
        return found

    def _joined(self, blocks: Iterator[NDArray[np.float32]], places: int) -> NDArray[np.float32]:
        first = next(blocks)
        joined, start = np.empty((places, first.shape[1]), np.float32), 0
        for block in chain([first], blocks):
            joined[start : start + len(block)] = block
            start += len(block)
        return joined

    def _save(self, blocks: Iterator[NDArray[np.float32]], places: int, folder: Path) -> None:
        first = next(blocks)
        with ArrayWriter(folder / _FILE, self.dtype, (places, first.shape[1])) as file:
            for block in chain([first], blocks):
                with np.errstate(over="ignore"):
                    rounded = block.astype(self.dtype)
                if not self.is_finite(rounded):
                    problem = f"an embedding does not fit {self.dtype} (use --index-dtype float32)"
                    raise RdError(f"model {self.model}: {problem}")
                file.write(rounded)

    def _load(self, folder: Path, places: int) -> NDArray[np.floating[Any]]:
        embeddings = open_array(folder / _FILE)
        if embeddings.dtype != self.dtype or embeddings.ndim != 2 or len(embeddings) != places:
            raise ValueError(f"{_FILE} has not one {self.dtype} row for each of {places:,} texts")
        return embeddings


class DenseSearch(EmbeddingSearch):
    """Exact search: products with all embeddings on the model's device, for a few more texts than are wanted.

    Parts of the embeddings are read one after the other, and a GPU keeps those for which it has room.
    """

    index: DenseIndex

    def __init__(self, index: DenseIndex, part: int = _PART) -> None:
        super().__init__(index)
        self._device = index.encoder.model.device
        self._rows = max(1, part // (4 * index.embeddings.shape[1]))
        self._kept: dict[int, torch.Tensor] = {}

    def _candidates(self, queries: NDArray[np.float32], depths: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        most = max(depths, default=0)
        if not most or not self.index.places.size:
            return [np.zeros(0, np.int64) for _ in depths]
        return self._found(queries, np.array(depths), most + SLACK)

    def _found(
        self, queries: NDArray[np.float32], depths: NDArray[np.int64], count: int
    ) -> list[NDArray[np.int64]]:
        """Return for each query the places of at least the `count` largest products.

        Where rounding might have exchanged the last of them for one of the query's depth, it is asked again
        for more.
        """
        scores, places = self._largest(queries, min(count, self.index.places.size))
        found = list(places)
        if count < self.index.places.size:
            last = self.index.embeddings[places[:, -1]].astype(np.float32)
            error = _ROUNDING * np.linalg.norm(queries, axis=1) * np.linalg.norm(last, axis=1)
            wanted = scores[np.arange(len(scores)), np.maximum(depths, 1) - 1]
            for number in np.flatnonzero((scores[:, -1] >= wanted - error) & (depths > 0)):
                own = slice(number, number + 1)
                (found[number],) = self._found(queries[own], depths[own], 4 * count)
        return found

    def _largest(
        self, queries: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the `count` largest products of each query and their places, largest first."""
        asked = torch.from_numpy(np.ascontiguousarray(queries, np.float32)).to(self._device)
        scores = torch.empty((len(asked), 0), device=self._device)
        places = torch.empty((len(asked), 0), dtype=torch.int64, device=self._device)
        for start in range(0, self.index.places.size, self._rows):
            part = self._part(start).float()
            best = product(asked, part).topk(min(count, len(part)))
            scores = torch.cat([scores, best.values], dim=1)
            places = torch.cat([places, best.indices + start], dim=1)
            scores, kept = scores.topk(min(count, scores.shape[1]))
            places = places.gather(1, kept)
            release(self.index.embeddings)
        return scores.cpu().numpy(), places.cpu().numpy()

    def _part(self, start: int) -> torch.Tensor:
        """Return some rows of the embeddings on the device."""
        if start in self._kept:
            return self._kept[start]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is on disk cannot be written to, and nobody does
            part = torch.from_numpy(self.index.embeddings[start : start + self._rows]).to(self._device)
        if part.is_cuda and torch.cuda.mem_get_info(part.device)[0] > _FREE + part.nbytes:
            self._kept[start] = part
        return part
