"""Teachers (`--teacher`): a class, made of its argument and `TeacherResources`, and a line in TEACHERS.

A teacher scores pairs, larger is better. It yields (places, scores) as each batch is done, so that a
crash loses no more than a batch; None is a pair that it cannot score. `key` names all that its scores
depend on besides the two texts, None where they are not worth remembering. One that wants whole records,
as they come, is a `RecordTeacher`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from rdtools.core.records import Record
from rdtools.core.registry import resolve, split_spec
from rdtools.label.prompts import Prompt
from rdtools.search.resources import Resources

TEACHERS = {
    "ce": "rdtools.label.teachers.cross_encoder:CrossEncoderTeacher",
    "be": "rdtools.label.teachers.bi_encoder:BiEncoderTeacher",
    "llm": "rdtools.label.teachers.causal_lm:CausalTeacher",
    "bm25": "rdtools.label.teachers.bm25:Bm25Teacher",
    "run": "rdtools.label.teachers.run_file:RunTeacher",
    "qrels": "rdtools.label.teachers.qrels:QrelsTeacher",
    "cmd": "rdtools.label.teachers.command:CommandTeacher",
}


class TextPair(NamedTuple):
    query_id: str
    doc_id: str
    query: str
    text: str
    relevance: int | None = None


Scored = tuple[Sequence[int], Sequence[float | None]]
"""The places of some pairs, and their scores."""


class Teacher(Protocol):
    name: str
    scale: str
    key: str | None
    needs_text: bool

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]: ...


@runtime_checkable
class RecordTeacher(Protocol):
    """A teacher that reads ahead: a record goes in and, some records later, its scores come out."""

    name: str
    needs_text: bool

    def score_records(
        self, records: Iterable[tuple[Record, Any]]
    ) -> Iterator[tuple[Any, list[float | None], str]]:
        """Yield what came with each record (any JSON value), its documents' scores, and their scale."""


@dataclass(frozen=True, eq=False)
class TeacherResources(Resources):
    """What teachers may draw on: the question of `llm`, and whether to compute as the paper's code does."""

    prompt: Prompt = Prompt()
    paper_compat: bool = False


def open_teacher(spec: str, resources: TeacherResources) -> Teacher | RecordTeacher:
    """Make the teacher that `--teacher SPEC` names."""
    name, argument = split_spec(spec)
    teacher: Teacher | RecordTeacher = resolve(TEACHERS, name, "teacher")(argument, resources)
    return teacher
