"""Kept indexes: built once, whole, checked against the corpus."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from rdtools.core.errors import RdError
from rdtools.data.corpus import Corpus
from rdtools.search import index_folder as module
from rdtools.search.index_folder import index_folder, load_or_build


def keep(directory, corpus="c1", settings=None, built=None, value="index", fail=False):
    def build():
        if built is not None:
            built.append(value)
        return value

    def save(index, folder):
        (folder / "data").write_text(index)
        if fail:
            raise OSError(28, "No space left on device")

    return load_or_build(
        str(directory),
        "toy",
        settings or {"k": 1},
        Corpus([(corpus, "text")]),
        build,
        save,
        lambda f: (f / "data").read_text(),
    )


def test_built_once_and_reused(tmp_path):
    built = []
    assert keep(tmp_path / "new" / "dir", built=built) == "index"
    assert keep(tmp_path / "new" / "dir", built=built) == "index"
    assert built == ["index"]


def test_other_settings_stand_beside(tmp_path):
    keep(tmp_path, settings={"k": 1}, value="one")
    keep(tmp_path, settings={"k": 2}, value="two")
    assert keep(tmp_path, settings={"k": 1}) == "one"
    assert len(list(tmp_path.iterdir())) == 2


def test_another_corpus_is_named_never_used(tmp_path):
    keep(tmp_path)
    with pytest.raises(
        RdError, match=r"index .*/toy-\w+: it was built from another corpus \(give another --index"
    ):
        keep(tmp_path, corpus="c2")


def test_damage_is_named(tmp_path):
    keep(tmp_path)
    folder = index_folder(str(tmp_path), "toy", {"k": 1})
    (folder / "data").unlink()
    with pytest.raises(RdError, match=r"it is damaged: .*remove it"):
        keep(tmp_path)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(RdError, match="it is damaged"):
        keep(tmp_path)


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    with pytest.raises(RdError, match="cannot write: No space left on device"):
        keep(tmp_path, fail=True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path):
    folder = index_folder(str(tmp_path), "toy", {"k": 1})
    (tmp_path / f".{folder.name}.{os.getpid()}.part").mkdir()
    assert keep(tmp_path) == keep(tmp_path, value="other") == "index"
    assert list(tmp_path.iterdir()) == [folder]


def test_the_slower_of_two_builders_keeps_the_other_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fcntl", None)  # a system without locks
    folder = index_folder(str(tmp_path), "toy", {"k": 1})

    def build():
        keep(tmp_path, value="faster")
        return "slower"

    index = load_or_build(
        str(tmp_path),
        "toy",
        {"k": 1},
        Corpus([("c1", "text")]),
        build,
        lambda i, f: (f / "data").write_text(i),
        None,
    )
    assert index == "slower"  # the same index, by its settings
    assert (folder / "data").read_text() == "faster"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["corpus"], manifest["documents"]) == (Corpus([("c1", "text")]).fingerprint, 1)
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_builders_at_once_one_waits(tmp_path):
    built, started, go_on = [], threading.Event(), threading.Event()

    def slow_build():
        started.set()
        assert go_on.wait(10)
        return "slow"

    def slow():
        return load_or_build(
            str(tmp_path), "toy", {"k": 1}, Corpus([("c1", "text")]), slow_build,
            lambda index, folder: (folder / "data").write_text(index), lambda f: (f / "data").read_text(),
        )  # fmt: skip

    with ThreadPoolExecutor() as pool:
        first = pool.submit(slow)
        assert started.wait(10)
        second = pool.submit(keep, tmp_path, built=built)
        assert not wait([second], timeout=0.2).done
        go_on.set()
        assert (first.result(10), second.result(10)) == ("slow", "slow")
    assert built == []
    assert list(tmp_path.iterdir()) == [index_folder(str(tmp_path), "toy", {"k": 1})]
