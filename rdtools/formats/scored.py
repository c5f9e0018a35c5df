"""The scores of records, read without an object for each document.

msgspec decodes the known fields and refuses the rest: an unknown field, a wrong type, a number out of range,
a `null`. `records.parse_record` then reads the line: it names the problem, or accepts what msgspec refused.
So both readers accept the same lines, with the same errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import nan

import orjson
from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

from rdtools.core.provenance import Provenance, describe_changes, provenance_of
from rdtools.core.records import Record, ScoreScale
from rdtools.core.streams import Lines
from rdtools.formats.records import Id, PlainDoc, has_distinct_ids, parse_record


class ScoredRecord(Struct, gc=False):
    """The part of a record that its scores need."""

    query_id: str
    scores: list[float]
    """One a document, NaN where it has none."""
    provenance: Provenance


def scored(record: Record) -> ScoredRecord:
    """Return the scores of a record and their provenance."""
    scores = [float(doc.get("score", nan)) for doc in record["docs"]]
    return ScoredRecord(record["query_id"], scores, provenance_of(record))


_ABSENT = Raw(b"[]")
"""Stands for changes that the record does not state."""


class _Doc(PlainDoc, gc=False, forbid_unknown_fields=True):
    relabelled: bool = False
    title: str = ""


class _Record(Struct, gc=False, forbid_unknown_fields=True):
    query_id: Id
    query: str = ""
    docs: list[_Doc] = []
    teacher: str = ""
    score_scale: ScoreScale | None = None
    transformations: Raw = _ABSENT
    augmentation: Raw = _ABSENT
    tag: str = ""


_decode = Decoder(_Record).decode


def read_scored(lines: Lines) -> Iterator[ScoredRecord]:
    """Yield the scores of the records that `read_jsonl` yields."""
    return lines.parsed(parse_scored)


def parse_scored(line: bytes) -> ScoredRecord:
    """Parse and check one line."""
    try:
        record = _decode(line)
        changes = _changes_of(record)
    except (MsgspecError, ValueError, RecursionError):  # invalid JSON, an unexpected value, invalid UTF-8
        return scored(parse_record(line))
    if not has_distinct_ids(record.docs):
        return scored(parse_record(line))
    provenance = Provenance(record.teacher, record.score_scale or "", changes)
    return ScoredRecord(record.query_id, [doc.score for doc in record.docs], provenance)


def _changes_of(record: _Record) -> str:
    """Describe what was done to the scores. msgspec does not check raw values: they are parsed here."""
    fields = record.transformations, record.augmentation
    return "" if fields == (_ABSENT, _ABSENT) else describe_changes(*map(orjson.loads, fields))
