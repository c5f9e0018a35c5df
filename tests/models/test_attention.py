"""Attention by matrix products gives what torch's function gives."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel

from rdtools.models.attention import use_matrix_products

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
MASK = (IDS != 0).long()


@pytest.fixture
def model(tiny_be):
    found = AutoModel.from_pretrained(tiny_be).eval()
    if not found._can_set_attn_implementation():
        pytest.skip("models of this version of transformers cannot choose")
    assert found.config._attn_implementation == "sdpa"
    return found


def test_values_are_the_same(model, tmp_path):
    before = model(input_ids=IDS, attention_mask=MASK).last_hidden_state[MASK.bool()]
    use_matrix_products(torch.nn.ModuleList([model]))
    assert model.config._attn_implementation == "eager"
    after = model(input_ids=IDS, attention_mask=MASK).last_hidden_state[MASK.bool()]
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path)
    assert AutoModel.from_pretrained(tmp_path).config._attn_implementation == "sdpa"


def test_torchs_function_is_not_used(model, monkeypatch):
    calls = []
    function = torch.nn.functional.scaled_dot_product_attention

    def counted(*args, **kwargs):
        calls.append(1)
        return function(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    model(input_ids=IDS)
    assert calls
    calls.clear()
    use_matrix_products(model)
    model(input_ids=IDS)
    assert not calls


def test_a_model_that_cannot_choose_stays_as_it_is(model, monkeypatch, caplog):
    monkeypatch.setattr(type(model), "_can_set_attn_implementation", classmethod(lambda cls: False))
    use_matrix_products(model)
    assert model.config._attn_implementation == "sdpa"
    assert not caplog.records
