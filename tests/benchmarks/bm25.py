"""BM25 search of a million passages beside tantivy and bm25s: TREC runs out, ids and scores, and search alone.

Every engine reads the same files, on as many processors as a row says, and writes its TREC run with our writer: the
peers by a plain loop around their own search, at their best settings. Ours is the loop of the command (queries read,
searched, written). "search alone" makes no ids and writes nothing: tantivy and bm25s return what their search returns.
"rd-mine, whole command" includes reading the corpus and opening the index. Queries are of two kinds: `syn`, 6 terms
with 1 to 3 very frequent words, and `nostop`, the same without those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from measuring import (
    BIN,
    Options,
    Row,
    Side,
    Taken,
    amount,
    compare,
    in_turn,
    left_out,
    missing,
    parts_in_turn,
    prepare,
    timed,
    worker,
)

Pair = tuple[str, str]
"""query_id and text."""


class Engine(NamedTuple):
    run: Callable[[list[Pair], int], Iterable[bytes]]
    """Search for some queries to a depth, and make the lines of a run."""
    search: Callable[[list[Pair], int], object]
    """Search alone."""


MINUTES = (0.5, 8)
KINDS = ("syn", "nostop")
VOCABULARY = 200_000
LENGTH = 55


# the collection


def collection(options: Options) -> Path:
    return options.folder / f"bm25-{options.size(1_000_000, 20_000)}"


def make(options: Options) -> None:
    folder = collection(options)
    passages, queries = options.size(1_000_000, 20_000), options.size(500, 50)
    prepare(folder / "corpus.tsv", *worker("bm25", "write_collection", folder, passages, queries))


def write_collection(folder_name: str, passages: str, queries: str) -> None:
    """Write corpus.tsv (Zipf's law, 55 words a passage on average) and the queries of both kinds."""
    import numpy as np

    folder = Path(folder_name)
    folder.mkdir(parents=True, exist_ok=True)
    words = np.array([spelt(number) for number in range(VOCABULARY)])
    rng = np.random.default_rng(1)
    with (folder / "syn.tsv").open("w") as syn, (folder / "nostop.tsv").open("w") as nostop:
        for query in range(int(queries)):
            frequent = words[rng.integers(0, 20, rng.integers(1, 4))]
            rare = words[np.exp(rng.uniform(np.log(200), np.log(10_000), 6 - len(frequent))).astype(int)]
            syn.write(f"{query}\t{' '.join(rng.permutation([*frequent, *rare]))}\n")
            nostop.write(f"{query}\t{' '.join(rare)}\n")
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, VOCABULARY + 1)
    cumulated = np.cumsum(share / share.sum())
    part = folder / "corpus.part"
    with part.open("w") as file:
        for start in range(0, int(passages), 10_000):
            lengths = rng.poisson(LENGTH, min(10_000, int(passages) - start))
            drawn = words[np.searchsorted(cumulated, rng.random(lengths.sum()))]
            for row, text in enumerate(np.split(drawn, np.cumsum(lengths)[:-1]), start):
                file.write(f"p{row}\t{' '.join(text)}\n")
    part.rename(folder / "corpus.tsv")


def spelt(number: int) -> str:
    """A word of its own for each number, which no stemmer changes: consonant and vowel in turn, at its end a k."""
    word = ""
    for _ in range(4):
        number, consonant = divmod(number, 14)
        number, vowel = divmod(number, 3)
        word += "bcdfghjlmnprtv"[consonant] + "aou"[vowel]
    return word + "k"


def read_pairs(file: Path) -> Iterator[Pair]:
    with file.open() as lines:
        for line in lines:
            left, _, right = line.rstrip("\n").partition("\t")
            yield left, right


# the engines: index, and search in a process of its own that says how long its loops took


def index_tantivy(folder: Path) -> None:
    import tantivy

    index = opened_tantivy(folder)
    writer = index.writer(heap_size=1_000_000_000, num_threads=1)
    for number, (_, text) in enumerate(read_pairs(folder / "corpus.tsv")):
        writer.add_document(tantivy.Document(text=text, row=number))
    writer.commit()
    writer.wait_merging_threads()


def opened_tantivy(folder: Path) -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", tokenizer_name="english", index_option="freq")
    builder.add_integer_field("row", fast=True)
    (folder / "tantivy").mkdir(exist_ok=True)
    index = tantivy.Index(builder.build(), path=str(folder / "tantivy"))
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
    analyzer = analyzer.filter(tantivy.Filter.stopword("english")).filter(tantivy.Filter.stemmer("english"))
    index.register_tokenizer("english", analyzer.build())
    return index


