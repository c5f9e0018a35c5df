"""How far apart a query's documents lie in the space of a bi-encoder (`--encoder MODEL`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from rdtools.core.errors import BadLine, UsageError
from rdtools.core.log import log, plural
from rdtools.core.records import Doc, Record
from rdtools.data.corpus import Corpus
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.entropy import Floats
from rdtools.models.embedding_cache import EmbeddingCache
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from rdtools.diagnose.columns.nearest import NearestNeighbours

SAME = 1e-6
"""Points that are no farther apart are one point: equal texts, up to the rounding of an encoder."""


class TextEncoder(Protocol):
    def encode_documents(self, texts: Sequence[str], description: str = "") -> NDArray[np.float32]: ...


def diameter(distances: Floats, alpha: float) -> float:
    """The α-quantile of the distances between n ≥ 2 documents, (n(n−1)/2,) float64: a robust diameter."""
    return float(np.quantile(distances, alpha))


def two_nn_dimension(nearest: Floats, second: Floats) -> float:
    """TwoNN (Facco et al., 2017): d = 1 / mean of ln(r₂/r₁), over points of distinct place.

    Args:
        nearest, second: r₁ > 0 and r₂, (n,) float64, each point's distances to its two nearest.

    Returns:
        The intrinsic dimension; NaN where r₁ = r₂ everywhere.
    """
    mean = float(np.log(second / nearest).mean())
    return 1 / mean if mean > 0 else math.nan


def knn_density(radius: Floats, neighbours: int, points: int, dimension: float) -> Floats:
    """ρ = k / (N · V_d · r_kᵈ) with V_d = π^(d/2) / Γ(d/2 + 1), the volume of the unit ball.

    Args:
        radius: r_k > 0, (n,) float64, distances to the k-th nearest.
        neighbours, points, dimension: k, N and d.

    Returns:
        (n,) float64, in units of 1/distanceᵈ: comparable where d is the same; infinite beyond float64.
    """
    volume = dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2 + 1)
    with np.errstate(over="ignore"):
        return np.asarray(
            np.exp(math.log(neighbours / points) - volume - dimension * np.log(radius)), np.float64
        )


class Geometry(Diagnostic):
    """Columns of a record, of the embeddings of all its documents, with a score or without:

    diameter: the α-quantile of their pairwise distances; a file's is the α-quantile over its records.
    dimension: TwoNN over those of distinct place (see SAME); a file's is the median.
    density: the median over these of the k-NN density, N being their number; a file's is the median.

    With a cloud, dimension is that of the cloud, and density the median over the record's documents of the
    k-NN density in it, which makes densities comparable between queries and files.

    With fewer than two documents the diameter, and where there are not k neighbours dimension and density,
    are undefined, and counted. Distances are cosine (1 − cos) or Euclidean.
    """

    def __init__(
        self, encoder: TextEncoder, name: str, *, alpha: float = 0.99, distance: str = "cosine",
        neighbours: int = 10, corpus: Corpus | None = None, cloud: NearestNeighbours | None = None,
    ) -> None:  # fmt: skip
        """`name` is the encoder's; texts that records lack come from `corpus`."""
        self.columns: Mapping[str, float | None] = {"diameter": alpha, "dimension": 0.5, "density": 0.5}
        self.settings = {
            "encoder": name, "distance": distance, "alpha": alpha, "neighbours": neighbours,
            "density_among": "query" if cloud is None else "corpus",
        }  # fmt: skip
        self._corpus, self._cloud = corpus, cloud
        self._embeddings = EmbeddingCache(lambda texts: encoder.encode_documents(texts, "encoding"))
        self._alpha, self._distance, self._neighbours = alpha, distance, neighbours
        self._few = 0

    def check(self, record: Record) -> None:
        for doc in record["docs"]:
            if "text" in doc:
                continue
            if self._corpus is None:
                hint = "--encoder needs it: give --corpus or --dataset"
                raise BadLine(f'document "{doc["doc_id"]}" has no text', hint)
            if doc["doc_id"] not in self._corpus.row_of:
                raise BadLine(f'document "{doc["doc_id"]}" is not in the corpus')

    def measure(self, records: Sequence[Record]) -> Floats:
        """Encode each distinct text once, and measure record by record."""
        texts = [[self._text(doc) for doc in record["docs"]] for record in records]
        embeddings = self._embeddings(text for own in texts for text in own)
        return np.array([self._of_record([embeddings[text] for text in own]) for own in texts])

    def _text(self, doc: Doc) -> str:
        if "text" in doc:
            return doc["text"]
        assert self._corpus is not None
        return self._corpus.texts[self._corpus.row_of[doc["doc_id"]]]

    def _of_record(self, documents: list[NDArray[np.float32]]) -> tuple[float, float, float]:
        """Return diameter, dimension and density of n embeddings."""
        if len(documents) < 2:
            self._few += 1
            return math.nan, math.nan, math.nan
        embeddings = np.stack(documents)
        distances: Floats = pdist(embeddings.astype(np.float64), self._distance)
        wide = diameter(distances, self._alpha)
        points, dimension, radius = self._neighbourhood(embeddings, distances)
        if math.isinf(radius.max()):
            self._few += 1
            return wide, math.nan, math.nan
        if math.isnan(dimension):
            return wide, math.nan, math.nan
        return wide, dimension, float(np.median(knn_density(radius, self._neighbours, points, dimension)))

    def _neighbourhood(self, embeddings: NDArray[np.float32], distances: Floats) -> tuple[int, float, Floats]:
        """Return N, d and the r_k of each point; r_k is infinite where there are not k neighbours."""
        k = self._neighbours
        if self._cloud is not None:
            return self._cloud.points, self._cloud.dimension, self._cloud.distances(embeddings)[:, k - 1]
        near = np.sort(_between_places(distances), axis=1)  # the first is the point itself, at 0
        if len(near) <= max(k, 2):
            return len(near), math.nan, np.full(1, np.inf)
        return len(near), two_nn_dimension(near[:, 1], near[:, 2]), near[:, k]

    def report(self) -> None:
        if self._few:
            what = plural(self._few, "record")
            log.info(
                "%s with too few distinct documents for %d neighbours: density and dimension undefined "
                "(--neighbours)",
                what,
                self._neighbours,
            )


