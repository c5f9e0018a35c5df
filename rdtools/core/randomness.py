"""Randomness that depends on a seed and an id alone: the same bytes however the input was split."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def generator(seed: int, query_id: str, purpose: str) -> random.Random:
    """The generator of everything random for a query: the same wherever it stands in a stream."""
    return random.Random(f"{seed}\t{query_id}\t{purpose}")


def shuffled(items: Sequence[T], rng: random.Random) -> Iterator[T]:
    """Yield all items in random order, holding only what was moved (Fisher and Yates, one step an item)."""
    moved: dict[int, T] = {}
    for place in range(len(items)):
        other = place + int(rng.random() * (len(items) - place))
        yield moved.get(other, items[other])
        moved[other] = moved.pop(place, items[place])


def sample_places(items: Sequence[T], count: int, rng: random.Random) -> list[T]:
    """Draw `count` of `items` without replacement, in random order.

    Only `rng.random()` is used, the one method whose sequence Python promises to keep.
    """
    pool = list(items)
    for place in range(count):
        other = place + int(rng.random() * (len(pool) - place))
        pool[place], pool[other] = pool[other], pool[place]
    return pool[:count]
