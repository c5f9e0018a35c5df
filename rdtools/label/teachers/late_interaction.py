"""`colbert:MODEL`: a late-interaction model, which compares the tokens of query and document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TextPair, model_of
from rdtools.models.embedding_cache import EmbeddingCache
from rdtools.models.late_interaction import KEPT, LateInteraction, load_late_interaction
from rdtools.models.loading import fingerprint
from rdtools.models.preprocessing import installed_version
from rdtools.search.resources import Resources


class LateInteractionTeacher:
    """Score by MaxSim: for each token of the query its largest similarity to a token of the document, summed.

    Models that were saved with MeanMaxSim divide by the number of the query's tokens.
    """

    scale = "dot"
    needs_text = True

    def __init__(self, argument: str, resources: Resources) -> None:
        self.name = model_of("colbert", argument)
        model = load_late_interaction(argument, resources.model)
        self._encoder = LateInteraction(model, resources.model.batch_tokens)
        self._limits = resources.model.dtype, resources.model.max_length
        self._embed_texts = EmbeddingCache(self._encoder.encode_documents, KEPT)

    @cached_property
    def key(self) -> str:
        dtype, length = self._limits
        return (
            f"colbert {fingerprint(self.name)} {dtype} {length} sentence-transformers {installed_version()}"
        )

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        documents = self._embed_texts(pair.text for pair in pairs)
        distinct = list(dict.fromkeys(pair.query for pair in pairs))
        queries = dict(zip(distinct, self._encoder.encode_queries(distinct), strict=True))
        scores = self._encoder.similarities(
            [queries[pair.query] for pair in pairs], [documents[pair.text] for pair in pairs]
        )
        yield range(len(pairs)), floats(scores)
