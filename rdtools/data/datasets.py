"""Datasets by name (`--dataset`), and judgements from a file or a dataset.

A new kind of dataset is one file with a `Dataset` class and one line in DATASETS.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from rdtools.core.errors import RdError, UsageError
from rdtools.core.records import Qrels, Record
from rdtools.core.registry import resolve, split_spec
from rdtools.core.rows import HUB
from rdtools.formats import Reading
from rdtools.formats.qrels import read_qrels

DATASETS = {
    "pydoc": "rdtools.data.pydoc:Pydoc",
    "irds": "rdtools.data.irds:IrDataset",
}
_FORMS = {"pydoc": "pydoc, pydoc:SPLIT", "irds": "irds:NAME"}


class Dataset(Protocol):
    def documents(self) -> Iterable[tuple[str, str]]:
        """Yield (doc_id, text)."""

    def queries(self) -> Iterable[Record]:
        """Yield queries as records without docs."""

    def qrels(self) -> Qrels:
        """Return the judgements: query_id -> doc_id -> grade."""


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
        forms = " or ".join(_FORMS.get(kind, f"{kind}:ARGUMENT") for kind in DATASETS)
        raise UsageError(f"dataset {dataset}: no such folder (give a folder in BEIR layout, {forms})")
    return BeirFolder(Path(folder), split, reading)


def read_judgements(file_or_dataset: str, reading: Reading = Reading()) -> Qrels:
    """Read judgements from a file, or from a dataset if there is no file of that name.

    Raises:
        UsageError: there is neither such a file nor such a dataset.
        RdError: there are no judgements.
    """
    return open_judgements(file_or_dataset, reading)[0]


def open_judgements(file_or_dataset: str, reading: Reading = Reading()) -> tuple[Qrels, Dataset | None]:
    """Return the judgements as `read_judgements` does, and the dataset that they come from, if any."""
    dataset = None
    if is_file(file_or_dataset):
        qrels = read_qrels(file_or_dataset, reading)
    else:
        try:
            dataset = open_dataset(file_or_dataset, reading)
        except UsageError as error:
            raise UsageError(f"{file_or_dataset}: no such file; {error}") from None
        qrels = dataset.qrels()
    if not qrels:
        raise RdError(f"{file_or_dataset}: no judgements")
    return qrels, dataset


def is_file(path: str) -> bool:
    """Return whether a path can be read: a file, a pipe such as the shell's <(...), or hf:NAME."""
    return path.startswith(HUB) or (os.path.exists(path) and not os.path.isdir(path))
