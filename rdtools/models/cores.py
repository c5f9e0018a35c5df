"""Run a model on batches: on a CPU, several at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar
from weakref import WeakSet

import torch

T = TypeVar("T")

MOST = 8
"""At most so many batches run at a time, since each has its own memory. More cores share them."""

_LIBRARIES = {"torch", "transformers", "sentence_transformers", "peft", "rdtools"}
_SELF_CHANGING = ("BigBird",)
"""Architectures of transformers that replace their own parts in a forward pass."""
_RECORDED = ("output_hidden_states", "output_attentions", "output_router_logits")
"""Outputs that transformers before 5 collects by replacing parts of the model for the time of a pass."""

_has_run: WeakSet[torch.nn.Module] = WeakSet()


def run_batches(
    module: torch.nn.Module,
    run: Callable[[dict[str, Any]], T],
    batches: Sequence[list[int]],
    inputs: Callable[[list[int]], dict[str, Any]],
) -> Iterator[tuple[list[int], T]]:
    """Yield the rows of each batch and what `run` makes of its inputs, in order, in inference mode.

    On a CPU batches run at the same time, each on cores of its own: cores that share a small batch wait for
    each other at each of a model's many small steps. The first batch of a model runs alone, because some
    models complete themselves then. A model that changes itself later runs one batch at a time.

    Args:
        module: the model that `run` calls.
        run: called in several threads, so it must not use the tokenizer.
        inputs: makes the inputs of rows, in the caller's thread, for a few batches ahead.
    """

    def alone(rows: list[int]) -> tuple[list[int], T]:
        with torch.inference_mode():
            return rows, run(inputs(rows))

    rest = list(batches)
    if rest and module not in _has_run:
        first = alone(rest.pop(0))
        _has_run.add(module)
        yield first
    cores = torch.get_num_threads()
    workers = min(cores, MOST, len(rest)) if _allows_threads(module) else 1
    if workers < 2:
        yield from map(alone, rest)
        return
    pool = _pool(workers)
    waiting: deque[tuple[list[int], Future[T]]] = deque()
    try:
        for rows in rest:
            waiting.append((rows, pool.submit(_on_cores, cores // workers, run, inputs(rows))))
            if len(waiting) > workers:
                yield waiting[0][0], waiting[0][1].result()
                waiting.popleft()
        while waiting:
            yield waiting[0][0], waiting[0][1].result()
            waiting.popleft()
    finally:
        for _, future in waiting:
            future.cancel()
        torch.set_num_threads(cores)  # what threads begin with that did not exist yet


def _on_cores(count: int, run: Callable[[dict[str, Any]], T], inputs: dict[str, Any]) -> T:
    torch.set_num_threads(count)  # of this thread
    torch.get_num_threads()  # a thread's first call takes the number that any thread has set last
    with torch.inference_mode():
        return run(inputs)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "model")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has no threads


def _allows_threads(module: torch.nn.Module) -> bool:
    """Whether a model is on the CPU and does not change in a forward pass, as far as is known."""
    return all(parameter.device.type == "cpu" for parameter in module.parameters()) and not any(
        map(_may_change, module.modules())
    )


def _may_change(part: torch.nn.Module) -> bool:
    kind = type(part)
    kinds = getattr(part, "rope_type", None)
    ropes = [*kinds.values()] if isinstance(kinds, dict) else [kinds]
    settings = getattr(part, "config", None)
    return (
        kind.__module__.partition(".")[0] not in _LIBRARIES
        or kind.__name__.startswith(_SELF_CHANGING)
        or any("dynamic" in str(rope) or rope == "longrope" for rope in ropes)  # frequencies by length
        or any(getattr(settings, name, False) for name in _RECORDED)
    )
