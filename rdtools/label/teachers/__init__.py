"""Teachers (`--teacher`).

A new teacher is one file with a class that is made from `(argument, resources)`, and one line in TEACHERS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from rdtools.core.errors import UsageError
from rdtools.core.records import Record
from rdtools.core.registry import any_of, resolve, split_spec
from rdtools.label.prompts import Prompt
from rdtools.label.teacher_options import ApiOptions, WindowOptions
from rdtools.search.resources import Resources

if TYPE_CHECKING:
    from rdtools.label.score_cache import ScoreCache

_MODEL = ("device", "dtype", "max_length", "batch_tokens", "trust_remote_code")
_NAMED = ("cache", "cache_key", "timeout")
"""Of programs and servers, which cannot tell what their scores depend on."""


class TeacherEntry(NamedTuple):
    """One line of TEACHERS."""

    path: str
    """MODULE:CLASS."""
    reads: tuple[str, ...] = ()
    """The options that it reads, of those that not every teacher reads."""


TEACHERS = {
    "ce": TeacherEntry("rdtools.label.teachers.cross_encoder:CrossEncoderTeacher", (*_MODEL, "cache")),
    "be": TeacherEntry(
        "rdtools.label.teachers.bi_encoder:BiEncoderTeacher", (*_MODEL, "cache", "index", "index_dtype")
    ),
    "sparse": TeacherEntry(
        "rdtools.label.teachers.bi_encoder:SparseEncoderTeacher", (*_MODEL, "cache", "index")
    ),
    "colbert": TeacherEntry(
        "rdtools.label.teachers.late_interaction:LateInteractionTeacher", (*_MODEL, "cache")
    ),
    "llm": TeacherEntry("rdtools.label.teachers.causal_lm:CausalTeacher", (*_MODEL, "cache")),
    "t5": TeacherEntry("rdtools.label.teachers.seq2seq:Seq2SeqTeacher", (*_MODEL, "cache")),
    "bm25": TeacherEntry("rdtools.label.teachers.bm25:Bm25Teacher", ("index", "k1", "b")),
    "run": TeacherEntry("rdtools.label.teachers.run_file:RunTeacher", ("score_scale",)),
    "qrels": TeacherEntry("rdtools.label.teachers.qrels:QrelsTeacher", ("qrels", "score_scale")),
    "cmd": TeacherEntry("rdtools.label.teachers.command:CommandTeacher", (*_NAMED, "score_scale")),
    "api": TeacherEntry("rdtools.label.teachers.api:ApiTeacher", _NAMED),
    "listwise-llm": TeacherEntry(
        "rdtools.label.teachers.listwise_llm:ListwiseCausalTeacher", (*_MODEL, "cache")
    ),
    "listwise-cmd": TeacherEntry("rdtools.label.teachers.listwise_command:ListwiseCommandTeacher", _NAMED),
    "listwise-api": TeacherEntry("rdtools.label.teachers.listwise_api:ListwiseApiTeacher", _NAMED),
}
_WITHOUT = {
    **dict.fromkeys(_MODEL, "loads no model"),
    **dict.fromkeys(("k1", "b"), "is not BM25"),
    "index": "reads no index",
    "index_dtype": "reads no embeddings of a dense index",
    "cache": "scores too fast for a cache",
    "qrels": "reads no judgements",
    "score_scale": "knows the scale of its scores",
}
"""Why an option does nothing for a teacher that does not read it."""


def idle_teacher_options(specs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each option that none of the teachers reads: why it does nothing, and its field."""
    kinds = list(dict.fromkeys(split_spec(spec)[0] for spec in specs))
    read = {field for kind in kinds for field in TEACHERS[kind].reads}
    for field, why in _WITHOUT.items():
        if field not in read:
            yield f"--teacher {any_of(kinds)} {why}", field


class TextPair(NamedTuple):
    """A query and a document. `relevance` is the judged grade in the record, None if there is none."""

    query_id: str
    doc_id: str
    query: str
    text: str
    relevance: int | None = None


class RecordScores(NamedTuple):
    """The scores of a record's documents, and their scale.

    `companion` is the JSON value that came with the record; `cached` is True if the cache had the scores.
    """

    companion: Any
    scores: list[float | None]
    scale: str
    cached: bool = False


Scored = tuple[Sequence[int], Sequence[float | None]]
"""Positions of pairs, and the scores of these pairs; None for a pair without a score. What is not finite is
refused."""


class Teacher(Protocol):
    """A teacher that scores pairs; a larger score is better.

    Attributes:
        name: the `teacher` of records.
        scale: the `score_scale` of records.
        key: names all that the scores depend on besides the two texts; None if scores are not worth caching.
        needs_text: True if it reads the texts of queries and documents.
    """

    name: str
    scale: str
    key: str | None
    needs_text: bool

    def score(self, pairs: Sequence[TextPair]) -> Iterator[Scored]:
        """Yield positions and scores batch by batch, in any order, each pair once."""


@runtime_checkable
class RecordTeacher(Protocol):
    """A teacher that scores whole records and may read ahead: scores may come some records later."""

    name: str
    needs_text: bool

    def score_records(self, records: Iterable[tuple[Record, Any]]) -> Iterator[RecordScores]:
        """Yield the scores of each record, which comes with a JSON value, in order."""


class EmbeddingTeacher(Protocol):
    """A teacher that has an embedding of each query and each document."""

    name: str

    def embeddings(self, pairs: Sequence[TextPair]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the embedding of each query and of each document's text, arrays (dimension,)."""


@runtime_checkable
class ReportingTeacher(Protocol):
    """A teacher that counts what it did."""

    def report(self) -> None:
        """Print the counts on stderr."""


@dataclass(frozen=True, eq=False)
class TeacherResources(Resources):
    """`Resources` with what some teachers need besides.

    Attributes:
        prompt: the prompt of `llm`, `t5` and `api`.
        windows: the windows of teachers that rank lists.
        api: the server of `api` and `listwise-api`.
        cache, cache_key: where answers are saved; the name of a program or server in their keys.
        timeout: the number of seconds after which a silent program or server is given up.
        paper_compat: compute as the code of the paper does.
    """

    prompt: Prompt = Prompt()
    windows: WindowOptions = WindowOptions()
    api: ApiOptions = ApiOptions()
    cache: ScoreCache | None = None
    cache_key: str | None = None
    timeout: float | None = None
    paper_compat: bool = False


def model_of(teacher: str, argument: str) -> str:
    """Return the model that `--teacher TEACHER:ARGUMENT` names.

    Raises:
        UsageError: it names none.
    """
    if not argument:
        raise UsageError(f"--teacher {teacher} needs a model: {teacher}:MODEL")
    return argument


def open_teacher(spec: str, resources: TeacherResources) -> Teacher | RecordTeacher:
    """Return the teacher that `--teacher SPEC` names."""
    name, argument = split_spec(spec)
    paths = {known: entry.path for known, entry in TEACHERS.items()}
    teacher: Teacher | RecordTeacher = resolve(paths, name, "teacher")(argument, resources)
    return teacher
