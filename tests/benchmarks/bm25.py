"""BM25 mining beside its peers: index and search of the same synthetic passages, run files out, in turn in one run.

    pip install '.[bench]' && python tests/benchmarks/bm25.py [--passages 1000000] [--queries 500] [--repeats 3]

Every engine reads the same files, with as many processors as `--threads` says, and writes a TREC run with ids and
scores: the peers by a plain loop around their own search, at their best settings. `rd-mine` is the loop of
the command (queries read, searched, written), `search` that without the records and the writing, `floor` one
pass over the postings of the queries. `command` is the whole of rd-mine, started cold with a kept index.
Queries are of two kinds: `syn`, 6 terms with 1 to 3 very frequent words, and `nostop`, the same without those.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

BIN = Path(sys.executable).parent
KINDS = ("syn", "nostop")
VOCABULARY = 200_000
LENGTH = 55


# the collection


def write_collection(folder: Path, passages: int, queries: int) -> None:
    """Write corpus.tsv (Zipf's law, 55 words a passage on average) and the queries of both kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    words = np.array([spelt(number) for number in range(VOCABULARY)])
    share = 1 / np.arange(1, VOCABULARY + 1)
    cumulated = np.cumsum(share / share.sum())
    corpus = folder / "corpus.tsv"
    if not corpus.exists():
        with corpus.with_suffix(".part").open("w") as file:
            for start in range(0, passages, 10_000):
                lengths = rng.poisson(LENGTH, min(10_000, passages - start))
                drawn = words[np.searchsorted(cumulated, rng.random(lengths.sum()))]
                for row, text in enumerate(np.split(drawn, np.cumsum(lengths)[:-1]), start):
                    file.write(f"p{row}\t{' '.join(text)}\n")
        corpus.with_suffix(".part").rename(corpus)
    rng = np.random.default_rng(1)
    with (folder / "syn.tsv").open("w") as syn, (folder / "nostop.tsv").open("w") as nostop:
        for query in range(queries):
            frequent = words[rng.integers(0, 20, rng.integers(1, 4))]
            rare = words[np.exp(rng.uniform(np.log(200), np.log(10_000), 6 - len(frequent))).astype(int)]
            syn.write(f"{query}\t{' '.join(rng.permutation([*frequent, *rare]))}\n")
            nostop.write(f"{query}\t{' '.join(rare)}\n")


def spelt(number: int) -> str:
    """A word of its own for each number, which no stemmer changes: consonant and vowel in turn, at its end a k."""
    word = ""
    for _ in range(4):
        number, consonant = divmod(number, 14)
        number, vowel = divmod(number, 3)
        word += "bcdfghjlmnprtv"[consonant] + "aou"[vowel]
    return word + "k"


def read_pairs(file: Path) -> Iterator[tuple[str, str]]:
    with file.open() as lines:
        for line in lines:
            left, _, right = line.rstrip("\n").partition("\t")
            yield left, right


# the engines: index, and search in a process of its own that says how long its loop took


def run_lines(query_id: str, ranked: Any) -> str:
    return "".join(
        f"{query_id} Q0 {doc} {rank} {score} peer\n" for rank, (doc, score) in enumerate(ranked, 1)
    )


@contextmanager
def timed() -> Iterator[None]:
    """Print the seconds, and those of them in which this process had a processor, that the block took."""
    begin, used = time.perf_counter(), time.process_time()
    yield
    print(json.dumps({"seconds": time.perf_counter() - begin, "cpu": time.process_time() - used}))


def timed_loop(loop: Callable[[Any], None], out: str) -> None:
    with open(out, "w") as file, timed():
        loop(file)


def index_tantivy(folder: Path) -> None:
    import tantivy

    index = open_tantivy(folder, tantivy)
    writer = index.writer(heap_size=1_000_000_000, num_threads=1)
    for number, (_, text) in enumerate(read_pairs(folder / "corpus.tsv")):
        writer.add_document(tantivy.Document(text=text, row=number))
    writer.commit()
    writer.wait_merging_threads()


def open_tantivy(folder: Path, tantivy: Any) -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", tokenizer_name="english", index_option="freq")
    builder.add_integer_field("row", fast=True)
    (folder / "tantivy").mkdir(exist_ok=True)
    index = tantivy.Index(builder.build(), path=str(folder / "tantivy"))
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
    analyzer = analyzer.filter(tantivy.Filter.stopword("english")).filter(tantivy.Filter.stemmer("english"))
    index.register_tokenizer("english", analyzer.build())
    return index


def search_tantivy(folder: Path, queries: Path, depth: int, threads: int, out: str) -> None:
    import tantivy

    index = open_tantivy(folder, tantivy)
    searcher = index.searcher()
    doc_ids = [doc_id for doc_id, _ in read_pairs(folder / "corpus.tsv")]

    def found(pair: tuple[str, str]) -> str:
        hits = searcher.search(index.parse_query(pair[1], ["text"]), depth, count=False).hits
        rows = searcher.fast_field_values("row", [address for _, address in hits])
        return run_lines(pair[0], ((doc_ids[row], hit[0]) for row, hit in zip(rows, hits, strict=True)))

    def loop(file: Any) -> None:
        with ThreadPoolExecutor(threads) as pool:
            pairs = read_pairs(queries)
            file.writelines(map(found, pairs) if threads == 1 else pool.map(found, pairs))

    timed_loop(loop, out)


def index_bm25s(folder: Path) -> None:
    import bm25s
    import Stemmer

    texts = [text for _, text in read_pairs(folder / "corpus.tsv")]
    tokens = bm25s.tokenize(texts, stemmer=Stemmer.Stemmer("english"), show_progress=False)
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(tokens, show_progress=False)
    index.save(folder / "bm25s", show_progress=False)


def search_bm25s(folder: Path, queries: Path, depth: int, threads: int, out: str, backend: str) -> None:
    import bm25s
    import Stemmer

    index = bm25s.BM25.load(folder / "bm25s", mmap=True)
    index.backend = backend
    stemmer = Stemmer.Stemmer("english")
    doc_ids = np.array([doc_id for doc_id, _ in read_pairs(folder / "corpus.tsv")])

    def batch(texts: list[str]) -> Any:
        tokens = bm25s.tokenize(texts, stemmer=stemmer, return_ids=False, show_progress=False)
        workers = threads if threads > 1 else 0
        return index.retrieve(tokens, k=depth, show_progress=False, n_threads=workers)

    if backend == "numba":
        index.activate_numba_scorer()
        batch(["bab"])  # compiled before the clock starts

    def loop(file: Any) -> None:
        query_ids, texts = zip(*read_pairs(queries), strict=True)
        found = batch(list(texts))
        for query_id, rows, scores in zip(query_ids, found.documents, found.scores, strict=True):
            kept = scores > 0
            ranked = zip(doc_ids[rows[kept]].tolist(), scores[kept].tolist(), strict=True)
            file.write(run_lines(query_id, ranked))

    timed_loop(loop, out)


def opened(folder: Path) -> Any:
    from rdtools.collections import Collection
    from rdtools.setting import Setting

    return Setting(Collection(corpus_path=str(folder / "corpus.tsv")), index=str(folder / "rdtools"))


def search_rdtools(folder: Path, queries: Path, depth: int, threads: int, out: str, negatives: str) -> None:
    """What the command does once the corpus and its index are there."""
    from rdtools.formats import read_records, writer
    from rdtools.mining import Miner
    from rdtools.selection import Selection
    from rdtools.sources import Wanted, open_source
    from rdtools.streams import open_output

    setting = opened(folder)
    source = open_source("bm25", setting)
    group = negatives != "all"
    selection = Selection(15 if group else None, depth=depth, with_text=group, as_run=not group)
    miner = Miner([source], selection, {}, setting.collection.corpus)
    source.search(
        [Wanted({"query_id": "", "query": "bab", "docs": []}, 1)]
    )  # compiled before the clock starts
    write = writer("jsonl" if group else "trec")
    with open_output(out) as file, timed():
        for record in miner.mine(read_records([str(queries)])):
            file.write(write(record))


def search_alone(folder: Path, queries: Path, depth: int, threads: int, out: str) -> None:
    from rdtools.bm25 import open_bm25

    index = open_bm25(opened(folder))
    texts = [text for _, text in read_pairs(queries)]
    list(index.search(texts[:1], [depth]))
    with timed():
        for start in range(0, len(texts), 128):
            part = texts[start : start + 128]
            list(index.search(part, [depth] * len(part)))


def pass_over_postings(folder: Path, queries: Path, depth: int, threads: int, out: str) -> None:
    from rdtools.bm25 import open_bm25

    index = open_bm25(opened(folder))
    postings = index._postings
    terms = [term for _, text in read_pairs(queries) for term in index._terms(text)]
    parts = [slice(*postings.starts[term : term + 2]) for term in terms]
    for _ in range(2):  # the first brings them into memory, and the last line printed counts
        with timed():
            for part in parts:
                postings.impacts[part].max()
                postings.rows[part].max()


SEARCHES: dict[str, Callable[..., None]] = {
    "rd-mine": lambda *job: search_rdtools(*job, "all"),
    "rd-mine -n 15, texts": lambda *job: search_rdtools(*job, "15"),
    "search": search_alone,
    "floor": pass_over_postings,
    "tantivy": search_tantivy,
    "bm25s numba": lambda *job: search_bm25s(*job, "numba"),
    "bm25s": lambda *job: search_bm25s(*job, "numpy"),
}
INDEXES = {"tantivy": index_tantivy, "bm25s": index_bm25s}


# the measurements


def measured(command: list[str], threads: int) -> tuple[float, float, str]:
    """Seconds, peak memory in MB and output of one process on so many processors."""
    begin = time.perf_counter()
    own = sorted(os.sched_getaffinity(0))[:threads]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, own)
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024, output


