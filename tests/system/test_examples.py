"""The examples run as they stand: the paper's scripts as command lines, and the ablation's Makefile."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import WORDS

EXAMPLES = Path(__file__).parents[2] / "examples"


def shell(script: str, folder: Path, commands: Path, **variables: str) -> str:
    """Run a bash script in a folder, its first failure being its last line; return what it wrote."""
    environment = {**os.environ, **variables, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def blocks(document: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, 60 documents and 12 + 4 queries in BEIR layout, triples and a run."""
    folder = tmp_path_factory.mktemp("collection")
    rng = random.Random(0)
    (folder / "data" / "qrels").mkdir(parents=True)
    texts = [" ".join(rng.choices(WORDS, k=12)) for _ in range(60)]
    queries = [" ".join(texts[number].split()[:3]) for number in range(16)]
    with open(folder / "data" / "corpus.jsonl", "w") as corpus:
        for number, text in enumerate(texts):
            print(json.dumps({"_id": f"d{number}", "title": "", "text": text}), file=corpus)
    with open(folder / "data" / "queries.jsonl", "w") as file:
        for number, query in enumerate(queries):
            print(json.dumps({"_id": f"q{number}", "text": query}), file=file)
    for split, numbers in (("train", range(12)), ("test", range(12, 16))):
        rows = [f"q{number}\td{number}\t{1 + number % 2}" for number in numbers]
        table = "\n".join(["query-id\tcorpus-id\tscore", *rows, ""])
        (folder / "data" / "qrels" / f"{split}.tsv").write_text(table)
    triples = [
        {"query_id": f"q{n}", "doc_id_a": f"d{n}", "doc_id_b": [f"d{n + 20}", f"d{n + 30}"]}
        for n in range(12)
    ]
    (folder / "triples.jsonl").write_text("".join(f"{json.dumps(triple)}\n" for triple in triples))
    run = [f"q{n} Q0 d{(n + r) % 60} {r} {99 - r} splade\n" for n in range(12) for r in range(1, 40)]
    (folder / "splade.trec").write_text("".join(run))
    return folder


def test_the_papers_scripts_as_command_lines(collection, warm_bin, tiny_be, tiny_ce):
    script = "\n".join(blocks(EXAMPLES / "paper.md"))
    printed = shell(script, collection, warm_bin, BE=tiny_be, CE=tiny_ce)

    def records(name: str) -> list[Any]:
        return [json.loads(line) for line in (collection / name).read_text().splitlines()]

    for name in ("random", "bm25", "dense", "ensemble", "splade"):
        mined = records(f"{name}.jsonl")
        assert len(mined) == 12
        for record in mined:
            positives = {doc["doc_id"] for doc in record["docs"] if doc.get("relevance", 0) > 0}
            assert positives == {record["query_id"].replace("q", "d")}, name
            assert 8 <= len(record["docs"]) <= 16, name
    assert {doc.get("source") for record in records("graph.jsonl") for doc in record["docs"]} == {
        "qrels",
        "graph",
    }
    assert 0 < len(records("triples-half.jsonl")) < 12
    assert all("score" in doc for record in records("ensemble-labelled.jsonl") for doc in record["docs"])
    assert 3 <= len(records("low-entropy.jsonl")) < 12
    lettered = re.findall(r"\$\^\{\\mathrm\{[a-z]+\}\}\$", printed)
    assert lettered, printed
    measures = {line.split("\t")[2] for line in (collection / "measures.tsv").read_text().splitlines()}
    assert measures == {"AP(rel=2)", "nDCG@10", "R(rel=2)@100", "P@10", "RR", "RR@10"}


def ablation(folder: Path, commands: Path, goal: str, **variables: str) -> str:
    settings = " ".join(f"'{name}={value}'" for name, value in variables.items())
    return shell(f"make -s -f {EXAMPLES}/ablation/Makefile {goal} {settings}", folder, commands)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.slow
