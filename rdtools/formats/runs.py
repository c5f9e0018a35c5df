"""Runs: rankings of documents by query, one line per document (TREC, TSV, MS MARCO)."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from rdtools.core.errors import BadLine
from rdtools.core.records import QRELS_SOURCE, Doc, Record
from rdtools.core.streams import Lines
from rdtools.formats.records import dump, identifier, is_score, parse_object, show
from rdtools.formats.texts import decode, string, titled_text

_NOT_IN_CELLS = "\t\r\n"


class RunColumns(NamedTuple):
    """The ranking of one query, best first, ties by larger doc_id, and what made it, in one word.

    A search returns its documents as columns, and a run needs no more of them: to make a record of a
    thousand documents takes several times as long as to search for them and to write them.
    """

    query_id: str
    doc_ids: list[str]
    scores: list[float]
    tag: str


def run_columns(record: Record) -> RunColumns:
    """Return the ranking of a record."""
    ranked = ranking(record)
    doc_ids, scores = [doc_id for doc_id, _ in ranked], [float(score) for _, score in ranked]
    return RunColumns(record["query_id"], doc_ids, scores, run_tag(record))


def ranking(record: Record) -> list[tuple[str, float]]:
    """The record as a run: (doc_id, score), best first, as `rank` orders its `run_scores`."""
    return rank(run_scores(record))


def run_scores(record: Record) -> dict[str, float | None]:
    """The ranking scores of a record by doc_id: its scores, or the negated ranks in a run of ranks.

    Lines of a run may come in any order, and so may ranks. A teacher that scored none of the documents has no
    ranking: the order they had before is not its own.
    """
    found = found_docs(record)
    if not any("score" in doc for doc in found):
        if "teacher" in record:
            return {}
        if record.get("score_scale") == "rank":
            return {doc["doc_id"]: -float(doc["rank"]) if "rank" in doc else None for doc in found}
        found = _in_order_of_retrieval(found)
    return {doc["doc_id"]: doc.get("score") for doc in found}


def _in_order_of_retrieval(docs: list[Doc]) -> list[Doc]:
    """Order documents by rank, source by source, if all have both: groups begin with their positives.

    The order of sources is that of the other documents.
    """
    if not all("rank" in doc and "source" in doc for doc in docs):
        return docs
    others_first = sorted(docs, key=lambda doc: doc.get("relevance", 0) > 0)
    places = {
        source: place for place, source in enumerate(dict.fromkeys(doc["source"] for doc in others_first))
    }
    return sorted(docs, key=lambda doc: (places[doc["source"]], doc["rank"]))


def found_docs(record: Record) -> list[Doc]:
    """Return the documents without the positives that were added rather than found, which no run counts."""
    return [doc for doc in record["docs"] if doc.get("source") != QRELS_SOURCE]


def rank(scores: Mapping[str, float | None]) -> list[tuple[str, float]]:
    """Order documents by score as trec_eval does: as float32, ties by larger doc_id.

    Where some documents are scored, only these count; where none is, the order they came in is the
    ranking and n, n−1, …, 1 the scores.
    """
    scored = [(doc_id, score) for doc_id, score in scores.items() if score is not None]
    if not scored:
        return [(doc_id, float(len(scores) - place)) for place, doc_id in enumerate(scores)]
    doc_ids, values = zip(*scored, strict=True)
    order = sorted(zip(array("f", values), doc_ids, values, strict=True), reverse=True)
    return [(doc_id, score) for _, doc_id, score in order]


def run_tag(record: Record) -> str:
    """Return the tag of a run in one word: the teacher, or else the sources."""
    sources = dict.fromkeys(doc["source"] for doc in record["docs"] if "source" in doc)
    sources.pop(QRELS_SOURCE, None)
    return one_word(record.get("teacher") or "+".join(sources) or str(record.get("tag") or ""))


def one_word(name: str) -> str:
    """Return a name as the tag of a run, which must not have white space."""
    return "_".join(name.split()) or "rdtools"


def write_trec(record: Record) -> bytes:
    """Return the lines `query_id Q0 doc_id rank score tag` of a record; ranks start at 1."""
    return _trec_lines(run_columns(record))


def write_tsv(record: Record) -> bytes:
    """Return the lines `query_id⇥doc_id⇥score` of a record.

    Each score has a point or an exponent, so that it is not taken for a rank.
    """
    return _tsv_lines(run_columns(record))


def write_jsonl_run(record: Record) -> bytes:
    """Return the lines `{"qid", "docno", "score", "rank"}` of a record; ranks start at 1."""
    return _jsonl_lines(run_columns(record))


def encode_rankings(runs: Iterable[RunColumns], name: str) -> Iterator[bytes]:
    """Yield the lines of each ranking in format `name`, trec, tsv or jsonl-run.

    Raises:
        RdError: the format cannot hold an id.
    """
    lines = {"trec": _trec_lines, "tsv": _tsv_lines, "jsonl-run": _jsonl_lines}[name]
    for run in runs:
        try:
            yield lines(run)
        except BadLine as error:
            raise error.for_query(run.query_id) from None


def _trec_lines(run: RunColumns) -> bytes:
    start = f"{_word(run.query_id)} Q0 "
    words = " ".join(run.doc_ids)  # faster than one by one
    if words.split() != run.doc_ids or "\0" in words:
        for doc_id in run.doc_ids:
            _word(doc_id)
    return _rows(start, f" {run.tag}\n", run.doc_ids, _ranks(len(run.doc_ids)), _score_texts(run.scores))


def _tsv_lines(run: RunColumns) -> bytes:
    start = run_cell(run.query_id) + "\t"
    all_ids = "".join(run.doc_ids)
    if any(mark in all_ids for mark in _NOT_IN_CELLS):
        for doc_id in run.doc_ids:
            run_cell(doc_id)
    return _rows(start, "\n", run.doc_ids, ["\t"] * len(run.doc_ids), _score_texts(run.scores))


def _jsonl_lines(run: RunColumns) -> bytes:
    rows = zip(run.doc_ids, run.scores, strict=True)
    return b"".join(
        dump({"qid": run.query_id, "docno": doc_id, "score": score, "rank": rank})
        for rank, (doc_id, score) in enumerate(rows, start=1)
    )


def _rows(start: str, end: str, *columns: list[str]) -> bytes:
    """Join columns to lines: filling one list by strides is five times as fast as line by line."""
    width = len(columns) + 1
    pieces = [end + start] * (width * len(columns[0]))
    for place, column in enumerate(columns):
        pieces[place::width] = column
    return (start + "".join(pieces)).removesuffix(start).encode()


def _ranks(count: int) -> list[str]:
    """Return " 1 ", " 2 ", ..., " count "; they are made once."""
    _RANKS.extend(f" {rank} " for rank in range(len(_RANKS) + 1, count + 1))
    return _RANKS[:count]


_RANKS: list[str] = []


def _score_texts(scores: list[float]) -> list[str]:
    """Return the shortest text of each score, as `repr` does."""
    if scores and min(map(abs, scores)) >= 1e-4 and max(map(abs, scores)) < 1e16:
        return dump(scores)[1:-2].decode().split(",")  # several times as fast; exponents would differ
    return list(map(repr, scores))


def read_trec(lines: Lines, together: bool = True) -> Iterator[Record]:
    return _grouped(lines, _parse_trec, together)


def read_tsv(lines: Lines, together: bool = True) -> Iterator[Record]:
    return _grouped(lines, _parse_tsv, together)


def read_jsonl_run(lines: Lines, together: bool = True) -> Iterator[Record]:
    """`{"qid", "docno", "score", "rank"}`: a run in JSON lines, or in the rows of parquet."""
    return _grouped(lines, _parse_jsonl_run, together)


def read_msmarco(lines: Lines, together: bool = True) -> Iterator[Record]:
    return _grouped(lines, _parse_msmarco, together)


_Row = tuple[str, Doc, dict[str, str]]
"""query_id, document, further fields of the record."""


def _grouped(lines: Lines, parse: Callable[[bytes], _Row], together: bool) -> Iterator[Record]:
    """Gather adjacent lines of a query into one record; `together` refuses a query that comes again later."""
    record: Record | None = None
    docs: dict[str, Doc] = {}
    finished: set[str] = set()
    start = 0
    for line in lines:
        row = lines.parse(parse, line)
        if row is None:
            continue
        query_id, doc, others = row
        if record is None or query_id != record["query_id"]:
            if together and query_id in finished:
                lines.bad(f'the lines of query "{query_id}" are not together', "sort by query first")
                continue
            if record is not None:
                finished.add(record["query_id"])
                here, lines.number = lines.number, start  # for complaints about the record
                yield record
                lines.number = here
            docs, start = {}, lines.number
            scale = "unknown" if "score" in doc else "rank"
            record = {"query_id": query_id, "docs": [], "score_scale": scale}
            record.update(others)  # type: ignore[typeddict-item]
        if doc["doc_id"] in docs:
            lines.bad(f'duplicate document "{doc["doc_id"]}" for query "{query_id}"')
            continue
        docs[doc["doc_id"]] = doc
        record["docs"].append(doc)
    if record is not None:
        lines.number = start
        yield record


def _parse_trec(line: bytes) -> _Row:
    columns = decode(line).split()
    if len(columns) != 6:
        problem = f"a TREC run line has 6 columns (query_id Q0 doc_id rank score tag), not {len(columns)}"
        raise BadLine(problem)
    query_id, _, doc_id, rank, score, tag = columns
    return (
        query_id,
        {"doc_id": doc_id, "score": number(score, "score"), "rank": whole_number(rank, "rank")},
        {"tag": tag},
    )


def _parse_tsv(line: bytes) -> _Row:
    query_id, doc_id, score = _three_columns(line, "score")
    return query_id, {"doc_id": doc_id, "score": number(score, "score")}, {}


def _parse_msmarco(line: bytes) -> _Row:
    query_id, doc_id, rank = _three_columns(line, "rank")
    return query_id, {"doc_id": doc_id, "rank": whole_number(rank, "rank")}, {}


def _parse_jsonl_run(line: bytes) -> _Row:
    fields = parse_object(line)
    query_id = identifier(fields, "qid", "query_id")
    doc: Doc = {"doc_id": identifier(fields, "docno", "docid", "doc_id")}
    if fields.get("score") is not None:
        if not is_score(fields["score"]):
            raise BadLine(f'"score" is not a finite number but {show(fields["score"])}')
        doc["score"] = fields["score"]
    if fields.get("rank") is not None:
        doc["rank"] = whole_number(str(fields["rank"]), "rank")
    if len(doc) == 1:
        raise BadLine('missing "score" or "rank"')
    if fields.get("text") is not None:
        doc["text"] = titled_text(fields)
    return query_id, doc, {} if fields.get("query") is None else {"query": string(fields, "query")}


def _three_columns(line: bytes, last: str) -> list[str]:
    columns = decode(line).split("\t")
    if len(columns) != 3:
        problem = f"3 columns expected (query_id, doc_id, {last}, separated by tabs), not {len(columns)}"
        raise BadLine(problem)
    if not columns[0] or not columns[1]:
        raise BadLine("an id is empty")
    return columns


def number(text: str, what: str) -> float:
    """Read `text` as a finite float32; `what` names it in the error."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if "_" in text or not is_score(value):  # Python's own notation, 1_000, is nobody else's
        raise BadLine(f"{what} {text[:40]!r} is not a finite number")
    return value


def whole_number(text: str, what: str) -> int:
    """Read `text` as a whole number of at most 32 bits; `what` names it in the error."""
    try:
        value = int(text)
    except ValueError:
        value = 2**32
    if "_" in text or abs(value) > 2**31:
        raise BadLine(f"{what} {text[:40]!r} is not a whole number")
    return value


def _word(identifier: str) -> str:
    if "\0" in identifier:
        raise BadLine(f"id {identifier!r} has a NUL, which a TREC run cannot hold", "use -f tsv or jsonl")
    if identifier.split() != [identifier]:
        raise BadLine(
            f"id {identifier!r} has white space, which a TREC run cannot hold", "use -f tsv or jsonl"
        )
    return identifier


def run_cell(identifier: str) -> str:
    """Return an id as a column of TSV, which must not hold a tab or a line end."""
    if any(mark in identifier for mark in _NOT_IN_CELLS):
        raise BadLine(f"id {identifier!r} has a tab or a line end, which TSV cannot hold", "use -f jsonl")
    return identifier
