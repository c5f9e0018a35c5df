"""examples/msmarco: the commands for the full size run on made-up passages, a hundredth of MS MARCO's number.

Queries are fewer still: what each of them costs is the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zstandard
from conftest import WORDS

EXAMPLE = Path(__file__).parents[2] / "examples" / "msmarco"
PASSAGES, TRAIN, DEV, DL19, DL20 = 88_418, 1_500, 20, 11, 13
SMALL = {
    "DEVICE": "",
    "BEIR": "small other",
    "TRAIN": "--group-size 8 --batch-size 16 --query-max-len 16 --doc-max-len 32 --max-steps 60",
    "MEMORY": "60M",  # the corpus of 30 MB is beyond an eighth of it, as MS MARCO's 3 GB are of 4G
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]


def make(goal: str, folder: Path, commands: Path, **variables: str) -> str:
    words = ["make", "-f", str(EXAMPLE / "Makefile"), goal, *(f"{k}={v}" for k, v in variables.items())]
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def passages(count: int, rng: np.random.Generator) -> list[str]:
    """Texts of some 55 words by Zipf's law: WORDS are the most frequent, numbers the rest."""
    words = np.array([*WORDS, *(f"w{number}" for number in range(20_000))])
    share = 1 / np.arange(1, len(words) + 1)
    lengths = np.maximum(rng.poisson(55, count), 1)
    drawn = words[np.searchsorted(np.cumsum(share / share.sum()), rng.random(lengths.sum()))]
    return [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def query_of(text: str, rng: np.random.Generator) -> str:
    return " ".join(rng.choice(text.split(), 6))


def write_beir(folder: Path, texts: list[str], splits: dict[str, int], rng: np.random.Generator) -> None:
    """A collection in BEIR layout; the first passages are the relevant ones, one for each query."""
    (folder / "qrels").mkdir(parents=True)
    with open(folder / "corpus.jsonl", "w") as corpus:
        for number, text in enumerate(texts):
            print(json.dumps({"_id": str(number), "title": "", "text": text}), file=corpus)
    first = 0
    with open(folder / "queries.jsonl", "w") as queries:
        for split, count in splits.items():
            with open(folder / "qrels" / f"{split}.tsv", "w") as judged:
                print("query-id\tcorpus-id\tscore", file=judged)
                for number in range(first, first + count):
                    print(
                        json.dumps({"_id": str(number), "text": query_of(texts[number], rng)}), file=queries
                    )
                    print(number, number, 2 if split == "test" else 1, sep="\t", file=judged)
            first += count


def write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    texts = passages(PASSAGES, rng)
    write_beir(folder / "msmarco", texts, {"train": TRAIN, "dev": DEV, "test": DL19}, rng)
    for name in SMALL["BEIR"].split():
        write_beir(folder / name, passages(1_000, rng), {"test": 50}, rng)
    (folder / "dl20").mkdir()
    queries = "".join(f"t{n}\t{query_of(texts[n], rng)}\n" for n in range(DL20))
    (folder / "dl20/queries.tsv").write_text(queries)
    (folder / "dl20/qrels.txt").write_text("".join(f"t{n} 0 {n} {2 + n % 2}\n" for n in range(DL20)))


def values(printed: str) -> dict[tuple[int, str], float]:
    """The first measure of each system, by the place of its table."""
    tables = re.split(r"^\| run ", printed, flags=re.MULTILINE)[1:]
    rows = [
        (place, re.match(r"\| (\S+) +\| *\**([\d.]+)", line)) for place, table in enumerate(tables)
        for line in table.splitlines()
    ]  # fmt: skip
    return {(place, found[1]): float(found[2]) for place, found in rows if found}


def test_every_command_runs_on_a_hundredth(warm_bin, tiny_be, tiny_ce, tmp_path):
    write_data(tmp_path / "data")
    small = SMALL | {"TEACHER": f"ce:{tiny_ce}", "STUDENT": f"be:{tiny_be}"}
    printed = make("all", tmp_path, warm_bin, **small)

    with zstandard.open(tmp_path / "labelled.jsonl.zst", "rt", encoding="utf-8") as labelled:
        records = [json.loads(line) for line in labelled]
    assert len(records) == TRAIN
    for record in records:
        assert [doc["doc_id"] for doc in record["docs"] if doc.get("relevance")] == [record["query_id"]]
        assert record["score_scale"] == "logit"
    whole = sum(len(record["docs"]) == 16 for record in records)
    assert whole > 0.99 * TRAIN  # BM25 finds nothing for a query of words as "of the in"
    assert list(tmp_path.glob("index/corpus-*")), "the corpus was not kept on disk"
    found = values(printed)
    assert {name for _, name in found} == {"bm25", "student", "teacher"}
    assert len(found) == 3 + 3 + 2 + 2
    assert min(value for (_, name), value in found.items() if name == "bm25") > 0.2
    assert "rd-" not in make("runs/dl19/student.trec", tmp_path, warm_bin, **small)  # nothing is made twice