def test_the_ablation(collection, warm_bin, tiny_be):
    small = {
        "DATASET": "data", "MODEL": tiny_be, "SOURCES": "ensemble bm25-low", "SEEDS": "0 1", "LAYERS": "0,1",
        "TRAIN": "--layers 0,1 --batch-size 4 --max-steps 2 --lr 1e-3", "TUNE": "--loss infonce --max-steps 2",
        "DEPTH": "20",
    }  # fmt: skip
    table = ablation(collection, warm_bin, "table", **small)
    rows = {tuple(line.split(" | ")[:2]): line for line in table.splitlines() if line.startswith("| ")}
    for loss in ("lce", "kl"):
        for source in ("ensemble", "bm25-low"):
            assert rows[f"| {loss}", source].count("±") == 2  # re-ranking and retrieval
    for system in ("untrained", "bm25", "teacher"):
        assert (f"| {system}", "none") in rows
    pools = [collection / f"out/pools/ensemble/{seed}.jsonl" for seed in (0, 1)]
    assert pools[0].read_text() != pools[1].read_text()  # each seed has a pool of its own
    assert len((collection / "out/train/bm25-low/0.jsonl").read_text().splitlines()) == 3  # a quarter of 12
    contrast = ablation(collection, warm_bin, "contrast", **small | {"SOURCES": "ensemble"})
    assert r"| loss=kl,lce source=\* | rerank | be |" in contrast
    again = ablation(collection, warm_bin, "-n out/runs/g8/retrieve/be/kl/ensemble/1.trec", **small)
    assert again == ""  # nothing is made twice
    whole = ablation(collection, warm_bin, "-n table", DATASET="data", MODEL=tiny_be, OUT="other")
    assert whole.count("rd-train") == 2 * 4 * 10 + 2  # students, the teacher, and an untrained student


def test_the_collection_of_debians_packages(tmp_path, warm_bin):
    """Of five packages, one is a part of another, one says too little and one repeats a description."""
    words = "Finds every file that a pattern of some kind matches and prints where it is kept on the disk. "
    entry = "Package: {}\nDescription-md5: 0\nDescription-en: {} for people\n {}\n .\n Ends here.\n"
    (tmp_path / "translation").write_text("\n".join([
        entry.format("finder", "A tool that finds", 2 * words),
        entry.format("finder-doc", "A manual that explains", "Explains. " + 2 * words),
        entry.format("brief", "A tool that works", "Works."),
        entry.format("finder2", "A tool that finds again", 2 * words),
        entry.format("other", "A tool that searches", "Searches. " + 2 * words),
    ]))  # fmt: skip
    shell(f"python {EXAMPLES}/ablation/debian.py made < translation", tmp_path, warm_bin)
    documents = {
        row["_id"]: row["text"]
        for row in map(json.loads, (tmp_path / "made/corpus.jsonl").read_text().splitlines())
    }
    assert documents == {
        "finder": (2 * words).strip() + " Ends here.",
        "other": "Searches. " + (2 * words).strip() + " Ends here.",
    }
    judged = sorted((tmp_path / "made/qrels/train.tsv").read_text().splitlines()[1:])
    assert judged == ["q-finder\tfinder\t1", "q-other\tother\t1"]
    mined = shell("rd-mine --dataset made:train --from bm25 -n 1 --quiet", tmp_path, warm_bin)
    assert {json.loads(line)["query"] for line in mined.splitlines()} == {
        "A tool that finds for people", "A tool that searches for people",
    }  # fmt: skip


def test_the_grid_of_settings(collection, warm_bin, tiny_be):
    script = f"python {EXAMPLES}/settings/grid.py grid --dataset data --model {tiny_be} --blocks cross,pools --list"
    lines = shell(script, collection, warm_bin, PYTHONPATH=str(EXAMPLES.parent)).splitlines()
    assert len(lines) == 9 + 9
    shorter = [re.sub("--max-steps (100|300)", "--max-steps 2", line) for line in (lines[0], lines[-1])]
    for line in shorter:
        rows = [json.loads(row) for row in shell(line, collection, warm_bin).splitlines()]
        assert "dev" in rows[-1]
    splits = [
        (collection / f"grid/whole/qrels/{split}.tsv").read_text().splitlines()[1:]
        for split in ("fit", "dev")
    ]
    assert not {row.split("\t")[0] for row in splits[0]} & {row.split("\t")[0] for row in splits[1]}
    assert len(splits[0]) + len(splits[1]) == 12
    recorded = [json.loads(line) for line in (EXAMPLES / "settings" / "rows.jsonl").read_text().splitlines()]
    assert {row["dataset"] for row in recorded} == {"scifact", "pydoc"}
    assert all(len(point) == 2 for row in recorded for point in row["curve"])
