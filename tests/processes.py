"""Several processes that train together, as torchrun starts them, in forks of the warm process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import WARM
from torch import distributed

Case = dict[str, Any]
"""What `ranks.py` reads of a case: options, student, whether the weights are in shards."""
_stores: list[Any] = []
RANKS = Path(__file__).with_name("train") / "ranks.py"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environments(count, machines=1):
    """Return the environment of each process. The store of their messages is here, as it is in torchrun."""
    store: Any = distributed.TCPStore  # type: ignore[attr-defined]
    _stores.append(store("127.0.0.1", 0, is_master=True, wait_for_workers=False))
    shared = {
        **os.environ,
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_stores[-1].port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": "1",
    }
    local = count // machines
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank % local)} for rank in range(count)]


def check_equal(found, name):
    """Check that the run of several processes was that of one.

    The first gradient differs by rounding, by 3e-7 for most losses; those with a temperature of 0.02 or a scale of
    the smallest and largest score multiply it. AdamW turns a rounded gradient of nearly nothing into a step, so the
    later ones differ by more, and most for a sparse encoder, where another dimension may become the largest.
    """
    assert found["moved"] > 1e-3, (name, found)
    assert found["first"] < 1e-4, (name, found)
    assert found["gradients"] < 1e-3, (name, found)
    assert found["losses"] < 1e-4, (name, found)
    assert found["weights"] < 0.1 * found["moved"], (name, found)


def in_processes(count, cases, models, warm, folder):
    """Run the cases of ranks.py, KIND LOSS -> settings, in so many processes; return what it prints."""
    given = {}
    for name, case in cases.items():
        kind, loss = name.split(" ")[:2]
        given[name] = {"student": f"{kind}:{models[kind]}", "loss": loss, **case}
    processes = [
        subprocess.Popen(
            [sys.executable, "-ES", WARM, warm, RANKS, json.dumps(given)],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for environment in environments(count)
    ]  # fmt: skip
    ended = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, ended
    return json.loads(ended[0][0])
