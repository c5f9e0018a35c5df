"""BM25 indexes of 1, 3 and 9 million passages in 2 GB of memory: built, opened again, searched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bm25
from measuring import BIN, Options, Row, Side, amount, in_turn, parts_in_turn, prepare, timed, worker

MINUTES = (0.5, 30)
MEMORY = "2G"
SIZES = (1_000_000, 3_000_000, 9_000_000)
DEPTH = 1000


def folder_of(options: Options, passages: int) -> Path:
    return options.folder / f"corpora-{passages}"


def sizes(options: Options) -> list[int]:
    return [options.size(size, size // 100) for size in SIZES]


def make(options: Options) -> None:
    for size in sizes(options):
        folder = folder_of(options, size)
        prepare(
            folder / "corpus.tsv", *worker("bm25", "write_collection", folder, size, options.size(500, 50))
        )


def opened(folder: Path) -> Any:
    from rdtools.data.collection import Collection
    from rdtools.search.options import SearchOptions
    from rdtools.search.resources import Resources

    options = SearchOptions(index=str(folder / "index"), memory=MEMORY)
    corpus, store = str(folder / "corpus.tsv"), options.index
    return Resources(Collection(corpus_path=corpus, store=store, memory=options.memory_bytes), options)


def search(folder_name: str) -> None:
    """Open the corpus and its index; search for the first query, the next nine, the others, frequent words."""
    from rdtools.search.bm25 import open_bm25

    folder = Path(folder_name)
    with timed("open", 1):
        resources = opened(folder)
        index, corpus = open_bm25(resources), resources.collection.corpus
    texts, frequent = (
        [text for _, text in bm25.read_pairs(folder / f"{kind}.tsv")] for kind in ("nostop", "syn")
    )
    parts = [("first query", texts[:1]), ("next nine", texts[1:10]), ("others", texts[10:])]
    for part, some in [*parts, ("with frequent words", frequent)]:
        with timed(part, len(some)):
            for rows, _ in index.search(some, [DEPTH] * len(some)):
                corpus.doc_ids_at(rows)


def rows(options: Options) -> Iterator[Row]:
    for size in sizes(options):
        folder = folder_of(options, size)
        one = folder / "one.tsv"
        one.write_text("q\tbab\n")
        command = [
            "bash", "-c", 'rm -rf "$0"; "$@"', folder / "index", BIN / "rd-mine", "--corpus", folder / "corpus.tsv",
            "--queries", one, "--index", folder / "index", "--memory", MEMORY, "-n", "all", "--depth", "1",
            "--no-text", "--quiet", "-o", "/dev/null",
        ]  # fmt: skip
        took = in_turn([Side("build", command)], options)["build"]
        disk = sum(file.stat().st_size for file in (folder / "index").rglob("*.*")) / 1e9
        job = f"bm25, {size:,} passages, --memory {MEMORY}"
        built = f"{amount(took.seconds, 's')}, {amount(took.seconds, 'docs/s', size)}, {disk:.1f} GB on disk"
        yield Row(f"{job}: corpus and index", "", "", built, peak=f"{took.peak_mb:.0f}")
        worker_side = Side("search", worker("corpora", "search", folder), timed=True)
        for part, taken in parts_in_turn([worker_side], options).items():
            own = taken["search"]
            shown = f"{own.seconds * 1000 / (own.count or 1):.1f} ms each"
            yield Row(f"{job}: {part}", "", "", shown, peak=f"{own.peak_mb:.0f}")
