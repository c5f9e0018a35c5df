"""`irds:NAME`: any dataset of ir-datasets (extra `irds`), which downloads its files on first use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdtools.core.errors import UsageError
from rdtools.core.records import Qrels, Record


class IrDataset:
    """A dataset of ir-datasets by its name there, such as `beir/scifact/test`."""

    def __init__(self, name: str) -> None:
        try:
            import ir_datasets
        except ImportError:
            raise UsageError(f"dataset irds:{name} needs ir-datasets (pip install ir-datasets)") from None
        try:
            self._dataset: Any = ir_datasets.load(name)
        except KeyError:
            raise UsageError(f"dataset irds:{name}: unknown to ir-datasets (see ir-datasets.com)") from None
        self._name = name

    def documents(self) -> Iterator[tuple[str, str]]:
        self._need("docs")
        for doc in self._dataset.docs_iter():
            yield doc.doc_id, doc.default_text()

    def queries(self) -> Iterator[Record]:
        self._need("queries")
        for query in self._dataset.queries_iter():
            yield {"query_id": query.query_id, "query": query.default_text(), "docs": []}

    def qrels(self) -> Qrels:
        qrels: Qrels = {}
        if self._dataset.has_qrels():
            for judgement in self._dataset.qrels_iter():
                qrels.setdefault(judgement.query_id, {})[judgement.doc_id] = judgement.relevance
        return qrels

    def _need(self, part: str) -> None:
        if not getattr(self._dataset, f"has_{part}")():
            raise UsageError(f"dataset irds:{self._name} has no {part}")
