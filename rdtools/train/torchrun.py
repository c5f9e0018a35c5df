"""The processes that train one student together: those that `torchrun` starts, or a single one."""

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
    """A single process, which has nothing to exchange.

    Of several, process 0 (the main one) reads, logs and saves; all of them compute.
    """

    rank = 0
    world_size = 1

    def __init__(self, device: torch.device = torch.device("cpu")) -> None:
        self.device = device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""

    def from_main(self, make: Callable[[], T]) -> T:
        """Call `make` in process 0 and return its result in all; its `RdError` ends all processes."""
        return make()


class Torchrun(Processes):
    """One of the processes of `torchrun` on one machine: gloo connects CPUs, NCCL connects GPUs."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.rank, self.world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        if int(os.environ["LOCAL_WORLD_SIZE"]) != self.world_size:
            raise UsageError("the processes of torchrun must be on one machine (--nnodes 1)")
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            # The others wait while process 0 reads a pipe, which may take any time.
            timeout=timedelta(days=30),
        )
        if not self.is_main:
            log.setLevel("ERROR")

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])  # type: ignore[no-untyped-call]
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def from_main(self, make: Callable[[], T]) -> T:
        made: Any = None
        failure: RdError | None = None
        if self.is_main:
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
        if status:  # process 0 prints the reason
            sys.exit(status)
        return made  # type: ignore[no-any-return]


def join(device: str | None) -> Processes:
    """Join the processes of torchrun, if it started this one; each gets its own GPU."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Processes(pick_device(device))
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        value = os.environ.get(name, "")
        if not (value if name == "MASTER_ADDR" else value.isdecimal()):
            problem = f"WORLD_SIZE is {os.environ['WORLD_SIZE']!r}, but {name} is {value!r}"
            raise UsageError(f"{problem} (start rd-train with torchrun, or unset WORLD_SIZE)")
    if device in (None, "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    return Torchrun(pick_device(device))
