"""Work in batches without keeping what has arrived: a batch ends early if its input falls silent."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rdtools.core.errors import RdError
from rdtools.core.streams import awaited

T = TypeVar("T")


def has_arrived(seconds: float = 0) -> bool:
    """Return whether the input's next line is here, or its end, or comes within `seconds`.

    True for inputs that do not keep their reader waiting, such as files.
    """
    descriptor = awaited()
    if descriptor is None:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def batches(
    items: Iterable[T], size: int, patience: float | None, weight: Callable[[T], int] = lambda _: 1
) -> Iterator[list[T]]:
    """Yield lists of items made from the input's lines, each of a total weight of `size` or one item more.

    With `patience` a list ends early once its first item has waited for so many seconds. If the input is bad,
    the items before are yielded first, then the error is raised.
    """
    items = iter(items)
    more = True
    while more:
        late = time.monotonic() + (patience or 0)
        batch: list[T] = []
        total, failure = 0, None
        try:
            for item in items:
                batch.append(item)
                total += weight(item)
                if total >= size:
                    break
                left = late - time.monotonic()
                if patience is not None and (left < 0 or not has_arrived(left)):
                    break
            else:
                more = False
        except RdError as error:
            failure = error
        if batch:
            yield batch
        if failure is not None:
            raise failure
