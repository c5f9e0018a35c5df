"""Peak memory of `rd-mine | rd-label | rd-entropy --cut` over a long stream of queries.

    python tests/benchmarks/memory.py [--queries 1000000] [--documents 2000]

Linux only: peaks are read from /proc. Queries are made while rd-mine reads them; the only file that grows is the
one in TMPDIR where --cut lets the records wait (about 250 bytes a query). What may grow in memory is the number
that rd-entropy keeps of each query: 8 bytes, and for a moment at the end some copies of them. The last line divides
each command's peak resident set at the end of the stream by that at a tenth.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
WORDS = [f"w{number}" for number in range(500)]
PARTS = (10, 50, 100)


def pipeline(corpus: Path) -> list[list[str]]:
    """The commands; BM25 mines, and is the teacher too, since what matters is the length of the stream."""
    return [
        ["rd-mine", "--corpus", str(corpus), "--depth", "10", "-n", "2", "--quiet"],
        ["rd-label", "--teacher", "bm25", "--corpus", str(corpus), "--quiet"],
        ["rd-entropy", "--cut", "middle", "--quiet"],
    ]


def start(commands: list[list[str]]) -> list[subprocess.Popen[bytes]]:
    processes: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    for number, (name, *words) in enumerate(commands, start=1):
        before = processes[-1].stdout if processes else None
        stdout = subprocess.PIPE if number < len(commands) else subprocess.DEVNULL
        command = [str(BIN / name), *words]
        processes.append(
            subprocess.Popen(command, stdin=before or subprocess.PIPE, stdout=stdout, env=environment)
        )
        if before is not None:
            before.close()  # or else the command before would not learn of a reader's end
    return processes


def peak(process: subprocess.Popen[bytes]) -> float:
    """The largest resident set of a running process so far, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def settle(processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all of them wait for input: what was written so far has gone through the pipe."""
    quiet = 0
    while quiet < 5:
        time.sleep(0.1)
        states = {
            Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0] for process in processes
        }
        quiet = quiet + 1 if states == {"S"} else 0


def last_peak(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process; return the largest resident set that it ever had, in MiB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{process.args!r}: status {process.returncode}")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for what, default in (("queries", 1_000_000), ("documents", 2_000)):
        parser.add_argument(f"--{what}", type=int, default=default, metavar="N")
    given = parser.parse_args()
    rng = random.Random(0)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=3))

    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as corpus:
        corpus.writelines(f"d{number}\t{text()}\n" for number in range(given.documents))
        corpus.flush()
        commands = pipeline(Path(corpus.name))
        names = [name for name, *_ in commands]
        processes = start(commands)
        marks = {given.queries * part // 100: part for part in PARTS[:-1]}
        peaks: dict[int, list[float]] = {}
        queries = processes[0].stdin
        assert queries is not None
        for number in range(1, given.queries + 1):
            queries.write(f"q{number}\t{text()}\n".encode())
            if number in marks:
                queries.flush()
                settle(processes)
                peaks[marks[number]] = [peak(process) for process in processes]
        queries.close()
        peaks[100] = [last_peak(process) for process in processes]
    print(f"peak RSS in MiB, {given.queries:,} queries", *names, sep="\t")
    for part, own in peaks.items():
        print(f"{part} %", *(f"{size:.1f}" for size in own), sep="\t")
    grown = zip(names, peaks[100], peaks[10], strict=True)
    print(
        "peak RSS at 100 % / at 10 %: "
        + ", ".join(f"{end / early:.2f}x ({name})" for name, end, early in grown)
    )


if __name__ == "__main__":
    main()
