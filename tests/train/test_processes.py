"""Two processes, as torchrun starts them: they train the model of one, and one of them speaks."""

from __future__ import annotations

import json
import subprocess

import torch
from processes import environments
from safetensors.torch import load_file
from test_train_command import lines


def test_two_processes_train_the_model_of_one_and_the_first_one_speaks(run, warm_bin, tiny_be, tmp_path):
    """Three groups to a batch: a process has two or one of them, and of the last batch, of two, one each."""
    options = [
        "--student", f"be:{tiny_be}", "--layers", "1", "--loss", "kl+0.2*lce", "--epochs", "1", "--batch-size", "3",
        "--no-dropout", "--lr", "1e-3", "--device", "cpu", "--log-steps", "1", "--dev-share", "0.3",
        "--save-steps", "2",
    ]  # fmt: skip
    records = "".join(lines(11)).encode()
    whole = run("rd-train", *options, "-o", "whole", stdin=records, check=True)

    processes = [
        subprocess.Popen(
            [warm_bin / "rd-train", *options, "-o", "both"],
            cwd=tmp_path, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for environment in environments(2)
    ]  # fmt: skip
    out, err = processes[0].communicate(records, timeout=60)  # only the first one reads
    assert processes[0].returncode == 0, err
    assert processes[1].communicate(timeout=60) == (b"", b"")
    assert processes[1].returncode == 0

    assert err.decode() == whole.stderr
    rows, expected = ([*map(json.loads, text.splitlines())] for text in (out, whole.stdout))
    assert [row.keys() for row in rows] == [row.keys() for row in expected]
    for name in ("loss", "dev", "docs", "tokens"):
        for row, one in zip(rows, expected, strict=True):
            if name in row:
                torch.testing.assert_close(row[name], one[name], atol=1e-5, rtol=1e-4, msg=name)
    weights, same = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "both"))
    for name, tensor in weights.items():
        torch.testing.assert_close(same[name], tensor, atol=1e-5, rtol=1e-4, msg=name)
