"""`irds:NAME`: the library itself, with a collection that is here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from rdtools.core.errors import RdError, UsageError
from rdtools.data.datasets import open_dataset, read_judgements

DOCS = "d1\twing flow\nd2\theat transfer in a plate\nd3\tjet flow and heat\n"


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """Register `toy`, with documents only, and `toy/dev`, with queries and judgements too."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    ir_datasets = pytest.importorskip("ir_datasets", reason="pip install '.[irds]'")
    registry = type(ir_datasets.registry)()
    monkeypatch.setattr(ir_datasets, "registry", registry)
    monkeypatch.setattr(ir_datasets, "load", registry.__getitem__)
    paths = {
        "docs_tsv": DOCS,
        "queries_tsv": "1\theat\n2\twing\n",
        "qrels_trec": "1 0 d2 2\n1 0 d1 0\n2 0 d1 1\n",
    }
    for name, content in paths.items():
        (tmp_path / name).write_text(content)
        paths[name] = str(tmp_path / name)
    registry.register("toy", ir_datasets.create_dataset(docs_tsv=paths["docs_tsv"]))
    registry.register("toy/dev", ir_datasets.create_dataset(**paths))
    return tmp_path


def test_documents_queries_and_judgements(collection):
    dataset = open_dataset("irds:toy/dev")
    assert dict(dataset.documents()) == dict(line.split("\t") for line in DOCS.splitlines())
    queries: list[Any] = list(dataset.queries())
    assert queries == [
        {"query_id": "1", "query": "heat", "docs": []},
        {"query_id": "2", "query": "wing", "docs": []},
    ]
    assert dataset.qrels() == read_judgements("irds:toy/dev") == {"1": {"d2": 2, "d1": 0}, "2": {"d1": 1}}


def test_commands_mine_and_evaluate_it(collection, monkeypatch):
    from rdtools.cli.eval import main as rd_eval
    from rdtools.cli.mine import main as rd_mine

    monkeypatch.chdir(collection)
    mined = CliRunner().invoke(rd_mine.app(), ["--dataset", "irds:toy/dev", "-n", "1", "--sampling", "top"])
    records = [json.loads(line) for line in mined.stdout.splitlines()]
    found = [
        [(doc["doc_id"], doc["text"], doc.get("relevance")) for doc in record["docs"]] for record in records
    ]
    assert found == [
        [("d2", "heat transfer in a plate", 2), ("d3", "jet flow and heat", None)],
        [("d1", "wing flow", 1)],
    ]
    (collection / "run").write_text("1 Q0 d2 1 2.0 x\n2 Q0 d3 1 2.0 x\n2 Q0 d1 2 1.0 x\n")
    done = CliRunner().invoke(rd_eval.app(), ["irds:toy/dev", "run", "-m", "RR"])
    assert done.stdout == "run\tRR\t0.7500\n"


def test_what_a_dataset_lacks_is_said(collection):
    bare = open_dataset("irds:toy")
    assert bare.qrels() == {}
    with pytest.raises(UsageError, match=r"^dataset irds:toy has no queries$"):
        list(bare.queries())
    with pytest.raises(RdError, match=r"^irds:toy: no judgements$"):
        read_judgements("irds:toy")
    with pytest.raises(UsageError) as error:
        open_dataset("irds:toy/def")
    assert str(error.value) == (
        "dataset irds:toy/def: unknown to ir-datasets; did you mean irds:toy/dev? (see https://ir-datasets.com)"
    )


def test_a_file_that_is_gone_or_damaged_is_one_line(collection):
    dataset = open_dataset("irds:toy/dev")
    (collection / "qrels_trec").write_text("1 0 d2 good\n")
    with pytest.raises(
        RdError, match=r"^dataset irds:toy/dev: its qrels cannot be read: ValueError: invalid"
    ):
        dataset.qrels()
    (collection / "docs_tsv").unlink()
    with pytest.raises(
        RdError, match=r"^dataset irds:toy/dev: its docs cannot be read: .*docs_tsv is missing;"
    ):
        list(dataset.documents())
