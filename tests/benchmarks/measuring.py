"""What all jobs share: sides that run in turn, their medians, and the rows of the table.

A side is a whole command, or a worker: this program again, with a function of a job's module, which may print
how long its own loop took, so that what it loads before does not count. This process imports nothing but the
standard library: a child's peak memory as the system counts it is never below that of its parent.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
# What is installed has been compiled, and starts in half the time.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
# As our commands set it for themselves: threads of all sides sleep while they wait.
ENVIRONMENT |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}


@dataclass(frozen=True)
class Options:
    """What the command line says: sizes, where the data is kept, which clock counts."""

    small: bool = False
    repeats: int = 3
    folder: Path = Path("/tmp/rdtools-benchmarks")
    clock: str = "wall"

    def size(self, full: int, small: int) -> int:
        return small if self.small else full


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        timed: what counts are the lines that `timed` prints in it, rather than the whole process.
        threads: processors that it may use (None: all).
        needs: modules without which it is left out.
    """

    name: str
    command: Sequence[object]
    timed: bool = False
    stdin: Path | None = None
    threads: int | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """What the runs of one side took: the median time, the highest peak, and what else the last one said."""

    seconds: float
    peak_mb: float
    count: float | None = None
    """How much work it was, where a timed side says so itself."""
    results: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    job: str
    peer: str
    theirs: str
    ours: str
    ratio: str = ""
    """Times as fast as the peer; above 1 ours is faster."""
    target: str = ""
    peak: str = ""
    """Peak memory in MB, ours / theirs."""


COLUMNS = ("job", "peer", "peer's", "ours", "ratio", "target", "peak MB, ours / peer")


def table(rows: Iterable[Row]) -> None:
    """Print rows as they come, as Markdown."""
    for cells in (COLUMNS, ("---",) * len(COLUMNS)):
        print("| " + " | ".join(cells) + " |", flush=True)
    for row in rows:
        values = (cell.replace("|", "\\|") for cell in vars(row).values())
        print("| " + " | ".join(values) + " |", flush=True)


def worker(job: str, function: str, *arguments: object) -> list[object]:
    """The command that calls a function of a job's module, its arguments as text."""
    return [sys.executable, Path(__file__).parent, "--worker", job, function, *arguments]


def prepare(done: Path, *command: object) -> None:
    """Run a command that makes a file or a folder, unless it is there."""
    if not done.exists():
        note(f"making {done}")
        done.parent.mkdir(parents=True, exist_ok=True)
        _run(Side("", command), "wall")


def in_turn(sides: Sequence[Side], options: Options) -> dict[str, Taken]:
    """Run all sides in turn, as often as is asked for; return what each took.

    A side whose peer is not installed is not in the result.
    """
    return parts_in_turn(sides, options)[""]


def parts_in_turn(sides: Sequence[Side], options: Options) -> dict[str, dict[str, Taken]]:
    """The same of timed sides that print a line for each part of their work: part -> side -> Taken."""
    runs: dict[str, dict[str, list[Taken]]] = {}
    for _ in range(options.repeats):
        for side in sides:
            if missing(*side.needs):
                continue
            for part, taken in _run(side, options.clock).items():
                runs.setdefault(part, {}).setdefault(side.name, []).append(taken)
                note(f"{side.name}{', ' * bool(part)}{part}: {taken.seconds:.3f} s")
    return {part: {name: _middle(own) for name, own in named.items()} for part, named in runs.items()}


def missing(*modules: str) -> str:
    """Name the modules that are not installed."""
    return ", ".join(name for name in modules if importlib.util.find_spec(name) is None)


def compare(
    job: str, unit: str, ours: Taken, peers: dict[str, Taken], targets: dict[str, str], count: float = 1
) -> Iterator[Row]:
    """A row for each peer: times where the unit is "s" or "ms", else rates, of `count` unless a side says."""
    for name, theirs in peers.items():
        counts = [taken.count or count for taken in (theirs, ours)]
        yield Row(
            job, name, amount(theirs.seconds, unit, counts[0]), amount(ours.seconds, unit, counts[1]),
            f"{(counts[1] / ours.seconds) / (counts[0] / theirs.seconds):.2f}", targets.get(name, ""),
            f"{ours.peak_mb:.0f} / {theirs.peak_mb:.0f}",
        )  # fmt: skip


def amount(seconds: float, unit: str, count: float = 1) -> str:
    if unit == "ms":
        return f"{seconds * 1000:.0f} ms"
    if unit == "s":
        return f"{seconds:.2f} s"
    rate = count / seconds
    return f"{rate:,.0f} {unit}" if rate >= 100 else f"{rate:.1f} {unit}"


def left_out(job: str, *sides: Side) -> Iterator[Row]:
    """A row for each side whose peer is not installed."""
    for side in sides:
        if modules := missing(*side.needs):
            yield Row(
                job, side.name, f"not measured: {modules} is not installed (pip install '.[bench]')", ""
            )


def fastest(parts: Mapping[str, dict[str, Taken]], kind: str, name: str) -> tuple[str, Taken]:
    """Return the part of a side that did most a second, of those named `kind, ...`, and how it is named."""
    own = {
        part.removeprefix(f"{kind}, "): taken[name]
        for part, taken in parts.items()
        if name in taken and part.startswith(f"{kind}, ")
    }
    best = min(own, key=lambda part: own[part].seconds / (own[part].count or 1))
    return best, own[best]


@contextmanager
def timed(part: str = "", count: float | None = None) -> Iterator[dict[str, Any]]:
    """In a worker: print what the block took, by the clock and of processors, and what is put into the result."""
    results: dict[str, Any] = {}
    begin, used = time.perf_counter(), time.process_time()
    yield results
    took = {"seconds": time.perf_counter() - begin, "cpu": time.process_time() - used}
    print(json.dumps({"part": part, **took, "count": count, "results": results}), flush=True)


def note(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _run(side: Side, clock: str) -> dict[str, Taken]:
    command = [str(word) for word in side.command]
    processors = sorted(os.sched_getaffinity(0))[: side.threads]
    with open(side.stdin or os.devnull, "rb") as stdin:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
            preexec_fn=lambda: os.sched_setaffinity(0, processors),
        )  # fmt: skip
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        whole = {"seconds": time.perf_counter() - begin, "cpu": usage.ru_utime + usage.ru_stime}
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    counted, peak = "cpu" if clock == "cpu" else "seconds", usage.ru_maxrss / 1024
    if not side.timed:
        return {"": Taken(whole[counted], peak)}
    parts = [json.loads(line) for line in output.splitlines() if line.startswith('{"part"')]
    return {each["part"]: Taken(each[counted], peak, each["count"], each["results"]) for each in parts}


def _middle(runs: list[Taken]) -> Taken:
    seconds = statistics.median(run.seconds for run in runs)
    return replace(runs[-1], seconds=seconds, peak_mb=max(run.peak_mb for run in runs))
