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
    """

    read: str = ""
    write: str = ""
    keys: tuple[str, ...] = ()
    is_run: bool = False
    is_queries: bool = False
    frame: tuple[bytes, bytes, bytes] = (b"", b"", b"")


def _of(module: str, name: str, **more: object) -> Format:
    """Return the format of a peer whose functions are called `read_NAME` and `write_NAME`."""
    place = f"rdtools.formats.peers.{module}"
    return Format(f"{place}:read_{name}", f"{place}:write_{name}", **more)  # type: ignore[arg-type]


FORMATS = {
    "records": Format(read="rdtools.formats.records:read_jsonl", keys=("query_id docs",)),
    "jsonl": Format(write="rdtools.formats.records:write_jsonl"),
    "trec": Format("rdtools.formats.runs:read_trec", "rdtools.formats.runs:write_trec", is_run=True),
    "tsv": Format("rdtools.formats.runs:read_tsv", "rdtools.formats.runs:write_tsv", is_run=True),
    "msmarco-run": Format(read="rdtools.formats.runs:read_msmarco", is_run=True),
    "beir-queries": Format(read="rdtools.formats.texts:read_beir_queries", is_queries=True),
    "tsv-queries": Format(read="rdtools.formats.texts:read_tsv_queries", is_queries=True),
    "tevatron": _of("tevatron", "tevatron", keys=("positive_passages",)),
    "tevatron-ids": _of("tevatron", "tevatron_ids", keys=("positive_document_ids",)),
    "tevatron-kd": _of("tevatron", "tevatron_kd", keys=("passages scores",)),
    "pylate": _of("colbert", "pylate", keys=("document_ids scores",)),
    "colbert-triples": _of("colbert", "colbert_triples"),
    "colbert-nway": _of("colbert", "colbert_nway"),
    "colbert-scores": _of("colbert", "colbert_scores"),
    "paper-triples": _of("paper", "paper_triples", keys=("query_id doc_id_a doc_id_b",)),
    "paper-scores": _of("paper", "paper_scores", frame=(b"{", b",", b"}\n")),
    "msmarco-hard-negatives": Format(
        "rdtools.formats.peers.hard_negatives:read_hard_negatives",
        "rdtools.formats.peers.hard_negatives:write_msmarco_hard_negatives", keys=("qid pos neg",),
    ),
    "gpl-hard-negatives": Format(
        "rdtools.formats.peers.hard_negatives:read_hard_negatives",
        "rdtools.formats.peers.hard_negatives:write_gpl_hard_negatives",
    ),
    "gpl": _of("hard_negatives", "gpl"),
    "splade": _of("splade", "splade"),
    "flagembedding": _of("flagembedding", "flagembedding", keys=("query pos",)),
    "ms-swift": Format(write="rdtools.formats.peers.flagembedding:write_ms_swift"),
    "sentence-transformers": _of(
        "sentence_transformers", "sentence_transformers",
        keys=("anchor positive", "query positive", "query answer negative", "query answer negative_1",
              "query docs labels", "query docs scores"),
    ),
    "sentence-transformers-triplet": Format(
        write="rdtools.formats.peers.sentence_transformers:write_triplet"
    ),
    "sentence-transformers-list": Format(write="rdtools.formats.peers.sentence_transformers:write_list"),
}  # fmt: skip

READERS = {name: each.read for name, each in FORMATS.items() if each.read}
WRITERS = {name: each.write for name, each in FORMATS.items() if each.write}
RUNS = tuple(name for name, each in FORMATS.items() if each.is_run)
