"""Processes of torchrun: they train the model of one, on one machine or two, and end together."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed.fsdp
from conftest import BIN, WORDS
from processes import Case, check_equal, environments, free_port, in_processes
from safetensors.torch import load_file
from warm import FILE_SIZE

from rdtools.train.losses.table import LOSSES

pytestmark = pytest.mark.slow
ALONE = (
    "rd-train: another process has ended, or has not answered for {} s (its own message or the report of torchrun "
    "says why; --resume goes on from the last checkpoint)"
)
STOPPED = "rd-train: terminated (by torchrun, if another process has failed; its report says which)"


def records(count=11, docs=4):
    rows = [
        {
            "query_id": f"q{q}",
            "query": WORDS[q],
            "score_scale": "logit",
            "docs": [
                {
                    "doc_id": f"d{q}-{d}",
                    "text": " ".join(WORDS[q + d : q + 3 * d + 4]),
                    "score": float(-d),
                    "relevance": int(d == 0),
                }
                for d in range(docs - q % 2)
            ],
        }
        for q in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def options(tiny_be, tmp_path):
    (tmp_path / "records.jsonl").write_text(records())
    return [
        "records.jsonl", "--student", f"be:{tiny_be}", "--layers", "1", "--loss", "kl+0.2*lce", "--batch-size", "3",
        "--max-steps", "40", "--no-dropout", "--lr", "3e-4", "--device", "cpu", "--log-steps", "1",
    ]  # fmt: skip


def same_weights(one: Path, other: Path) -> None:
    weights = load_file(other / "model.safetensors")
    for name, tensor in load_file(one / "model.safetensors").items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-5, rtol=1e-4, msg=name)


def torchrun(processes: int, *more: str) -> list[object]:
    return [BIN / "torchrun", "--nproc-per-node", str(processes), *more, "--no-python", BIN / "rd-train"]


def rank_of(pid: str) -> str | None:
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next((each[len("RANK=") :] for each in variables if each.startswith("RANK=")), None)


def kill_at(step: int, agent: subprocess.Popen[str], rank: int) -> None:
    """Kill the process of a rank that torchrun has started, as soon as the run has made so many steps."""
    assert agent.stdout is not None
    agent.stdout.readline()
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    (process,) = (int(pid) for pid in children if rank_of(pid) == str(rank))
    while json.loads(agent.stdout.readline())["step"] < step:
        pass
    os.kill(process, signal.SIGKILL)


def own_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("rd-train: ")]


@pytest.mark.parametrize("part", range(3))
def test_two_processes_minimise_each_loss_as_one_does(part, warm, tmp_path, tiny_be):
    cases: dict[str, Case] = {f"be {loss}": {} for loss in [*LOSSES][part::3]}
    for name, found in in_processes(2, cases, {"be": tiny_be}, warm, tmp_path).items():
        check_equal(found, name)


@pytest.mark.parametrize("fsdp", [False, True])
def test_three_processes_train_each_kind_of_student_as_one_does(
    fsdp, warm, tmp_path, tiny_be, tiny_ce, tiny_sparse
):
    if fsdp and not hasattr(torch.distributed.fsdp, "fully_shard"):
        pytest.skip("shards need torch 2.6")
    cases: dict[str, Case] = {
        "be kl+0.2*infonce cached": {"options": {"mini_batch_size": 2, "accumulate": 2}},
        "be mse one": {"options": {"batch_size": 1, "max_steps": 3, "epochs": None}},
        "ce ranknet cached": {"options": {"mini_batch_size": 2}},
        "sparse infonce+kl": {},
        "be infonce+embedding": {},
    }
    if not fsdp:
        cases["be infonce learned"] = {"shape": {"scale": "learned"}}
    models = {"be": tiny_be, "ce": tiny_ce, "sparse": tiny_sparse}
    cases = {name: {**case, "fsdp": fsdp} for name, case in cases.items()}
    for name, found in in_processes(3, cases, models, warm, tmp_path).items():
        check_equal(found, name)


def test_a_late_interaction_model_is_trained_as_by_one(warm, tmp_path, tiny_be):
    pytest.importorskip("sentence_transformers.multi_vector_encoder")
    cases: dict[str, Case] = {
        "colbert kl": {},
        "colbert infonce": {"options": {"mini_batch_size": 3}},
        "colbert infonce shards": {"fsdp": True},
    }
    for name, found in in_processes(2, cases, {"colbert": tiny_be}, warm, tmp_path).items():
        check_equal(found, name)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_and_others_go_on_from_its_checkpoint(run, options, tmp_path, rank):
    run("rd-train", *options, "-o", "whole", "--dev-share", "0.3", check=True)
    arguments = [*options, "--dev-share", "0.3", "-o", "cut"]
    start = partial(subprocess.Popen, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with start([*torchrun(2), *arguments, "--save-steps", "2"]) as agent:
        kill_at(5, agent, rank)
        killed = time.monotonic()
        err = agent.communicate(timeout=60)[1]
        assert time.monotonic() - killed < 20
    assert agent.returncode != 0
    assert own_lines(err)[-1] in (ALONE.format(600), STOPPED)
    assert sum(line in (ALONE.format(600), STOPPED) for line in own_lines(err)) == 1
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["checkpoints"]
    shutil.copytree(tmp_path / "cut", tmp_path / "alone")
    alone = run("rd-train", *arguments[:-1], "alone", "--resume", check=True)
    assert "rd-train: resumed at step " in alone.stderr
    same_weights(tmp_path / "whole", tmp_path / "alone")
    shards = ["--fsdp"] if hasattr(torch.distributed.fsdp, "fully_shard") else []
    with start([*torchrun(3), *arguments, "--resume", *shards]) as many:
        out, err = many.communicate(timeout=120)
    assert many.returncode == 0, err
    assert err.count("rd-train: resumed at step ") == 1
    same_weights(tmp_path / "whole", tmp_path / "cut")
    last, expected = (
        json.loads(text.splitlines()[-1])
        for text in (out, (run("rd-train", *options, "-o", "whole", "--dev-share", "0.3", "--resume").stdout))
    )
    assert (last["dev"], last["dev_step"]) == (expected["dev"], expected["dev_step"])


def test_what_three_sharded_processes_saved_one_resumes(run, options, tmp_path, warm_bin):
    if not hasattr(torch.distributed.fsdp, "fully_shard"):
        pytest.skip("shards need torch 2.6")
    run("rd-train", *options, "-o", "whole", check=True)
    processes = [
        subprocess.Popen(
            [warm_bin / "rd-train", *options, "-o", "cut", "--save-steps", "2", "--fsdp"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for environment in environments(3)
    ]  # fmt: skip
    assert processes[0].stdout is not None
    for line in processes[0].stdout:
        if json.loads(line)["step"] == 7:
            break
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = run("rd-train", *options, "-o", "cut", "--resume", check=True)
    assert re.search("resumed at step (4|6|8) of 40", done.stderr), done.stderr
    same_weights(tmp_path / "whole", tmp_path / "cut")


def test_torchrun_goes_on_with_a_run_whose_process_was_killed(run, options, tmp_path):
    """A thread of torch can abort the interpreter's shutdown: here each shutdown of a process aborts."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os\nif 'RANK' in os.environ:\n    atexit.register(os.abort)\n"
    )
    run("rd-train", *options, "-o", "whole", check=True)
    command = [*torchrun(2, "--max-restarts", "1"), *options, "-o", "cut", "--save-steps", "2", "--resume"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as agent:  # fmt: skip
        kill_at(5, agent, 1)
        err = agent.communicate(timeout=120)[1]
    assert agent.returncode == 0, err
    assert "rd-train: resumed at step " in err
    same_weights(tmp_path / "whole", tmp_path / "cut")


def test_a_process_that_hangs_ends_the_run_after_the_timeout(options, tmp_path):
    processes = [
        subprocess.Popen(
            [BIN / "rd-train", *options, "-o", "out", "--process-timeout", "2", "--max-steps", "2000"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for environment in environments(2)
    ]  # fmt: skip
    first, second = processes
    assert first.stdout is not None
    first.stdout.readline()
    second.send_signal(signal.SIGSTOP)
    _, err = first.communicate(timeout=30)
    second.kill()
    second.communicate()
    assert first.returncode == 1
    assert err.splitlines()[-1] == ALONE.format(2)


def several(warm_bin, tmp_path, options, each, **signals):
    """Run processes with these environments; return the status and stderr of each, and stdout of the first."""
    processes = [
        subprocess.Popen(
            [warm_bin / "rd-train", *options],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for environment in each
    ]  # fmt: skip
    ended = [process.communicate(timeout=60) for process in processes]
    return [process.returncode for process in processes], [err for _, err in ended], ended[0][0]


def test_two_machines_share_only_the_output(run, options, tmp_path, warm_bin):
    """Each machine has its own temporary files; the records are in the first one's, and are sent."""
    run("rd-train", *options, "-o", "whole", check=True)
    places = [tmp_path / name for name in ("first", "second")]
    for place in places:
        place.mkdir()
    each = [
        {**environment, "TMPDIR": str(place)}
        for environment, place in zip(
            environments(4, machines=2), [places[0]] * 2 + [places[1]] * 2, strict=True
        )
    ]
    statuses, errors, _ = several(warm_bin, tmp_path, [*options, "-o", "both"], each)
    assert statuses == [0] * 4, errors
    assert errors[1:] == [""] * 3
    same_weights(tmp_path / "whole", tmp_path / "both")
    each = environments(2, machines=2)
    for environment, place in zip(each, places, strict=True):
        environment["TMPDIR"] = str(place)
    each[1][FILE_SIZE] = "100"
    statuses, errors, _ = several(warm_bin, tmp_path, [*options, "-o", "full"], each)
    assert all(statuses)
    assert sum("rd-train: another process" in error for error in errors) == 0
    assert own_lines(errors[1])[-1].endswith("cannot write: File too large (TMPDIR names another folder)")
    assert [[*place.iterdir()] for place in places] == [[], []]


def test_an_error_of_all_processes_is_one_line(options, tmp_path, warm_bin):
    wrong = [*options, "-o", "out", "--lr", "1e30", "--max-grad-norm", "1e30", "--warmup", "0"]
    statuses, errors, _ = several(warm_bin, tmp_path, wrong, environments(2))
    assert statuses == [1, 1]
    said = own_lines("".join(errors))
    assert [line for line in said if "the loss is nan (lower --lr)" in line] == said[-1:]
    (tmp_path / "bad.jsonl").write_text("{bad")
    statuses, errors, _ = several(
        warm_bin, tmp_path, ["bad.jsonl", *options[1:], "-o", "out"], environments(2)
    )
    assert statuses == [1, 1]
    says = "rd-train: bad.jsonl:1: not valid JSON: unexpected character, expected a string key"
    assert own_lines("".join(errors)) == [says]
    statuses, errors, _ = several(
        warm_bin, tmp_path, [*options, "-o", "out", "--scale", "learned", "--fsdp"], environments(2)
    )
    assert statuses == [2, 2]
    assert own_lines("".join(errors)) == ["rd-train: --fsdp needs a fixed --scale (a number, or the default)"]
    assert "".join(errors).count("Try 'rd-train --help' for help.\n") == 1


def test_the_recipe_for_slurm_trains_on_two_nodes(run, tmp_path, tiny_be, warm_bin):
    """srun starts the command on each node; here both nodes are this machine."""
    (tmp_path / "labelled.jsonl").write_text(records(40))
    commands = {
        "scontrol": "echo 127.0.0.1; sleep .2; echo 127.0.0.1",  # a reader that leaves early ends it
        "srun": 'shift; "$@" & first=$!; "$@"; wait $first',  # its own option first
        "rd-train": f'exec {warm_bin}/rd-train "$@" --no-dropout --device cpu --log-steps 1',
    }
    (tmp_path / "bin").mkdir()
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    slurm = {
        "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_ID": "7",
        "PATH": f"{tmp_path}/bin:{BIN}:{os.environ['PATH']}", "PORT": str(free_port()), "OMP_NUM_THREADS": "1",
        "STUDENT": f"be:{tiny_be}", "BATCH": "16",
    }  # fmt: skip
    script = Path(__file__).parents[2] / "examples" / "cluster" / "train.sbatch"
    done = subprocess.run(
        ["bash", script],
        cwd=tmp_path,
        env={**os.environ, **slurm},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1]["done"]
    assert len(own_lines(done.stderr)) == len(set(own_lines(done.stderr)))
    options = [
        "--student",
        f"be:{tiny_be}",
        "--loss",
        "kl",
        "--batch-size",
        "16",
        "--dtype",
        "bf16",
        "--no-dropout",
    ]
    single = run(
        "rd-train",
        "labelled.jsonl",
        *options,
        "--device",
        "cpu",
        "-o",
        "single",
        "--log-steps",
        "1",
        check=True,
    )
    losses, expected = (
        [json.loads(line)["loss"] for line in text.splitlines()[:-1]] for text in (done.stdout, single.stdout)
    )
    assert losses == pytest.approx(expected, rel=0.02)  # bfloat16 rounds
