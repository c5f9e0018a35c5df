"""Neural teachers: cross-encoders read query and document together, bi-encoders compare embeddings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from rdtools.errors import UsageError
from rdtools.models import (
    BiEncoder,
    default_batch_tokens,
    fingerprint,
    load_bi_encoder,
    load_cross_encoder,
    logits,
    pad,
    token_batches,
)
from rdtools.scores import floats
from rdtools.setting import Setting
from rdtools.teachers import Pair, Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
_REMEMBERED_EMBEDDINGS = 100_000


class CrossEncoderTeacher:
    """`ce[:MODEL]`: raw logits in float32, no sigmoid; of two labels the difference of the logits."""

    scale = "logit"
    needs_text = True

    def __init__(self, argument: str, setting: Setting) -> None:
        self.name = argument or DEFAULT_CROSS_ENCODER
        self._model, self._tokenizer = load_cross_encoder(self.name, setting.loading)
        self._batch_tokens = setting.batch_tokens or default_batch_tokens(self._model.device)
        self.key = f"ce {fingerprint(self.name)} {setting.dtype} {self._tokenizer.model_max_length}"

    def score(self, pairs: Sequence[Pair]) -> Iterator[Scored]:
        features = self._tokenizer(
            [pair.query for pair in pairs], [pair.text for pair in pairs], truncation=True
        ).data
        lengths = [len(ids) for ids in features["input_ids"]]
        for rows in token_batches(lengths, self._batch_tokens):
            batch = pad(self._tokenizer, features, rows, self._model.device)
            with torch.inference_mode():
                yield rows, floats(logits(self._model, batch).cpu().numpy())


class BiEncoderTeacher:
    """`be:MODEL`: the similarity of two embeddings, cosine or dot as the model has it.

    The embeddings of the documents seen last are remembered, since one document is a candidate of many
    queries.
    """

    needs_text = True

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise UsageError("--teacher be: it needs a model, be:MODEL")
        self.name = argument
        model = load_bi_encoder(argument, setting.loading)
        self._encoder = BiEncoder(model, setting.batch_tokens)
        self.scale = self._encoder.scale
        self.key = f"be {fingerprint(argument)} {setting.dtype} {model.max_seq_length}"
        self._remembered: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def score(self, pairs: Sequence[Pair]) -> Iterator[Scored]:
        texts = self._embed(list(dict.fromkeys(pair.text for pair in pairs)))
        distinct = list(dict.fromkeys(pair.query for pair in pairs))
        queries = dict(zip(distinct, self._encoder.encode_queries(distinct).astype(np.float64), strict=True))
        products = [texts[pair.text].astype(np.float64) @ queries[pair.query] for pair in pairs]
        yield range(len(pairs)), floats(products)

    def _embed(self, texts: list[str]) -> dict[str, NDArray[np.float32]]:
        new = [text for text in texts if text not in self._remembered]
        if new:
            self._remembered.update(zip(new, self._encoder.encode_documents(new), strict=True))
        embeddings = {text: self._remembered[text] for text in texts}
        for text in texts:
            self._remembered.move_to_end(text)
        while len(self._remembered) > _REMEMBERED_EMBEDDINGS:
            self._remembered.popitem(last=False)
        return embeddings
