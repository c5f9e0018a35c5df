"""Cross-encoders as sentence-transformers runs them, in batches of about equally long pairs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rdtools.core.errors import RdError, first_line
from rdtools.models.encoding import pad
from rdtools.models.first_token import compute_first_token_only
from rdtools.models.kinds import missing_weights, saved_json
from rdtools.models.layers import keep_rows
from rdtools.models.loading import (
    check_modules,
    check_room,
    check_whole,
    located,
    one_line_errors,
    pick_device,
    positions,
    quiet_libraries,
    refuse_pickles,
)
from rdtools.models.options import ModelOptions
from rdtools.models.preprocessing import (
    OLDEST_VERSION,
    Features,
    Preprocessing,
    installed_version,
    is_modular,
    runs_in_batches,
)
from rdtools.models.products import use_faster_products

if TYPE_CHECKING:
    from torch import Tensor

_PROBE = (("a", "b"), ("a", "b c"))
_NO_PAIR = "its chat template does not render a query and a document (save it with one that does)"


class PairScorer:
    """A CrossEncoder that scores pairs as its `predict` does without an activation.

    The scores go through all that the model was saved with: chat template, default prompt, modules.

    Attributes:
        labels: the number of outputs, 1 or 2.
        template: whether a chat template renders the pairs.
    """

    def __init__(self, model: Any) -> None:
        self.model = model  # a CrossEncoder
        self.tokenizer: Any = model.tokenizer
        self.device: torch.device = self.model.model.device
        self._modular = is_modular(model)
        self.labels = _labels(model)
        self._preprocess = Preprocessing(model)
        self.template = self._preprocess.template

    @property
    def overhead(self) -> int:
        """The number of tokens that the model adds to a pair: special tokens, prompt and template."""
        return len(self.tokenise([("", "")])["input_ids"][0])

    @property
    def mark(self) -> str:
        """A mark for the key of a cache, empty if the model reads no more than the tokens of a pair."""
        return self._preprocess.mark("")

    @property
    def called(self) -> torch.nn.Module:
        """The module that `__call__` calls."""
        called: torch.nn.Module = self.model if self._modular else self.model.model
        return called

    def tokenise(self, pairs: Sequence[tuple[str, str]], **text: Any) -> Features:
        """Return the tokens of pairs of query and document; `text` are arguments of the tokenizer."""
        return self._preprocess(pairs, **text)

    def __call__(self, features: dict[str, Any]) -> Tensor:
        """Return the model's outputs of a padded batch, (n, labels) float32."""
        scores: Tensor = self.called(features)["scores"] if self._modular else self.called(**features).logits
        return scores.float()

    def logits(self, features: dict[str, Any]) -> Tensor:
        """Return raw scores, (n,) float32: the logit, or of two logits the second minus the first."""
        output = self(features)
        return output[:, 0] if output.shape[1] == 1 else output[:, 1] - output[:, 0]

    def save(self, folder: Path) -> str:
        """Save the model, whose `predict` then returns logits; return the version of the library it needs."""
        self.model.activation_fn = torch.nn.Identity()  # versions before 5.4 read it from the configuration
        self.model.model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
        with quiet_libraries():
            if self._modular:
                self.model.save_pretrained(str(folder), create_model_card=False)
            else:
                self.model.model.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)
        plain = not self._modular or not (self.mark or len(self.model) > 1)
        return OLDEST_VERSION if plain else installed_version()

    def log_probabilities(self, features: dict[str, Any]) -> Tensor:
        """Return the log-softmax of the second of two labels, (n,) float32 ≤ 0, as the paper's code does."""
        return self(features).log_softmax(-1)[:, 1]


def open_cross_encoder(
    name: str, loading: ModelOptions = ModelOptions(), *, student: bool = False
) -> PairScorer:
    """Load a cross-encoder, and let it score two pairs: what it cannot do is known before the first record.

    Its head has one label, the logit, or two, whose difference is the logit. A `student` has one label; a
    model without a head gets one, which reads pairs without a chat template.

    Raises:
        RdError: it cannot be loaded, has no head or other labels, or cannot score a pair.
        UsageError: --max-length leaves no token for the texts.
    """
    model = _load(located(name), loading, student)
    labels = _labels(model)
    if student and labels > 1:
        raise RdError(f"model {name}: its head has more than one label")
    if labels > 2:
        raise RdError(f"model {name}: it has {labels} labels; a cross-encoder has 1 or 2")
    if is_modular(model) and not runs_in_batches(model):
        raise RdError(f"model {name}: its first module is a {type(model[0]).__name__}, not a transformer")
    scorer = PairScorer(model)
    if not student:
        compute_first_token_only(model, scorer.model.model)
    tokenizer, transformer = scorer.tokenizer, scorer.model.model
    own = min(loading.max_length or tokenizer.model_max_length, positions(transformer) or 512)
    with _one_line_about_pairs(name), torch.inference_mode():
        tokenizer.model_max_length = max(own, 2**20)  # a limit would hide how long the template is
        overhead = scorer.overhead
        first, *others = scorer.tokenise([("a", "b"), ("c", "b"), ("a", "c")])["input_ids"]
        if scorer.template and first in others:  # versions before 6.2 score such a pair
            raise RdError(f"model {name}: it cannot score a pair: {_NO_PAIR}")
        tokenizer.model_max_length = own
        check_room("--max-length", loading.max_length, overhead)
        scorer(pad(tokenizer, scorer.tokenise(_PROBE), range(len(_PROBE)), scorer.device))
    return scorer


