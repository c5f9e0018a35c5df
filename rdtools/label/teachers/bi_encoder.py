"""`be:MODEL` and `sparse:MODEL`: a bi-encoder, which encodes query and document separately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar

from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TextPair, model_of
from rdtools.models.embedding_cache import EmbeddingCache
from rdtools.models.loading import fingerprint
from rdtools.search.dense import DenseIndex
from rdtools.search.embeddings import EmbeddingIndex
from rdtools.search.resources import Resources
from rdtools.search.sparse import SparseIndex


class BiEncoderTeacher:
    """Score by the similarity of two embeddings, cosine or dot product as the model defines.

    With --index and a corpus, the embeddings of its documents come from the index that rd-mine built. Those
    of other texts are cached, because one document is a candidate of many queries.
    """

    needs_text = True
    kind: ClassVar[str] = "be"
    index_kind: ClassVar[type[EmbeddingIndex]] = DenseIndex

    def __init__(self, argument: str, resources: Resources) -> None:
        self.name = model_of(self.kind, argument)
        self._index: EmbeddingIndex | None = None
        if resources.search.index is not None and resources.collection.has_corpus:
            self._index = self.index_kind(argument, resources)
            self._encoder = self._index.encoder
        else:
            self._encoder = self.index_kind.open_encoder(argument, resources.model)
        self.scale = self._encoder.scale
        self._dtype = resources.model.dtype
        self._embed_texts = EmbeddingCache(self._encoder.encode_documents)
        # Scores and embeddings of the same pairs are asked for one after the other.
        self._encode_queries = lru_cache(maxsize=1)(partial(self._encoder.encode_queries, alone=False))

    @cached_property
    def key(self) -> str:
        weights = fingerprint(self.name) if self._index is None else self._index.fingerprint
        length = self._encoder.model.max_seq_length
        rounded = "" if self._index is None or self._index.dtype == "float32" else f" {self._index.dtype}"
        return f"{self.kind} {weights} {self._dtype} {length}{self._encoder.mark}{rounded}"

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        documents = self._embed(pairs)
        distinct = _queries_of(pairs)
        encoded = self._encoder.wide(self._encode_queries(distinct))
        queries = dict(zip(distinct, encoded, strict=True))
        with nullcontext() if self._index is None else self._index.undamaged():
            products = [self._encoder.product(documents[pair.text], queries[pair.query]) for pair in pairs]
        yield range(len(pairs)), floats(products)

    def embeddings(self, pairs: Sequence[TextPair]) -> tuple[dict[str, Any], dict[str, Any]]:
        distinct = _queries_of(pairs)
        return dict(zip(distinct, self._encode_queries(distinct), strict=True)), self._embed(pairs)

    def _embed(self, pairs: Sequence[TextPair]) -> dict[str, Any]:
        """Return the embedding of each text."""
        indexed: dict[str, Any] = {}
        if self._index is not None:
            corpus = self._index.corpus
            for pair in pairs:
                row = corpus.row_of.get(pair.doc_id)
                if row is not None and corpus.texts[row] == pair.text:
                    indexed[pair.text] = self._index.embedding(self._index.places.of_row[row])
        return indexed | self._embed_texts(pair.text for pair in pairs if pair.text not in indexed)


def _queries_of(pairs: Sequence[TextPair]) -> tuple[str, ...]:
    """Return the distinct queries, in the order of the pairs."""
    return tuple(dict.fromkeys(pair.query for pair in pairs))


class SparseEncoderTeacher(BiEncoderTeacher):
    kind = "sparse"
    index_kind = SparseIndex
