"""Records -> the lines of a format: what a format cannot hold is left out and counted, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from rdtools.core.errors import BadLine, RdError, UsageError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.log import log, plural
from rdtools.core.output import output_flag, spooling
from rdtools.core.records import Doc, Record, is_positive
from rdtools.core.registry import resolve
from rdtools.core.rows import PARQUET
from rdtools.formats.table import FORMATS, WRITERS

if TYPE_CHECKING:
    from rdtools.formats.runs import RunColumns
    from rdtools.formats.with_texts import TextFiles

WITH_TEXTS = ("pylate", "tevatron-ids", "colbert-triples", "colbert-nway", "colbert-scores")


@dataclass(frozen=True, kw_only=True)
class Writing(OptionGroup):
    """The output file and format of records.

    Raises:
        UsageError: the options do not fit the format.
    """

    heading: ClassVar[str] = "Output"

    format: str = flag(
        "--format", "-f", default="jsonl", metavar="NAME", choices=WRITERS, kind="format",
        help=f"Format of the output: {', '.join(WRITERS)}.",
    )  # fmt: skip
    output: str | None = output_flag()
    with_texts: str | None = flag(
        "--with-texts", default=None, metavar="DIR",
        help=f"Write the texts that belong to -f {', '.join(WITH_TEXTS)}: queries and documents, into DIR.",
    )  # fmt: skip

    @property
    def needs_texts(self) -> bool:
        """Whether the texts of queries and documents are written."""
        return self.with_texts is not None or "texts" in FORMATS[self.format].needs

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.with_texts is not None and self.format not in WITH_TEXTS:
            raise UsageError(f"--with-texts needs -f {', '.join(WITH_TEXTS)}, not {self.format}")
        if (self.output or "").endswith(PARQUET) and any(FORMATS[self.format].frame):
            raise UsageError(
                f"-f {self.format} is one JSON object in all, which is no table for {self.output}"
            )


def writer(name: str) -> Callable[[Record], bytes]:
    """Return the function that turns a record into the bytes of format `name`.

    It raises `RdError` where the format cannot hold a record.
    """
    write: Callable[[Record], bytes] = resolve(WRITERS, name, "format")

    def checked(record: Record) -> bytes:
        try:
            return write(record)
        except BadLine as error:
            raise error.for_query(record["query_id"]) from None

    return checked


def encode(records: Iterable[Record], writing: Writing, strict: bool = False) -> Iterator[bytes]:
    """Yield the bytes of each record in the format; together they are a file of that format.

    Raises:
        RdError: a record cannot be written, the format can hold none of them, or with `strict`, it can hold
            one only in part.
    """
    name = writing.format
    left_out = LeftOut(name, strict)
    fitting = left_out.fit(records)
    if writing.with_texts is not None:
        from rdtools.formats.with_texts import open_texts

        with open_texts(name, writing.with_texts) as texts:
            yield from _lines(texts.watch(fitting), name, texts)
    else:
        yield from _lines(fitting, name, None)
    left_out.report()


def encode_runs(runs: Iterable[RunColumns], name: str, strict: bool = False) -> Iterator[bytes]:
    """Yield the bytes of each ranking in a format of runs, as `encode` does of its record."""
    from rdtools.formats.runs import encode_rankings

    left_out = LeftOut(name, strict)
    yield from encode_rankings(left_out.fit_runs(runs), name)
    left_out.report()


def _lines(records: Iterator[Record], name: str, texts: TextFiles | None) -> Iterator[bytes]:
    if any(FORMATS[name].frame):
        yield from _framed(records, name)
    elif FORMATS[name].numbers and not (texts and texts.renumbers):
        yield from _with_one_id_type(records, writer(name), texts)
    else:
        yield from map(writer(name), records)


def _framed(records: Iterable[Record], name: str) -> Iterator[bytes]:
    opening, between, closing = FORMATS[name].frame
    write = writer(name)
    seen: set[str] = set()
    for record in records:
        if record["query_id"] in seen:  # of a key that an object has twice, readers keep the last
            raise RdError(f'query "{record["query_id"]}" is repeated; {name} allows one record per query')
        yield (between if seen else opening) + write(record)
        seen.add(record["query_id"])
    yield closing if seen else opening + closing


def _with_one_id_type(
    records: Iterator[Record], write: Callable[[Record], bytes], texts: TextFiles | None
) -> Iterator[bytes]:
    """Write all ids as integers if all are plain numbers, and as strings otherwise.

    Lines wait in temporary files until an id is no plain number, or to the end.
    """
    import tempfile

    with spooling(), tempfile.TemporaryFile() as numbers, tempfile.TemporaryFile() as strings:
        rest: Iterable[Record] = ()
        for record in records:
            if not _is_numbered(record):
                rest = chain([record], records)
                break
            strings.write(write(record))
            numbers.write(write(with_numbers(record)))
        waiting = strings if rest else numbers
        waiting.seek(0)
        yield from waiting
    yield from map(write, rest)
    if texts is not None:
        texts.has_numbers = not rest


def _is_numbered(record: Record) -> bool:
    return is_plain(record["query_id"]) and all(is_plain(doc["doc_id"]) for doc in record["docs"])


def is_plain(identifier: str) -> bool:
    """Return whether an id is a number as an integer is written: `12`, but not `012`."""
    return identifier.isdecimal() and len(identifier) < 19 and str(int(identifier)) == identifier


def with_numbers(record: Record) -> Record:
    """Return the record with integers as ids, for a writer."""
    docs: list[Any] = [{**doc, "doc_id": int(doc["doc_id"])} for doc in record["docs"]]
    return {**record, "query_id": int(record["query_id"]), "docs": docs}  # type: ignore[typeddict-item]


class LeftOut:
    """Reduces records to what a format can hold, and counts the rest.

    The first record decides whether all have scores, and how many negatives, where that must be alike.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self._name = name
        self._needs, self._even = FORMATS[name].needs, FORMATS[name].even
        self._strict = strict
        self._counts: Counter[tuple[str, str]] = Counter()
        self._written = 0
        self._scored = False
        self._negatives = 0

    def fit(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield what can be written of each record.

        Raises:
            RdError: the format cannot hold all of a record, and it must.
        """
        for record in records:
            fitted = self._fit(record)
            if fitted is not None:
                self._written += 1
                yield fitted

    def fit_runs(self, runs: Iterable[RunColumns]) -> Iterator[RunColumns]:
        """Yield the rankings that have documents.

        Raises:
            RdError: one has none, and must.
        """
        for run in runs:
            if run.doc_ids:
                yield run
            else:
                self._leave_out(run.query_id, "query", "without a ranking")

    def report(self) -> None:
        """Write the counts to stderr.

        Raises:
            RdError: nothing was written of any record.
        """
        if not self._counts:
            return
        parts = ", ".join(f"{plural(count, noun)} {what}" for (noun, what), count in self._counts.items())
        if not self._written and not FORMATS[self._name].is_run:
            raise RdError(f"{self._name} can hold none of the queries: {parts}")
        log.warning("%s cannot hold, so these are left out: %s", self._name, parts)

    def _fit(self, record: Record) -> Record | None:
        record = self._with_scored_docs(record)
        lacks = next((what for what, lacks in _LACKS.items() if what in self._needs and lacks(record)), None)
        if lacks is not None:
            self._leave_out(record["query_id"], "query", f"without a {lacks}")
            return None
        return self._evened(record)

    def _with_scored_docs(self, record: Record) -> Record:
        """Leave out documents without a score; if none has one, the writer complains, or the order counts."""
        if not {"scores", "ranking"} & {*self._needs}:
            return record
        scored = [doc for doc in record["docs"] if "score" in doc]
        missing = len(record["docs"]) - len(scored)
        if missing and (scored or ("scores" in self._needs and self._written)):
            self._leave_out(record["query_id"], "document", "without a score", missing)
            return _with_docs(record, scored)
        return record

    def _evened(self, record: Record) -> Record | None:
        """Make a record like the first one; None if that cannot be."""
        query_id, docs = record["query_id"], record["docs"]
        if "scores" in self._even:
            count = sum("score" in doc for doc in docs)
            if not self._written:
                self._scored = count == len(docs)
            if count < len(docs) and self._scored:
                self._leave_out(query_id, "query", "with unscored documents, which the first has not")
                return None
            if count and not self._scored:
                others = "some of its documents" if count < len(docs) else "documents of the first query"
                self._leave_out(query_id, "list", f"of scores, as {others} have none")
                docs = list(map(_without_score, docs))
        if "negatives" in self._even:
            positives = list(filter(is_positive, docs))
            negatives = [doc for doc in docs if not is_positive(doc)]
            self._negatives = self._negatives or len(negatives)
            if len(negatives) < self._negatives:
                what = f"with fewer negatives than the first ({self._negatives:,})"
                self._leave_out(query_id, "query", what)
                return None
            if surplus := len(negatives) - self._negatives:
                what = f"beyond the {self._negatives:,} of the first query"
                self._leave_out(query_id, "negative", what, surplus)
                docs = positives + negatives[: self._negatives]
        return record if docs is record["docs"] else _with_docs(record, docs)

    def _leave_out(self, query_id: str, noun: str, what: str, count: int = 1) -> None:
        if self._strict:
            problem = f"{self._name} cannot hold a {noun} {what}"
            raise RdError(f'query "{query_id}": {problem} (without --strict it is left out)')
        self._counts[noun, what] += count


def _has_no_ranking(record: Record) -> bool:
    from rdtools.formats.runs import run_scores

    return not run_scores(record)


_LACKS: dict[str, Callable[[Record], bool]] = {
    "document": lambda record: not record["docs"],
    "ranking": _has_no_ranking,
    "positive": lambda record: not any(map(is_positive, record["docs"])),
    "negative": lambda record: all(map(is_positive, record["docs"])),
}


def _without_score(doc: Doc) -> Doc:
    return {key: value for key, value in doc.items() if key != "score"}  # type: ignore[return-value]


def _with_docs(record: Record, docs: list[Doc]) -> Record:
    return {**record, "docs": docs}
