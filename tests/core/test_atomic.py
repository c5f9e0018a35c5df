"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from rdtools.core import atomic
from rdtools.core.atomic import beside, clean_up, locked, replace_folder, restore_folder, sync
from rdtools.core.errors import RdError


def make(folder, content="new"):
    folder.mkdir(exist_ok=True)
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
        with beside(tmp_path / "out", folder=True) as path:
            assert path == part
            assert names(path) == []
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
    restore_folder(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "data").read_text() == "old"


def test_after_a_kill_behind_the_renames_the_old_folder_goes_and_what_was_added_stays(tmp_path):
    make(tmp_path / "model", "new")
    (make(tmp_path / ".model.1.old", "old") / "notes").write_text("mine")
    restore_folder(tmp_path / "model", lambda old: [Path("notes")])
    assert names(tmp_path) == ["model"]
    assert [(tmp_path / "model" / name).read_text() for name in ("data", "notes")] == ["new", "mine"]


def test_what_was_added_to_a_folder_never_replaces_what_is_new(tmp_path):
    folder = make(tmp_path / "model", "added")
    (folder / "sub").mkdir()
    (folder / "sub" / "notes").write_text("mine")
    folder.chmod(0o750)
    replace_folder(folder, make(tmp_path / ".model.1.part"), lambda old: [Path("data"), Path("sub", "notes")])
    found = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {"data": "new", "data.1": "added", "notes": "mine"}
    assert (folder / "sub" / "notes").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(tmp_path, folder):
    """A process that is alive holds a lock on its part; the number in the name tells nothing."""
    target, others = tmp_path / "out", (".out.x.part", ".out.backup", ".output.1.part")
    for name in others:
        (tmp_path / name).write_text("of somebody else")
    if folder:
        make(tmp_path / ".out.1.part")
    else:
        (tmp_path / ".out.1.part").write_text("left")
    with beside(target, folder=folder) as alive:
        kept = alive.rename(tmp_path / ".out.2.part")
        with beside(target) as path:
            assert names(tmp_path) == sorted([*others, kept.name, path.name])
    assert names(tmp_path) == sorted([*others, kept.name])


def test_a_name_may_be_as_long_as_a_file_system_allows(tmp_path):
    target = tmp_path / ("ö" * 120 + "x" * 15)  # 255 bytes
    with beside(target) as part:
        part.write_text("whole")
        part.rename(target)
    assert os.listdir(tmp_path) == [target.name]
    with beside(tmp_path / ("ö" * 120 + "y" * 15)) as other:
        assert other.name != part.name


def test_a_lock_is_held_by_one_and_leaves_no_file(tmp_path):
    folder = tmp_path / "new" / "model"

    def another():
        with locked(folder, "busy", wait=False):
            pytest.fail("two hold it")

    for _ in range(2):
        with locked(folder, "busy", wait=False), pytest.raises(RdError, match=r"^busy$"):
            another()
        assert names(tmp_path / "new") == []


def test_who_waits_for_a_lock_gets_it_though_its_file_was_removed(tmp_path, caplog):
    folder, inside, leave = tmp_path / "model", threading.Event(), threading.Event()
    caplog.set_level("INFO")

    def wait():
        with locked(folder, "busy: waiting", wait=True):
            inside.set()
            leave.wait(10)

    waiter = threading.Thread(target=wait)
    with locked(folder, "busy", wait=False):
        waiter.start()
        late = time.monotonic() + 10
        while "busy: waiting" not in caplog.text and time.monotonic() < late:
            time.sleep(0.001)
        assert "busy: waiting" in caplog.text
        assert not inside.wait(0.05)
    assert inside.wait(10)
    with pytest.raises(RdError, match=r"^busy$"), locked(folder, "busy", wait=False):
        pytest.fail("two hold it")
    leave.set()
    waiter.join()
    assert names(tmp_path) == []


def test_a_folder_is_synced_with_all_that_it_holds(tmp_path, monkeypatch):
    """A power failure cannot be tried: what is written must be handed to the disk before the rename."""
    (make(tmp_path / "model") / "sub").mkdir()
    (tmp_path / "model" / "sub" / "more").write_text("x")
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    sync(tmp_path / "model")
    inodes = [path.stat().st_ino for path in (tmp_path / "model", *(tmp_path / "model").rglob("*"))]
    assert sorted(synced) == sorted(inodes)


class Stopped(BaseException):
    """What a signal raises."""


def stop_at(number, action):
    """Run `action`; raise before the `number`th instruction of it that belongs to atomic.py or contextlib.

    Clean up as a command does, while the exception still holds what it has cut off. Return whether it came.
    """
    left = number

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in (atomic.__file__, contextlib.__file__):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                raise Stopped
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except Stopped:
        sys.settrace(before)
        clean_up()
        return True
    finally:
        sys.settrace(before)
    return False


def every_stop(action, prepare, check):
    """Stop `action` at each of its instructions, after `prepare`, and `check`; return how many there were."""
    open_before = {*os.listdir("/dev/fd")}
    number = 0
    came = True
    while came:
        number += 1
        prepare()
        came = stop_at(number, action)
        check(number, came)
    gc.collect()
    for left in {*os.listdir("/dev/fd")} - open_before:  # a command's are closed by its end
        with contextlib.suppress(OSError):  # that of the list itself
            os.close(int(left))
    return number


def test_a_signal_at_any_moment_leaves_no_half_file(tmp_path):
    target = tmp_path / "out"
    found = set()

    def act():
        with beside(target) as part:
            part.write_text("new")
            os.replace(part, target)

    def check(number, came):
        assert names(tmp_path) == ["out"], number
        found.add((target.read_text(), came))

    assert every_stop(act, lambda: target.write_text("old"), check) > 200
    assert found == {("old", True), ("new", True), ("new", False)}


def test_a_signal_at_any_moment_leaves_no_half_folder_and_what_was_added(tmp_path):
    target = tmp_path / "out"
    found = set()

    def added(old):
        return [file for file in [Path("mine", "data")] if (old / file).exists()]

    def act():
        with beside(target, folder=True) as part:
            make(part)
            replace_folder(target, part, added)

    def check(number, came):
        assert names(tmp_path) == ["out"], number
        assert (target / "mine" / "data").read_text() == "kept", number
        found.add(((target / "data").read_text(), came))

    assert every_stop(act, lambda: make(make(target, "old") / "mine", "kept"), check) > 400
    assert found == {("old", True), ("new", True), ("new", False)}


def test_a_signal_at_any_moment_leaves_no_lock(tmp_path):
    left = []

    def act():
        with locked(tmp_path / "out", "busy", wait=False):
            pass

    def check(number, came):
        left.extend([number] * len(names(tmp_path)))
        act()  # nobody holds it
        assert names(tmp_path) == [], number

    assert every_stop(act, lambda: None, check) > 100
    assert len(left) < 16, left  # instructions between the call that makes the file and the note of it
