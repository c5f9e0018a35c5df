"""Late-interaction models (ColBERT) as sentence-transformers runs them: a vector for each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rdtools.models.encoding import default_batch_tokens, token_batches
from rdtools.models.loading import load_encoder, quiet_libraries
from rdtools.models.options import ModelOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEPT = 2_000
"""Documents whose embeddings are kept: at 200 tokens of 128 dimensions, 200 MB."""
_LENGTH = 512
"""The assumed limit of a model that states none, for the sizes of batches."""


def load_late_interaction(name: str, loading: ModelOptions = ModelOptions(), *, student: bool = False) -> Any:
    """Load a MultiVectorEncoder, also one of PyLate or Stanford's ColBERT.

    --max-length replaces the limits of queries and documents that the model states. A `student` may also
    start from a transformer or a bi-encoder, and gets a new projection to 128 dimensions.

    Raises:
        RdError: the model cannot be loaded, or is of another kind.
    """
    model = load_encoder(name, loading, "colbert", student=student)
    if loading.max_length is not None:
        for limit in ("query_length", "document_length"):
            if getattr(model[0], limit, None) is not None:
                setattr(model[0], limit, loading.max_length)
    return model


class LateInteraction:
    """A MultiVectorEncoder; the library tokenises and scores."""

    def __init__(self, model: Any, batch_tokens: int | None = None) -> None:
        self.model = model
        self._batch_tokens = batch_tokens or default_batch_tokens(model.device)

    def encode_queries(self, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return (tokens, dimension) for each query."""
        return self._encode(self.model.encode_query, queries)

    def encode_documents(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return (tokens, dimension) for each text."""
        return self._encode(self.model.encode_document, texts)

    def similarities(
        self, queries: Sequence[NDArray[np.float32]], documents: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return the similarity of each query to the document beside it, (n,)."""
        device = str(self.model.device)
        found: torch.Tensor = self.model.similarity_pairwise(list(queries), list(documents), device=device)
        return np.asarray(found.float().cpu().numpy(), np.float32)

    def _encode(self, encode: Any, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        most = self.model.max_seq_length or _LENGTH
        found: dict[int, NDArray[np.float32]] = {}
        with quiet_libraries():
            tokens = self.model.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else ()
            for rows in token_batches([min(len(ids) + 3, most) for ids in tokens], self._batch_tokens):
                part = encode([texts[row] for row in rows], batch_size=len(rows), convert_to_numpy=True)
                found.update(zip(rows, part, strict=True))
        return [found[row] for row in range(len(texts))]
