"""examples/cluster: killed shards are made again, caches merge, Spark gives the output of a single run."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rdtools.core.shards import Shard

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"
RECORDS = "".join(
    json.dumps({"query_id": f"q{n}", "query": f"wing é\u2028 {n}", "docs": [{"doc_id": f"d{m}", "text": "flow " * m} for m in range(3)]}, ensure_ascii=False)
    + "\n"
    for n in range(20)
)  # fmt: skip
TEACHER = """import json, os, signal, sys
os.chdir(os.path.dirname(__file__))
for line in sys.stdin:
    record = json.loads(line)
    query_id = record["query_id"]
    if query_id in open("fatal").read().split() and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit()
    with open("asked", "a") as asked:
        asked.write(query_id + "\\n")
    for doc in record["docs"]:
        doc["score"] = len(doc["text"])
    print(json.dumps(record), flush=True)
"""
"""Kills the rd-label that asks for a query of the file `fatal`, once."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mined.jsonl").write_text(RECORDS)
    (tmp_path / "teacher.py").write_text(TEACHER)
    (tmp_path / "fatal").write_text("")
    return tmp_path


def start(words: list[str], folder: Path, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def in_order(text: str) -> list[str]:
    return sorted(text.split("\n"))  # not splitlines: U+2028 ends no record


def teacher_in(folder: Path) -> str:
    return f"cmd:{sys.executable} {folder}/teacher.py"


def single_run(run, folder: Path) -> list[str]:
    whole = run("rd-label", "mined.jsonl", "--teacher", teacher_in(folder), check=True)
    (folder / "asked").unlink()
    return in_order(whole.stdout)


def ids(shard: Shard) -> list[str]:
    return [f"q{n}" for n in range(20) if shard.has(f"q{n}")]


def test_make_runs_the_shard_of_a_killed_worker_again(run, folder, warm_bin):
    expected = single_run(run, folder)
    second = ids(Shard(2, 3))
    (folder / "fatal").write_text(second[-1])
    teacher = f"TEACHER={teacher_in(folder)}"
    make = ["make", "-k", "-f", str(CLUSTER / "Makefile"), "N=3", teacher, "labelled.jsonl"]
    done = start(make, folder, warm_bin)
    assert done.returncode == 2
    assert (folder / "killed").exists()
    assert not (folder / "labelled.jsonl").exists()
    assert {path.name for path in folder.glob("shards/[0-9]*")} == {"1-of-3.jsonl", "3-of-3.jsonl"}
    done = start(make, folder, warm_bin)
    assert done.returncode == 0, done.stderr
    assert in_order((folder / "labelled.jsonl").read_text()) == expected
    asked = (folder / "asked").read_text().split()
    assert sorted(asked) == sorted(
        [f"q{n}" for n in range(20)] + second[:-1]
    )  # other shards were not run again


def test_an_array_task_runs_again_from_its_cache(run, folder, warm_bin):
    expected = single_run(run, folder)
    third = ids(Shard(3, 4))
    (folder / "fatal").write_text(third[-1])

    def task(number: int) -> int:
        script = ["bash", str(CLUSTER / "label.sbatch")]
        variables = {"SLURM_ARRAY_TASK_ID": str(number), "TEACHER": teacher_in(folder)}
        return start(script, folder, warm_bin, **variables).returncode

    assert [task(number) == 0 for number in (1, 2, 3, 4)] == [True, True, False, True]
    assert not (folder / "shards" / "3-of-4.jsonl").exists()
    assert [task(number) for number in (1, 2, 3, 4)] == [0, 0, 0, 0]
    shards = "".join(path.read_text() for path in folder.glob("shards/[1-4]-of-4.jsonl"))
    assert in_order(shards) == expected
    assert set((folder / "asked").read_text().split()) == {f"q{n}" for n in range(20)}


def test_merged_caches_have_the_scores_and_answers_of_all(run, folder, tiny_ce):
    readme = (CLUSTER / "README.md").read_text()
    (statements,) = re.findall(r'sqlite3 scores-1\.db "(.*?)"', readme, re.DOTALL)
    teachers = [f"ce:{tiny_ce}", teacher_in(folder)]
    for teacher in teachers:
        for shard in (1, 2):
            options = ("--teacher", teacher, "--shard", f"{shard}/2", "--cache", f"scores-{shard}.db")
            run("rd-label", "mined.jsonl", *options, check=True)
    with sqlite3.connect(folder / "scores-1.db", isolation_level=None) as connection:
        connection.executescript(statements.replace("$cache", str(folder / "scores-2.db")))
    connection.close()
    for teacher in teachers:
        done = run("rd-label", "mined.jsonl", "--teacher", teacher, "--cache", "scores-1.db", check=True)
        assert done.stderr == "rd-label: 20 records, 60 pairs: 0 scored, 60 from the cache\n"


@pytest.mark.slow  # Ray is no dependency
def test_ray_gives_the_output_of_a_single_run_and_repeats_a_killed_task(run, folder):
    pytest.importorskip("ray", reason="pip install ray")
    expected = single_run(run, folder)
    (folder / "fatal").write_text("q7")
    words = [sys.executable, str(CLUSTER / "ray_label.py"), "mined.jsonl", "out", "--shards", "3"]
    for _ in range(2):  # the second time there is nothing to do
        done = start([*words, "--teacher", teacher_in(folder)], folder, Path(sys.executable).parent)
        assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "killed").exists()
    assert sorted(path.name for path in folder.glob("out/*")) == [f"{n}-of-3.jsonl" for n in (1, 2, 3)]
    assert in_order("".join(path.read_text() for path in folder.glob("out/*"))) == expected
    asked = (folder / "asked").read_text().split()
    assert len(asked) - len(set(asked)) < len([name for name in expected if name]) / 2  # one shard anew


@pytest.mark.slow  # a minute; Spark is no dependency
@pytest.mark.parametrize("master", ["local[2,2]", "local-cluster[2,1,512]"])
def test_spark_gives_the_output_of_a_single_run_and_repeats_a_killed_task(run, folder, master):
    submit = shutil.which("spark-submit")
    if submit is None or shutil.which("java") is None:
        pytest.skip("spark-submit and java are needed (pip install pyspark)")
    expected = single_run(run, folder)
    (folder / "fatal").write_text("q7")
    settings = ("spark.ui.enabled=false", "spark.executor.memory=512m", "spark.driver.host=127.0.0.1")
    words = [submit, "--master", master, *(word for each in settings for word in ("--conf", each))]
    words += [str(CLUSTER / "spark_label.py"), str(folder / "mined.jsonl"), str(folder / "out")]
    words += ["--partitions", "3", "--teacher", teacher_in(folder)]
    python = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = start(words, folder, Path(sys.executable).parent, **python)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "killed").exists()
    parts = "".join(path.read_text() for path in folder.glob("out/part-*"))
    assert in_order(parts) == expected
