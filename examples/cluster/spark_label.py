"""Label records with rd-label on a Spark cluster, one process for each partition.

spark-submit spark_label.py INPUT OUTPUT [--partitions N] [OPTION OF rd-label]...

INPUT is a file or folder of records as JSON lines, OUTPUT a new folder. rdtools must be installed for the
Python of the workers (PYSPARK_PYTHON).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from pyspark.sql import SparkSession


def label(records: Iterable[str], options: list[str]) -> Iterator[str]:
    """Yield the records of a partition as rd-label writes them; if it fails, so does the task."""
    command = [str(Path(sys.executable).with_name("rd-label")), "--quiet", *options]
    with NamedTemporaryFile("w", encoding="utf-8", suffix=".jsonl") as file:
        file.writelines(f"{record}\n" for record in records)
        file.flush()
        with subprocess.Popen([*command, file.name], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield line.decode().rstrip("\n")
        if process.returncode != 0:  # Spark drops what came before, and runs the task again
            raise subprocess.CalledProcessError(process.returncode, command)


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__, allow_abbrev=False)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--partitions", type=int, default=2, help="at least so many (default: 2)")
    settings, options = parser.parse_known_args()
    spark = SparkSession.builder.appName("rd-label").getOrCreate()
    records = spark.sparkContext.textFile(settings.input, settings.partitions)
    records.mapPartitions(lambda part: label(part, options)).saveAsTextFile(settings.output)
    spark.stop()


if __name__ == "__main__":
    main()