def open_tantivy(folder: Path, threads: int) -> Engine:
    from rdtools.core.scores import floats
    from rdtools.formats import encode_runs
    from rdtools.formats.runs import RunColumns

    index = opened_tantivy(folder)
    searcher = index.searcher()
    doc_ids = [doc_id for doc_id, _ in read_pairs(folder / "corpus.tsv")]

    def hits(pair: Pair, depth: int) -> Any:
        return searcher.search(index.parse_query(pair[1], ["text"]), depth, count=False).hits

    def found(pair: Pair, depth: int) -> RunColumns:
        ranked = hits(pair, depth)
        scores = [score for score, _ in ranked]
        rows = searcher.fast_field_values("row", [address for _, address in ranked])
        return RunColumns(pair[0], [doc_ids[row] for row in rows], floats(scores), "tantivy")

    def each(function: Callable[[Pair, int], Any], pairs: list[Pair], depth: int) -> Iterator[Any]:
        if threads == 1:
            yield from (function(pair, depth) for pair in pairs)
        else:
            with ThreadPoolExecutor(threads) as pool:
                yield from pool.map(lambda pair: function(pair, depth), pairs)

    return Engine(
        lambda pairs, depth: encode_runs(each(found, pairs, depth), "trec"),
        lambda pairs, depth: list(each(hits, pairs, depth)),
    )


def index_bm25s(folder: Path) -> None:
    import bm25s
    import Stemmer

    texts = [text for _, text in read_pairs(folder / "corpus.tsv")]
    tokens = bm25s.tokenize(texts, stemmer=Stemmer.Stemmer("english"), show_progress=False)
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(tokens, show_progress=False)
    index.save(folder / "bm25s", show_progress=False)


def open_bm25s(folder: Path, threads: int, backend: str) -> Engine:
    import bm25s
    import numpy as np
    import Stemmer

    from rdtools.core.scores import floats
    from rdtools.formats import encode_runs
    from rdtools.formats.runs import RunColumns

    index = bm25s.BM25.load(folder / "bm25s", mmap=True)
    index.backend = backend
    stemmer = Stemmer.Stemmer("english")
    doc_ids = np.array([doc_id for doc_id, _ in read_pairs(folder / "corpus.tsv")], object)
    if backend == "numba":
        index.activate_numba_scorer()

    def search(pairs: list[Pair], depth: int) -> Any:
        texts = [text for _, text in pairs]
        tokens = bm25s.tokenize(texts, stemmer=stemmer, return_ids=False, show_progress=False)
        return index.retrieve(tokens, k=depth, show_progress=False, n_threads=threads if threads > 1 else 0)

    def runs(pairs: list[Pair], depth: int) -> Iterator[RunColumns]:
        found = search(pairs, depth)
        for (query_id, _), rows, scores in zip(pairs, found.documents, found.scores, strict=True):
            kept = scores > 0
            yield RunColumns(query_id, doc_ids[rows[kept]].tolist(), floats(scores[kept]), "bm25s")

    return Engine(lambda pairs, depth: encode_runs(runs(pairs, depth), "trec"), search)


def opened(folder: Path) -> Any:
    from rdtools.data.collection import Collection
    from rdtools.search.options import SearchOptions
    from rdtools.search.resources import Resources

    search = SearchOptions(index=str(folder / "rdtools"))
    return Resources(Collection(corpus_path=str(folder / "corpus.tsv")), search)


def open_rdtools(folder: Path, threads: int, negatives: int | None) -> Engine:
    """What the command does once the corpus and its index are there."""
    from rdtools.formats import Writing, encode, encode_runs
    from rdtools.mine.options import Selection
    from rdtools.mine.retrieval import Retrieval
    from rdtools.mine.sources import open_source
    from rdtools.mine.training_groups import TrainingGroups
    from rdtools.search.bm25 import open_bm25

    resources = opened(folder)
    source, index = open_source("bm25", resources), open_bm25(resources)

    def run(pairs: list[Pair], depth: int) -> Iterable[bytes]:
        selection = Selection(num_negatives=negatives, depth=depth)
        corpus = resources.collection.corpus
        queries: Any = ({"query_id": query_id, "query": text, "docs": []} for query_id, text in pairs)
        if negatives is None:
            return encode_runs(Retrieval([source], selection, {}, corpus, as_run=True).runs(queries), "trec")
        return encode(TrainingGroups([source], selection, {}, corpus).mine(queries), Writing())

    def search(pairs: list[Pair], depth: int) -> None:
        texts = [text for _, text in pairs]
        for start in range(0, len(texts), 128):
            part = texts[start : start + 128]
            list(index.search(part, [depth] * len(part)))

    return Engine(run, search)


