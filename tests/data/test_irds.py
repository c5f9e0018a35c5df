"""`irds:NAME`: what ir-datasets gives, and one line for what it cannot."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rdtools.core.errors import RdError, UsageError
from rdtools.data.datasets import open_dataset


class Fake:
    """A dataset with a document, a query and a judgement; `failure` is raised on the way."""

    has_docs = has_queries = has_qrels = staticmethod(lambda: True)

    def __init__(self, failure=None):
        self.failure = failure

    def docs_iter(self):
        yield SimpleNamespace(doc_id="d1", default_text=lambda: "title text")
        if self.failure is not None:
            raise self.failure

    def queries_iter(self):
        yield SimpleNamespace(query_id="1", default_text=lambda: "what")

    def qrels_iter(self):
        yield SimpleNamespace(query_id="1", doc_id="d1", relevance=2)


@pytest.fixture
def library(monkeypatch):
    class ConnectionError(OSError):
        pass

    module: Any = ModuleType("ir_datasets")
    module.registry = {
        "toy/dev": Fake(),
        "toy/offline": Fake(ConnectionError("<object at 0x7f>")),
        "by-hand/x": Fake(FileNotFoundError("/home/me/.ir_datasets/by-hand/corpus.tgz")),
        "odd": Fake(ValueError("two\nlines")),
    }
    module.load = module.registry.__getitem__
    module.lazy_libs = SimpleNamespace(tqdm=lambda: SimpleNamespace(tqdm=None))
    monkeypatch.setitem(sys.modules, "ir_datasets", module)
    return module


def test_what_ir_datasets_gives(library):
    dataset = open_dataset("irds:toy/dev")
    assert dict(dataset.documents()) == {"d1": "title text"}
    queries: list[Any] = list(dataset.queries())
    assert queries == [{"query_id": "1", "query": "what", "docs": []}]
    assert dataset.qrels() == {"1": {"d1": 2}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy/offline", "its docs cannot be read: download failed, the server cannot be reached (see https://ir-datasets.com/toy.html)"),
        ("by-hand/x", "its docs cannot be read: /home/me/.ir_datasets/by-hand/corpus.tgz is missing; it must be obtained by hand "
         "(see https://ir-datasets.com/by-hand.html)"),
        ("odd", "its docs cannot be read: ValueError: two\nlines (see https://ir-datasets.com/odd.html)"),
    ],
)  # fmt: skip
def test_what_fails_on_the_way_is_an_error_of_the_dataset(library, name, message):
    with pytest.raises(RdError) as error:
        list(open_dataset(f"irds:{name}").documents())
    assert str(error.value) == f"dataset irds:{name}: {message}"


def test_an_unknown_name_and_a_missing_library(library, monkeypatch):
    with pytest.raises(UsageError) as error:
        open_dataset("irds:toy/def")
    assert str(error.value) == (
        "dataset irds:toy/def: unknown to ir-datasets; did you mean irds:toy/dev? (see https://ir-datasets.com)"
    )
    with pytest.raises(UsageError, match=r"^dataset irds:zzz: unknown to ir-datasets \(see https"):
        open_dataset("irds:zzz")
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(UsageError) as error:
        open_dataset("irds:toy/dev")
    extra = "ranking-distillation-tools[irds]"
    assert str(error.value) == f"dataset irds:toy/dev needs ir-datasets (pip install '{extra}')"


def test_messages_of_the_library_are_lines_of_ours(library, caplog):
    open_dataset("irds:toy/dev")
    logger = logging.getLogger("ir_datasets")
    logging.getLogger("rdtools").propagate = True
    with caplog.at_level(logging.INFO, "rdtools"):
        logger.warning("Please confirm that you agree\nto the terms")
        logger.warning("[starting] docs_iter")
    assert caplog.messages == ["ir-datasets: Please confirm that you agree", "ir-datasets: to the terms"]


OFFLINE = """
import socket, sys
def refuse(*arguments, **more):
    raise socket.gaierror(-2, "Name or service not known")
socket.getaddrinfo = refuse
sys.argv = ["rd-mine", "--dataset", sys.argv[1], "-n", "3"]
from rdtools.cli.mine import main
main()
"""


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("beir/scifact/tset", 2, "unknown to ir-datasets; did you mean irds:beir/scifact/test? (see "),
        ("beir", 2, "has no queries\n"),
        (
            "beir/scifact/test",
            1,
            "its queries cannot be read: download failed, the server cannot be reached (see ",
        ),
    ],
)
def test_the_library_itself_offline(name, status, says, tmp_path):
    pytest.importorskip("ir_datasets", reason="pip install '.[irds]'")
    environment = {**os.environ, "IR_DATASETS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, f"irds:{name}"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (status, "")
    first, *rest = done.stderr.splitlines(keepends=True)
    assert first.startswith(f"rd-mine: dataset irds:{name}")
    assert says in first
    assert rest == (["Try 'rd-mine --help' for help.\n"] if status == 2 else [])
