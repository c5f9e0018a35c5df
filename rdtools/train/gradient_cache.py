"""Encode a batch in micro-batches and send the gradient of a loss back, with or without gradient caching."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from rdtools.models.encoding import feature_batches, groups_of_kind
from rdtools.models.preprocessing import Features
from rdtools.train.students import Batch, Student

CPU_TOKENS, GPU_TOKENS = 512, 16384
"""Tokens of a micro-batch. On a CPU, 512 is twice as fast as 4096 for passages: there is less padding."""


class GradientCache:
    """Encodes batches for a loss, and adds the gradients of the loss to those of the student.

    With a `mini_batch_size`, only that many inputs have a graph at a time (gradient caching).
    """

    def __init__(self, student: Student, dtype: torch.dtype, mini_batch_size: int | None = None) -> None:
        self._student = student
        self._dtype = dtype
        self._size = mini_batch_size

    def run(self, batch: Batch, learn: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `learn(encodings)`, which must call `backward` on its loss of the encodings (n, width)."""
        return self._plain(batch, learn) if self._size is None else self._cached(batch, learn, self._size)

    def _plain(self, batch: Batch, learn: Callable[[Tensor], Tensor]) -> Tensor:
        """Encode all micro-batches in one graph."""
        tokens = CPU_TOKENS if self._student.device.type == "cpu" else GPU_TOKENS
        parts = list(feature_batches(batch.features, tokens))
        return learn(in_input_order([self._encode(batch, rows) for rows in parts], parts))

    def _cached(self, batch: Batch, learn: Callable[[Tensor], Tensor], size: int) -> Tensor:
        """Use gradient caching (Gao et al., arXiv 2101.06983): one micro-batch has a graph at a time.

        All inputs are encoded without a graph, and the loss gives the gradient of each encoding. Each
        micro-batch is then encoded again, with the same dropout, and its gradient is sent back through it.
        """
        parts = list(chunks(batch.features, size))
        states = []
        encodings = []
        with torch.no_grad():
            for rows in parts:
                states.append(rng_state(self._student.device))
                encodings.append(self._encode(batch, rows))
        encoded = in_input_order(encodings, parts).requires_grad_()
        found = learn(encoded)
        after = rng_state(self._student.device)
        assert encoded.grad is not None
        for rows, state in zip(parts, states, strict=True):
            set_rng_state(state, self._student.device)
            self._encode(batch, rows).backward(encoded.grad[rows])  # type: ignore[no-untyped-call]
        set_rng_state(after, self._student.device)
        return found

    def _encode(self, batch: Batch, rows: Sequence[int]) -> Tensor:
        """Encode, in half precision if `dtype` says so; weights, scores and loss stay float32."""
        half = self._dtype != torch.float32
        with torch.autocast(self._student.device.type, self._dtype, enabled=half):
            return self._student.encode_rows(batch, rows)


def chunks(features: Features, size: int) -> Iterator[list[int]]:
    """Yield the rows of features, longest first, `size` rows that may share a batch at a time."""
    lengths = [len(ids) for ids in features["input_ids"]]
    for group in groups_of_kind(features):
        order = sorted(group, key=lambda row: (-lengths[row], row))
        for start in range(0, len(order), size):
            yield order[start : start + size]


def in_input_order(encodings: Sequence[Tensor], parts: Sequence[Sequence[int]]) -> Tensor:
    """Put the rows of micro-batches back into the order of the inputs: (n, width)."""
    order = torch.tensor([row for part in parts for row in part])
    return torch.cat(list(encodings))[order.argsort().to(encodings[0].device)]


def rng_state(device: torch.device) -> list[Tensor]:
    """Return the state of the generators of dropout: the CPU's and, on a GPU, its own."""
    gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *gpu]


def set_rng_state(state: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
