"""Ctrl-Z and `fg`: a pipe that is stopped and goes on writes what it writes without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from conftest import BIN

SCORER = """
import json, sys, time
for number, line in enumerate(sys.stdin):
    record = json.loads(line)
    for doc in record["docs"]:
        doc["score"] = len(doc["text"]) / 8
    time.sleep(0.02)
    print(json.dumps(record | {"score_scale": "logit"}), flush=True)
    print("record", number, file=sys.stderr, flush=True)
"""
RECORDS = "".join(
    json.dumps(
        {
            "query_id": f"q{n}",
            "query": "x",
            "docs": [{"doc_id": f"d{d}", "text": "x" * (n + d)} for d in range(4)],
        }
    )
    + "\n"
    for n in range(20)
)


def test_a_stopped_pipe_goes_on_where_it_was(tmp_path):
    """Stopped for longer than --timeout allows its program to be silent: that time does not count."""
    (tmp_path / "scorer.py").write_text(SCORER)
    (tmp_path / "records.jsonl").write_text(RECORDS)
    label = f"rd-label records.jsonl --teacher 'cmd:{sys.executable} -I -S scorer.py' --timeout 0.5"
    messages = tmp_path / "messages"
    with messages.open("w") as stderr:
        pipe = subprocess.Popen(
            ["sh", "-c", f"{label} | rd-entropy -q"],
            cwd=tmp_path, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}, preexec_fn=os.setpgrp,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    try:
        while pipe.poll() is None and "record 3\n" not in messages.read_text():
            time.sleep(0.02)
        os.killpg(pipe.pid, signal.SIGTSTP)  # as a terminal sends it
        time.sleep(0.8)
        os.killpg(pipe.pid, signal.SIGCONT)
        out, _ = pipe.communicate(timeout=60)
    finally:
        if pipe.poll() is None:
            os.killpg(pipe.pid, signal.SIGKILL)
    assert messages.read_text().splitlines()[-1] == "rd-label: 20 records, 80 pairs: 80 scored"
    assert [line.split("\t")[1] for line in out.splitlines()[1:]] == [f"q{n}" for n in range(20)]
