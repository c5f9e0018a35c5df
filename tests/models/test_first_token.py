"""The last layer computes the first token alone where nothing else is read, with the same results."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from libraries import SIZES, bi_encoder, plain

from rdtools.models.first_token import compute_first_token_only

pytestmark = pytest.mark.usefixtures("one_thread")
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {}, "electra": {"embedding_size": 16}, "camembert": {"max_position_embeddings": 66},
    "roberta": {"max_position_embeddings": 66}, "xlm-roberta": {"max_position_embeddings": 66},
}  # fmt: skip
IDS = torch.arange(5, 5 + 3 * 11).view(3, 11)
MASK = torch.tensor([[1] * 11, [1] * 7 + [0] * 4, [1] * 2 + [0] * 9])


def both(folder, family, **settings):
    """A model with a head as it is, and a copy that computes the first token only."""
    from transformers import AutoModelForSequenceClassification

    source, _ = plain(folder, family, use="head", num_labels=1, **{**FAMILIES.get(family, {}), **settings})
    whole = AutoModelForSequenceClassification.from_pretrained(source).eval()
    short = copy.deepcopy(whole)
    assert compute_first_token_only([short], short)
    return whole, short


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_and_gradients_are_those_of_the_whole_layer(tmp_path, family, padded):
    models = both(tmp_path, family)
    given = {"input_ids": IDS, **({"attention_mask": MASK} if padded else {})}
    scores, gradients = [], []
    for model in models:
        found = model.double()(**given).logits
        found.square().sum().backward()
        scores.append(found.detach())
        gradients.append({name: weights.grad for name, weights in model.named_parameters()})
    assert scores[0].std() > 0.01
    torch.testing.assert_close(scores[1], scores[0], atol=1e-13, rtol=1e-12)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-13, rtol=1e-10)


def test_the_last_layer_has_one_token_and_the_others_all(tmp_path):
    _, short = both(tmp_path, "bert")
    states = short(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    assert [len(state[0]) for state in states] == [11, 11, 1]


def test_dropout_is_applied_in_training_only(tmp_path):
    _, short = both(tmp_path, "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    short.train()
    for layer in short.base_model.encoder.layer[:-1]:
        layer.eval()
    first, second = (short(input_ids=IDS).logits for _ in range(2))
    assert not torch.equal(first, second)
    short.eval()
    first, second = (short(input_ids=IDS).logits for _ in range(2))
    assert torch.equal(first, second)


def test_a_copy_has_its_own_weights(tmp_path):
    _, short = both(tmp_path, "bert")
    other = copy.deepcopy(short)
    expected = other(input_ids=IDS).logits
    with torch.no_grad():
        for weights in short.parameters():
            weights.zero_()
    assert torch.equal(other(input_ids=IDS).logits, expected)


def test_code_of_a_model_of_its_own_is_left_alone(tmp_path):
    whole, _ = both(tmp_path, "bert")
    kind = type("BertForSequenceClassification", (torch.nn.Module,), {"__module__": "transformers_modules.x"})
    model: Any = kind()
    model.config, model.base_model = whole.config, torch.nn.Module()
    assert not compute_first_token_only([model], model)


def test_half_precision_and_another_attention(tmp_path):
    whole, short = both(tmp_path, "bert")
    for model in (whole, short):
        model.set_attn_implementation("eager")
    given = {"input_ids": IDS, "attention_mask": MASK}
    torch.testing.assert_close(short(**given).logits, whole(**given).logits, atol=1e-6, rtol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(short(**given).logits, whole(**given).logits, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("pooling", "reads_first"),
    [
        ({"pooling_mode": "cls"}, True),
        ({"pooling_mode": "cls", "include_prompt": False}, False),
        ({"pooling_mode": "mean"}, False),
        ({"pooling_mode": "max"}, False),
    ],
)
def test_pooling_decides(tmp_path, pooling, reads_first):
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(bi_encoder(tmp_path, pooling=pooling), device="cpu")
    assert compute_first_token_only(model, model[0].auto_model) == reads_first


def test_padding_on_the_left_and_further_modules_keep_the_layer(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import LayerNorm

    model: Any = SentenceTransformer(
        bi_encoder(tmp_path / "a", pooling={"pooling_mode": "cls"}), device="cpu"
    )
    model.tokenizer.padding_side = "left"
    assert not compute_first_token_only(model, model[0].auto_model)
    other = bi_encoder(tmp_path / "b", pooling={"pooling_mode": "cls"}, further=lambda: [LayerNorm(32)])
    model = SentenceTransformer(other, device="cpu")
    assert not compute_first_token_only(model, model[0].auto_model)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("deberta-v2", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
        ("modernbert", {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}),
        ("bert", {"is_decoder": True}),
        ("bert", {"chunk_size_feed_forward": 4}),
    ],
)
def test_other_architectures_stay_as_they_are(tmp_path, family, settings):
    from transformers import AutoModelForSequenceClassification

    source, _ = plain(tmp_path, family, use="head", num_labels=1, **settings)
    model = AutoModelForSequenceClassification.from_pretrained(source)
    assert not compute_first_token_only([model], model)


def test_a_head_for_each_token_keeps_the_layer(tmp_path):
    from transformers import BertConfig, BertForTokenClassification

    sizes: dict[str, Any] = SIZES
    model = BertForTokenClassification(BertConfig(vocab_size=106, **sizes))
    assert not compute_first_token_only([model], model)
