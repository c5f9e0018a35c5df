"""Dense indexes on disk: vectors written as they come, searched exactly and by indexes of faiss, in float32 and float16."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from measuring import Options, Row, Side, amount, parts_in_turn, prepare, timed, worker

MINUTES = (1, 15)
DIMENSION, LATENT, DEPTH = 384, 32, 100
FACTORIES = ("IVF256,Flat", "IVF256,PQ64", "HNSW32")
SMALL = ("HNSW8", "IVF16,Flat", "IVF16,PQ48x4")


class RandomEncoder:
    """Gives any text a vector: of few dimensions, and noise, as embeddings are."""

    mark, scale = "", "cosine"
    dimension = DIMENSION

    def __init__(self) -> None:
        import numpy as np
        import torch

        self.model = SimpleNamespace(max_seq_length=1, device=torch.device("cpu"))
        self.wide = lambda queries: queries.astype(np.float64)
        self._axes = np.random.default_rng(0).standard_normal((LATENT, DIMENSION), np.float32)
        self._drawn = 0

    def encoded(self, texts: Iterable[str], count: int, description: str = "") -> Iterator[Any]:
        for start in range(0, count, 16384):
            yield self.draw(min(16384, count - start))

    def encode_queries(self, texts: list[str], *, alone: bool = True) -> Any:
        return self.draw(len(texts))

    def draw(self, count: int) -> Any:
        import numpy as np

        self._drawn += 1
        rng = np.random.default_rng(self._drawn)
        vectors = rng.standard_normal((count, LATENT), np.float32) @ self._axes
        vectors += rng.standard_normal(vectors.shape, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def resources(folder: str, dtype: str, factory: str | None) -> Any:
    """The corpus, whose texts nobody reads, and an encoder of its own."""
    from rdtools.data.collection import Collection
    from rdtools.search.dense import DenseIndex
    from rdtools.search.options import AnnOptions, SearchOptions
    from rdtools.search.resources import Resources

    DenseIndex.open_encoder = staticmethod(lambda model, options: RandomEncoder())  # type: ignore
    DenseIndex.fingerprint = "random"  # type: ignore
    search = SearchOptions(index=f"{folder}/index", index_dtype=dtype)
    file = Path(folder, "corpus.tsv")
    corpus = Collection(corpus_path=str(file), store=search.index, memory=4 * file.stat().st_size)
    return Resources(corpus, search, ann=AnnOptions(ann=factory))


def write_corpus(folder: str, rows: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "corpus.tsv").write_text("".join(f"d{n}\t{n}\n" for n in range(int(rows))))


def build(folder: str, dtype: str, factory: str = "") -> None:
    """Write the vectors, or build an index of faiss beside them."""
    from rdtools.search.dense import DenseIndex

    given = resources(folder, dtype, factory or None)
    with timed("", len(given.collection.corpus)):
        if factory:
            from rdtools.search.ann import AnnSearch

            AnnSearch.open("random", given)
        else:
            DenseIndex("random", given)


def search(folder: str, dtype: str, queries: str, factory: str = "") -> None:
    from rdtools.mine.sources.dense import shared_search

    given = resources(folder, dtype, factory or None)
    with timed("open", 1):
        found = shared_search("random", given)
    asked = RandomEncoder().draw(int(queries))
    with timed("search", len(asked)) as results:
        for start in range(0, len(asked), 64):  # as many at a time as rd-mine asks for
            part = asked[start : start + 64]
            found.search(part, [DEPTH] * len(part))
        status = Path("/proc/self/status").read_text()
        results["own_mb"] = int(status.split("RssAnon:")[1].split()[0]) / 1024


def make(options: Options) -> None:
    for rows in sizes(options):
        prepare(
            folder_of(options, rows) / "corpus.tsv",
            *worker("vectors", "write_corpus", folder_of(options, rows), rows),
        )


def sizes(options: Options) -> tuple[int, ...]:
    return (options.size(100_000, 5_000), options.size(1_000_000, 10_000))


def folder_of(options: Options, rows: int) -> Path:
    return options.folder / f"vectors-{rows}"


def rows(options: Options) -> Iterator[Row]:
    few, many = sizes(options)
    for size, dtype, factory in (
        (many, "float32", ""), (many, "float16", ""), (few, "float32", ""),
        *((few, "float32", each) for each in (SMALL if options.small else FACTORIES)),
    ):  # fmt: skip
        yield from rows_of(options, size, dtype, factory)


def rows_of(options: Options, size: int, dtype: str, factory: str) -> Iterator[Row]:
    folder = folder_of(options, size)
    job = f"dense on disk, {size:,} x {DIMENSION}, {factory or 'exact'}, {dtype}"
    kind = "ann" if factory else "dense"
    before = set(folder.glob(f"index/{kind}-*"))
    side = Side("build", worker("vectors", "build", folder, dtype, factory), timed=True)
    once = Options(options.small, 1, options.folder, options.clock)
    built = parts_in_turn([side], once)[""]["build"]
    new = set(folder.glob(f"index/{kind}-*")) - before
    if new:  # else it was there
        disk = sum(file.stat().st_size for own in new for file in own.iterdir()) / 1e9
        yield Row(
            f"{job}: build", "", "",
            f"{amount(built.seconds, 's')}, {amount(built.seconds, 'docs/s', size)}, {disk:.2f} GB on disk",
            peak=f"{built.peak_mb:.0f}",
        )  # fmt: skip
    queries = options.size(512, 64)
    side = Side("search", worker("vectors", "search", folder, dtype, queries, factory), timed=True)
    taken = parts_in_turn([side], once)
    opened, searched = taken["open"]["search"], taken["search"]["search"]
    told = f"opened in {amount(opened.seconds, 'ms')}, {amount(searched.seconds, 'q/s', queries)}"
    for own in new if factory else ():
        recall = json.loads((own / "recall.json").read_text())
        told += f", recall@{recall['depth']} {recall['recall']:.3f} ({recall['effort']})"
    memory = f"{searched.peak_mb:.0f}, own {searched.results['own_mb']:.0f}"
    yield Row(f"{job}: search, k={DEPTH}", "", "", told, peak=memory)
