"""A folder in BEIR layout: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv, plain, .gz or .zst."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from rdtools.core.errors import UsageError
from rdtools.core.records import Qrels, Record
from rdtools.formats import Reading, read_records
from rdtools.formats.qrels import read_qrels

_SUFFIXES = ("", ".gz", ".zst")


class BeirFolder:
    """The judgements of one split and their queries; of all splits and all queries if `split` is empty."""

    def __init__(self, folder: Path, split: str, reading: Reading = Reading()) -> None:
        self._reading = replace(reading, input_format="beir-queries")
        self._folder = folder
        splits = {file.name.split(".")[0]: file for file in sorted(folder.glob("qrels/*.tsv*"))}
        if split and split not in splits:
            known = ", ".join(splits) or "none"
            raise UsageError(f"dataset {folder}: no split {split!r} in qrels/ (choose from {known})")
        self._split = split
        self._qrels_files = [splits[split]] if split else list(splits.values())

    def documents(self) -> Iterator[tuple[str, str]]:
        from rdtools.data.corpus import read_corpus_file

        return read_corpus_file(self.corpus_file, self._reading)

    @property
    def corpus_file(self) -> str:
        return self._file("corpus.jsonl")

    def queries(self) -> Iterable[Record]:
        judged = self.qrels() if self._split else None
        for record in read_records([self._file("queries.jsonl")], self._reading):
            if judged is None or record["query_id"] in judged:
                yield record

    def qrels(self) -> Qrels:
        qrels: Qrels = {}
        for file in self._qrels_files:
            for query_id, grades in read_qrels(str(file), self._reading).items():
                qrels.setdefault(query_id, {}).update(grades)
        return qrels

    def _file(self, name: str) -> str:
        for suffix in _SUFFIXES:
            if (self._folder / (name + suffix)).exists():
                return str(self._folder / (name + suffix))
        raise UsageError(f"dataset {self._folder}: {name} is missing (give a folder in BEIR layout)")
