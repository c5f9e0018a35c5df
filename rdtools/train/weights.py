"""The weights of a student in the processes that train it: all in each, or a shard in each (`--fsdp`)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rdtools.core.errors import UsageError
from rdtools.train.students import Student
from rdtools.train.torchrun import Processes

T = TypeVar("T")


class Weights:
    """All weights in each process, those of the main one.

    Attributes:
        sharded: whether a process holds only a part, so that all processes must call each method.
    """

    sharded = False

    def __init__(self, student: Student, processes: Processes) -> None:
        self._student = student
        self._processes = processes
        processes.spread(list(student.module.state_dict().values()))

    def state(self) -> dict[str, Tensor]:
        """Return a copy of all weights in main memory; an empty one in other processes than the main one."""
        if not self._processes.is_main:
            return {}
        weights = self._student.module.state_dict()
        return {name: weight.detach().cpu().clone() for name, weight in weights.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up weights that `state` returned. Those of other processes are not used any more."""
        if self._processes.is_main:
            self._student.module.load_state_dict(state)

    def from_main(self, make: Callable[[], T]) -> T:
        """Call `make`, which runs the model, and return the main process's result in all processes."""
        return self._processes.from_main(make)

    @contextmanager
    def whole(self) -> Iterator[Student | None]:
        """Yield the student with all weights, to be saved; None in other processes than the main one."""
        yield self._student if self._processes.is_main else None

    def gathered(self, optimizer: dict[str, Any]) -> dict[str, Any]:
        """Return the state of the optimiser for all weights, of use to the main process."""
        return optimizer

    def own_part(self, optimizer: dict[str, Any]) -> dict[str, Any]:
        """Return the part of such a state that is this process's."""
        return optimizer


class ShardedWeights(Weights):
    """A shard of each weight in each process, by torch's `fully_shard`; a layer is whole only while it runs.

    What is saved is whole, as that of a single process: the main process gathers one weight after the other
    in main memory, and puts them into a copy of the student that has none.
    """

    sharded = True

    def __init__(self, student: Student, processes: Processes) -> None:
        from torch.distributed.device_mesh import init_device_mesh

        try:
            from torch.distributed.fsdp import fully_shard
        except ImportError:
            raise UsageError("--fsdp needs torch 2.6 or later (pip install -U torch)") from None

        warnings.filterwarnings("ignore", "FSDP2-wrapped module")  # of outputs changed in place: none is
        self._student = student
        self._processes = processes
        self._first_names = _first_names(student.module)
        self._empty = _without_weights(student)
        mesh = init_device_mesh(processes.device.type, (processes.world_size,))
        for part in [*_layers(student.called), student.called]:
            # By default the outermost part stays whole after an evaluation, and is not that of the next step.
            fully_shard(part, mesh=mesh, reshard_after_forward=True)
        student.device = processes.device
        self._parameters = list(student.module.parameters())

    def state(self) -> dict[str, Tensor]:
        found = {}
        for name, own in self._own_weights():
            whole = _whole(own)
            if self._processes.is_main:
                found[name] = whole
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        given = {self._first_names[name]: weight for name, weight in state.items()}
        with torch.no_grad():
            for name, own in self._own_weights():
                own.copy_(self._shard(own, given[name] if self._processes.is_main else None))

    def from_main(self, make: Callable[[], T]) -> T:
        made = make()  # all processes are needed to run the model
        return self._processes.from_main(lambda: made)

    @contextmanager
    def whole(self) -> Iterator[Student | None]:
        state = self.state()
        if not self._processes.is_main:
            yield None
            return
        module = self._empty.module
        module.load_state_dict({name: state[first] for name, first in self._first_names.items()}, assign=True)
        yield self._empty
        module.to("meta")

    def gathered(self, optimizer: dict[str, Any]) -> dict[str, Any]:
        moments = {}
        for number, state in optimizer["state"].items():
            whole = {name: _whole(value) for name, value in state.items()}
            if self._processes.is_main:  # the others only give their parts
                moments[number] = whole
        return {**optimizer, "state": moments}

    def own_part(self, optimizer: dict[str, Any]) -> dict[str, Any]:
        moments = {
            number: {
                name: self._shard(self._parameters[number], value) if value.dim() else value.clone()
                for name, value in state.items()
            }
            for number, state in optimizer["state"].items()
        }
        return {**optimizer, "state": moments}

    def _own_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield this process's part of each weight; one that has two names once."""
        for name, own in self._student.module.state_dict().items():
            if self._first_names[name] == name:
                yield name, own

    def _shard(self, own: Tensor, whole: Tensor | None) -> Tensor:
        """Return the part like `own` of the main process's tensor."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if whole is None:
            whole = torch.empty(own.shape, dtype=own.dtype)
        whole = whole.to(self._processes.device)
        if not isinstance(own, DTensor):  # a buffer, which all processes have
            self._processes.spread([whole])
            return whole
        return distribute_tensor(whole, own.device_mesh, own.placements)


def _whole(part: Tensor) -> Tensor:
    """Return the tensor that the processes have parts of, in main memory."""
    from torch.distributed.tensor import DTensor

    return (part.full_tensor() if isinstance(part, DTensor) else part).detach().cpu().clone()


def _first_names(module: nn.Module) -> dict[str, str]:
    """Map each name in the state of a module to the first name of the same weight."""
    weights = module.state_dict(keep_vars=True)
    firsts: dict[int, str] = {}
    return {name: firsts.setdefault(id(weight), name) for name, weight in weights.items()}


def _without_weights(student: Student) -> Student:
    """Return a copy of a student whose weights take no memory."""
    shared: dict[int, Any] = {
        id(tensor): tensor for tensor in (*student.module.parameters(), *student.module.buffers())
    }
    empty = copy.deepcopy(student, shared)
    empty.module.to("meta")
    return empty


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers: what the outermost lists of modules hold."""
    for part in module.children():
        if isinstance(part, nn.ModuleList):
            yield from part
        else:
            yield from _layers(part)