def _load(name: str, loading: ModelOptions, student: bool) -> Any:
    """Return the model in evaluation mode, its head in float32."""
    refuse_pickles(name)
    with one_line_errors(name, "ce"):
        if not loading.trust_remote_code:
            check_modules(name)
        saved = _library_settings(name)
        architecture = "" if saved else _architecture(name, loading)
        new = student and not saved and not architecture.endswith("ForSequenceClassification")
        model, lacks = None, list[str]()
        if student or not architecture.endswith("ForCausalLM"):
            with missing_weights() as lacks:
                model = _with_new_head(name, loading) if new else _as_saved(name, loading)
    if model is None:
        raise RdError(f"model {name}: it is a causal model without a head for pairs (use llm:{name})")
    if not new:
        check_whole(name, lacks, "cross-encoder")
    _score_in_float32(model, student)
    use_faster_products(model)
    return model.eval()


def _as_saved(name: str, loading: ModelOptions) -> Any:
    from sentence_transformers import CrossEncoder

    weights = {"use_safetensors": True, "dtype": getattr(torch, loading.dtype)}
    return CrossEncoder(
        name, device=str(pick_device(loading.device)), trust_remote_code=loading.trust_remote_code,
        model_kwargs=weights,
    )  # fmt: skip


def _with_new_head(name: str, loading: ModelOptions) -> Any:
    """Return a model with a new head of one label, which reads pairs without a chat template."""
    from sentence_transformers import CrossEncoder

    weights = {"use_safetensors": True, "dtype": getattr(torch, loading.dtype)}
    code = {"trust_remote_code": loading.trust_remote_code}
    device = str(pick_device(loading.device))
    if is_modular(CrossEncoder):
        from sentence_transformers.base.modules import Transformer

        transformer = Transformer(
            name, transformer_task="sequence-classification", model_kwargs={**weights, **code},
            processor_kwargs=dict(code), config_kwargs={"num_labels": 1, **code},
            modality_config={"text": {"method": "forward", "method_output_name": "logits"}},
            module_output_name="scores",
        )  # fmt: skip
        model = CrossEncoder(modules=[transformer], device=device)
    else:
        model = CrossEncoder(name, num_labels=1, device=device, model_kwargs=weights, **code)
    tokenizer = model.tokenizer
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
        model.model.config.pad_token_id = tokenizer.pad_token_id  # its head reads the last other token
    return model


def _library_settings(name: str) -> dict[str, Any]:
    """Return what a cross-encoder was saved with by sentence-transformers 5.4 or later, else {}.

    Raises:
        RdError: the installed version would ignore some of it.
    """
    from sentence_transformers import CrossEncoder, __version__

    settings = saved_json(name, "config_sentence_transformers.json") or {}
    if settings.get("model_type") != "CrossEncoder":
        return {}
    first = saved_json(name, "sentence_bert_config.json") or {}
    plain = (
        len(saved_json(name, "modules.json") or [1]) == 1
        and settings.get("default_prompt_name") is None
        and list(first.get("modality_config", ["text"])) == ["text"]
        and not first.get("processing_kwargs")
    )
    if not plain and not is_modular(CrossEncoder):
        needs = settings.get("__version__", {}).get("sentence_transformers", "5.5")
        raise RdError(
            f"model {name}: it has a chat template, prompt or modules that sentence-transformers "
            f"{__version__} ignores (install version {needs} or later)"
        )
    return settings


def _architecture(name: str, loading: ModelOptions) -> str:
    """Return the first architecture that the configuration of a model names."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(name, trust_remote_code=loading.trust_remote_code)
    return str((getattr(config, "architectures", None) or [""])[0])


def _labels(model: Any) -> int:
    labels: int = model.num_labels if is_modular(model) else model.config.num_labels
    return labels


def _score_in_float32(model: Any, student: bool) -> None:
    """Run the last layer in float32: logits in half precision have 8 or 11 bits, which makes ties."""
    last = model[-1] if is_modular(model) else model.model
    if type(last).__name__ == "LogitScore":
        if not student:  # a student is saved, and keeps the head of its whole vocabulary
            tokens = [token for token in (last.true_token_id, last.false_token_id) if token is not None]
            keep_rows(model.model, tokens)
            last.true_token_id, last.false_token_id = (0, 1) if len(tokens) == 2 else (0, None)
        return
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    heads = [module for module in linear if module.out_features == _labels(model)]
    if heads:
        heads[-1].float().register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))


@contextlib.contextmanager
def _one_line_about_pairs(name: str) -> Iterator[None]:
    """Turn any exception while a pair is scored into one line."""
    try:
        with quiet_libraries():
            yield
    except RdError:
        raise
    except Exception as error:  # templates and models of the hub fail in ways of their own
        reason = _NO_PAIR if "chat template" in str(error) else first_line(error)
        raise RdError(f"model {name}: it cannot score a pair: {reason}") from error
