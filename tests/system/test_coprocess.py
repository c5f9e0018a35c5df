"""Commands as coprocesses: while the input stays open and silent, every record that came has an answer."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

QUERY = '{"query_id":"q%d","query":"wing flow"}\n'
DOCS = '"docs":[{"doc_id":"a","text":"wing","score":2.0},{"doc_id":"b","text":"flow","score":1.0}]'
RECORD = '{"query_id":"q%d","query":"wing flow","score_scale":"logit",' + DOCS + "}\n"
ANSWER = """
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    for doc in record["docs"]:
        doc["score"] = len(doc["text"])
    print(json.dumps(record), flush=True)
"""


class Coprocess:
    """A command with open pipes."""

    def __init__(self, command: Path, arguments: list[object], folder: Path) -> None:
        self._process = subprocess.Popen(
            [command, *map(str, arguments)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._rest = b""

    def write(self, text: str) -> None:
        self._in.write(text.encode())

    def lines(self, count: int, seconds: float) -> list[str]:
        """Return the next `count` lines; fail if they do not come in time."""
        late = time.monotonic() + seconds
        while self._rest.count(b"\n") < count:
            ready, _, _ = select.select([self._out], [], [], max(0, late - time.monotonic()))
            assert ready, f"{count} lines did not come in {seconds} s"
            self._rest += os.read(self._out.fileno(), 2**16)
        *lines, self._rest = self._rest.split(b"\n", count)
        return [line.decode() for line in lines]

    def end(self) -> int:
        self._in.close()
        status = self._process.wait(60)
        assert self._rest + self._out.read() == b""
        self._out.close()
        return status


def cases(folder: Path, tiny_be: Path) -> dict[str, tuple[str, str, list[object]]]:
    (folder / "corpus.tsv").write_text("a\twing flow\nb\tplate flow\n")
    (folder / "run.trec").write_text("".join(f"q{n} Q0 a 1 2.5 x\nq{n} Q0 b 2 1.5 x\n" for n in range(9)))
    (folder / "answer.py").write_text(ANSWER)
    return {
        "mine": ("rd-mine", QUERY, ["--corpus", "corpus.tsv", "--sample", 1, "--quiet"]),
        "be": ("rd-label", RECORD, ["--teacher", f"be:{tiny_be}", "--quiet"]),
        "run": ("rd-label", RECORD, ["--teacher", "run:run.trec", "--score-scale", "logit", "--quiet"]),
        "cmd": ("rd-label", RECORD, ["--teacher", f"cmd:{sys.executable} answer.py", "--quiet"]),
        "entropy": ("rd-entropy", RECORD, ["-q", "-f", "jsonl", "--quiet", "--manifest", "m.json"]),
    }


@pytest.mark.parametrize("name", ["mine", "be", "run", "cmd", "entropy"])
def test_each_record_is_answered_within_a_second(tmp_path, tiny_be, warm_bin, name):
    command, line, arguments = cases(tmp_path, tiny_be)[name]
    process = Coprocess(warm_bin / command, arguments, tmp_path)
    process.write(line % 0)
    process.lines(1, 60)  # it starts
    for number in (1, 2, 4):
        process.write("".join(line % n for n in range(number, 2 * number)))
        answers = process.lines(number, 1)
        assert [json.loads(each)["query_id"] for each in answers] == [
            f"q{n}" for n in range(number, 2 * number)
        ]
    process.write((line % 8)[:20])  # half a line keeps nothing back, and is read on
    time.sleep(0.05)
    process.write((line % 8)[20:])
    assert json.loads(process.lines(1, 1)[0])["query_id"] == "q8"
    assert process.end() == 0
