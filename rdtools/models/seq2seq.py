"""Load sequence-to-sequence models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdtools.models.loading import check_whole, load_whole, one_line_errors, pick_device
from rdtools.models.options import ModelOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LENGTH = 512
"""The number of tokens that T5-like re-rankers are trained with; the models themselves have no limit."""


def load_seq2seq_model(
    name: str, loading: ModelOptions = ModelOptions()
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a sequence-to-sequence model and its tokenizer, whose `model_max_length` is made finite.

    Raises:
        RdError: the model cannot be loaded, or is not such a model.
    """
    with one_line_errors(name, "t5"):
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        model, lacks = load_whole(AutoModelForSeq2SeqLM, name, loading)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=loading.trust_remote_code)
    check_whole(name, lacks, "sequence-to-sequence model")
    own = tokenizer.model_max_length
    tokenizer.model_max_length = loading.max_length or (own if own < 10**9 else _LENGTH)
    return model.to(pick_device(loading.device)).eval(), tokenizer
