"""`irds:NAME`: any dataset of ir-datasets (extra `irds`), which downloads its files on first use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import bars_shown, log
from rdtools.core.records import Qrels, Record
from rdtools.core.registry import close_name


class IrDataset:
    """A dataset of ir-datasets by its name there, such as `beir/scifact/test`."""

    def __init__(self, name: str) -> None:
        try:
            import ir_datasets
        except ImportError:
            raise UsageError(
                f"dataset irds:{name} needs ir-datasets (pip install 'ranking-distillation-tools[irds]')"
            ) from None
        _quieten(ir_datasets)
        try:
            self._dataset: Any = ir_datasets.load(name)
        except KeyError:
            near = close_name(ir_datasets.registry, name)
            meant = f"; did you mean irds:{near}?" if near else ""
            raise UsageError(
                f"dataset irds:{name}: unknown to ir-datasets{meant} (see https://ir-datasets.com)"
            ) from None
        self._name = name

    def documents(self) -> Iterator[tuple[str, str]]:
        for doc in self._items("docs"):
            yield doc.doc_id, doc.default_text()

    def queries(self) -> Iterator[Record]:
        for query in self._items("queries"):
            yield {"query_id": query.query_id, "query": query.default_text(), "docs": []}

    def qrels(self) -> Qrels:
        qrels: Qrels = {}
        for judgement in self._items("qrels") if self._dataset.has_qrels() else ():
            qrels.setdefault(judgement.query_id, {})[judgement.doc_id] = judgement.relevance
        return qrels

    def _items(self, part: str) -> Iterator[Any]:
        """Yield documents, queries or judgements; the library reads or downloads them on the way.

        Raises:
            UsageError: the dataset has no such part.
            RdError: its files can neither be read nor downloaded.
        """
        if not getattr(self._dataset, f"has_{part}")():
            raise UsageError(f"dataset irds:{self._name} has no {part}")
        try:
            yield from getattr(self._dataset, f"{part}_iter")()
        except Exception as error:  # of network, disk and archives, of many libraries
            page = f"https://ir-datasets.com/{self._name.split('/')[0]}.html"
            raise RdError(
                f"dataset irds:{self._name}: its {part} cannot be read: {_reason(error)} (see {page})"
            ) from error


def _reason(error: Exception) -> str:
    """Return what failed, without the addresses of objects that libraries show."""
    if type(error).__name__ == "ConnectionError":
        return "download failed, the server cannot be reached"
    if isinstance(error, FileNotFoundError):
        return f"{error.filename or error} is missing; it must be obtained by hand"
    return f"{type(error).__name__}: {error}"


def _quieten(library: Any) -> None:
    """Send the library's messages to our log, and show its bars where ours are shown."""
    messages = logging.getLogger("ir_datasets")
    if not any(isinstance(one, _OurLines) for one in messages.filters):
        messages.addFilter(_OurLines())
        tqdm = library.lazy_libs.tqdm().tqdm
        library.lazy_libs.tqdm = lambda: SimpleNamespace(tqdm=partial(tqdm, disable=not bars_shown()))


class _OurLines(logging.Filter):
    """Log the library's messages as lines of ours: its progress only under -v."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_detail = text.startswith("[") or "download error" in text or "Download failed" in text
        level = logging.DEBUG if is_detail else logging.INFO
        for line in text.splitlines():
            log.log(level, "ir-datasets: %s", line)
        return False
