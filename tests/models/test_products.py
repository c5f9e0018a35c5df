"""Products with oneDNN are those of torch, where the processor is one that has them faster."""

from __future__ import annotations

import copy
import pickle
import platform
from pathlib import Path
from typing import Any

import pytest
import torch
from libraries import plain
from torch import nn

from rdtools.models import products
from rdtools.models.cross_encoder import open_cross_encoder
from rdtools.models.layers import keep_layers
from rdtools.models.loading import load_bi_encoder, load_causal_model
from rdtools.models.products import OneDnnLinear, onednn_is_faster, product, use_faster_products

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)


@pytest.fixture(autouse=True)
def faster(monkeypatch):
    """The processor is one of AMD with AVX-512, whatever it is."""
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)


@pytest.fixture
def taken(monkeypatch):
    """The shapes of the rows that oneDNN multiplied."""
    shapes = []
    times = products._times

    def noted(rows, *others):
        shapes.append(tuple(rows.shape))
        return times(rows, *others)

    monkeypatch.setattr(products, "_times", noted)
    return shapes


def both(width=24, out=40, **options):
    layer = nn.Linear(width, out, **options)
    faster = copy.deepcopy(layer)
    use_faster_products(faster)
    return layer, faster


def found(layer, inputs):
    """A layer's output, and the gradients of its inputs and weights for an uneven loss."""
    inputs = inputs.clone().requires_grad_()
    output = layer(inputs)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return output, inputs.grad, *(weights.grad for weights in layer.parameters())


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(8, 24), (33, 24), (5, 7, 24), (2, 3, 4, 24)])
def test_outputs_and_gradients_are_those_of_torch(shape, bias, taken):
    torch.manual_seed(0)
    layer, faster = both(bias=bias)
    inputs = torch.randn(shape)
    theirs, ours = found(layer, inputs), found(faster, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    rows = inputs.numel() // 24
    assert taken == [(rows, 24), (rows, 40), (40, rows)]


@needs_onednn
def test_a_part_of_a_tensor_and_an_expanded_gradient_are_taken_too():
    torch.manual_seed(0)
    layer, faster = both()
    inputs = torch.randn(12, 5, 24)[:, :1]
    theirs, ours = found(layer, inputs), found(faster, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    layer.zero_grad(), faster.zero_grad()
    for one in (layer, faster):
        one(inputs).sum().backward()
    torch.testing.assert_close(faster.weight.grad, layer.weight.grad, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_an_output_may_be_changed_in_place():
    torch.manual_seed(0)
    layer, faster = both()
    inputs = torch.randn(3, 5, 24)
    for one in (layer, faster):
        output = one(inputs)
        output.permute(1, 0, 2)[2:].mul_(3)
        output.square().sum().backward()
    torch.testing.assert_close(faster.weight.grad, layer.weight.grad, rtol=1e-5, atol=1e-4)


@needs_onednn
def test_gradients_that_nobody_needs_are_not_computed(taken):
    _, faster = both()
    faster.weight.requires_grad_(False)
    inputs = torch.randn(9, 24, requires_grad=True)
    faster(inputs).sum().backward()
    assert faster.weight.grad is None
    assert taken == [(9, 24), (9, 40)]
    taken.clear()
    faster.weight.requires_grad_(True)
    faster(torch.randn(9, 24)).sum().backward()
    assert taken == [(9, 24), (40, 9)]


@pytest.mark.parametrize(
    "case",
    ["few rows", "one row", "few columns", "float64", "bfloat16", "autocast", "another kind of tensor"],
)
def test_the_rest_is_left_to_torch(case, taken):
    torch.manual_seed(0)
    layer, faster = both(out=1) if case == "few columns" else both()
    inputs = torch.randn({"few rows": (7, 24), "one row": (24,)}.get(case, (16, 24)))
    if case in ("float64", "bfloat16"):
        layer, faster, inputs = (thing.to(getattr(torch, case)) for thing in (layer, faster, inputs))
    if case == "another kind of tensor":
        inputs = inputs.as_subclass(Marked)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        ours, theirs = faster(inputs), layer(inputs)
    assert torch.equal(ours, theirs)
    assert (ours.dtype, type(ours)) == (theirs.dtype, type(theirs))
    assert taken == []


def test_files_and_copies_are_those_of_the_model(tmp_path):
    layer, faster = both()
    assert faster.state_dict().keys() == layer.state_dict().keys()
    assert repr(faster).removeprefix("OneDnn") == repr(layer)
    copies = copy.deepcopy(faster), pickle.loads(pickle.dumps(faster))
    assert all(type(one) is OneDnnLinear and torch.equal(one.weight, layer.weight) for one in copies)


def test_only_plain_linear_layers_change():
    model = nn.Sequential(nn.Linear(8, 8), nn.MultiheadAttention(8, 2), nn.Bilinear(8, 8, 8))
    use_faster_products(model)
    names = [type(part).__name__ for part in model.modules() if isinstance(part, nn.Linear)]
    assert names == ["OneDnnLinear", "NonDynamicallyQuantizableLinear"]


class Marked(torch.Tensor):
    """A tensor of another class, as libraries that split tensors have."""


def linear_layers(model):
    return {type(part) for part in model.modules() if isinstance(part, nn.Linear)}


def test_models_are_loaded_with_them(tmp_path, tiny_be, tiny_ce):
    model: Any = load_bi_encoder(tiny_be)
    assert linear_layers(model) == {OneDnnLinear}
    keep_layers(model, model[0].auto_model, "0,2")  # builds a new transformer
    assert linear_layers(model) == {OneDnnLinear}
    assert linear_layers(open_cross_encoder(tiny_ce).model) == {OneDnnLinear}
    causal, _ = load_causal_model(plain(tmp_path, "qwen3", use="causal")[0])
    assert linear_layers(causal) == {OneDnnLinear}


def test_another_processor_changes_nothing(monkeypatch, tiny_be, taken):
    monkeypatch.setattr(products, "onednn_is_faster", lambda: False)
    assert linear_layers(load_bi_encoder(tiny_be)) == {nn.Linear}
    rows = torch.randn(16, 24)
    assert torch.equal(product(rows, rows), rows @ rows.T)
    assert taken == []


@needs_onednn
@pytest.mark.parametrize(("n", "m", "used"), [(1, 8, True), (64, 100, True), (5, 7, False), (0, 8, False)])
def test_a_product_of_embeddings(n, m, used, taken):
    torch.manual_seed(0)
    rows, columns = torch.randn(n, 24), torch.randn(m, 24)
    torch.testing.assert_close(product(rows, columns), rows @ columns.T, rtol=1e-5, atol=1e-5)
    assert bool(taken) == used
    halves = product(rows.half(), columns.half())
    assert halves.dtype == torch.float16
    assert len(taken) == used


@pytest.mark.parametrize(
    ("cpuinfo", "named", "capability", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\n", "", "AVX512", True),
        ("vendor_id\t: AuthenticAMD\n", "", "AVX2", False),
        ("vendor_id\t: GenuineIntel\n", "", "AVX512", False),
        ("", "", "DEFAULT", False),
        (None, "AMD64 Family 26 Model 2, AuthenticAMD", "AVX512", True),  # a system without cpuinfo
        (None, "AMD64 Family 26 Model 2, GenuineIntel", "AVX512", False),
    ],
)
def test_which_processors(monkeypatch, cpuinfo, named, capability, expected):
    def read(_):
        if cpuinfo is None:
            raise FileNotFoundError
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(platform, "processor", lambda: named)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    for library in (torch.backends.mkl, torch.backends.mkldnn):
        monkeypatch.setattr(library, "is_available", lambda: True)
    assert onednn_is_faster.__wrapped__() is expected