def worker(*arguments: object) -> list[str]:
    return [sys.executable, __file__, "--worker", *map(str, arguments)]


def mine(folder: Path, queries: Path, depth: int, out: Path) -> list[str]:
    return [
        str(BIN / "rd-mine"), "--corpus", str(folder / "corpus.tsv"), "--queries", str(queries), "--index",
        str(folder / "rdtools"), "-n", "all", "--depth", str(depth), "--no-text", "-f", "trec", "-o", str(out), "--quiet",
    ]  # fmt: skip


def row(*cells: object) -> None:
    print(*cells, sep="\t", flush=True)


def measure_indexes(folder: Path) -> None:
    """Each engine from the file to an index on disk, once: what is there already is not built again."""
    empty = folder / "one.tsv"
    empty.write_text("q\tbab\n")
    jobs = {name: worker("index", name, folder) for name in INDEXES}
    jobs["rdtools"] = mine(folder, empty, 1, folder / "one.trec")
    for name, command in jobs.items():
        if not (folder / name).exists():
            seconds, peak, _ = measured(command, 1)
            size = sum(file.stat().st_size for file in (folder / name).rglob("*")) / 1e6
            row("index", name, f"{seconds:.1f} s", "", f"{peak:.0f}", f"{size:.0f} MB on disk")


