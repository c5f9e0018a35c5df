"""`be:MODEL`: a bi-encoder, which encodes query and document separately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TextPair, model_of
from rdtools.models.embedding_cache import EmbeddingCache
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import fingerprint, load_bi_encoder
from rdtools.search.dense import DenseIndex
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BiEncoderTeacher:
    """Score by the similarity of two embeddings, cosine or dot product as the model defines.

    With --index and a corpus, the embeddings of its documents come from the index that rd-mine built. Those
    of other texts are cached, because one document is a candidate of many queries.
    """

    needs_text = True

    def __init__(self, argument: str, resources: Resources) -> None:
        self.name = model_of("be", argument)
        self._index: DenseIndex | None = None
        if resources.search.index is not None and resources.collection.has_corpus:
            self._index = DenseIndex(argument, resources)
            self._encoder = self._index.encoder
        else:
            self._encoder = BiEncoder(
                load_bi_encoder(argument, resources.model), resources.model.batch_tokens
            )
        self.scale = self._encoder.scale
        self._dtype = resources.model.dtype
        self._embed_texts = EmbeddingCache(self._encoder.encode_documents)

    @cached_property
    def key(self) -> str:
        weights = fingerprint(self.name) if self._index is None else self._index.fingerprint
        return f"be {weights} {self._dtype} {self._encoder.model.max_seq_length}{self._encoder.mark}"

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        documents = self._embed(pairs)
        distinct = list(dict.fromkeys(pair.query for pair in pairs))
        encoded = self._encoder.encode_queries(distinct, alone=False).astype(np.float64)
        queries = dict(zip(distinct, encoded, strict=True))
        products = [documents[pair.text].astype(np.float64) @ queries[pair.query] for pair in pairs]
        yield range(len(pairs)), floats(products)

    def _embed(self, pairs: Sequence[TextPair]) -> dict[str, NDArray[np.float32]]:
        """Return the embedding of each text, (dimension,) float32."""
        indexed: dict[str, NDArray[np.float32]] = {}
        if self._index is not None:
            corpus = self._index.corpus
            for pair in pairs:
                row = corpus.row_of.get(pair.doc_id)
                if row is not None and corpus.texts[row] == pair.text:
                    indexed[pair.text] = self._index.embeddings[self._index.place_of_row[row]]
        return indexed | self._embed_texts(pair.text for pair in pairs if pair.text not in indexed)
