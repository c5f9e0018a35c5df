"""The benchmarks run to their end at a small size: their figures mean nothing here, their rows must be there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["gpu.py", "--device", "cpu", "--small"], ["rd-label ce, toy", "rd-train be, toy", "dense, exact"]),
        (["", "bm25", "bm25-cold", "corpora", "--small"], ["rd-mine bm25", "pydoc, cold", "90,000 passages"]),
        (
            ["", "dense-disk", "--small"],
            ["10,000 x 384, exact, float16: search", "IVF16,PQ48x4, float32: build"],
        ),
        (["", "small", "eval", "entropy", "--small"], ["rd-eval", "rd-entropy"]),
    ],
    ids=["gpu", "search", "dense", "streams"],
)
def test_each_job_has_its_rows(tmp_path, minilm, words, jobs):
    script, *rest = words
    command = [sys.executable, BENCHMARKS / script, *rest, "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "failed" not in done.stdout, done.stdout + done.stderr[-3000:]
    for job in jobs:
        assert job in done.stdout, done.stdout
