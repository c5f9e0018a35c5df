"""Fingerprints of models: of those in the hub's cache, and of files that trade places."""

from __future__ import annotations

import shutil

import pytest

from rdtools.core.errors import RdError
from rdtools.models.loading import fingerprint


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache, name, files):
    """Put a model into the cache as the hub's library does: blobs, and a snapshot that links to them."""
    model = cache / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    for folder in ("blobs", "refs", f"snapshots/{commit}"):
        (model / folder).mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    for number, (file, content) in enumerate(files.items()):
        (model / "blobs" / str(number)).write_text(content)
        (model / "snapshots" / commit / file).symlink_to(f"../../blobs/{number}")


FILES = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": ""}


def folder_of(path, files):
    path.mkdir()
    for name, content in files.items():
        (path / name).write_text(content)
    return str(path)


def test_a_model_of_the_hub_has_the_fingerprint_of_its_files(cache, tmp_path):
    own = folder_of(tmp_path / "own", FILES)
    for name in ("someone/model", "sentence-transformers/another"):
        put(cache, name, FILES)
    assert fingerprint("someone/model") == fingerprint(own)
    assert fingerprint("another") == fingerprint(own)  # sentence-transformers finds it by its short name
    shutil.rmtree(cache / "models--someone--model")
    put(cache, "someone/model", {**FILES, "model.safetensors": "others"})
    assert fingerprint("someone/model") != fingerprint(own)
    with pytest.raises(RdError, match=r"^model someone/else: its files are not in the cache$"):
        fingerprint("someone/else")


def test_the_names_of_files_count(tmp_path):
    """Their bytes one after another are the same."""
    moved = {**FILES, "config.json": "", "tokenizer.json": "{}"}
    turned = {"config.json": "{}", "model.safetensors": "weights", "vocab.txt": ""}
    found = [
        fingerprint(folder_of(tmp_path / str(place), files))
        for place, files in enumerate((FILES, moved, turned))
    ]
    assert len(set(found)) == 3
