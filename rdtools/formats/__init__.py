"""Lines <-> records. A format is a read and/or a write function and its line in a table here.

A reader is `read(lines: Lines) -> Iterator[Record]`; a writer is `write(record) -> bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rdtools.errors import BadLine, InputError, RdError
from rdtools.log import log
from rdtools.records import Record
from rdtools.registry import resolve
from rdtools.streams import DEFAULT_MAX_LINE, STDIN, Lines, open_lines

READERS = {
    "records": "rdtools.formats.jsonl:read",
    "trec": "rdtools.formats.runs:read_trec",
    "tsv": "rdtools.formats.runs:read_tsv",
    "msmarco-run": "rdtools.formats.runs:read_msmarco",
    "beir-queries": "rdtools.formats.texts:read_beir_queries",
    "tsv-queries": "rdtools.formats.texts:read_tsv_queries",
    "tevatron": "rdtools.formats.peers.tevatron:read",
    "tevatron-ids": "rdtools.formats.peers.tevatron:read_ids",
    "tevatron-kd": "rdtools.formats.peers.tevatron:read_kd",
    "sentence-transformers": "rdtools.formats.peers.sentence_transformers:read",
    "flagembedding": "rdtools.formats.peers.flagembedding:read",
    "pylate": "rdtools.formats.peers.colbert:read_pylate",
    "colbert-triples": "rdtools.formats.peers.colbert:read_triples",
    "colbert-nway": "rdtools.formats.peers.colbert:read_nway",
    "colbert-scores": "rdtools.formats.peers.colbert:read_scores",
    "msmarco-hard-negatives": "rdtools.formats.peers.margins:read_hard_negatives",
    "gpl-hard-negatives": "rdtools.formats.peers.margins:read_hard_negatives",
    "gpl": "rdtools.formats.peers.margins:read_gpl",
    "splade": "rdtools.formats.peers.margins:read_splade",
    "paper-triples": "rdtools.formats.peers.paper:read_triples",
    "paper-scores": "rdtools.formats.peers.paper:read_scores",
}

SCORE_READERS = {**READERS, "records": "rdtools.formats.scored:read"}
"""The readers that may leave out all of a document but its score."""

QUERIES = ("beir-queries", "tsv-queries")
"""The readers of queries, whose records have no documents yet."""

RUNS = ("trec", "tsv", "msmarco-run")
"""The readers that gather lines into records: `read(lines, together)`."""

WRITERS = {
    "jsonl": "rdtools.formats.jsonl:write",
    "tsv": "rdtools.formats.runs:write_tsv",
    "trec": "rdtools.formats.runs:write_trec",
    "tevatron": "rdtools.formats.peers.tevatron:write",
    "tevatron-ids": "rdtools.formats.peers.tevatron:write_ids",
    "tevatron-kd": "rdtools.formats.peers.tevatron:write_kd",
    "sentence-transformers": "rdtools.formats.peers.sentence_transformers:write",
    "sentence-transformers-triplet": "rdtools.formats.peers.sentence_transformers:write_triplet",
    "sentence-transformers-list": "rdtools.formats.peers.sentence_transformers:write_list",
    "flagembedding": "rdtools.formats.peers.flagembedding:write",
    "ms-swift": "rdtools.formats.peers.flagembedding:write_ms_swift",
    "pylate": "rdtools.formats.peers.colbert:write_pylate",
    "colbert-triples": "rdtools.formats.peers.colbert:write_triples",
    "colbert-nway": "rdtools.formats.peers.colbert:write_nway",
    "colbert-scores": "rdtools.formats.peers.colbert:write_scores",
    "msmarco-hard-negatives": "rdtools.formats.peers.margins:write_msmarco_hard_negatives",
    "gpl-hard-negatives": "rdtools.formats.peers.margins:write_gpl_hard_negatives",
    "gpl": "rdtools.formats.peers.margins:write_gpl",
    "splade": "rdtools.formats.peers.margins:write_splade",
    "paper-triples": "rdtools.formats.peers.paper:write_triples",
    "paper-scores": "rdtools.formats.peers.paper:write_scores",
}

_FRAMES = {"paper-scores": (b"{", b",", b"}\n")}
"""Formats that are one JSON object in all: what stands before, between and after the queries."""


@dataclass(frozen=True)
class Reading:
    """How input is read: its format (recognised where None), and what happens to bad lines.

    The lines of a query in a run must stand together, unless told that the caller merges records. Where a
    run is asked for (`ranked`), queries without documents are no input. Where of documents `only_scores` are
    asked for, the reader may give no more (`scores.Scores`).
    """

    input_format: str | None = None
    max_line: int = DEFAULT_MAX_LINE
    on_error: str = "fail"
    together: bool = True
    ranked: bool = False
    only_scores: bool = False


def read_records(
    paths: Iterable[str], reading: Reading = Reading(), check: Callable[[Record], None] | None = None
) -> Iterator[Record]:
    """Yield the records of FILES in turn (no file: stdin); each may have a format of its own.

    `check` may complete a record; where it raises `BadLine`, the record is bad input.
    """
    for path in list(paths) or [STDIN]:
        with open_lines(path, max_line=reading.max_line, on_error=reading.on_error) as lines:
            name = reading.input_format or _recognised(lines)
            if name in QUERIES and reading.ranked:
                raise InputError(
                    lines.source, lines.number, "a query without documents, where a run is needed"
                )
            if name is not None:
                read = resolve(SCORE_READERS if reading.only_scores else READERS, name, "input format")
                records = read(lines, together=reading.together) if name in RUNS else read(lines)
                yield from records if check is None else _checked(records, check, lines)


def _checked(records: Iterable[Record], check: Callable[[Record], None], lines: Lines) -> Iterator[Record]:
    for record in records:
        try:
            check(record)
        except BadLine as error:
            lines.bad(error.problem, error.hint)
        else:
            yield record


def writer(name: str) -> Callable[[Record], bytes]:
    """Return the function that turns a record into the bytes of format `name`.

    It raises `RdError` where the format cannot hold a record.
    """
    write: Callable[[Record], bytes] = resolve(WRITERS, name, "format")

    def checked(record: Record) -> bytes:
        try:
            data = write(record)
        except BadLine as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise RdError(f'query "{record["query_id"]}": {error.problem}{hint}') from None
        if not data:  # a query without a positive in a format of pairs, or without a document in a run
            log.debug('query "%s": %s has nothing to hold of it', record["query_id"], name)
        return data

    return checked


def encode(records: Iterable[Record], name: str) -> Iterator[bytes]:
    """Yield the bytes of each record in format `name`; together they are a file of that format."""
    write = writer(name)
    opening, between, closing = _FRAMES.get(name, (b"", b"", b""))
    before = opening
    seen: set[str] = set()
    for record in records:
        if opening:
            if record["query_id"] in seen:  # of a key that an object has twice, readers keep the last
                raise RdError(f'query "{record["query_id"]}": it stands twice, which {name} cannot hold')
            seen.add(record["query_id"])
        data = write(record)
        yield before + data if data else data
        before = between if data else before
    if closing:
        yield (opening if before == opening else b"") + closing


_KEYS: tuple[tuple[set[str], str], ...] = (
    ({"query_id", "docs"}, "records"),
    ({"positive_passages"}, "tevatron"),
    ({"positive_document_ids"}, "tevatron-ids"),
    ({"passages", "scores"}, "tevatron-kd"),
    ({"document_ids", "scores"}, "pylate"),
    ({"query_id", "doc_id_a", "doc_id_b"}, "paper-triples"),
    ({"qid", "pos", "neg"}, "msmarco-hard-negatives"),
    ({"query", "pos"}, "flagembedding"),
    ({"anchor", "positive"}, "sentence-transformers"),
    ({"query", "positive"}, "sentence-transformers"),
    ({"query", "answer", "negative"}, "sentence-transformers"),
    ({"query", "answer", "negative_1"}, "sentence-transformers"),
    ({"query", "docs", "labels"}, "sentence-transformers"),
    ({"query", "docs", "scores"}, "sentence-transformers"),
    ({"query_id"}, "records"),
    ({"_id"}, "beir-queries"),
)
"""Fields that a JSON object must have to be of a format; the first that fits is taken."""


def _recognised(lines: Lines) -> str | None:
    """Name the format by the first line that has one: bad lines before it are dealt with as any are."""
    while (first := lines.first()) is not None:
        try:
            return recognise(first, lines)
        except BadLine as error:
            lines.bad(error.problem, error.hint)
            next(iter(lines))
    return None


def recognise(line: bytes, lines: Lines) -> str:
    """Name the format of a line, the first of its input.

    Raises:
        InputError: two formats would fit.
        BadLine: it is of none.
    """
    if line.lstrip().startswith(b"{"):
        return _recognise_object(line)
    if line.lstrip().startswith(b"["):
        return _recognise_array(line, lines)
    if line.startswith(b"\x80"):
        raise InputError(
            lines.source, lines.number, "a pickle, which is never opened", "write it as JSON lines or TSV"
        )
    words, columns = line.split(), line.split(b"\t")
    if len(words) == 6 and words[1].upper() == b"Q0":
        return "trec"
    if words[1:2] == [b"Q0"] and len(columns) in (1, len(words)):
        return "trec"  # whose reader says how many columns there should be
    if len(columns) == 3 and _is_number(columns[2]):
        if _is_fraction(columns[2]):
            return "tsv"
        problem = f"the third column ({columns[2].decode(errors='replace')}) may be a rank or a score"
        raise InputError(lines.source, lines.number, problem, "say --input-format msmarco-run or tsv")
    if len(columns) == 4 and _is_fraction(columns[3]):
        return "gpl"
    if len(columns) == 5 and _is_fraction(columns[3]) and _is_fraction(columns[4]):
        return "splade"
    if len(columns) == 2:
        return "tsv-queries"
    known = ", ".join(READERS)
    raise BadLine("format not recognised", f"say --input-format: {known}")


def _recognise_object(line: bytes) -> str:
    from rdtools.formats.jsonl import parse_object

    fields = parse_object(line)
    for keys, name in _KEYS:
        if keys <= fields.keys():
            return name
    nested = fields and all(isinstance(value, dict) for value in fields.values())
    return "paper-scores" if nested else "records"


def _recognise_array(line: bytes, lines: Lines) -> str:
    """Tell ColBERT's arrays apart: plain ids, [doc_id, score] pairs, [score, doc_id] pairs."""
    from rdtools.formats.jsonl import parse_json

    rest = parse_json(line)[1:]
    if not any(isinstance(item, list) for item in rest):
        return "colbert-triples"
    if len(rest) == 1 and all(isinstance(pair, list) for pair in rest[0]):
        return "colbert-scores"
    pairs = [pair for pair in rest if isinstance(pair, list) and len(pair) == 2]
    if any(isinstance(first, float) or isinstance(second, str) for first, second in pairs):
        return "colbert-scores"
    if any(isinstance(second, float) or isinstance(first, str) for first, second in pairs):
        return "colbert-nway"
    problem = "the pairs may be [doc_id, score] or [score, doc_id]"
    raise InputError(lines.source, lines.number, problem, "say --input-format colbert-nway or colbert-scores")


def _is_fraction(text: bytes) -> bool:
    return _is_number(text) and any(mark in text.lower() for mark in (b".", b"e"))


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
