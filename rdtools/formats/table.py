"""The formats by name: FORMATS, a line each. A new format is a read and/or a write function and its line.

A reader is `read(lines: Lines) -> Iterator[Record]`, of a run `read(lines, together)`, which gathers lines
into records. A writer is `write(record: Record) -> bytes`. Both are named `"module:function"` and imported on
first use.
"""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One line of FORMATS.

    Attributes:
        keys: fields by which a JSON object is recognised: it must have all the words of one text. Formats
            are tried in the order of FORMATS.
        is_run: its lines are ranked documents, and a query has several.
        is_queries: it holds queries, whose records have no documents yet.
        frame: the bytes before, between and after the queries of a format that is one JSON object in all.
        needs: what a query must have to be written: "positive", "negative", "document"; "scores": a score for
            each document; "ranking": the same, if any document has one; "texts" of the query and documents.
        even: what all queries of a file have alike: "scores" (all or none), "negatives" (their number).
        numbers: ids are written as integers if all of the file are plain numbers.
    """

    read: str = ""
    write: str = ""
    keys: tuple[str, ...] = ()
    is_run: bool = False
    is_queries: bool = False
    frame: tuple[bytes, bytes, bytes] = (b"", b"", b"")
    needs: tuple[str, ...] = ()
    even: tuple[str, ...] = ()
    numbers: bool = False


_PAIRS = ("positive", "negative")
_TEXT_PAIRS = (*_PAIRS, "texts")
_KD = ("document", "scores")


def _of(module: str, name: str, **more: object) -> Format:
    """Return the format of a peer whose functions are called `read_NAME` and `write_NAME`."""
    place = f"rdtools.formats.peers.{module}"
    return Format(f"{place}:read_{name}", f"{place}:write_{name}", **more)  # type: ignore[arg-type]


def _run(name: str, **more: object) -> Format:
    """Return the format of a run whose functions are called `read_NAME` and `write_NAME`."""
    place = "rdtools.formats.runs"
    functions = f"{place}:read_{name}", f"{place}:write_{name}"
    return Format(*functions, is_run=True, needs=("ranking",), **more)  # type: ignore[arg-type]


FORMATS = {
    "records": Format(read="rdtools.formats.records:read_jsonl", keys=("query_id docs",)),
    "jsonl": Format(write="rdtools.formats.records:write_jsonl"),
    "trec": _run("trec"),
    "tsv": _run("tsv"),
    "jsonl-run": _run(
        "jsonl_run",
        keys=("qid docno", "qid docid", "qid doc_id", "query_id docno", "query_id docid", "query_id doc_id"),
    ),
    "msmarco-run": Format(read="rdtools.formats.runs:read_msmarco", is_run=True),
    "beir-queries": Format(read="rdtools.formats.texts:read_beir_queries", is_queries=True),
    "tsv-queries": Format(read="rdtools.formats.texts:read_tsv_queries", is_queries=True),
    "tevatron": _of("tevatron", "tevatron", keys=("positive_passages",), needs=_TEXT_PAIRS),
    "tevatron-ids": _of("tevatron", "tevatron_ids", keys=("positive_document_ids",), needs=_PAIRS),
    "tevatron-kd": _of("tevatron", "tevatron_kd", keys=("passages scores",), needs=(*_KD, "texts")),
    "pylate": _of("colbert", "pylate", keys=("document_ids scores",), needs=_KD, numbers=True),
    "colbert-triples": _of("colbert", "colbert_triples", needs=_PAIRS, numbers=True),
    "colbert-nway": _of("colbert", "colbert_nway", needs=_KD, numbers=True),
    "colbert-scores": _of("colbert", "colbert_scores", needs=_KD, numbers=True),
    "paper-triples": _of(
        "paper", "paper_triples", keys=("query_id doc_id_a doc_id_b",), needs=("positive",)
    ),
    "paper-scores": _of("paper", "paper_scores", frame=(b"{", b",", b"}\n"), needs=_KD),
    "msmarco-hard-negatives": _of(
        "hard_negatives", "hard_negatives", keys=("qid pos neg",), needs=("positive",), numbers=True
    ),
    "gpl-hard-negatives": _of("hard_negatives", "hard_negatives", needs=("positive",)),
    "gpl": _of("hard_negatives", "gpl", needs=(*_PAIRS, "scores")),
    "msmarco-triples": _of("hard_negatives", "msmarco_triples", needs=_PAIRS),
    "msmarco-text-triples": Format(read="rdtools.formats.peers.splade:read_msmarco_text_triples"),
    "splade": _of("splade", "splade", needs=(*_TEXT_PAIRS, "scores")),
    "flagembedding": _of(
        "flagembedding", "flagembedding", keys=("query pos",), needs=_TEXT_PAIRS, even=("scores",)
    ),
    "ms-swift": Format(
        write="rdtools.formats.peers.flagembedding:write_ms_swift", needs=("positive", "texts")
    ),
    "rank-llm": _of(
        "rank_llm", "rank_llm", keys=("query candidates",), needs=("document", "ranking", "texts")
    ),
    "sentence-transformers": _of(
        "sentence_transformers", "sentence_transformers",
        keys=("anchor positive", "query positive", "query answer negative", "query answer negative_1",
              "query docs labels", "query docs scores"),
        needs=_TEXT_PAIRS, even=("scores", "negatives"),
    ),
    "sentence-transformers-triplet": Format(
        write="rdtools.formats.peers.sentence_transformers:write_triplet", needs=_TEXT_PAIRS, even=("scores",)
    ),
    "sentence-transformers-list": Format(
        write="rdtools.formats.peers.sentence_transformers:write_list",
        needs=("document", "texts"), even=("scores",),
    ),
}  # fmt: skip

READERS = {name: each.read for name, each in FORMATS.items() if each.read}
WRITERS = {name: each.write for name, each in FORMATS.items() if each.write}
RUNS = tuple(name for name, each in FORMATS.items() if each.is_run)
