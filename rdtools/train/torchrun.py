"""The processes that train one student together, as `torchrun` starts them, or the one that trains alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log
from rdtools.models.loading import pick_device

T = TypeVar("T")


class Processes:
    """One process: nothing to exchange. Of several, process 0 reads, logs and saves; the others compute."""

    rank = 0
    count = 1

    def __init__(self, device: torch.device = torch.device("cpu")) -> None:
        self.device = device

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""

    def from_first(self, make: Callable[[], T]) -> T:
        """Return in all processes what process 0 makes. An RdError there is raised there, and ends all."""
        return make()


class Torchrun(Processes):
    """The processes of a `torchrun` on one machine: gloo between CPUs, NCCL between GPUs."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.rank, self.count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        if int(os.environ["LOCAL_WORLD_SIZE"]) != self.count:
            raise UsageError("the processes of torchrun must be on one machine (--nnodes 1)")
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            # While process 0 reads a pipe, which may take as long as it likes, the others wait for it.
            timeout=timedelta(days=30),
        )
        if not self.leads:
            log.setLevel("ERROR")

    def add(self, tensors: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])  # type: ignore[no-untyped-call]
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def from_first(self, make: Callable[[], T]) -> T:
        made: Any = None
        failure: RdError | None = None
        if self.leads:
            try:
                made = make()
            except RdError as error:
                failure = error
        box = [made, failure.status if failure else 0]
        distributed.broadcast_object_list(box, src=0, device=self.device)
        distributed.barrier()
        if failure is not None:
            raise failure
        made, status = box
        if status:  # process 0 says why
            sys.exit(status)
        return made  # type: ignore[no-any-return]


def join(device: str | None) -> Processes:
    """Join the processes that torchrun started with this one, if it did; each has a GPU of its own."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(pick_device(device))
    if device in (None, "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    return Torchrun(pick_device(device))
