"""BM25 search of a million passages beside tantivy and bm25s: TREC runs out, ids and scores.

Every engine reads the same files, on as many processors as a row says, and writes a TREC run: the peers by a plain
loop around their own search, at their best settings. Ours is the loop of the command (queries read, searched,
written); "search alone" is that without the records and the writing, "floor" one pass over the postings of the
queries, "rd-mine, whole command" includes reading the corpus and opening the index. Queries are of two kinds:
`syn`, 6 terms with 1 to 3 very frequent words, and `nostop`, the same without those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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
Search = Callable[[list[Pair], int, Any], None]
"""Search for some queries to a depth, and write a run into a file."""

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


# the engines: index, and search in a process of its own that says how long its loop took


# the engines: index, and search in a process of its own that says how long its loop took


def run_lines(query_id: str, ranked: Any) -> str:
    return "".join(
        f"{query_id} Q0 {doc} {rank} {score} peer\n" for rank, (doc, score) in enumerate(ranked, 1)
    )


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


def open_tantivy(folder: Path, threads: int) -> Search:
    index = opened_tantivy(folder)
    searcher = index.searcher()
    doc_ids = [doc_id for doc_id, _ in read_pairs(folder / "corpus.tsv")]

    def search(pairs: list[Pair], depth: int, file: Any) -> None:
        def found(pair: Pair) -> str:
            hits = searcher.search(index.parse_query(pair[1], ["text"]), depth, count=False).hits
            rows = searcher.fast_field_values("row", [address for _, address in hits])
            return run_lines(pair[0], ((doc_ids[row], hit[0]) for row, hit in zip(rows, hits, strict=True)))

        with ThreadPoolExecutor(threads) as pool:
            lines = map(found, pairs) if threads == 1 else pool.map(found, pairs)
            file.writelines(line.encode() for line in lines)

    return search


def index_bm25s(folder: Path) -> None:
    import bm25s
    import Stemmer

    texts = [text for _, text in read_pairs(folder / "corpus.tsv")]
    tokens = bm25s.tokenize(texts, stemmer=Stemmer.Stemmer("english"), show_progress=False)
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(tokens, show_progress=False)
    index.save(folder / "bm25s", show_progress=False)


def open_bm25s(folder: Path, threads: int, backend: str) -> Search:
    import bm25s
    import numpy as np
    import Stemmer

    index = bm25s.BM25.load(folder / "bm25s", mmap=True)
    index.backend = backend
    stemmer = Stemmer.Stemmer("english")
    doc_ids = np.array([doc_id for doc_id, _ in read_pairs(folder / "corpus.tsv")])
    if backend == "numba":
        index.activate_numba_scorer()

    def search(pairs: list[Pair], depth: int, file: Any) -> None:
        query_ids, texts = zip(*pairs, strict=True)
        tokens = bm25s.tokenize(list(texts), stemmer=stemmer, return_ids=False, show_progress=False)
        workers = threads if threads > 1 else 0
        found = index.retrieve(tokens, k=depth, show_progress=False, n_threads=workers)
        for query_id, rows, scores in zip(query_ids, found.documents, found.scores, strict=True):
            kept = scores > 0
            ranked = zip(doc_ids[rows[kept]].tolist(), scores[kept].tolist(), strict=True)
            file.write(run_lines(query_id, ranked).encode())

    return search


def opened(folder: Path) -> Any:
    from rdtools.data.collection import Collection
    from rdtools.search.options import SearchOptions
    from rdtools.search.resources import Resources

    search = SearchOptions(index=str(folder / "rdtools"))
    return Resources(Collection(corpus_path=str(folder / "corpus.tsv")), search)


def open_rdtools(folder: Path, threads: int, negatives: int | None) -> Search:
    """What the command does once the corpus and its index are there."""
    from rdtools.formats import Writing, encode, encode_runs
    from rdtools.mine.options import Selection
    from rdtools.mine.retrieval import Retrieval
    from rdtools.mine.sources import open_source
    from rdtools.mine.training_groups import TrainingGroups

    resources = opened(folder)
    source = open_source("bm25", resources)

    def search(pairs: list[Pair], depth: int, file: Any) -> None:
        selection = Selection(num_negatives=negatives, depth=depth)
        options = ([source], selection, {}, resources.collection.corpus)
        queries: Any = ({"query_id": query_id, "query": text, "docs": []} for query_id, text in pairs)
        if negatives is None:
            lines = encode_runs(Retrieval(*options, as_run=True).runs(queries), "trec")
        else:
            lines = encode(TrainingGroups(*options).mine(queries), Writing())
        file.writelines(lines)

    return search


def open_search_alone(folder: Path, threads: int) -> Search:
    from rdtools.search.bm25 import open_bm25

    index = open_bm25(opened(folder))

    def search(pairs: list[Pair], depth: int, file: Any) -> None:
        texts = [text for _, text in pairs]
        for start in range(0, len(texts), 128):
            part = texts[start : start + 128]
            list(index.search(part, [depth] * len(part)))

    return search


def open_floor(folder: Path, threads: int) -> Search:
    from rdtools.search.bm25 import open_bm25

    index = open_bm25(opened(folder))
    postings = index._postings

    def read(pairs: list[Pair], depth: int, file: Any) -> None:
        for term in [term for _, text in pairs for term in index._terms(text)]:
            own = slice(*postings.starts[term : term + 2])
            postings.impacts[own].max()
            postings.rows[own].max()

    return read


ENGINES: dict[str, Callable[[Path, int], Search]] = {
    "rd-mine": lambda *where: open_rdtools(*where, None),
    "rd-mine -n 15, texts": lambda *where: open_rdtools(*where, 15),
    "search alone": open_search_alone,
    "floor": open_floor,
    "tantivy": open_tantivy,
    "bm25s numba": lambda *where: open_bm25s(*where, "numba"),
    "bm25s numpy": lambda *where: open_bm25s(*where, "numpy"),
}
INDEXES = {"tantivy": index_tantivy, "bm25s": index_bm25s}
NEEDS = {"tantivy": ("tantivy",), "bm25s": ("bm25s",), "bm25s numba": ("bm25s",), "bm25s numpy": ("bm25s",)}
TARGETS = {"tantivy": "≥ 1.3", "bm25s numba": "≥ 1.3", "bm25s numpy": "≥ 15", "floor": "floor"}
FEW = {"bm25s numpy": 60}
"""Queries of an engine that is too slow for all of them."""


def index(name: str, folder: str) -> None:
    INDEXES[name](Path(folder))


def search(name: str, folder_name: str, threads: str, *depths: str) -> None:
    """Search for the queries of both kinds, to each depth: a part of the result each."""
    folder = Path(folder_name)
    searched = ENGINES[name](folder, int(threads))
    with (folder / f"out-{name}").open("wb") as file:
        for kind in KINDS:
            pairs = list(read_pairs(folder / f"{kind}.tsv"))[: FEW.get(name)]
            searched(pairs[:2], 10, file)  # compiled, and read into memory, before the clock starts
            for depth in map(int, depths):
                with timed(f"{kind}, k={depth}", len(pairs)):
                    searched(pairs, depth, file)


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
            once=name in FEW, needs=NEEDS.get(name, ()),
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
