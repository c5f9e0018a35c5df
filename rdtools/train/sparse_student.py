"""`sparse:MODEL`: a sparse encoder (SPLADE) as student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdtools.models.loading import load_sparse_encoder
from rdtools.models.options import ModelOptions
from rdtools.train.options import StudentOptions
from rdtools.train.students import BiEncoderStudent


class SparseEncoderStudent(BiEncoderStudent):
    """A SparseEncoder: as a bi-encoder, with embeddings of which most dimensions are 0.

    They are dense tensors in training, and rows of a sparse matrix where whole collections are ranked.
    """

    card_kind = "sparse encoder"
    card_tags = "sentence-transformers, sparse-encoder, sparse, feature-extraction"
    card_usage = """from sentence_transformers import SparseEncoder

model = SparseEncoder("DIR")
scores = model.similarity(model.encode_query([query]), model.encode_document(documents))"""

    def __init__(self, options: StudentOptions, loading: ModelOptions = ModelOptions()) -> None:
        super().__init__(options, loading)
        for module in self.model.modules():
            if type(module).__name__ == "SpladePooling":  # in evaluation it overwrites what a gradient needs
                module.register_forward_pre_hook(_keep_for_gradient)

    def _load(self, options: StudentOptions, loading: ModelOptions) -> Any:
        return load_sparse_encoder(options.model, loading)

    def rank(
        self, queries: Sequence[str], documents: Sequence[str], candidates: Sequence[Sequence[int]] | None
    ) -> Iterator[Tensor]:
        vectors, encoded = self._rows("query", queries), self._rows("document", documents)
        for number, vector in enumerate(vectors):
            own = encoded if candidates is None else encoded[candidates[number]]
            yield torch.from_numpy(own @ vector.toarray()[0])

    def _rows(self, role: str, texts: Sequence[str]) -> Any:
        """Return the embeddings of texts as a csr_matrix (n, width), of length 1 for cosines."""
        from scipy.sparse import csr_matrix, vstack

        order, parts = list[int](), []
        for rows, encoded in self.encode_parts(self._preprocess(list(texts), role)):
            order += rows
            found = nn.functional.normalize(encoded, dim=-1) if self.cosine else encoded
            parts.append(csr_matrix(found.cpu().numpy()))
        return vstack(parts, "csr")[np.argsort(order)]


def _keep_for_gradient(module: nn.Module, _: Any) -> None:
    module.training = torch.is_grad_enabled()
