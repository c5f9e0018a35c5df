"""Tiny random models of each kind that sentence-transformers saves, as it saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from conftest import _tiny_config_and_tokenizer

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64, "pad_token_id": 0, "initializer_range": 0.2,
}  # fmt: skip
QWEN = {**SIZES, "num_key_value_heads": 1, "head_dim": 16, "bos_token_id": 2, "eos_token_id": 3}
TEMPLATE = (
    "the high {% for message in messages %}{{ message.role }} : {{ message.content }} {% endfor %}test result"
)


def plain(folder: Path, family: str, **settings) -> tuple[str, Any]:
    """Save a transformer and its tokenizer in `folder`; return it and the tokenizer."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
    )

    kind = {"head": AutoModelForSequenceClassification, "causal": AutoModelForCausalLM, "": AutoModel,
            "masked": AutoModelForMaskedLM}  # fmt: skip
    use, template = kind[settings.pop("use", "")], settings.pop("template", None)
    bert, tokenizer = _tiny_config_and_tokenizer(folder, None)
    tokenizer.model_max_length = settings.pop("length", 40)
    tokenizer.chat_template = template
    sizes = QWEN if family == "qwen3" else SIZES
    config = AutoConfig.for_model(family, vocab_size=bert.vocab_size, **{**sizes, **settings})
    torch.manual_seed(3)
    model = use.from_config(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.startswith(("classifier", "score", "lm_head")):
                weights.mul_(3)  # so that scores differ
            if name == "cls.predictions.bias":
                weights.fill_(-2.0)  # so that few words are active
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder), tokenizer


def cross_encoder(folder: Path, family: str = "bert", given: dict[str, Any] | None = None, **settings) -> str:
    from sentence_transformers import CrossEncoder

    source, _ = plain(folder / "source", family, use="head", **{"num_labels": 1, **settings})
    model = CrossEncoder(source, device="cpu", **(given or {}))
    model.save_pretrained(str(folder / "model"))
    return str(folder / "model")


def logit_score(folder: Path) -> str:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    source, tokenizer = plain(folder / "source", "qwen3", use="causal", template=TEMPLATE)
    yes, no = tokenizer.convert_tokens_to_ids(["high", "low"])
    parts = [Transformer(source, transformer_task="text-generation"), LogitScore(yes, no)]
    CrossEncoder(modules=parts, device="cpu").save_pretrained(str(folder / "model"), create_model_card=False)
    return str(folder / "model")


def dense_head(folder: Path) -> str:
    """A bi-encoder's modules with a layer that scores."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    source, _ = plain(folder / "source", "bert")
    torch.manual_seed(4)
    dense = Dense(32, 1, activation_function=torch.nn.Identity(), module_input_name="sentence_embedding",
                  module_output_name="scores")  # fmt: skip
    CrossEncoder(modules=[Transformer(source), Pooling(32, "cls"), dense], device="cpu").save_pretrained(
        str(folder / "model"), create_model_card=False
    )
    return str(folder / "model")


CROSS_ENCODERS = {
    "bert": cross_encoder,
    "modernbert": lambda folder: cross_encoder(
        folder, "modernbert", cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3
    ),
    "xlm-roberta": lambda folder: cross_encoder(
        folder, "xlm-roberta", type_vocab_size=2, max_position_embeddings=66
    ),
    "two labels": lambda folder: cross_encoder(folder, num_labels=2),
    "activation": lambda folder: cross_encoder(folder, given={"activation_fn": torch.nn.Tanh()}),
    "prompt": lambda folder: cross_encoder(
        folder, given={"prompts": {"q": "heat transfer : "}, "default_prompt_name": "q"}
    ),
    "unused prompt": lambda folder: cross_encoder(folder, given={"prompts": {"q": "heat transfer : "}}),
    "template": lambda folder: cross_encoder(folder, "qwen3", template=TEMPLATE),
    "template and prompt": lambda folder: cross_encoder(
        folder,
        "qwen3",
        template=TEMPLATE,
        given={"prompts": {"q": "heat transfer"}, "default_prompt_name": "q"},
    ),
    "unsaved template": lambda folder: plain(folder, "qwen3", use="head", template=TEMPLATE, num_labels=1)[0],
    "logit score": logit_score,
    "dense": dense_head,
}


def bi_encoder(folder: Path, family: str = "bert", further=lambda: [], given=None, pooling=None, **settings):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    source, _ = plain(folder / "source", family, **settings)
    torch.manual_seed(5)
    parts = [Transformer(source), Pooling(32, **(pooling or {})), *further()]
    SentenceTransformer(modules=parts, device="cpu", **(given or {})).save(
        str(folder / "model"), create_model_card=False
    )
    return str(folder / "model")


def dense_and_normalize():
    from sentence_transformers.models import Dense, Normalize

    return [Dense(32, 8), Normalize()]


def router(folder: Path) -> str:
    """Queries and documents by different models."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    routes: list[list[Any]] = []
    for heads in (1, 2):
        source, _ = plain(folder / str(heads), "bert", num_attention_heads=heads)
        routes.append([Transformer(source), Pooling(32)])
    SentenceTransformer(
        modules=[Router.for_query_document(routes[0], routes[1])], device="cpu"
    ).save_pretrained(str(folder / "model"), create_model_card=False)
    return str(folder / "model")


NEW = {"prompt", "unused prompt", "template", "template and prompt", "unsaved template", "logit score", "dense",
       "truncated dimensions", "router"}  # fmt: skip
