"""Texts and pairs to tokens, by the preprocessing of sentence-transformers: template, prompt and truncation.

Many inputs are tokenised together without padding, so that inputs of about equal length can share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder

OLDEST_VERSION = "5.1"
"""The oldest version of sentence-transformers that is supported."""
Features = dict[str, list[Any]]
"""Columns with a value for each input: a list of tokens (`input_ids`), or a value that is the same for all
inputs of a batch (`prompt_length`)."""


class Preprocessing:
    """Tokenise as the model's own library does when it encodes or predicts.

    Versions of sentence-transformers before 5.5 have no templates, and no prompts of cross-encoders.

    Attributes:
        template: whether inputs are rendered by a chat template.
    """

    def __init__(self, model: SentenceTransformer | SparseEncoder | CrossEncoder) -> None:
        self._model: Any = model
        self._modular = is_modular(model)
        self._excludes_prompt = any(
            getattr(module, "include_prompt", True) is False for module in model.modules()
        )
        self._by_task = self._modular and _depends_on_task(model)
        self.template = self._modular and "message" in getattr(model[0], "modality_config", ())

    def mark(self, *tasks: str) -> str:
        """Return a mark for the key of a cache, empty if the model needs no more than plain tokens.

        What a template or the exclusion of a prompt does may depend on the version of the library.
        """
        prompted = any(map(self.prompt, tasks)) and (self._excludes_prompt or tasks == ("",))
        more = self.template or self._by_task or prompted
        return f" sentence-transformers {installed_version()}" if more else ""

    def prompt(self, task: str) -> str:
        """Return the prompt of a bi-encoder's "query" or "document", or without a task the default prompt."""
        name = task or getattr(self._model, "default_prompt_name", None)
        return "" if name is None else (self._model.prompts or {}).get(name) or ""

    def __call__(
        self, inputs: Sequence[str] | Sequence[tuple[str, str]], task: str = "", **text: Any
    ) -> Features:
        """Return the tokens of texts or pairs, not padded.

        Args:
            task: "query" or "document" for a bi-encoder, empty for a cross-encoder.
            text: arguments of the tokenizer, such as `max_length`.
        """
        prompt = self.prompt(task)
        if not self._modular:
            return self._before_5_5(inputs, prompt, text)
        options = {"text": {"padding": False, **text}, "common": {"return_tensors": None}}
        of_task = {"task": task} if task else {}
        found = self._model.preprocess(
            list(inputs), prompt=prompt or None, processing_kwargs=options, **of_task
        )
        columns = {key: value for key, value in found.items() if isinstance(value, list)}
        if self.template:
            columns["modality"] = [found["modality"]] * len(inputs)
        if self._excludes_prompt and "prompt_length" in found:
            columns["prompt_length"] = [found["prompt_length"]] * len(inputs)
        if "logits_to_keep" in found:
            columns["logits_to_keep"] = [found["logits_to_keep"]] * len(inputs)
        if self._by_task and task:
            columns["task"] = [task] * len(inputs)
        return columns

    def _before_5_5(self, inputs: Sequence[Any], prompt: str, text: dict[str, Any]) -> Features:
        model = self._model
        if inputs and not isinstance(inputs[0], str):
            return dict(model.tokenizer(list(inputs), **{"truncation": True, **text}))
        texts = [(prompt + one).strip() for one in inputs]
        if model[0].do_lower_case:
            texts = [one.lower() for one in texts]
        limits = {"truncation": "longest_first", "max_length": model.max_seq_length, **text}
        columns: Features = dict(model.tokenizer(texts, **limits))
        if self._excludes_prompt and prompt:
            columns["prompt_length"] = [model._get_prompt_length(prompt)] * len(texts)
        return columns


def is_modular(model: object) -> bool:
    """Whether the installed sentence-transformers is 5.5 or later, where a cross-encoder has modules too."""
    return hasattr(model, "preprocess")


def runs_in_batches(model: SentenceTransformer | SparseEncoder | CrossEncoder) -> bool:
    """Whether the model's first module is the library's own transformer, which reads tokens."""
    first = type(model[0])
    ours = first.__module__.startswith("sentence_transformers.")
    return ours and first.__name__ in ("Transformer", "MLMTransformer")


def _depends_on_task(model: Any) -> bool:
    """Whether queries and documents take different ways through the model's modules."""
    declared = list((model.module_kwargs or {}).values())
    declared += [getattr(module, "forward_kwargs", ()) for module in model.modules()]
    return any("task" in names for names in declared)


def installed_version() -> str:
    """Return the version of sentence-transformers that is installed, without the last number."""
    from sentence_transformers import __version__

    return ".".join(__version__.split(".")[:2])
