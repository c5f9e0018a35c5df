"""Approximate search of dense embeddings (`--ann`): an index of faiss beside them, its recall measured."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from rdtools.core.checked_folder import DamagedIndexError
from rdtools.core.errors import RdError, UsageError, first_line
from rdtools.core.log import bar, log, plural
from rdtools.core.randomness import generator, sample_places
from rdtools.models.encoding import BiEncoder
from rdtools.search.arrays import release
from rdtools.search.dense import SLACK, DenseIndex, DenseSearch
from rdtools.search.embeddings import EmbeddingSearch
from rdtools.search.index_folder import index_folder, load_or_build
from rdtools.search.options import AnnOptions
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INDEX, _RECALL = "index.faiss", "recall.json"
_SEED = 0
_BLOCK = 2**16
"""Embeddings that are added at once."""
_CENTROIDS, _MOST, _ADVISED = 256, 256, 39
"""Centroids of a PQ; vectors for each centroid that faiss uses at most, and those that it advises."""
_EFFORT = {"nprobe": 32, "efSearch": 128}
_OVERSAMPLE = 4
_QUERIES, _DEPTH = 200, 100


@dataclass(frozen=True)
class _Recall:
    """A share of the documents of exact search, and how it was measured."""

    recall: float
    effort: str
    depth: int
    queries: int


class AnnSearch(EmbeddingSearch):
    """Candidates by an index of faiss; their scores are those of exact search."""

    index: DenseIndex
    _found: Any

    def __init__(self, index: DenseIndex, resources: Resources) -> None:
        super().__init__(index)
        self._options, self._memory = resources.ann, resources.search.memory_bytes
        made = _made(self._options, index.embeddings.shape[1])
        settings = {
            "factory": self._options.ann,
            "training": self._training_size(made),
            "seed": _SEED,
            "embeddings": index.settings,
        }
        if resources.search.index is None:
            raise UsageError("--ann needs --index")
        self._folder = index_folder(resources.search.index, "ann", settings)
        recall = load_or_build(
            resources.search, "ann", settings, index.corpus, lambda: self._build(made),
            lambda built: None, self._save, self._load,
        )  # fmt: skip
        if recall is None or recall.effort != self._effort:
            recall = self._recall()
        log.info(
            "recall@%d of %s (%s) against exact search: %.3f (%s as queries)", recall.depth,
            self._options.ann, recall.effort, recall.recall, plural(recall.queries, "passage"),
        )  # fmt: skip

    @classmethod
    def open(cls, model: str, resources: Resources) -> AnnSearch:
        """Open or build the embeddings of the corpus, and the index of faiss.

        Raises:
            UsageError: faiss cannot make such an index; this is known before the corpus is encoded.
        """

        def check(encoder: BiEncoder) -> None:
            _made(resources.ann, encoder.dimension)

        return cls(DenseIndex(model, resources, check), resources)

    def _training_size(self, made: Any) -> int:
        """Return the number of vectors that train the index: at most a quarter of --memory."""
        if made.is_trained:
            return 0
        own = _plain(made)
        lists, codes = getattr(own, "nlist", 1), own.pq.ksub if hasattr(own, "pq") else 1
        most = self._memory // 4 // (4 * made.d)
        return int(min(self.index.places.size, _MOST * max(lists, codes, _CENTROIDS), max(1, most)))

    def _build(self, made: Any) -> Any:
        """Train on a sample of the embeddings, then add all of them."""
        embeddings, count = self.index.embeddings, self.index.places.size
        if size := self._training_size(made):
            own = sorted(sample_places(range(count), size, generator(_SEED, "", "ann training")))
            _warn_of_few(self._options.ann, size, made)
            with _faiss_says(self._options.ann):
                made.train(embeddings[own].astype(np.float32))
            release(embeddings)
        with bar(count, f"indexing as {self._options.ann}", "doc") as progress:
            for start in range(0, count, _BLOCK):
                part = embeddings[start : start + _BLOCK].astype(np.float32)
                with _faiss_says(self._options.ann):
                    made.add(part)
                release(embeddings)
                progress.update(len(part))
        return made

    def _save(self, built: Any, folder: Path) -> None:
        self._use(built)
        (folder / _RECALL).write_text(json.dumps(vars(self._recall())))
        try:
            faiss.write_index(built, str(folder / _INDEX))
        except RuntimeError as error:
            raise OSError(_reason(error)) from error

    def _load(self, folder: Path) -> _Recall:
        """Open a saved index, which stays on disk; return its recall when it was built.

        Raises:
            ValueError: it is not one of these embeddings.
        """
        flags = getattr(faiss, "IO_FLAG_MMAP_IFC", faiss.IO_FLAG_MMAP)  # before faiss 1.11 IVF alone
        try:
            found = faiss.read_index(str(folder / _INDEX), int(flags))
        except RuntimeError as error:
            raise ValueError(f"{_INDEX}: {_reason(error)}") from error
        shape = self.index.places.size, self.index.embeddings.shape[1]
        if (found.ntotal, found.d) != shape or found.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise ValueError(f"{_INDEX} does not fit {shape[0]:,} embeddings of {shape[1]:,} dimensions")
        self._use(found)
        recall = _Recall(**json.loads((folder / _RECALL).read_text()))
        if not isinstance(recall.recall, float) or not isinstance(recall.depth + recall.queries, int):
            raise ValueError(f"{_RECALL} has no recall")
        return recall

    def _use(self, found: Any) -> None:
        self._found = found
        name, value = _set_effort(found, self._options)
        self._factor = self._options.ann_oversample or (_OVERSAMPLE if _is_lossy(found) else 1)
        self._effort = f"{name}={value}, " * bool(name) + f"oversampling {self._factor}"

    def _candidates(self, queries: NDArray[np.float32], depths: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        count = self.index.places.size
        wanted = min(count, self._factor * max(depths, default=0) + SLACK)
        if not wanted or not len(queries):
            return [np.zeros(0, np.int64) for _ in depths]
        places: NDArray[np.int64] = self._found.search(np.ascontiguousarray(queries, np.float32), wanted)[1]
        if places.max(initial=-1) >= count:
            raise DamagedIndexError(self._folder, f"{_INDEX} has numbers out of bounds")
        return [own[own >= 0] for own in places]  # -1 where it found fewer

    def _recall(self) -> _Recall:
        """Search for a sample of the passages as queries, also exactly."""
        rows = self.index.places.first_rows
        drawn = sorted(sample_places(range(len(rows)), _QUERIES, generator(_SEED, "", "ann recall")))
        texts = [self.index.corpus.texts[int(row)] for row in rows[drawn]]
        queries = self.index.encoder.encode_queries(texts, alone=False)
        depth = min(_DEPTH, len(self.index.corpus))
        depths = [depth] * len(texts)
        exact, own = DenseSearch(self.index).search(queries, depths), self.search(queries, depths)
        # A document whose score is that of the last one of exact search is as good.
        shares = [
            np.count_nonzero(scores >= best[-1]) / depth
            for (_, best), (_, scores) in zip(exact, own, strict=True)
        ]
        return _Recall(round(float(np.mean(shares)), 6), self._effort, depth, len(texts))


def _made(options: AnnOptions, dimension: int) -> Any:
    """Make an empty index.

    Raises:
        UsageError: faiss cannot, or the index has no parameter for --ann-effort.
    """
    assert options.ann is not None
    with _faiss_says(options.ann, UsageError):
        made = faiss.index_factory(dimension, options.ann, faiss.METRIC_INNER_PRODUCT)
    if made.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise UsageError(f"--ann {options.ann}: faiss has no such index for inner products")
    _set_effort(made, options)
    return made


def _set_effort(index: Any, options: AnnOptions) -> tuple[str, int]:
    """Set nprobe or efSearch; return its name and value, or no name if the index has neither.

    Raises:
        UsageError: it has neither, and --ann-effort is given.
    """
    parameters = faiss.ParameterSpace()
    for name, default in _EFFORT.items():
        value = options.ann_effort or default
        try:
            parameters.set_index_parameter(index, name, value)
        except RuntimeError:
            continue
        if name == "nprobe":
            value = min(value, int(_plain(index).nlist))
            with contextlib.suppress(RuntimeError):  # lists that are found by HNSW
                parameters.set_index_parameter(index, "quantizer_efSearch", 2 * value)
        return name, value
    if options.ann_effort is not None:
        raise UsageError(f"--ann-effort: {options.ann} has neither nprobe nor efSearch")
    return "", 0


def _plain(index: Any) -> Any:
    """Return the index behind a PCA or a random rotation."""
    own = faiss.downcast_index(index)
    return _plain(own.index) if isinstance(own, faiss.IndexPreTransform) else own


def _is_lossy(index: Any) -> bool:
    """Return whether an index keeps less than the vectors."""
    own = _plain(index)
    storage = getattr(own, "storage", own)  # of HNSW
    return bool(storage.sa_code_size() < 4 * index.d)


def _warn_of_few(factory: str | None, size: int, made: Any) -> None:
    """Warn of few vectors for each list, once, as faiss would in lines of its own."""
    own = _plain(made)
    for owner in (own, getattr(own, "pq", None)):
        if (clustering := getattr(owner, "cp", None)) is not None:
            clustering.min_points_per_centroid = 1
    lists = int(getattr(own, "nlist", 0))
    if size < _ADVISED * lists:
        log.warning(
            "--ann %s: %s train %s, %d a list are advised",
            factory, plural(size, "vector"), plural(lists, "list"), _ADVISED,
        )  # fmt: skip


@contextlib.contextmanager
def _faiss_says(factory: str | None, kind: type[RdError] = RdError) -> Iterator[None]:
    """Report what faiss refuses as an error of --ann."""
    try:
        yield
    except RuntimeError as error:
        raise kind(f"--ann {factory}: {_reason(error)}") from error


def _reason(error: RuntimeError) -> str:
    """Return the end of faiss's message, without the names of its functions and files."""
    return re.sub(r"^Error in .*? at \S+:\d+: (Error: '.*?' failed(: )?(?=.))?", "", first_line(error))