def measure_searches(folder: Path, options: argparse.Namespace) -> None:
    for threads in options.threads:
        for kind in options.kinds:
            queries = folder / f"{kind}.tsv"
            count = sum(1 for _ in queries.open())
            for depth in options.depths:
                rates: dict[str, list[float]] = {name: [] for name in options.engines}
                used: dict[str, list[float]] = {name: [] for name in options.engines}
                peaks = dict.fromkeys(options.engines, 0.0)
                for _ in range(options.repeats):
                    for name in options.engines:
                        command = worker("search", name, folder, queries, depth, threads, folder / "out")
                        _, peak, output = measured(command, threads)
                        taken = json.loads(output.splitlines()[-1])
                        rates[name].append(count / taken["seconds"])
                        used[name].append(taken["cpu"] / count * 1000)
                        peaks[name] = max(peaks[name], peak)
                medians = {name: statistics.median(values) for name, values in rates.items()}
                job = f"{kind}, k={depth}, {threads} thread{'s' * (threads > 1)}"
                for name, rate in medians.items():
                    ratio = f"{medians['rd-mine'] / rate:.2f}" if "rd-mine" in medians else ""
                    cpu = f"{statistics.median(used[name]):.3f}"
                    row(job, name, f"{rate:.0f}/s", ratio, f"{peaks[name]:.0f}", cpu)


def measure_command(folder: Path, options: argparse.Namespace) -> None:
    for threads in options.threads:
        for kind in options.kinds:
            command = mine(folder, folder / f"{kind}.tsv", 1000, folder / "out")
            runs = [measured(command, threads) for _ in range(options.repeats)]
            seconds = statistics.median(run[0] for run in runs)
            row(
                f"{kind}, k=1000, {threads} threads",
                "command",
                f"{seconds:.2f} s",
                "",
                f"{max(r[1] for r in runs):.0f}",
            )


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        step, name, folder, *rest = sys.argv[2:]
        if step == "index":
            INDEXES[name](Path(folder))
        else:
            queries, depth, threads, out = rest
            SEARCHES[name](Path(folder), Path(queries), int(depth), int(threads), out)
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/rdtools-bm25"), help="kept between runs")
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--depths", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--engines", nargs="+", choices=SEARCHES, default=list(SEARCHES))
    options = parser.parse_args()
    folder = options.folder / str(options.passages)
    write_collection(folder, options.passages, options.queries)
    row("job", "engine", "median", "rd-mine / it", "peak MB", "ms of a processor, a query")
    measure_indexes(folder)
    measure_searches(folder, options)
    measure_command(folder, options)


if __name__ == "__main__":
    main()
