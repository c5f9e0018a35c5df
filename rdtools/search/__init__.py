"""Exact search over a corpus, by BM25 or by embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RankedRows = tuple["NDArray[np.int64]", "NDArray[np.float32]"]
"""Rows of the corpus, best first, and their scores."""
