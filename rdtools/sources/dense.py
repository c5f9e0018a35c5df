"""`dense:MODEL`: exact search over the embeddings of a bi-encoder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from rdtools.errors import UsageError
from rdtools.indexes import kept_index
from rdtools.log import log, plural
from rdtools.models import BiEncoder, fingerprint, load_bi_encoder
from rdtools.scores import floats
from rdtools.setting import Setting
from rdtools.sources import Found, Wanted, query_text
from rdtools.sources.ranked import order

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLACK = 16


class DenseSource:
    """Every distinct text is encoded and searched once; documents of equal text share its score.

    faiss finds a few more than are wanted, by batches of queries. Their scores are then computed
    again in float64, one query at a time, so that neither the ranking nor a digit of a score
    depends on which queries were searched together.
    """

    name = "dense"
    batch = 64

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise UsageError("--from dense: it needs a model, dense:MODEL")
        self._corpus = setting.collection.corpus
        model = load_bi_encoder(argument, setting.loading)
        self._encoder = BiEncoder(model, setting.batch_tokens)
        self.scale = self._encoder.scale
        self._text_rows: list[list[int]] = []  # distinct text -> the rows of the documents that have it
        self._distinct: list[str] = []
        self._group_texts()
        self._embeddings = self._load_or_encode(argument, model.max_seq_length, setting)
        self._index = faiss.IndexFlatIP(self._embeddings.shape[1])
        self._index.add(np.ascontiguousarray(self._embeddings))

    def _group_texts(self) -> None:
        place_of: dict[str, int] = {}
        for row, text in enumerate(self._corpus.texts):
            place = place_of.setdefault(text, len(self._distinct))
            if place == len(self._distinct):
                self._distinct.append(text)
                self._text_rows.append([])
            self._text_rows[place].append(row)
        self._place_of_row = np.empty(len(self._corpus), np.int64)
        for place, rows in enumerate(self._text_rows):
            self._place_of_row[rows] = place

    def _load_or_encode(self, model: str, max_length: int, setting: Setting) -> NDArray[np.float32]:
        def encode() -> NDArray[np.float32]:
            start = time.perf_counter()
            embeddings = self._encoder.encode_documents(self._distinct, f"encoding with {model}")
            seconds = time.perf_counter() - start
            count = plural(len(self._corpus), "document")
            rate = len(self._corpus) / max(seconds, 1e-9)
            log.info("dense:%s: %s encoded in %.1f s (%.0f docs/s)", model, count, seconds, rate)
            return embeddings

        if setting.index is None:
            return encode()
        settings = {"model": fingerprint(model), "dtype": setting.dtype, "max_length": max_length}
        return kept_index(
            setting.index, "dense", settings, lambda: self._corpus.fingerprint, encode, _save, _load
        )

    def search(self, wanted: Sequence[Wanted]) -> list[Found]:
        queries = self._encoder.encode_queries([query_text(one.record) for one in wanted])
        if not len(self._distinct):
            return [Found([], []) for _ in wanted]
        depth = min(max(one.depth for one in wanted) + _SLACK, len(self._distinct))
        _, places = self._index.search(queries, depth)
        return [self._answer(*one) for one in zip(wanted, queries, places, strict=True)]

    def _answer(self, wanted: Wanted, query: NDArray[np.float32], places: NDArray[np.int64]) -> Found:
        scores = self._scores(query, places)
        rows = np.concatenate([self._text_rows[place] for place in places]).astype(np.int64)
        scores = np.repeat(scores, [len(self._text_rows[place]) for place in places])
        best = order(rows, scores)[: wanted.depth]
        row_of = self._corpus.row_of
        judged = [doc_id for doc_id in wanted.judged if doc_id in row_of]
        judged_places = self._place_of_row[[row_of[doc_id] for doc_id in judged]]
        return Found(
            [self._corpus.doc_ids[row] for row in rows[best].tolist()],
            floats(scores[best]),
            dict(zip(judged, floats(self._scores(query, judged_places)), strict=True)),
        )

    def _scores(self, query: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        product: NDArray[Any] = self._embeddings[places].astype(np.float64) @ query.astype(np.float64)
        return product.astype(np.float32)


def _save(embeddings: NDArray[np.float32], folder: Path) -> None:
    np.save(folder / "embeddings.npy", embeddings, allow_pickle=False)


def _load(folder: Path) -> NDArray[np.float32]:
    embeddings: NDArray[np.float32] = np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False)
    return embeddings
