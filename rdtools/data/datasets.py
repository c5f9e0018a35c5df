"""Datasets by name (`--dataset`): an object with `documents()`, `queries()` and `qrels()`.

A new kind is one file and one line in DATASETS.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from rdtools.core.errors import UsageError
from rdtools.core.records import Qrels, Record
from rdtools.core.registry import resolve, split_spec
from rdtools.formats import Reading

DATASETS = {
    "pydoc": "rdtools.data.pydoc:Pydoc",
    "irds": "rdtools.data.irds:IrDataset",
}


class Dataset(Protocol):
    def documents(self) -> Iterable[tuple[str, str]]:
        """Yield (doc_id, text)."""

    def queries(self) -> Iterable[Record]:
        """Yield queries as records without docs."""

    def qrels(self) -> Qrels: ...


def open_dataset(dataset: str, reading: Reading = Reading()) -> Dataset:
    """Open `pydoc:test`, `irds:NAME` or a folder in BEIR layout, `DIR` or `DIR:SPLIT`."""
    name, argument = split_spec(dataset)
    if name in DATASETS:
        opened: Dataset = resolve(DATASETS, name, "dataset")(argument)
        return opened
    from rdtools.data.beir import BeirFolder

    folder, colon, split = dataset.rpartition(":")
    if Path(dataset).is_dir() or not colon:
        folder, split = dataset, ""
    if not folder or not Path(folder).is_dir():
        kinds = ", ".join(f"{kind}[:…]" for kind in DATASETS)
        raise UsageError(f"dataset {dataset}: no such folder (give a folder in BEIR layout, or {kinds})")
    return BeirFolder(Path(folder), split, reading)


def load_qrels(dataset: str) -> Qrels:
    """Return the judgements of a dataset: query_id -> doc_id -> grade."""
    return open_dataset(dataset).qrels()
