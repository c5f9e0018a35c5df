"""Processes of torchrun: alone they change nothing; a group of one adds and hands on as larger ones do."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import pytest
import torch
from test_trainer import be, output_folder, trainer
from torch import distributed

from rdtools.core import log
from rdtools.core.errors import RdError, UsageError
from rdtools.data.collection import Collection
from rdtools.models.options import ModelOptions
from rdtools.train.dev import DevOptions
from rdtools.train.inputs import read_inputs
from rdtools.train.losses.objective import objective
from rdtools.train.options import GroupOptions, TrainingInput, TrainingOutput
from rdtools.train.run import train_student
from rdtools.train.students import BiEncoderStudent
from rdtools.train.torchrun import Processes, Torchrun, join
from rdtools.train.weights import ShardedWeights

LOST = (
    "another process has ended, or has not answered for {} s (its own message or the report of torchrun says why; "
    "--resume goes on from the last checkpoint)"
)


@pytest.mark.parametrize(
    "error", [distributed.DistBackendError("closed"), torch.cuda.OutOfMemoryError("full")]
)
def test_what_no_file_is_to_blame_for_is_not_called_damage(tmp_path, tiny_be, monkeypatch, error):
    one = trainer(BiEncoderStudent(be(tiny_be), ModelOptions(device="cpu")))
    folder = output_folder(one, TrainingOutput(output=tmp_path / "out"))
    folder.save_checkpoint(one)

    def fail(*arguments):
        raise error

    monkeypatch.setattr(one, "load_checkpoint", fail)
    with pytest.raises(type(error)):
        folder.resume(one)
    monkeypatch.setattr(one, "save_checkpoint", fail)
    says = "closed" if isinstance(error, distributed.DistError) else "step-0: cannot write: full"
    with pytest.raises(RuntimeError if says == "closed" else RdError, match=says):
        folder.save_checkpoint(one)


def test_only_the_main_process_keeps_the_whole_optimiser():
    own = ShardedWeights.__new__(ShardedWeights)
    state = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [1]}
    for is_main, kept in ((True, [0]), (False, [])):
        vars(own)["_processes"] = SimpleNamespace(is_main=is_main)
        assert [*own.gathered(state)["state"]] == kept


def test_records_do_not_stay_if_no_query_is_held_back(tmp_path, tiny_be, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "records.jsonl"
    docs = [{"doc_id": str(n), "text": "a", "score": float(n), "relevance": n} for n in (0, 1)]
    file.write_text(json.dumps({"query_id": "q", "query": "b", "score_scale": "logit", "docs": docs}))
    source = TrainingInput(files=(str(file),))
    with pytest.raises(RdError, match="was held back"):
        read_inputs(
            source,
            Collection(),
            objective("kl"),
            GroupOptions(),
            True,
            DevOptions(dev_share=1e-6),
            be(tiny_be),
        )
    assert [*tmp_path.iterdir()] == [file]


@pytest.fixture
def environment(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr(log, "last_words", log.last_words)  # it is as before after the test
    values = {
        "RANK": 0,
        "LOCAL_RANK": 0,
        "WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def fail():
    raise RdError("the input is empty")


def test_without_torchrun_there_is_one_process(tmp_path):
    with join("cpu") as processes:
        assert type(processes) is Processes
        assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
        tensor = torch.ones(2)
        processes.all_reduce([tensor])
        processes.spread([tensor])
        assert tensor.tolist() == [1, 1]
        assert processes.gather(tensor, [1]).tolist() == [1]
        assert processes.from_main(lambda: 5) == 5
        with pytest.raises(RdError, match="the input is empty"):
            processes.from_main(fail)
        with pytest.raises(RuntimeError, match=r"^size mismatch$"), join("cpu"):
            raise RuntimeError("size mismatch")


def test_a_group_keeps_shapes_and_hands_on_what_the_main_one_makes(environment, tmp_path):
    processes = Torchrun(torch.device("cpu"))
    try:
        tensors = [torch.arange(6.0).reshape(2, 3), torch.tensor(7.0)]
        expected = [tensor.clone() for tensor in tensors]
        processes.all_reduce(tensors)
        processes.spread(tensors)
        torch.testing.assert_close(tensors, expected)
        assert processes.gather(tensors[0], [1]).tolist() == [[0, 1, 2]]  # the second row is nobody's
        assert processes.from_main(lambda: {"a": [1]}) == {"a": [1]}
        with pytest.raises(RdError, match="the input is empty"):
            processes.from_main(fail)
        (tmp_path / "file").write_text("records")
        with processes.at_hand(tmp_path / "file") as file:
            assert file.read_text() == "records"
        assert log.last_words("terminated") == (
            "terminated (by torchrun, if another process has failed; its report says which)"
        )
        processes._store.add("last words", 1)
        assert log.last_words("the disk is full") == "the disk is full"  # this process was the first to speak
        processes._speaks = None
        assert log.last_words("the disk is full") is None
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "error",
    [torch.distributed.DistBackendError("NCCL error"), RuntimeError("[gloo/pair.cc:5] Connection closed")],
)
def test_a_process_that_is_lost_is_one_line(environment, monkeypatch, error):
    monkeypatch.setattr("rdtools.train.torchrun.Torchrun", lambda device, timeout: Processes(device))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RdError) as ended, join("cpu", timeout=90):
        raise error
    assert str(ended.value) == LOST.format(90)


@pytest.mark.parametrize(
    ("name", "value"), [("RANK", ""), ("WORLD_SIZE", "two"), ("LOCAL_RANK", "x"), ("MASTER_ADDR", "")]
)
def test_half_an_environment_of_torchrun_is_named(environment, monkeypatch, name, value):
    """Schedulers of clusters set WORLD_SIZE too."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, value)
    size = value if name == "WORLD_SIZE" else "2"
    says = (
        f"WORLD_SIZE is {size!r}, but {name} is {value!r} (start rd-train with torchrun, or unset WORLD_SIZE)"
    )
    with pytest.raises(UsageError) as error, join("cpu"):
        pass
    assert str(error.value) == says


class Other(Processes):
    """Process 1 of 2, whose partner adds nothing."""

    rank, world_size = 1, 2


@pytest.mark.parametrize(
    ("processes", "saved"), [(Processes(), ["step 1", "step 2", "the model"]), (Other(), [])]
)
def test_of_several_processes_the_main_one_saves(tiny_be, tmp_path, processes, saved):
    """Several that write one folder would take each other's files away."""
    one = trainer(
        BiEncoderStudent(be(tiny_be, layers="1"), ModelOptions(device="cpu")),
        processes=processes,
        max_steps=3,
    )
    calls = []
    folder = SimpleNamespace(
        options=SimpleNamespace(log_steps=1, save_steps=1, output=tmp_path / "out"),
        save_checkpoint=lambda own: calls.append(f"step {own.progress.step}"),
        save=lambda own, result: calls.append("the model"),
    )
    rows = list(train_student(one, folder))
    assert [row["step"] for row in rows[:-1]] == [1, 2, 3]
    assert calls == saved
    assert not any(tmp_path.iterdir())
