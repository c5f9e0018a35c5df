"""The processes that train one student together: those that `torchrun` starts, or a single one."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.rendezvous import rendezvous

from rdtools.core import log as messages
from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log
from rdtools.core.output import new_spool, spooling
from rdtools.models.loading import pick_device

T = TypeVar("T")

_POLL = 0.02
"""Seconds between two looks for a message."""
_CHUNK = 2**24
"""Bytes of a file that are sent at a time."""


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

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by that of process 0."""

    def gather(self, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the rows of all processes, one process after the other; `sizes` are their numbers of rows.

        More rows than the process's own number are ignored.
        """
        return rows[: sizes[self.rank]]

    def from_main(self, make: Callable[[], T]) -> T:
        """Call `make` in process 0 and return its result in all; its `RdError` ends all processes."""
        return make()

    @contextlib.contextmanager
    def at_hand(self, file: Path) -> Iterator[Path]:
        """Yield the path of a file of process 0, or of a copy for the block, on this machine."""
        yield file


class Torchrun(Processes):
    """One of the processes of `torchrun`, on one or more machines: gloo connects CPUs, NCCL connects GPUs.

    Args:
        timeout: seconds to wait for another process to do its part of a step.
    """

    def __init__(self, device: torch.device, timeout: float = 600) -> None:
        super().__init__(device)
        self.rank, self.world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self._local_rank = int(os.environ["LOCAL_RANK"])
        self._timeout, limit = timeout, timedelta(seconds=timeout)
        store, *_ = next(iter(rendezvous("env://", timeout=limit)))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")  # torchrun keeps what earlier ones left
        self._store = distributed.PrefixStore(f"rd-train {attempt}", store)  # type: ignore[attr-defined]
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=self._store,
            rank=self.rank,
            world_size=self.world_size,
            timeout=limit,
        )
        self._messages = 0
        self._speaks: bool | None = None
        messages.last_words = self._last_words
        if not self.is_main:
            log.setLevel("ERROR")

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])  # type: ignore[no-untyped-call]
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def spread(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            distributed.broadcast(tensor, 0)

    def gather(self, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        own = sizes[self.rank]
        padded[:own] = rows[:own]
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def from_main(self, make: Callable[[], T]) -> T:
        made: Any = None
        failure: RdError | None = None
        self._messages += 1
        ready = f"message {self._messages}"
        if self.is_main:
            try:
                made = make()
            except RdError as error:
                failure = error
            self._store.set(ready, "")
        while not self._store.check([ready]):  # a pipe may take any time; signals are obeyed meanwhile
            time.sleep(_POLL)
        box = [made, failure.status if failure else 0]
        distributed.broadcast_object_list(box, src=0, device=self.device)
        distributed.barrier()
        if failure is not None:
            raise failure
        made, status = box
        if status:  # process 0 prints the reason
            sys.exit(status)
        return made  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def at_hand(self, file: Path) -> Iterator[Path]:
        first = self.rank - self._local_rank  # on this machine; the others read its copy
        firsts = sorted(set(self._all_of(first)))
        with contextlib.ExitStack() as stack:
            path = file
            if len(firsts) > 1:
                limit = timedelta(seconds=self._timeout)
                group = distributed.new_group(firsts, backend="gloo", timeout=limit)
                if self.rank == first:
                    if not self.is_main:
                        path = new_spool()
                        stack.callback(path.unlink)
                    _send(path, group, is_source=self.is_main)
                path = self._all_of(path)[first]
            yield path
            distributed.barrier()

    def _all_of(self, own: T) -> list[T]:
        """Return what each process has."""
        found: list[Any] = [None] * self.world_size
        distributed.all_gather_object(found, own)
        return found

    def _last_words(self, words: str) -> str | None:
        """Return what this process says of its end; nothing if another one has said why it ends."""
        if self._speaks is None:
            try:
                self._speaks = self._store.add("last words", 1) == 1
            except RuntimeError:  # the process that held the store has ended
                self._speaks = True
        if not self._speaks:
            return None
        reason = " (by torchrun, if another process has failed; its report says which)"
        return words + reason if words == "terminated" else words


@contextlib.contextmanager
def join(device: str | None, timeout: float = 600) -> Iterator[Processes]:
    """Join the processes of torchrun, if it started this one; each gets its own GPU.

    Args:
        timeout: seconds to wait for another process to do its part of a step.

    Raises:
        RdError: another process has ended, or did not answer, before the end of the block.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield Processes(pick_device(device))
        return
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        value = os.environ.get(name, "")
        if not (value if name == "MASTER_ADDR" else value.isdecimal()):
            problem = f"WORLD_SIZE is {os.environ['WORLD_SIZE']!r}, but {name} is {value!r}"
            raise UsageError(f"{problem} (start rd-train with torchrun, or unset WORLD_SIZE)")
    if device in (None, "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    own = pick_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    try:
        yield Torchrun(own, timeout)
        distributed.destroy_process_group()
    except RuntimeError as error:
        if not is_loss(error):
            raise
        raise RdError(
            f"another process has ended, or has not answered for {timeout:g} s (its own message or the "
            "report of torchrun says why; --resume goes on from the last checkpoint)"
        ) from error


def is_loss(error: Exception) -> bool:
    """Return whether an error says that another process has ended, or has not answered."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _send(path: Path, group: Any, *, is_source: bool) -> None:
    """Send the bytes of the source's file to the files of the others in the group."""
    size = torch.tensor([path.stat().st_size if is_source else 0])
    distributed.broadcast(size, 0, group)
    left = int(size)
    with spooling(), path.open("rb" if is_source else "wb") as file:
        while left:
            chunk = bytearray(file.read(min(left, _CHUNK)) if is_source else min(left, _CHUNK))
            distributed.broadcast(torch.frombuffer(chunk, dtype=torch.uint8), 0, group)
            if not is_source:
                file.write(chunk)
            left -= len(chunk)