ENGINES: dict[str, Callable[[Path, int], Engine]] = {
    "rd-mine": lambda folder, threads: open_rdtools(folder, threads, None),
    "rd-mine -n 15, texts": lambda folder, threads: open_rdtools(folder, threads, 15),
    "tantivy": open_tantivy,
    "bm25s numba": lambda folder, threads: open_bm25s(folder, threads, "numba"),
    "bm25s numpy": lambda folder, threads: open_bm25s(folder, threads, "numpy"),
}
INDEXES = {"tantivy": index_tantivy, "bm25s": index_bm25s}
NEEDS = {"tantivy": ("tantivy",), "bm25s": ("bm25s",), "bm25s numba": ("bm25s",), "bm25s numpy": ("bm25s",)}
TARGETS = {"tantivy": "≥ 2", "bm25s numba": "≥ 1.3", "bm25s numpy": "≥ 15"}
ALONE = ", search alone"
FEW = {"bm25s numpy": 60}
"""Queries of an engine that is too slow for all of them."""


def index(name: str, folder: str) -> None:
    INDEXES[name](Path(folder))


def search(name: str, folder_name: str, threads: str, *depths: str) -> None:
    """Search for the queries of both kinds, to each depth: two parts of the result each."""
    folder = Path(folder_name)
    engine = ENGINES[name](folder, int(threads))
    with (folder / f"out-{name}").open("wb") as file:
        for kind in KINDS:
            pairs = list(read_pairs(folder / f"{kind}.tsv"))[: FEW.get(name)]
            file.writelines(
                engine.run(pairs[:2], 10)
            )  # compiled, and read into memory, before the clock starts
            for depth in map(int, depths):
                with timed(f"{kind}, k={depth}", len(pairs)):
                    file.writelines(engine.run(pairs, depth))
                with timed(f"{kind}, k={depth}{ALONE}", len(pairs)):
                    engine.search(pairs, depth)


# the measurements


def mine(folder: Path, queries: Path, depth: int) -> list[object]:
    return [
        BIN / "rd-mine", "--corpus", folder / "corpus.tsv", "--queries", queries, "--index", folder / "rdtools",
        "-n", "all", "--depth", depth, "--no-text", "-f", "trec", "-o", folder / "out", "--quiet",
    ]  # fmt: skip


def index_commands(folder: Path) -> dict[str, list[object]]:
    """From the file to an index in a folder of the engine's name; ours by a search for one query."""
    one = folder / "one.tsv"
    one.write_text("q\tbab\n")
    theirs = {name: worker("bm25", "index", name, folder) for name in INDEXES if not missing(*NEEDS[name])}
    return {"rdtools": mine(folder, one, 1), **theirs}


def build_indexes(folder: Path) -> None:
    for name, command in index_commands(folder).items():
        prepare(folder / name, *command)


def sides(folder: Path, threads: int, depths: Sequence[int], *names: str) -> list[Side]:
    return [
        Side(
            name, worker("bm25", "search", name, folder, threads, *depths), timed=True, threads=threads,
            needs=NEEDS.get(name, ()),
        )
        for name in names
    ]  # fmt: skip


def rows(options: Options) -> Iterator[Row]:
    folder = collection(options)
    build_indexes(folder)
    one: dict[str, Taken] = {}
    for threads in (1, 2):
        names = [name for name in ENGINES if "texts" not in name and (threads == 1 or name not in FEW)]
        engines = sides(folder, threads, (100, 1000), *names)
        for part, taken in parts_in_turn(engines, options).items():
            ours = taken.pop("rd-mine")
            job = f"rd-mine bm25, {part}, {threads} thread{'s' * (threads > 1)}"
            yield from compare(job, "q/s", ours, taken, TARGETS)
            if threads == 1:
                one[part] = ours
            else:
                yield from compare(
                    job, "q/s", ours, {"itself, 1 thread": one[part]}, {"itself, 1 thread": "≥ 1.7"}
                )
        yield from left_out("rd-mine bm25", *engines)
    for kind in KINDS:
        side = Side("rd-mine", mine(folder, folder / f"{kind}.tsv", 1000))
        took = in_turn([side], options)["rd-mine"]
        job = f"rd-mine bm25, {kind}, k=1000, the whole command with a kept index"
        yield Row(job, "", "", amount(took.seconds, "s"), peak=f"{took.peak_mb:.0f}")