"""Kinds that sentence-transformers before 5.5 does not know, or saves otherwise."""
PROMPTS = {"prompts": {"query": "flow : ", "document": "heat transfer of : "}}
BI_ENCODERS = {
    "bert": bi_encoder,
    "prompts": lambda folder: bi_encoder(folder, given=PROMPTS),
    "pooling without the prompt": lambda folder: bi_encoder(
        folder, given=PROMPTS, pooling={"include_prompt": False}
    ),
    "first token": lambda folder: bi_encoder(
        folder,
        "xlm-roberta",
        given=PROMPTS,
        pooling={"pooling_mode": "cls"},
        further=dense_and_normalize,
        max_position_embeddings=66,
    ),
    "first token after the prompt": lambda folder: bi_encoder(
        folder, given=PROMPTS, pooling={"pooling_mode": "cls", "include_prompt": False}
    ),
    "default prompt": lambda folder: bi_encoder(
        folder, given={"prompts": {"other": "flow : "}, "default_prompt_name": "other"}
    ),
    "dense and normalize": lambda folder: bi_encoder(folder, further=dense_and_normalize),
    "dot": lambda folder: bi_encoder(folder, given={"similarity_fn_name": "dot"}),
    "truncated dimensions": lambda folder: bi_encoder(folder, given={"truncate_dim": 5}),
    "last token": lambda folder: bi_encoder(folder, "qwen3", pooling={"pooling_mode": "lasttoken"}),
    "template": lambda folder: bi_encoder(
        folder, "qwen3", template=TEMPLATE, pooling={"pooling_mode": "lasttoken"}, given=PROMPTS
    ),
    "router": router,
}


def sparse_encoder(folder: Path, further=None, given=None, **settings) -> str:
    """SPLADE of one layer, of whose 106 dimensions about a quarter are active."""
    from sentence_transformers import SparseEncoder

    source, _ = plain(folder / "source", "bert", use="masked", num_hidden_layers=1, **settings)
    model = SparseEncoder(source, device="cpu", **(given or {})) if further is None else further(source)
    model.save_pretrained(str(folder / "model"))
    return str(folder / "model")


def auto_encoded(source: str):
    """CSR: a bi-encoder's embedding in more dimensions, of which 3 stay."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.models import Pooling, Transformer
    from sentence_transformers.sparse_encoder.models import SparseAutoEncoder

    torch.manual_seed(6)
    auto = SparseAutoEncoder(input_dim=32, hidden_dim=50, k=3, k_aux=5)
    return SparseEncoder(modules=[Transformer(source), Pooling(32), auto], device="cpu")


SPARSE_ENCODERS = {
    "splade": sparse_encoder,
    "head for masked words": lambda folder: plain(folder, "bert", use="masked", num_hidden_layers=1)[0],
    "prompts, few dimensions, cosine": lambda folder: sparse_encoder(
        folder, given={**PROMPTS, "max_active_dims": 9, "similarity_fn_name": "cosine"}
    ),
    "auto-encoder": lambda folder: sparse_encoder(folder, auto_encoded),
}


def late_interaction(folder: Path, **given) -> str:
    """ColBERT: queries of 12 tokens, the rest masks that count too; marks of documents do not count."""
    from sentence_transformers import MultiVectorEncoder

    source, _ = plain(folder / "source", "bert", num_hidden_layers=1)
    torch.manual_seed(7)
    options: dict[str, Any] = {**PROMPTS, **given}
    model = MultiVectorEncoder(source, device="cpu", **options)
    encoder: Any = model[0]
    encoder.query_expansion = {"strategy": "fixed", "attend": False, "length": 12}
    model.save_pretrained(str(folder / "model"))
    return str(folder / "model")


def of_pylate(folder: Path) -> str:
    """The same, in the form of PyLate 1.4's files."""
    import json

    model = Path(late_interaction(folder))
    modules = json.loads((model / "modules.json").read_text())[:2]
    modules[1]["type"] = "pylate.models.Dense.Dense"
    (model / "modules.json").write_text(json.dumps(modules))
    settings = {
        "model_type": "ColBERT", "query_prefix": "flow : ", "document_prefix": "heat : ", "query_length": 12,
        "document_length": 30, "attend_to_expansion_tokens": False, "skiplist_words": [":", "."],
    }  # fmt: skip
    (model / "config_sentence_transformers.json").write_text(json.dumps(settings))
    transformer = json.loads((model / "sentence_bert_config.json").read_text())
    for name in ("query_expansion", "query_length", "document_length"):
        transformer.pop(name, None)
    (model / "sentence_bert_config.json").write_text(json.dumps(transformer))
    return str(model)


def of_stanford(folder: Path) -> str:
    """A transformer with the projection beside it, and its settings in artifact.metadata."""
    import json

    from safetensors.torch import load_file, save_file

    source, _ = plain(folder, "bert", num_hidden_layers=1)
    weights = {f"bert.{name}": weight for name, weight in load_file(folder / "model.safetensors").items()}
    torch.manual_seed(8)
    save_file(
        {**weights, "linear.weight": torch.randn(16, 32)}, folder / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    metadata = {"query_token_id": "flow", "doc_token_id": "heat", "query_maxlen": 10, "doc_maxlen": 30}
    (folder / "artifact.metadata").write_text(json.dumps(metadata))
    return source


LATE_INTERACTION = {
    "late interaction": late_interaction,
    "mean": lambda folder: late_interaction(folder, similarity_fn_name="meanmaxsim"),
    "pylate": of_pylate,
    "stanford": of_stanford,
}
NEW |= LATE_INTERACTION.keys()
