"""rd-mine --from bm25 on a few thousand documents without a kept index beside a bm25s script: whole processes, files to run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import bm25
from measuring import BIN, Options, Row, Side, compare, in_turn, left_out, prepare, worker

MINUTES = (0.3, 0.5)
DEPTH = 1000
PEERS = ("bm25s numba", "bm25s numpy")


def make(options: Options) -> None:
    prepare(
        options.folder / "pydoc" / "queries.tsv",
        *worker("bm25_cold", "write_pydoc", options.folder / "pydoc"),
    )


def write_pydoc(folder_name: str) -> None:
    """The documentation of this Python: its documents, and 93 of its test queries."""
    from rdtools.data.datasets import open_dataset

    folder = Path(folder_name)
    folder.mkdir(parents=True, exist_ok=True)
    dataset = open_dataset("pydoc:test")
    queries = ((record["query_id"], record["query"]) for record in islice(dataset.queries(), 93))
    for name, rows in (("corpus", dataset.documents()), ("queries", queries)):
        text = "".join(f"{own}\t{' '.join(text.split())}\n" for own, text in rows)
        (folder / f"{name}.tsv").write_text(text)


def script(folder_name: str, backend: str) -> None:
    """Index and search as bm25s' own examples do, the faster of its backends by a row of its own."""
    import bm25s
    import numpy as np
    import Stemmer

    from rdtools.core.scores import floats
    from rdtools.formats.runs import RunColumns, encode_rankings

    folder = Path(folder_name)
    doc_ids, texts = zip(*bm25.read_pairs(folder / "corpus.tsv"), strict=True)
    query_ids, queries = zip(*bm25.read_pairs(folder / "queries.tsv"), strict=True)
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend=backend)
    index.index(bm25s.tokenize(list(texts), stemmer=stemmer, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(list(queries), stemmer=stemmer, return_ids=False, show_progress=False)
    found = index.retrieve(tokens, k=DEPTH, show_progress=False)
    ids = np.array(doc_ids, object)
    runs = [
        RunColumns(query_id, ids[rows[scores > 0]].tolist(), floats(scores[scores > 0]), "bm25s")
        for query_id, rows, scores in zip(query_ids, found.documents, found.scores, strict=True)
    ]
    with (folder / f"out-{backend}").open("wb") as file:
        file.writelines(encode_rankings(runs, "trec"))


def rows(options: Options) -> Iterator[Row]:
    folder = options.folder / "pydoc"
    files = ["--corpus", folder / "corpus.tsv", "--queries", folder / "queries.tsv"]
    retrieval = ["-n", "all", "--depth", DEPTH, "--no-text", "-f", "trec", "-o", folder / "out", "--quiet"]
    theirs = [
        Side(name, worker("bm25_cold", "script", folder, name.split()[1]), needs=("bm25s",)) for name in PEERS
    ]
    taken = in_turn([Side("rd-mine", [BIN / "rd-mine", *files, *retrieval]), *theirs], options)
    ours = taken.pop("rd-mine")
    yield from compare("rd-mine bm25, pydoc, cold", "s", ours, taken, dict.fromkeys(PEERS, "≥ 1"))
    yield from left_out("rd-mine bm25, pydoc, cold", *theirs)
