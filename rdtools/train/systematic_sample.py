"""A sample of a sequence whose length is not known: the groups that the teacher is judged by."""

from __future__ import annotations


class SystematicSample:
    """Every k-th item of a sequence, k growing with its length, so that between 1,000 and 2,000 are held."""

    def __init__(self, size: int = 1000) -> None:
        self.items: list[list[tuple[float | None, bool]]] = []
        self._size, self._step, self._seen = size, 1, 0

    def add(self, item: list[tuple[float | None, bool]]) -> None:
        """Take the score of each document of a group, and whether it is positive."""
        if self._seen % self._step == 0:
            self.items.append(item)
        self._seen += 1
        if len(self.items) == 2 * self._size:
            del self.items[1::2]
            self._step *= 2
