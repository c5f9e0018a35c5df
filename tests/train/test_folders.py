"""The output folder of rd-train after kills and on full disks."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from test_trainer import CPU, be, check_folder, output_folder, trainer

from rdtools.core.atomic import replace_folder
from rdtools.core.errors import RdError
from rdtools.train.options import TrainingOutput
from rdtools.train.students import BiEncoderStudent

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def one(tiny_be):
    return trainer(BiEncoderStudent(be(tiny_be, layers="1"), CPU), max_steps=1)


def folder_of(one, path):
    return output_folder(one, TrainingOutput(output=path))


def test_of_several_checkpoints_the_newest_is_resumed(one, tmp_path):
    """A process killed after it wrote one leaves the older ones; 10 is after 9, though not as a name."""
    target = folder_of(one, tmp_path / "out")
    assert target.newest_checkpoint() is None
    for name in ("step-2", "step-10", "step-9", "step-", "step-11a", "step-1.5", "other-12"):
        (tmp_path / "out" / "checkpoints" / name).mkdir(parents=True)
    assert target.newest_checkpoint() == tmp_path / "out" / "checkpoints" / "step-10"


def test_a_swap_that_was_interrupted_is_undone(tmp_path, monkeypatch):
    """An interrupt between the renames: of the old folder to another name, and of the new one to its name."""
    for name in ("out", ".out.1.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_text(name)
    rename = Path.rename

    def interrupted(self, target):
        if self.name == ".out.1.part":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "out", tmp_path / ".out.1.part")
    assert (tmp_path / "out" / "data").read_text() == "out"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.1.part", "out"]


def test_a_model_whose_process_was_killed_in_the_swap_is_found_again(tmp_path):
    (tmp_path / ".out.1.old").mkdir()
    (tmp_path / ".out.1.old" / "rd-train.json").write_text("{}")
    with pytest.raises(RdError, match=r"out already contains a trained model \(--overwrite replaces it\)$"):
        check_folder(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("write", ["save", "save_checkpoint", "state"])
def test_a_disk_that_is_full_is_one_line_and_leaves_the_older_files(one, tmp_path, write, monkeypatch):
    """safetensors writes models and torch the state of a checkpoint, each with errors of its own."""
    if write == "state":
        monkeypatch.setattr("rdtools.train.trainer.save_model", lambda *_: None)
    list(one.run())
    target = folder_of(one, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "older").touch()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, limits[1]))  # bytes of a file
    try:
        with pytest.raises(RdError) as error:
            target.save(one, {}) if write == "save" else target.save_checkpoint(one)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    place = tmp_path / "out" if write == "save" else tmp_path / "out" / "checkpoints" / "step-1"
    assert str(error.value).startswith(f"{place}: cannot write: ")
    assert str(error.value).endswith(" (is the disk full?)")
    assert "\n" not in str(error.value)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left - {"out/checkpoints"} == {"out", "out/older"}
