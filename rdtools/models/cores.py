"""Run a model on batches: on a CPU, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

import torch

T = TypeVar("T")
Rows = list[int]


def run_batches(
    module: torch.nn.Module,
    run: Callable[[dict[str, Any]], T],
    batches: Iterable[tuple[Rows, dict[str, Any]]],
) -> Iterator[tuple[Rows, T]]:
    """Yield the rows of each batch and what `run` makes of its inputs, in order, in inference mode.

    On a CPU each core runs a batch of its own: cores that share a small batch wait for each other at each of
    a model's many small steps. Code that came with a model may not allow that: it runs one batch at a time.

    Args:
        module: what `run` calls.
    """

    @torch.inference_mode()
    def of(inputs: dict[str, Any]) -> T:
        return run(inputs)

    batches = iter(batches)
    first = list(islice(batches, 2))
    cores = torch.get_num_threads() if len(first) > 1 and _runs_on_cpu(module) else 1
    if cores == 1:
        for rows, inputs in chain(first, batches):
            yield rows, of(inputs)
        return
    pool = _pool(cores)
    waiting: deque[tuple[Rows, Future[T]]] = deque()
    try:
        for rows, inputs in chain(first, batches):
            waiting.append((rows, pool.submit(of, inputs)))
            if len(waiting) > cores:
                oldest, future = waiting.popleft()
                yield oldest, future.result()
        while waiting:
            oldest, future = waiting.popleft()
            yield oldest, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _runs_on_cpu(module: torch.nn.Module) -> bool:
    """Whether all of a model is on the CPU and made of libraries' code."""
    on_cpu = all(parameter.device.type == "cpu" for parameter in module.parameters())
    return on_cpu and not any(
        type(part).__module__.startswith("transformers_modules") for part in module.modules()
    )


@cache
def _pool(cores: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores, "model", initializer=_use_one_core)


def _use_one_core() -> None:
    """Let torch use one core in this thread, and as many as before in others."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread's first call fixes its number, as last set by any thread
