"""Exact nearest neighbours among the documents of a collection."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from rdtools.diagnose.entropy import Floats
from rdtools.diagnose.points import SAME, chord, two_nn_dimension

_SAMPLE = 10_000
_EXTRA = 16
"""Neighbours that are searched beyond k, because copies of the point itself do not count."""
_BLOCK = 256


class NearestNeighbours:
    """N points and their exact nearest neighbours by Euclidean distance, for the cosine of unit vectors.

    Attributes:
        points: N.
        dimension: TwoNN over 10,000 of the points, drawn with a fixed seed, or over all if there are fewer.
    """

    def __init__(self, embeddings: NDArray[np.floating[Any]], distance: str, neighbours: int) -> None:
        """`embeddings` are (N, dimension); `neighbours` is k."""
        self.points = len(embeddings)
        self._cosine = distance == "cosine"
        self._neighbours = neighbours
        self._embeddings = self._normalized(embeddings)
        kind = faiss.IndexFlatIP if self._cosine else faiss.IndexFlatL2
        self._index = kind(embeddings.shape[1])
        self._index.add(self._embeddings)
        drawn = np.random.default_rng(0).permutation(self.points)[:_SAMPLE]
        near = self.distances(self._embeddings[drawn])[:, :2]
        near = near[np.isfinite(near).all(axis=1)]
        self.dimension = two_nn_dimension(near[:, 0], near[:, 1]) if len(near) else np.nan

    def distances(self, embeddings: NDArray[np.float32]) -> Floats:
        """Return each point's distances to the k, and at least 2, nearest others, ascending, (m, k) float64.

        Others are points farther than SAME, for the cosine by 1 − cos; the distance is infinite if there are
        fewer.
        """
        k = max(self._neighbours, 2)
        wanted = min(k + _EXTRA, self.points)
        same = float(chord(np.array(SAME))) if self._cosine else SAME
        result = np.full((len(embeddings), max(k, wanted)), np.inf)
        for start in range(0, len(embeddings), _BLOCK):
            block = self._normalized(embeddings[start : start + _BLOCK])
            _, found = self._index.search(block, wanted)
            # Again in float64: the differences of near points are small.
            here, there = block.astype(np.float64)[:, None], self._embeddings[found].astype(np.float64)
            apart = np.linalg.norm(here - there, axis=2)
            apart[apart <= same] = np.inf
            result[start : start + _BLOCK, :wanted] = apart
        return np.sort(result, axis=1)[:, :k]

    def _normalized(self, embeddings: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return the embeddings, for the cosine divided by their norms."""
        points = np.ascontiguousarray(embeddings, np.float32)
        if self._cosine:
            points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
        return points
