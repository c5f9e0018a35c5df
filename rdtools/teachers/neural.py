"""Neural teachers: cross-encoders read query and document together, bi-encoders compare embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from rdtools.dense import DenseIndex
from rdtools.errors import UsageError
from rdtools.models import (
    BiEncoder,
    default_batch_tokens,
    fingerprint,
    load_bi_encoder,
    load_cross_encoder,
    log_probabilities,
    logits,
    pad,
    token_batches,
)
from rdtools.remembered import Remembered
from rdtools.scores import floats
from rdtools.setting import Setting
from rdtools.teachers import Pair, Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"


class CrossEncoderTeacher:
    """`ce[:MODEL]`: raw logits in float32, no sigmoid; of two labels the difference of the logits.

    With --paper-compat, of two labels the log-softmax of the second, which is nearly 0 for all documents
    near the top.
    """

    needs_text = True

    def __init__(self, argument: str, setting: Setting) -> None:
        self.name = argument or DEFAULT_CROSS_ENCODER
        self._model, self._tokenizer = load_cross_encoder(self.name, setting.loading)
        self._batch_tokens = setting.batch_tokens or default_batch_tokens(self._model.device)
        self._dtype = setting.dtype
        as_paper = setting.paper_compat and self._model.config.num_labels == 2
        self._output = log_probabilities if as_paper else logits
        self.scale = "log-probability" if as_paper else "logit"

    @cached_property
    def key(self) -> str:
        return f"ce {fingerprint(self.name)} {self._dtype} {self._tokenizer.model_max_length}" + (
            f" {self.scale}" if self.scale != "logit" else ""
        )

    def score(self, pairs: Sequence[Pair]) -> Iterator[Scored]:
        features = self._tokenizer(
            [pair.query for pair in pairs], [pair.text for pair in pairs], truncation=True
        ).data
        lengths = [len(ids) for ids in features["input_ids"]]
        for rows in token_batches(lengths, self._batch_tokens):
            batch = pad(self._tokenizer, features, rows, self._model.device)
            with torch.inference_mode():
                yield rows, floats(self._output(self._model, batch).cpu().numpy())


class BiEncoderTeacher:
    """`be:MODEL`: the similarity of two embeddings, cosine or dot as the model has it.

    With --index and a corpus, its documents' embeddings come from there, as rd-mine has them. Those of
    other texts are remembered, the last ones seen, since one document is a candidate of many queries.
    """

    needs_text = True

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise UsageError("--teacher be: it needs a model, be:MODEL")
        self.name = argument
        self._index: DenseIndex | None = None
        if setting.index is not None and setting.collection.has_corpus:
            self._index = DenseIndex(argument, setting)
            self._encoder = self._index.encoder
        else:
            self._encoder = BiEncoder(load_bi_encoder(argument, setting.loading), setting.batch_tokens)
        self.scale = self._encoder.scale
        self._dtype = setting.dtype
        self._remembered = Remembered(self._encoder.encode_documents)

    @cached_property
    def key(self) -> str:
        weights = fingerprint(self.name) if self._index is None else self._index.fingerprint
        return f"be {weights} {self._dtype} {self._encoder.model.max_seq_length}"

    def score(self, pairs: Sequence[Pair]) -> Iterator[Scored]:
        documents = self._embed(pairs)
        distinct = list(dict.fromkeys(pair.query for pair in pairs))
        encoded = self._encoder.encode_queries(distinct, alone=False).astype(np.float64)
        queries = dict(zip(distinct, encoded, strict=True))
        products = [documents[pair.text].astype(np.float64) @ queries[pair.query] for pair in pairs]
        yield range(len(pairs)), floats(products)

    def _embed(self, pairs: Sequence[Pair]) -> dict[str, NDArray[np.float32]]:
        """Return the embedding of each text."""
        kept: dict[str, NDArray[np.float32]] = {}
        if self._index is not None:
            corpus = self._index.corpus
            for pair in pairs:
                row = corpus.row_of.get(pair.doc_id)
                if row is not None and corpus.texts[row] == pair.text:
                    kept[pair.text] = self._index.embeddings[self._index.place_of_row[row]]
        return kept | self._remembered(pair.text for pair in pairs if pair.text not in kept)
