"""A new source is a class in a module of its own and a line in SOURCES."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rdtools.mine.sources import SOURCES, idle_options

FIRST = '''
from rdtools.mine.sources import SourceRanking

class FirstSource:
    """The first documents of the corpus, by doc_id."""

    name, scale, batch = "first", None, 1

    def __init__(self, argument, resources):
        self._doc_ids = resources.collection.corpus.doc_ids[::-1]

    def search(self, requests):
        return [SourceRanking(self._doc_ids[: one.depth]) for one in requests]
'''
COMMAND = """
from rdtools.mine.sources import SOURCES, SourceEntry
SOURCES["first"] = SourceEntry("first:FirstSource", "first (the start of the corpus)")

from rdtools.cli.mine import main
main()
"""


@pytest.fixture
def mine_with_first(tmp_path):
    """A function that runs rd-mine with one more source in the table."""
    (tmp_path / "first.py").write_text(FIRST)
    (tmp_path / "corpus.tsv").write_text("".join(f"d{n}\ttext {n}\n" for n in range(9)))
    (tmp_path / "queries.tsv").write_text("q\tanything\n")

    def run(*arguments, **environment):
        environment = {**os.environ, "COLUMNS": "100", **environment}
        environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip

    return run


def test_a_source_in_the_table_is_mined(mine_with_first):
    corpus = ("queries.tsv", "--corpus", "corpus.tsv")
    done = mine_with_first(*corpus, "--from", "first", "-n", "all", "--depth", "3")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["docs"] == [
        {"doc_id": f"d{n}", "text": f"text {n}", "rank": n + 1, "source": "first"} for n in range(3)
    ]
    assert "rd-mine: first: 3 candidates (1 query)\n" in done.stderr
    done = mine_with_first(*corpus, "--from", "first", "--k1", "2")
    assert done.stderr.startswith("rd-mine: --k1 does nothing here: no source is bm25 or graph\n")
    done = mine_with_first(*corpus, "--from", "frist")
    assert done.stderr.startswith(
        "rd-mine: unknown source 'frist'; did you mean 'first'? (choose from bm25, "
    )


def test_a_source_in_the_table_is_in_the_help_and_completed(mine_with_first):
    assert "first (the start of the corpus)" in " ".join(mine_with_first("--help").stdout.split())
    done = mine_with_first("rd-mine --from fir", RDTOOLS_COMPLETE="bash")
    assert done.stdout.split() == ["first"]


MODEL = ["device", "dtype", "batch_tokens", "max_length", "trust_remote_code"]
DENSE = ["index_dtype", "ann", "ann_effort", "ann_oversample"]


@pytest.mark.parametrize(
    ("specs", "idle"),
    [
        (["bm25", "dense:m", "run:f"], []),
        (["graph", "graph:dense:m", "records"], []),
        (
            ["random"],
            ["k1", "b", *MODEL, *DENSE, "score_scale"],
        ),
        (["graph", "run:f"], [*MODEL, *DENSE]),
        (["sparse:m", "graph", "run:f"], DENSE),
        (["graph:dense:m", "records"], ["k1", "b"]),
    ],
)
def test_options_that_no_source_reads(specs, idle):
    assert [field for _, field in idle_options(specs)] == idle


def test_each_source_is_named_in_the_help_as_in_the_table():
    assert all(entry.help.startswith(name) for name, entry in SOURCES.items())
