"""Encode a batch in micro-batches and send the gradient of a loss back, with or without gradient caching."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from rdtools.models.encoding import feature_batches, groups_of_kind
from rdtools.models.preprocessing import Features
from rdtools.train.students import Batch, Student
from rdtools.train.torchrun import Processes

CPU_TOKENS, GPU_TOKENS = 1024, 16384
"""Tokens of a micro-batch. On a CPU, more have more padding, and fewer are slower in bfloat16."""

CPU_GRAPHS, GPU_GRAPHS = 4096, 16384
"""Tokens whose graphs are kept until a loss is known, if the groups of a batch do not depend on each other.
On a CPU, more are no faster and need more memory."""


class GradientCache:
    """Encodes batches for a loss, and adds the gradients of the loss to those of the student.

    With a `mini_batch_size`, only that many inputs have a graph at a time (gradient caching; Gao et al.,
    arXiv 2101.06983): they are encoded without a graph, the loss gives the gradient of each encoding, and
    each micro-batch is encoded again, with the same dropout, to send its gradient back.

    Args:
        factor: of the gradients that are sent back.
    """

    def __init__(
        self,
        student: Student,
        dtype: torch.dtype,
        mini_batch_size: int | None = None,
        processes: Processes = Processes(),
        factor: float = 1.0,
    ) -> None:
        self._student = student
        self._dtype = dtype
        self._size = mini_batch_size
        self._processes = processes
        self._factor = factor

    @property
    def most_tokens(self) -> float:
        """How many tokens to encode for one loss, if the groups allow a choice."""
        if self._size is not None:
            return math.inf
        return CPU_GRAPHS if self._student.device.type == "cpu" else GPU_GRAPHS

    def run(self, batch: Batch, learn: Callable[[Tensor], Tensor], *, shared: bool = False) -> Tensor:
        """Return `learn(encodings)`, which must call `backward` on its loss of the encodings (n, width).

        A `shared` batch is the same in all processes. Each of them encodes some of the inputs and learns from
        all encodings, whose gradients are added up. All of them run the model equally often, as the shards of
        a model need it: one that has fewer micro-batches encodes an input for nothing.
        """
        count, place = (self._processes.world_size, self._processes.rank) if shared else (1, 0)
        shares = [self._micro_batches(batch, each, count) for each in range(count)]
        own = shares[place]
        turns = [*own, *[[0]] * (max(map(len, shares)) - len(own))]
        encodings, states, after = self._encode_all(batch, turns)
        found = [encoding.detach() for encoding in encodings]
        if shared:
            found = [self._processes.gather(torch.cat(found), [sum(map(len, share)) for share in shares])]
        encoded = in_input_order(found, [rows for share in shares for rows in share]).requires_grad_()
        figures = learn(encoded)
        gradient = torch.zeros_like(encoded) if encoded.grad is None else self._factor * encoded.grad
        if shared:
            self._processes.all_reduce([gradient])
        for turn, rows in enumerate(turns):
            if states:
                set_rng_state(states[turn], self._student.device)
                encodings[turn] = self._encode(batch, rows)
            sent = gradient[rows] if turn < len(own) else torch.zeros_like(encodings[turn])
            if encodings[turn].requires_grad:  # else all weights of the model are frozen
                encodings[turn].backward(sent)  # type: ignore[no-untyped-call]
        if states:
            set_rng_state(after, self._student.device)
        return figures

    def _encode_all(
        self, batch: Batch, turns: Sequence[Sequence[int]]
    ) -> tuple[list[Tensor], list[list[Tensor]], list[Tensor]]:
        """Return the encodings of micro-batches; if they have no graph, also the states of dropout.

        Those are the states before each micro-batch, and the one after all.
        """
        if self._size is None:
            return [self._encode(batch, rows) for rows in turns], [], []
        encodings, states = [], []
        with torch.no_grad():
            for rows in turns:
                states.append(rng_state(self._student.device))
                encodings.append(self._encode(batch, rows))
        return encodings, states, rng_state(self._student.device)

    def _micro_batches(self, batch: Batch, place: int, count: int) -> list[list[int]]:
        """Return the rows of the micro-batches of one of `count` processes, which get like lengths."""
        rows: Sequence[int] = range(len(batch.lengths))
        features = batch.features
        if count > 1:
            rows = sorted(rows, key=lambda row: -batch.lengths[row])[place::count]
            features = {key: [column[row] for row in rows] for key, column in features.items()}
        if not rows:
            return []
        if self._size is None:
            tokens = CPU_TOKENS if self._student.device.type == "cpu" else GPU_TOKENS
            parts = feature_batches(features, tokens)
        else:
            parts = chunks(features, self._size)
        return [[rows[index] for index in part] for part in parts]

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