def _between_places(distances: Floats) -> Floats:
    """Return the (m, m) distances between the m documents that are not the SAME as an earlier one."""
    square: Floats = squareform(distances)
    first = ~np.tril(square <= SAME, -1).any(axis=1)
    return square[np.ix_(first, first)]


def open_geometry(
    model: str, resources: Resources, *, alpha: float, distance: str, neighbours: int, among: str
) -> Geometry:
    """Load the bi-encoder. The corpus gives texts that records lack, and the cloud if `among` is "corpus".

    Raises:
        UsageError: the cloud is to be the corpus, and none is given.
    """
    from rdtools.models.encoding import BiEncoder
    from rdtools.models.loading import load_bi_encoder

    corpus = resources.collection.corpus if resources.collection.has_corpus else None
    cloud = None
    encoder: TextEncoder
    if among == "corpus":
        if corpus is None:
            raise UsageError("--density-among corpus needs --dataset or --corpus")
        from rdtools.diagnose.columns.nearest import NearestNeighbours
        from rdtools.search.dense import DenseIndex

        index = DenseIndex(model, resources)
        encoder, cloud = index.encoder, NearestNeighbours(index.embeddings, distance, neighbours)
    else:
        encoder = BiEncoder(load_bi_encoder(model, resources.model), resources.model.batch_tokens)
    return Geometry(
        encoder, model, alpha=alpha, distance=distance, neighbours=neighbours, corpus=corpus, cloud=cloud
    )
