"""A cache of embeddings, because one document is a candidate of many queries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]
_KEPT = 100_000


class EmbeddingCache:
    """Cache the embeddings of the 100,000 most recently used texts."""

    def __init__(self, encode: Callable[[list[str]], Embeddings]) -> None:
        """`encode` returns the embeddings of n texts, (n, dimension) float32."""
        self._encode = encode
        self._known: OrderedDict[str, Embeddings] = OrderedDict()

    def __call__(self, texts: Iterable[str]) -> dict[str, Embeddings]:
        """Return the embedding of each distinct text, (dimension,) float32, in the order of the texts."""
        distinct = dict.fromkeys(texts)
        new = [text for text in distinct if text not in self._known]
        if new:
            for text, embedding in zip(new, self._encode(new), strict=True):
                self._known[text] = embedding.copy()  # a view would keep the whole array in memory
        embeddings = {text: self._known[text] for text in distinct}
        for text in distinct:
            self._known.move_to_end(text)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return embeddings
