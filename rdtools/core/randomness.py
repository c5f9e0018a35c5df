"""Randomness that depends only on a seed and an id, so that splitting the input changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, MutableSequence, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def generator(seed: int, query_id: str, purpose: str) -> random.Random:
    """Return the generator of one purpose for one query."""
    return random.Random(f"{seed}\t{query_id}\t{purpose}")


def shuffled(items: Sequence[T], rng: random.Random) -> Iterator[T]:
    """Yield all items in random order, one step of the Fisher-Yates shuffle an item.

    It holds only the items that have moved, and uses only `rng.random()`, whose sequence Python guarantees.
    """
    moved: dict[int, T] = {}
    for place in range(len(items)):
        other = place + int(rng.random() * (len(items) - place))
        yield moved.get(other, items[other])
        moved[other] = moved.pop(place, items[place])


def sample_places(items: Sequence[T], count: int, rng: random.Random) -> list[T]:
    """Draw `count` items without replacement, in random order; all of them if there are fewer."""
    return list(islice(shuffled(items, rng), count))


def shuffle_in_place(items: MutableSequence[T], rng: random.Random) -> None:
    """Put items in random order, that of `shuffled`, without holding more than them."""
    for place in range(len(items)):
        other = place + int(rng.random() * (len(items) - place))
        items[place], items[other] = items[other], items[place]
