"""Label records with rd-label on a Ray cluster, one task for each shard.

python ray_label.py INPUT FOLDER [--shards N] [--gpus N] [OPTION OF rd-label]...

INPUT is a file of records, FOLDER gets a file for each shard; all nodes must see both. rdtools must be
installed for the Python of the workers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import ray


def label(source: str, output: str, options: list[str]) -> None:
    """Write a shard, unless it is there: what rd-label has not finished has no file."""
    if not Path(output).exists():
        command = str(Path(sys.executable).with_name("rd-label"))
        subprocess.run([command, source, *options, "--quiet", "-o", output], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__, allow_abbrev=False)
    parser.add_argument("input")
    parser.add_argument("folder")
    parser.add_argument("--shards", type=int, default=2, help="default: 2")
    parser.add_argument("--gpus", type=float, default=0, help="of each task (default: 0)")
    settings, options = parser.parse_known_args()
    source, folder = Path(settings.input).resolve(), Path(settings.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ray.init(log_to_driver=False)
    task = ray.remote(num_cpus=1, num_gpus=settings.gpus, max_retries=3, retry_exceptions=True)(label)
    tasks = []
    for number in range(1, settings.shards + 1):
        output = folder / f"{number}-of-{settings.shards}.jsonl"
        own = [*options, "--shard", f"{number}/{settings.shards}"]
        tasks.append(task.remote(str(source), str(output), own))
    ray.get(tasks)
    ray.shutdown()


if __name__ == "__main__":
    main()
