"""Memory that a model frees stays in the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from rdtools.models.loading import pick_device

if sys.argv[1] == "kept":
    pick_device("cpu")
for _ in range(20):
    torch.zeros(16 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 35),
    reason="the C library is another one, or too old for blocks of 64 MB",
)
@pytest.mark.parametrize(("memory", "least", "most"), [("returned", 300, 10**9), ("kept", 0, 100)])
def test_pages_of_a_freed_tensor_are_used_again(memory, least, most):
    """A page that the process asks the kernel for is a fault; 10 tensors of 64 MB have at least 320."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, memory], capture_output=True, text=True, check=True
    )
    assert least <= int(result.stdout) <= most
