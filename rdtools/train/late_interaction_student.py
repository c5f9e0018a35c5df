"""`colbert:MODEL`: a late-interaction model as student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rdtools.models.embedding_cache import EmbeddingCache
from rdtools.models.late_interaction import KEPT, LateInteraction, load_late_interaction
from rdtools.models.loading import check_room, quiet_libraries
from rdtools.models.options import ModelOptions
from rdtools.models.preprocessing import Features
from rdtools.train.options import StudentOptions
from rdtools.train.students import BiEncoderStudent

_ATTENDED, _EXPANSION = 1, 2
"""Bits of the attention mask in features: the model reads the token; it was added to expand a query."""


class LateInteractionStudent(BiEncoderStudent):
    """A MultiVectorEncoder: the score is its own MaxSim of the tokens of query and document, times `scale`.

    The encoding of a text has for each place up to the longest input a vector, and whether it counts.
    """

    card_kind = "late-interaction model"
    card_tags = "sentence-transformers, multi-vector, colbert, late-interaction, feature-extraction"
    card_usage = """from sentence_transformers import MultiVectorEncoder

model = MultiVectorEncoder("DIR")
scores = model.similarity(model.encode_query([query]), model.encode_document(documents))"""

    def _load(self, options: StudentOptions, loading: ModelOptions) -> Any:
        torch.manual_seed(options.seed)  # of the projection that a model without one gets
        return load_late_interaction(options.model, loading, student=True)

    def _set_limits(self, options: StudentOptions) -> None:
        first = self.model[0]
        expansion, first.query_expansion = first.query_expansion, None
        for task, flag, limit in (("query", "--query-max-len", options.query_max_len),
                                  ("document", "--doc-max-len", options.doc_max_len)):  # fmt: skip
            check_room(flag, limit, len(self._preprocess([""], task)["input_ids"][0]))
        first.query_length = options.query_max_len or first.query_length
        first.document_length = options.doc_max_len or first.document_length
        if expansion is not None:
            length = options.query_max_len or expansion["length"]
            first.query_expansion = {**expansion, "length": length}
        own = self.model.max_seq_length or self.tokenizer.model_max_length
        floor = 0 if expansion is None else first.query_expansion["length"]
        self._longest = max(first.query_length or own, first.document_length or own, floor)

    def _tokenise(self, role: str, texts: list[str]) -> Features:
        with quiet_libraries():
            found = self.model.preprocess(texts, prompt=self._preprocess.prompt(role) or None, task=role)
        expansion = found.pop("query_expansion_positions", torch.zeros_like(found["attention_mask"]))
        found["attention_mask"] = _ATTENDED * found["attention_mask"] + _EXPANSION * expansion
        kept = found["attention_mask"] > 0
        tokens = {key: column for key, column in found.items() if getattr(column, "shape", ()) == kept.shape}
        rest = {key: [value] * len(texts) for key, value in found.items() if isinstance(value, str)}
        columns = {
            key: [row[own].tolist() for row, own in zip(column, kept, strict=True)]
            for key, column in tokens.items()
        }
        return {**columns, **rest, "task": [role] * len(texts)}

    def encode(self, features: dict[str, Any]) -> Tensor:
        mask = features["attention_mask"]
        given = {
            **features,
            "attention_mask": mask % _EXPANSION,
            "query_expansion_positions": mask >= _EXPANSION,
        }
        found = self.model(given, task=features["task"])
        vectors, counts = found["token_embeddings"].float(), found["attention_mask"].unsqueeze(-1)
        encoded = torch.cat([vectors, counts.to(vectors.dtype)], -1)  # (n, tokens, dimension + 1)
        return nn.functional.pad(encoded, (0, 0, 0, self._longest - encoded.shape[1])).flatten(1)

    def _similarities(self, queries: Tensor, documents: Tensor) -> Tensor:
        (query, query_mask), (document, document_mask) = map(self._unfolded, (queries, documents))
        found: Tensor = self.model.similarity(query, document, a_mask=query_mask, b_mask=document_mask)
        return found

    def _unfolded(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of n encodings, (n, tokens, dimension), and whether they count, (n, tokens)."""
        whole = encoded.view(len(encoded), self._longest, -1)
        counts = whole[..., -1] > 0
        used = int(counts.any(0).nonzero().max()) + 1 if counts.any() else 1
        return whole[:, :used, :-1], counts[:, :used]

    def rank(
        self, queries: Sequence[str], documents: Sequence[str], candidates: Sequence[Sequence[int]] | None
    ) -> Iterator[Tensor]:
        encoder = LateInteraction(self.model)
        embedded = EmbeddingCache(encoder.encode_documents, KEPT)
        for number, vectors in enumerate(encoder.encode_queries(queries)):
            places = range(len(documents)) if candidates is None else candidates[number]
            texts = [documents[place] for place in places]
            known = embedded(texts)
            scores = encoder.similarities([vectors] * len(texts), [known[text] for text in texts])
            yield torch.from_numpy(scores)
