"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os

import pytest

from rdtools.core.atomic import beside, replace_folder, restore_folder
from rdtools.core.errors import RdError


def make(folder, content="new"):
    folder.mkdir()
    (folder / "data").write_text(content)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("left", ["file", "folder", None])
def test_what_a_block_did_not_rename_goes_and_so_does_what_was_left(tmp_path, left):
    part = tmp_path / f".out.{os.getpid()}.part"
    if left == "file":
        part.write_text("left")
    elif left == "folder":
        make(part)

    def interrupted():
        with beside(tmp_path / "out") as path:
            assert path == part
            assert names(tmp_path) == []
            make(path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []
    with beside(tmp_path / "out") as path:
        path.write_text("whole")
        path.rename(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_a_folder_is_replaced(tmp_path):
    folder = tmp_path / "model"
    replace_folder(folder, make(tmp_path / ".model.1.part", "first"))
    replace_folder(folder, make(tmp_path / ".model.1.part", "second"))
    assert (folder / "data").read_text() == "second"
    assert names(tmp_path) == ["model"]


def test_a_folder_that_cannot_be_replaced_stays_and_the_new_one_is_kept(tmp_path, monkeypatch):
    folder, new = make(tmp_path / "model", "old"), make(tmp_path / ".model.1.part")
    rename = type(new).rename

    def refuse(self, target):
        if target == folder and self == new:
            raise OSError(16, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(type(new), "rename", refuse)
    kept = tmp_path / f"model.{os.getpid()}"
    with pytest.raises(RdError) as raised:
        replace_folder(folder, new)
    assert str(raised.value) == (
        f"{folder}: cannot be replaced: Device or resource busy (the new one is {kept})"
    )
    assert (folder / "data").read_text() == "old"
    assert (kept / "data").read_text() == "new"


def test_a_folder_comes_back_after_a_kill_between_the_renames(tmp_path):
    make(tmp_path / ".model.1.old", "old")
    make(tmp_path / ".model.1.part")
    restore_folder(tmp_path / "model", clean=False)
    assert names(tmp_path) == [".model.1.part", "model"]
    restore_folder(tmp_path / "model", clean=True)
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "data").read_text() == "old"
