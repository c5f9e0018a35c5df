"""A cache of embeddings, because one document is a candidate of many queries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

_KEPT = 100_000


class EmbeddingCache:
    """Cache the embeddings of the most recently used texts, 100,000 or `kept`."""

    def __init__(self, encode: Callable[[list[str]], Iterable[Any]], kept: int = _KEPT) -> None:
        """`encode` returns the embedding of each of n texts: an array, or the row of a sparse one."""
        self._encode = encode
        self._kept = kept
        self._known: OrderedDict[str, Any] = OrderedDict()

    def __call__(self, texts: Iterable[str]) -> dict[str, Any]:
        """Return the embedding of each distinct text, in the order of the texts."""
        distinct = dict.fromkeys(texts)
        new = [text for text in distinct if text not in self._known]
        if new:
            for text, embedding in zip(new, self._encode(new), strict=True):
                self._known[text] = embedding.copy()  # a view would keep the whole array in memory
        embeddings = {text: self._known[text] for text in distinct}
        for text in distinct:
            self._known.move_to_end(text)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return embeddings
