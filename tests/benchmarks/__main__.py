"""rdtools beside its peers on the same work: one table, in Markdown, on stdout.

    pip install -e '.[bench]' && python tests/benchmarks [JOB ...] [--small] [--prepare] [--clock cpu]

Both sides of a job run in turn in one call; medians count. "ratio" is how many times as fast as the peer ours is.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from measuring import Options, Row, note, table

JOBS = {
    "help": "helping",
    "small": "small",
    "bm25-index": "bm25_index",
    "bm25": "bm25",
    "bm25-texts": "bm25_texts",
    "bm25-cold": "bm25_cold",
    "corpora": "corpora",
    "dense": "dense",
    "dense-disk": "vectors",
    "label": "label",
    "train": "train",
    "eval": "eval",
    "entropy": "entropy",
    "streams": "streams",
    "pipe": "pipe",
}
"""job -> its module, which has MINUTES (of the small and of the full size, on two processors, with three
repeats), `make(options)`, which writes what the job reads, and `rows(options)`, which measures.
"""


def module_of(job: str) -> ModuleType:
    """The module of a job, or another one that has workers."""
    return importlib.import_module(JOBS.get(job, job))


def parser() -> argparse.ArgumentParser:
    modules = {job: module_of(job) for job in JOBS}
    lines = [
        f"  {job:11}{(module.__doc__ or '').splitlines()[0]} "
        f"({module.MINUTES[1]:g} min; --small {module.MINUTES[0]:g})"
        for job, module in modules.items()
    ]
    small, full = (sum(module.MINUTES[size] for module in modules.values()) for size in (0, 1))
    parsed = argparse.ArgumentParser(
        prog="python tests/benchmarks",
        description=(__doc__ or "").splitlines()[0],
        epilog="\n".join(["jobs, with about the minutes that they take on two processors:", *lines,
                          f"  all of them: {full:g} min; --small {small:g}"]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parsed.add_argument("jobs", metavar="JOB", nargs="*", help="all where none is given")
    parsed.add_argument("--small", action="store_true", help="small sizes: to see that it works")
    parsed.add_argument(
        "--prepare", action="store_true", help="write the data of the jobs, and measure nothing"
    )
    parsed.add_argument("--repeats", type=int, help="of each side (default 3; with --small 1)")
    parsed.add_argument("--folder", type=Path, default=Options.folder, help="data, kept between calls")
    parsed.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall",
        help="what counts: time that passed, or processor time, on a machine that others use too",
    )  # fmt: skip
    return parsed


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        _, _, job, function, *arguments = sys.argv
        getattr(module_of(job), function)(*arguments)
        return
    parsed = parser()
    given = parsed.parse_args()
    for job in given.jobs:
        if job not in JOBS:
            parsed.error(f"unknown job {job} (choose from {', '.join(JOBS)})")
    options = Options(
        given.small, given.repeats or (1 if given.small else 3), given.folder / ("small" if given.small else "full"),
        given.clock,
    )  # fmt: skip
    options.folder.mkdir(parents=True, exist_ok=True)
    table(row for job in given.jobs or JOBS for row in measured(job, options, given.prepare))


def measured(job: str, options: Options, only_prepare: bool) -> Iterable[Row]:
    """The rows of a job; one that fails says so in the table, and the next goes on."""
    module = module_of(job)
    note(f"# {job}")
    try:
        module.make(options)
        if not only_prepare:
            yield from module.rows(options)
    except (Exception, SystemExit) as failure:
        if not isinstance(failure, SystemExit):
            traceback.print_exc()
        yield Row(job, "", f"failed: {failure}", "")


if __name__ == "__main__":
    main()
