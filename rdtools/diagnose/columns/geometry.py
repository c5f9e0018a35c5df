"""Diameter, dimension and density of a query's documents as embeddings (`--encoder MODEL`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from rdtools.core.errors import BadLine, UsageError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.log import log, plural
from rdtools.core.records import Doc, Record
from rdtools.data.options import CorpusOptions
from rdtools.diagnose.diagnostic import Column, Diagnostic
from rdtools.models.options import ModelOptions
from rdtools.search.options import IndexOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdtools.data.corpus import Corpus
    from rdtools.diagnose.entropy import Floats
    from rdtools.diagnose.nearest import NearestNeighbours
    from rdtools.search.resources import Resources

DISTANCES = ("cosine", "euclidean")
AMONG = ("query", "corpus")
_MOST = 10_000
"""Most documents of a record: the distances between them take 3 GB."""


@dataclass(frozen=True)
class GeometryOptions(OptionGroup):
    """The encoder, the distance, and the parameters of diameter and density."""

    heading: ClassVar[str] = "Geometry"

    encoder: str | None = flag(
        "--encoder", default=None, metavar="MODEL",
        help="Add diameter, dimension and density of the documents as embeddings of this bi-encoder.",
    )  # fmt: skip
    distance: str = flag(
        "--distance", default="cosine", metavar="|".join(DISTANCES), choices=DISTANCES, kind="distance",
        needs="--encoder", help="Distance between embeddings.",
    )  # fmt: skip
    alpha: float = flag(
        "--alpha", default=0.99, metavar="A", above=0, max=1, needs="--encoder",
        help="Quantile of the distances that is the diameter.",
    )  # fmt: skip
    neighbours: int = flag(
        "--neighbours", default=10, metavar="K", min=1, needs="--encoder", help="k of the k-NN density."
    )
    density_among: str = flag(
        "--density-among", default="query", metavar="|".join(AMONG), choices=AMONG, kind="set of points",
        needs="--encoder",
        help="Search neighbours among the query's documents, or in the whole corpus as arXiv 2505.21058 "
        "does.",
    )  # fmt: skip


class TextEncoder(Protocol):
    def encode_documents(self, texts: Sequence[str], description: str = "") -> NDArray[np.float32]: ...


class Geometry(Diagnostic):
    """diameter: A-quantile of the distances between a query's documents, with or without a score; of a FILE,
    the A-quantile over queries. dimension: TwoNN, 1 / mean of ln(r2/r1). density: k / (N V r^d), d that
    dimension, V the volume of its unit ball, r the distance to the k-th nearest of the query's N documents,
    median over these; of a FILE the medians of both. With the cosine, the diameter is of 1 - cos, and r is
    the chord sqrt(2(1 - cos)); with --paper-compat r is 1 - cos, which halves the dimension. Documents within
    1e-6 of each other are one point. The query's N documents are few (16 by default of rd-mine), and their
    density tells how close they are to each other. With --density-among corpus, as in arXiv 2505.21058, r, N
    and d are the corpus's, whose embeddings are held in memory: the density tells how crowded their place in
    the corpus is, and densities of FILEs compare. A record has at most 10,000 documents. Undefined are the
    diameter with fewer than two documents, dimension and density with fewer than k neighbours.
    """

    option = "--encoder"
    option_group = GeometryOptions
    uses = (CorpusOptions, IndexOptions, ModelOptions)
    columns: Sequence[Column] = (
        Column("diameter", quantile=0.99, scale_free=True),
        Column("dimension", quantile=0.5, scale_free=True),
        Column("density", quantile=0.5, scale_free=True),
    )

    def __init__(
        self,
        encoder: TextEncoder,
        options: GeometryOptions,
        corpus: Corpus | None = None,
        corpus_points: NearestNeighbours | None = None,
    ) -> None:
        """`corpus` has the texts that records lack; `corpus_points` is for --density-among corpus."""
        from rdtools.models.embedding_cache import EmbeddingCache

        diameter, *others = type(self).columns
        self.columns = (diameter._replace(quantile=options.alpha), *others)
        cosine = options.distance == "cosine"
        self.settings = vars(options) | {"neighbour_distance": "chord" if cosine else options.distance}
        self._cosine, self._halved = cosine, False
        self._corpus, self._corpus_points = corpus, corpus_points
        self._embeddings = EmbeddingCache(lambda texts: encoder.encode_documents(texts, "encoding"))
        self._options = options
        self._few = 0

    @classmethod
    def open(cls, options: GeometryOptions, temperature: float, resources: Resources) -> Geometry | None:
        """Load the bi-encoder; for --density-among corpus also embed the corpus.

        Raises:
            UsageError: --density-among corpus without a corpus, or --index without --density-among corpus.
        """
        if options.encoder is None:
            return None
        from rdtools.models.encoding import BiEncoder
        from rdtools.models.loading import load_bi_encoder

        among_corpus = options.density_among == "corpus"
        if among_corpus and not resources.collection.has_corpus:
            raise UsageError("--density-among corpus needs --dataset or --corpus")
        if resources.search.index is not None and not among_corpus:
            raise UsageError("--index needs --density-among corpus")
        corpus = resources.collection.corpus if resources.collection.has_corpus else None
        points = None
        if among_corpus:
            from rdtools.diagnose.nearest import NearestNeighbours
            from rdtools.search.dense import DenseIndex

            index = DenseIndex(options.encoder, resources)
            encoder: TextEncoder = index.encoder
            points = NearestNeighbours(index.embeddings, options.distance, options.neighbours)
        else:
            model = load_bi_encoder(options.encoder, resources.model)
            encoder = BiEncoder(model, resources.model.batch_tokens)
        return cls(encoder, options, corpus, points)

    def repeat_paper(self) -> None:
        """Measure dimension and density by 1 − cos."""
        self._halved = self._cosine
        self.settings = {**self.settings, "neighbour_distance": self._options.distance}

    def check(self, record: Record) -> None:
        if (documents := len(record["docs"])) > _MOST:
            raise BadLine(f"{documents:,} documents in one record, --encoder measures at most {_MOST:,}")
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
        import numpy as np

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
        import numpy as np
        from scipy.spatial.distance import pdist

        from rdtools.diagnose.points import diameter, knn_density

        if len(documents) < 2:
            self._few += 1
            return math.nan, math.nan, math.nan
        embeddings = np.stack(documents)
        distances: Floats = pdist(embeddings.astype(np.float64), self._options.distance)
        wide = diameter(distances, self._options.alpha)
        points, dimension, radius = self._neighbourhood(embeddings, distances)
        if math.isinf(radius.max()):
            self._few += 1
            return wide, math.nan, math.nan
        if math.isnan(dimension):
            return wide, math.nan, math.nan
        if self._halved:  # 1 − cos is half the square of the chord, so that ln(r₂/r₁) doubles
            dimension, radius = dimension / 2, radius**2 / 2
        density = knn_density(radius, self._options.neighbours, points, dimension)
        return wide, dimension, float(np.median(density))

    def _neighbourhood(self, embeddings: NDArray[np.float32], distances: Floats) -> tuple[int, float, Floats]:
        """Return N, d and the r_k of each point, by chord or Euclidean distance.

        `distances` are those of `embeddings` by --distance. r_k is infinite if there are fewer than k
        neighbours.
        """
        import numpy as np

        from rdtools.diagnose.points import chord, distances_between_distinct, two_nn_dimension

        k = self._options.neighbours
        if self._corpus_points is not None:
            corpus = self._corpus_points
            return corpus.points, corpus.dimension, corpus.distances(embeddings)[:, k - 1]
        apart = distances_between_distinct(distances)
        near = np.sort(chord(apart) if self._cosine else apart, axis=1)  # the first is the point itself, at 0
        if len(near) <= max(k, 2):
            return len(near), math.nan, np.full(1, np.inf)
        return len(near), two_nn_dimension(near[:, 1], near[:, 2]), near[:, k]

    def report(self) -> None:
        if self._few:
            log.info(
                "%s with too few distinct documents for %d neighbours: density and dimension undefined "
                "(--neighbours)",
                plural(self._few, "record"),
                self._options.neighbours,
            )
