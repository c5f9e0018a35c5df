"""Processes of torchrun: alone they change nothing; a group of one adds and hands on as larger ones do."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
import torch
from test_trainer import be, trainer

from rdtools.core.errors import RdError, UsageError
from rdtools.models.options import ModelOptions
from rdtools.train.run import train_student
from rdtools.train.students import BiEncoderStudent
from rdtools.train.torchrun import Processes, Torchrun, join


@pytest.fixture
def environment(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = {
        "RANK": 0,
        "LOCAL_RANK": 0,
        "WORLD_SIZE": 1,
        "LOCAL_WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def fail():
    raise RdError("the input is empty")


def test_without_torchrun_there_is_one_process():
    processes = join("cpu")
    assert type(processes) is Processes
    assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
    tensor = torch.ones(2)
    processes.all_reduce([tensor])
    assert tensor.tolist() == [1, 1]
    assert processes.from_main(lambda: 5) == 5
    with pytest.raises(RdError, match="the input is empty"):
        processes.from_main(fail)


def test_a_group_keeps_shapes_and_hands_on_what_the_main_one_makes(environment):
    processes = Torchrun(torch.device("cpu"))
    try:
        tensors = [torch.arange(6.0).reshape(2, 3), torch.tensor(7.0)]
        expected = [tensor.clone() for tensor in tensors]
        processes.all_reduce(tensors)
        torch.testing.assert_close(tensors, expected)
        assert processes.from_main(lambda: {"a": [1]}) == {"a": [1]}
        with pytest.raises(RdError, match="the input is empty"):
            processes.from_main(fail)
    finally:
        torch.distributed.destroy_process_group()


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
    with pytest.raises(UsageError) as error:
        join("cpu")
    assert str(error.value) == says


def test_several_machines_are_refused(environment, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(
        UsageError, match=r"^the processes of torchrun must be on one machine \(--nnodes 1\)$"
    ):
        join("cpu")


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
