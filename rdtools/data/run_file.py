"""A run read from a file, for the source and the teacher `run:FILE`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rdtools.core.errors import RdError
from rdtools.core.log import track
from rdtools.core.records import Record
from rdtools.core.registry import split_spec
from rdtools.core.scores import scale_of
from rdtools.formats import Reading, read_records
from rdtools.formats.table import RUNS


@dataclass(frozen=True)
class RunFile:
    """Records by query_id, without texts, and the scale of their scores (None if there are no scores)."""

    records: dict[str, Record]
    scale: str | None


def read_run_file(argument: str, reading: Reading, score_scale: str | None) -> RunFile:
    """Read FILE, whose format is recognised by its content, or FORMAT:FILE.

    Raises:
        RdError: a query is repeated, or the scores are on several scales.
    """
    name, path = split_spec(argument)
    input_format, path = (name, path) if name in RUNS and path else (None, argument)
    records: dict[str, Record] = {}
    scales = set()
    reading = replace(reading, input_format=input_format, ranked=True)
    for record in track(read_records([path], reading), "reading run", "query"):
        if record["query_id"] in records:
            raise RdError(f'{path}: query "{record["query_id"]}" is repeated')
        for doc in record["docs"]:
            doc.pop("text", None)
        records[record["query_id"]] = record
        if scores_by_doc(record):
            scales.add(scale_of(record, score_scale))
    if len(scales) > 1:
        raise RdError(f"{path}: scores on several scales: {', '.join(sorted(scales))}")
    return RunFile(records, scales.pop() if scales else None)


def scores_by_doc(record: Record) -> dict[str, float]:
    """Return the scores of a record by doc_id, including those of added positives."""
    return {doc["doc_id"]: doc["score"] for doc in record["docs"] if "score" in doc}
