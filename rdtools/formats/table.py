"""The formats by name: a read and/or a write function each, imported on first use."""

READERS = {
    "records": "rdtools.formats.records:read_jsonl",
    "trec": "rdtools.formats.runs:read_trec",
    "tsv": "rdtools.formats.runs:read_tsv",
    "msmarco-run": "rdtools.formats.runs:read_msmarco",
    "beir-queries": "rdtools.formats.texts:read_beir_queries",
    "tsv-queries": "rdtools.formats.texts:read_tsv_queries",
    "tevatron": "rdtools.formats.peers.tevatron:read_tevatron",
    "tevatron-ids": "rdtools.formats.peers.tevatron:read_tevatron_ids",
    "tevatron-kd": "rdtools.formats.peers.tevatron:read_tevatron_kd",
    "sentence-transformers": "rdtools.formats.peers.sentence_transformers:read_sentence_transformers",
    "flagembedding": "rdtools.formats.peers.flagembedding:read_flagembedding",
    "pylate": "rdtools.formats.peers.colbert:read_pylate",
    "colbert-triples": "rdtools.formats.peers.colbert:read_colbert_triples",
    "colbert-nway": "rdtools.formats.peers.colbert:read_colbert_nway",
    "colbert-scores": "rdtools.formats.peers.colbert:read_colbert_scores",
    "msmarco-hard-negatives": "rdtools.formats.peers.hard_negatives:read_hard_negatives",
    "gpl-hard-negatives": "rdtools.formats.peers.hard_negatives:read_hard_negatives",
    "gpl": "rdtools.formats.peers.hard_negatives:read_gpl",
    "splade": "rdtools.formats.peers.splade:read_splade",
    "paper-triples": "rdtools.formats.peers.paper:read_paper_triples",
    "paper-scores": "rdtools.formats.peers.paper:read_paper_scores",
}

SCORE_READERS = {**READERS, "records": "rdtools.formats.scored:read"}
"""The readers that may leave out all of a document but its score."""

QUERIES = ("beir-queries", "tsv-queries")
"""The readers of queries, whose records have no documents yet."""

RUNS = ("trec", "tsv", "msmarco-run")
"""The readers that gather lines into records: `read(lines, together)`."""

WRITERS = {
    "jsonl": "rdtools.formats.records:write_jsonl",
    "tsv": "rdtools.formats.runs:write_tsv",
    "trec": "rdtools.formats.runs:write_trec",
    "tevatron": "rdtools.formats.peers.tevatron:write_tevatron",
    "tevatron-ids": "rdtools.formats.peers.tevatron:write_tevatron_ids",
    "tevatron-kd": "rdtools.formats.peers.tevatron:write_tevatron_kd",
    "sentence-transformers": "rdtools.formats.peers.sentence_transformers:write_sentence_transformers",
    "sentence-transformers-triplet": "rdtools.formats.peers.sentence_transformers:write_triplet",
    "sentence-transformers-list": "rdtools.formats.peers.sentence_transformers:write_list",
    "flagembedding": "rdtools.formats.peers.flagembedding:write_flagembedding",
    "ms-swift": "rdtools.formats.peers.flagembedding:write_ms_swift",
    "pylate": "rdtools.formats.peers.colbert:write_pylate",
    "colbert-triples": "rdtools.formats.peers.colbert:write_colbert_triples",
    "colbert-nway": "rdtools.formats.peers.colbert:write_colbert_nway",
    "colbert-scores": "rdtools.formats.peers.colbert:write_colbert_scores",
    "msmarco-hard-negatives": "rdtools.formats.peers.hard_negatives:write_msmarco_hard_negatives",
    "gpl-hard-negatives": "rdtools.formats.peers.hard_negatives:write_gpl_hard_negatives",
    "gpl": "rdtools.formats.peers.hard_negatives:write_gpl",
    "splade": "rdtools.formats.peers.splade:write_splade",
    "paper-triples": "rdtools.formats.peers.paper:write_paper_triples",
    "paper-scores": "rdtools.formats.peers.paper:write_paper_scores",
}

FRAMES = {"paper-scores": (b"{", b",", b"}\n")}
"""Formats that are one JSON object in all: what stands before, between and after the queries."""
