"""Kept indexes: built once, whole, checked against the corpus."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from rdtools.core import atomic, checked_folder, checksums
from rdtools.core.checked_folder import load_index
from rdtools.core.errors import RdError
from rdtools.data.corpus import Corpus
from rdtools.search.index_folder import index_folder, load_or_build
from rdtools.search.options import IndexOptions


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
        IndexOptions(index=str(directory)),
        "toy",
        settings or {"k": 1},
        Corpus([(corpus, "text")]),
        build,
        str,
        save,
        lambda f: (f / "data").read_text(),
    )


def save_text(index: str, folder: Path) -> None:
    (folder / "data").write_text(index)


def test_built_once_and_reused(tmp_path):
    built: list[str] = []
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


DAMAGES = {
    "data": {
        b"": "data has 0 bytes, not 5",
        b"index and more": "data has 14 bytes, not 5",
        b"indey": "data was changed",
        None: r"\[Errno 2\] No such file or directory: .*",
    },
    "manifest.json": {
        b"": "Expecting value: line 1 column 1 .*",
        b"[]": "'list' object has no attribute 'get'",
        b'{"layout": 2, "kind": "toy", "settings": {"k": 1}, "corpus": "CORPUS"}': "no 'checksum'",
        None: r"\[Errno 2\] No such file or directory: .*",
    },
}


@pytest.mark.parametrize(("name", "content"), [(name, to) for name, all in DAMAGES.items() for to in all])
def test_damage_is_named_and_a_rebuild_offered(tmp_path, name, content):
    keep(tmp_path)
    folder = index_folder(str(tmp_path), "toy", {"k": 1})
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content.replace(b"CORPUS", Corpus([("c1", "text")]).fingerprint.encode()))
    says = rf"index {folder}: it is damaged: {DAMAGES[name][content]} \(remove it to build it again\)"
    with pytest.raises(RdError, match=f"^{says}$"):
        keep(tmp_path)


def test_a_manifest_that_was_changed_is_damage(tmp_path):
    keep(tmp_path)
    file = index_folder(str(tmp_path), "toy", {"k": 1}) / "manifest.json"
    file.write_text(file.read_text().replace('"documents": 1', '"documents": 2'))
    with pytest.raises(RdError, match=r"it is damaged: manifest.json was changed \(remove it"):
        keep(tmp_path)


def test_of_a_large_file_a_sample_is_compared_and_all_bytes_with_verify(tmp_path, monkeypatch):
    """The sample has the first and the last bytes, and its blocks are spread evenly."""
    monkeypatch.setattr(checked_folder, "_WHOLE", 100)
    monkeypatch.setattr(checksums, "_BLOCK", 10)
    monkeypatch.setattr(checksums, "_BLOCKS", 5)
    value = "".join(chr(97 + n % 26) for n in range(1000))
    keep(tmp_path, value=value)
    folder = index_folder(str(tmp_path), "toy", {"k": 1})
    seen = set()
    for place in range(0, 1000, 5):
        (folder / "data").write_text(value[:place] + "X" + value[place + 1 :])
        with pytest.raises(RdError, match="data was changed"):
            load_index(folder, str, verify=True)
        try:
            load_index(folder, str)
        except RdError:
            seen.add(place)
    assert seen == {0, 5, 250, 255, 495, 500, 745, 750, 990, 995}  # blocks at 0, 247, 495, 742 and 990
    (folder / "data").write_text(value[:-1])
    with pytest.raises(RdError, match="data has 999 bytes, not 1,000"):
        load_index(folder, str)


def test_an_index_is_handed_to_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    rename, fsync = Path.rename, os.fsync

    def synced(descriptor):
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def renamed(old, new):
        events.append("RENAME")
        return rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    keep(tmp_path / "index")
    part = index_folder("", "toy", {"k": 1}).name
    before, after = events[: events.index("RENAME")], events[events.index("RENAME") + 1 :]
    assert sorted(before) == sorted(["data", "manifest.json", f".{part}.{os.getpid()}.part"])
    assert after == ["index"]


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    with pytest.raises(RdError, match="cannot write: No space left on device"):
        keep(tmp_path, fail=True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path):
    folder = index_folder(str(tmp_path), "toy", {"k": 1})
    (tmp_path / f".{folder.name}.{os.getpid()}.part").mkdir()
    assert keep(tmp_path) == keep(tmp_path, value="other") == "index"
    assert list(tmp_path.iterdir()) == [folder]


def test_the_slower_of_two_builders_takes_the_other_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "fcntl", None)  # a system without locks
    folder = index_folder(str(tmp_path), "toy", {"k": 1})

    def build():
        keep(tmp_path, value="faster")
        return "slower"

    index = load_or_build(
        IndexOptions(index=str(tmp_path)),
        "toy",
        {"k": 1},
        Corpus([("c1", "text")]),
        build,
        str,
        save_text,
        lambda f: (f / "data").read_text(),
    )
    assert index == "faster"  # the same index, by its settings
    assert (folder / "data").read_text() == "faster"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["corpus"], manifest["documents"]) == (Corpus([("c1", "text")]).fingerprint, 1)
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_builders_at_once_one_waits(tmp_path):
    built: list[str] = []
    started, go_on = threading.Event(), threading.Event()

    def slow_build():
        started.set()
        assert go_on.wait(10)
        return "slow"

    def slow():
        return load_or_build(
            IndexOptions(index=str(tmp_path)), "toy", {"k": 1}, Corpus([("c1", "text")]), slow_build, str,
            save_text, lambda f: (f / "data").read_text(),
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
