"""Sources of candidates (`--from`): a class, made of its argument and a `Resources`, and a line in SOURCES.

A source is asked for several queries at once and answers each, in turn, with a ranking. Its `scale` says what
its scores are, None where it gives none; `batch` is how many queries it likes to see together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rdtools.core.errors import BadLine, RdError
from rdtools.core.records import Record
from rdtools.core.registry import resolve, split_spec
from rdtools.core.scores import OneScale

if TYPE_CHECKING:
    from rdtools.search.resources import Resources

RECORDS = "records"


class OptionUse(NamedTuple):
    """Options that only some sources read, and what to say where no such source is used."""

    because: str
    fields: tuple[str, ...]


BM25 = OptionUse("no source is bm25 or graph", ("k1", "b"))
MODEL = OptionUse(
    "no source is dense:MODEL or graph:dense:MODEL",
    ("device", "dtype", "batch_tokens", "max_length", "trust_remote_code"),
)
SCALE = OptionUse("no source is run:FILE or records", ("score_scale",))
OPTION_USES = (BM25, MODEL, SCALE)


class SourceEntry(NamedTuple):
    """One line of SOURCES: the class, the options that it reads, whether it needs the query's text."""

    place: str
    uses: tuple[OptionUse, ...] = ()
    uses_with_argument: tuple[OptionUse, ...] | None = None
    """Where not None, the options that it reads if an argument follows its name."""
    needs_query_text: bool = False


SOURCES = {
    "bm25": SourceEntry("rdtools.mine.sources.bm25:Bm25Source", (BM25,), needs_query_text=True),
    "random": SourceEntry("rdtools.mine.sources.random_docs:RandomSource"),
    "dense": SourceEntry("rdtools.mine.sources.dense:DenseSource", (MODEL,), needs_query_text=True),
    "graph": SourceEntry("rdtools.mine.sources.graph:GraphSource", (BM25,), uses_with_argument=(MODEL,)),
    "run": SourceEntry("rdtools.mine.sources.run_file:RunSource", (SCALE,)),
    RECORDS: SourceEntry("rdtools.mine.sources.records:RecordsSource", (SCALE,)),
}


def uses_of(spec: str) -> tuple[OptionUse, ...]:
    """Return the options that `--from SPEC` reads, of those that not every source reads."""
    name, argument = split_spec(spec)
    entry = SOURCES[name]
    return entry.uses if not argument or entry.uses_with_argument is None else entry.uses_with_argument


@dataclass(frozen=True)
class Wanted:
    """One question: at most `depth` documents for a query, and the scores of its judged positives."""

    record: Record
    depth: int
    positives: Sequence[str] = ()


@dataclass(frozen=True)
class Found:
    """One answer: documents, best first, their scores if the source has any, and those of the positives.

    A source that searches the corpus says which `rows` of it they are; `unscored` counts the documents that a
    ranking by score had to leave out.
    """

    doc_ids: list[str]
    scores: list[float] | None = None
    positives: dict[str, float] = field(default_factory=dict)
    rows: list[int] | None = field(default=None, compare=False)
    unscored: int = 0


class Source(Protocol):
    name: str
    scale: str | None
    batch: int

    def search(self, wanted: Sequence[Wanted]) -> Iterable[Found]: ...


def open_source(spec: str, resources: Resources) -> Source:
    """Make the source that `--from SPEC` names."""
    name, argument = split_spec(spec)
    places = {known: entry.place for known, entry in SOURCES.items()}
    source: Source = resolve(places, name, "source")(argument, resources)
    source.name = spec
    return source


def query_check(
    specs: Iterable[str], limited: bool = False, score_scale: str | None = None
) -> Callable[[Record], None]:
    """Return what tells, while queries are read, those that the sources cannot search for.

    That is those without the text that some search for, and where the candidates of records are `limited` by
    their scores, those with scores on a second scale; `score_scale` is that of scores that do not say theirs.
    """
    kinds = {split_spec(spec)[0] for spec in specs}
    checks = [_check_text] if any(SOURCES[kind].needs_query_text for kind in kinds) else []
    if limited and RECORDS in kinds:
        checks.append(OneScale(score_scale, "no limit fits both: mine each scale by itself").check)

    def check(record: Record) -> None:
        for one in checks:
            one(record)

    return check


def _check_text(record: Record) -> None:
    if "query" not in record:
        raise BadLine(f'query "{record["query_id"]}" has no text', 'field "query" is missing')


def text_to_search(record: Record) -> str:
    """Return the text to search for.

    Raises:
        RdError: the record has none.
    """
    if "query" not in record:
        raise RdError(f'query "{record["query_id"]}" has no text (field "query" is missing)')
    return record["query"]
