"""`ce[:MODEL]`: a cross-encoder, which reads query and document together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from rdtools.core.scores import floats
from rdtools.label.teachers import Scored, TeacherResources, TextPair
from rdtools.models.cross_encoder import open_cross_encoder
from rdtools.models.encoding import default_batch_tokens, run_padded
from rdtools.models.loading import fingerprint

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"


class CrossEncoderTeacher:
    """Score by the raw logit in float32, without a sigmoid; with two labels, by the second minus the first.

    The model's own template, prompt and modules are applied, as by CrossEncoder.predict.

    With --paper-compat and two labels, score by the log-softmax of the second label, which is nearly 0 for
    all documents near the top.
    """

    needs_text = True

    def __init__(self, argument: str, resources: TeacherResources) -> None:
        self.name = argument or DEFAULT_CROSS_ENCODER
        self._scorer = scorer = open_cross_encoder(self.name, resources.model)
        self._batch_tokens = resources.model.batch_tokens or default_batch_tokens(scorer.device)
        self._dtype = resources.model.dtype
        as_paper = resources.paper_compat and scorer.labels == 2
        self._output = scorer.log_probabilities if as_paper else scorer.logits
        self.scale = "log-probability" if as_paper else "logit"

    @cached_property
    def key(self) -> str:
        output = f" {self.scale}" if self.scale != "logit" else ""
        length = self._scorer.tokenizer.model_max_length
        return f"ce {fingerprint(self.name)} {self._dtype} {length}{output}{self._scorer.mark}"

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        scorer = self._scorer
        features = scorer.tokenise([(pair.query, pair.text) for pair in pairs])
        for rows, scores in run_padded(
            scorer.called, self._output, scorer.tokenizer, features, self._batch_tokens, scorer.device
        ):
            yield rows, floats(scores.cpu().numpy())
