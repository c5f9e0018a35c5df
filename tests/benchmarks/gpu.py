"""rd-label, rd-train and dense search on a GPU beside sentence-transformers and faiss: one table, in Markdown.

    pip install -e '.[bench]' && python tests/benchmarks/gpu.py [--small] [--device cuda] [--jobs label train search]

Models have the size of BERT-base and of MiniLM-L6 and random weights; texts are words of their vocabulary, a token
each, of about the lengths of MS MARCO's passages and queries. sentence-transformers runs as it comes (float32,
batches of 32 pairs, of 8 groups) and at its best: bf16, the batch size that is fastest here. "used" is the share of
`--peak-tflops` (default: what the card is sold for, else what a matrix product in bf16 reaches here) that the
forward pass of the tokens without padding needs, three times as much in training. Memory is the GPU's.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import dense
import texts
import train as training
from measuring import (
    Options,
    Row,
    Side,
    Taken,
    compare,
    in_turn,
    left_out,
    missing,
    note,
    parts_in_turn,
    prepare,
    table,
    timed,
    worker,
)

SIZES = {"BERT-base": (768, 12, 12), "MiniLM-L6": (384, 6, 12), "toy": (64, 2, 4)}
"""Model -> its width, layers and attention heads."""
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40": 181.0, "L4": 121.0}
"""bf16, dense, as sold."""
GROUP = 8
PREDICT_BATCHES, TRAIN_BATCHES = (32, 128, 512), (8, 32, 64)
JOBS = ("label", "train", "search")
LENGTH, QUERY_LENGTH = (75, 30), (7, 3)  # mean and deviation, in tokens


@dataclass(frozen=True)
class Given:
    """What the command line says."""

    options: Options
    device: str
    peak_tflops: float


# models and texts


def write_model(folder: str, size: str) -> None:
    """A cross-encoder, which is a bi-encoder too for those who pass over its head."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    width, layers, heads = SIZES[size]
    tokenizer = AutoTokenizer.from_pretrained(texts.bi_encoder())
    tokenizer.model_max_length = 512
    torch.manual_seed(0)
    labels: dict[str, Any] = {"num_labels": 1}
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * width, **labels,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def records(model: str, queries: int) -> list[dict[str, Any]]:
    """Queries with a group of passages each, and scores that are made up."""
    from transformers import AutoTokenizer

    vocabulary = AutoTokenizer.from_pretrained(model).get_vocab()
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)
    rng = random.Random(0)

    def text(length: tuple[int, int]) -> str:
        return " ".join(rng.choices(words, k=max(3, round(rng.gauss(*length)))))

    return [
        {
            "query_id": str(query),
            "query": text(QUERY_LENGTH),
            "score_scale": "logit",
            "docs": [
                {
                    "doc_id": f"{place}",
                    "text": text(LENGTH),
                    "score": rng.gauss(0, 1),
                    "relevance": int(not place),
                }
                for place in range(GROUP)
            ],
        }
        for query in range(queries)
    ]


def pairs_of(given: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(record["query"], doc["text"]) for record in given for doc in record["docs"]]


def flops(model: str, lengths: list[int]) -> float:
    """Of the forward pass of inputs of so many tokens: 24 w² for each token and layer, 4 w·n for its attention."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model)
    width, layers = config.hidden_size, config.num_hidden_layers
    return float(sum(layers * n * (24 * width**2 + 4 * width * n) for n in lengths))


def pair_lengths(given: list[dict[str, Any]]) -> list[int]:
    """Tokens of each pair: a word each, and three special ones."""
    return [len(query.split()) + len(text.split()) + 3 for query, text in pairs_of(given)]


def text_lengths(given: list[dict[str, Any]]) -> list[int]:
    """Tokens of each query and each document."""
    both = [text for record in given for text in (record["query"], *(doc["text"] for doc in record["docs"]))]
    return [len(text.split()) + 2 for text in both]


# the sides: each a process of its own; its parts are named by precision and batch size


@contextmanager
def measured(part: str, count: int, device: str, work: float = 0.0) -> Iterator[dict[str, Any]]:
    """Time a part that needs `work` floating-point operations; its memory is the GPU's own, if there is one."""
    import torch

    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with timed(part, count) as results:
        yield results
        if on_gpu:
            torch.cuda.synchronize()
            results["gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20
        results["flops"] = work


def label_ours(model: str, queries: str, device: str) -> None:
    from rdtools.data.collection import Collection
    from rdtools.label.labeler import Labeler
    from rdtools.label.teachers import TeacherResources, open_teacher
    from rdtools.models.options import ModelOptions

    given: Any = records(model, int(queries))
    work = flops(model, pair_lengths(given))
    for dtype in ("float32", "bfloat16"):
        resources = TeacherResources(Collection(), model=ModelOptions(device=device, dtype=dtype))
        labeler = Labeler([open_teacher(f"ce:{model}", resources)])
        list(labeler.label(given[:16]))  # kernels are chosen before the clock starts
        with measured(dtype, len(given) * GROUP, device, work):
            list(labeler.label(given))


def label_theirs(model: str, queries: str, device: str) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    pairs = pairs_of(records(model, int(queries)))
    for dtype, batches in (("float32", (32,)), ("bfloat16", PREDICT_BATCHES)):
        encoder = CrossEncoder(
            model, device=device, max_length=512, model_kwargs={"dtype": getattr(torch, dtype)}
        )
        for batch in batches:
            encoder.predict(pairs[: 2 * batch], batch_size=batch)
            with measured(f"{dtype}, batches of {batch}", len(pairs), device):
                encoder.predict(pairs, batch_size=batch)


def groups_of(given: list[dict[str, Any]]) -> Any:
    from rdtools.train.groups import Groups
    from rdtools.train.losses.objective import objective
    from rdtools.train.options import GroupOptions

    return Groups(given, objective("margin-mse"), GroupOptions(group_size=GROUP))  # type: ignore[arg-type]


def train_ours(kind: str, model: str, queries: str, batch: str, device: str) -> None:
    given = records(model, int(queries))
    groups, steps = groups_of(given), int(queries) // int(batch)
    work = 3 * flops(model, pair_lengths(given) if kind == "ce" else text_lengths(given))
    for dtype, dropout in (("float32", True), ("bfloat16", True), ("bfloat16", False)):

        def trainer(count: int, dtype: str = dtype, dropout: bool = dropout) -> Any:
            return training.our_trainer(
                kind, model, groups, count, int(batch), dropout=dropout, dtype=dtype, device=device
            )

        list(trainer(1).run())  # kernels are chosen before the clock starts
        whole = trainer(steps)
        with measured(dtype + ("" if dropout else ", no dropout"), steps * int(batch) * GROUP, device, work):
            list(whole.run())


def train_theirs(kind: str, model: str, queries: str, batches: str, device: str) -> None:
    from rdtools.models.loading import quiet_libraries

    groups = groups_of(records(model, int(queries)))
    sizes = [int(batch) for batch in batches.split()]
    for bf16, batch in [(False, sizes[0]), *((True, size) for size in sizes)]:
        steps = int(queries) // batch
        with tempfile.TemporaryDirectory() as folder, quiet_libraries():
            for count in (1, steps):
                trainer, _ = training.peer_trainer(
                    kind, model, groups, count, batch, folder, device=device, bf16=bf16
                )
                if count == 1:
                    trainer.train()
            name = f"{'bfloat16' if bf16 else 'float32'}, batches of {batch}"
            with measured(name, steps * batch * GROUP, device):
                trainer.train()


def product(device: str) -> None:
    """A matrix product in bf16, and what does it."""
    import torch

    on_gpu = device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        raise SystemExit(f"gpu.py: --device {device}: no CUDA here (--device cpu --small tries the script)")
    n = 8192 if on_gpu else 512
    left, right = torch.ones(2, n, n, dtype=torch.bfloat16, device=device)
    left @ right
    with measured("", 20, device, 20 * 2.0 * n**3) as results:
        for _ in range(20):
            left @ right
        results["card"] = torch.cuda.get_device_name() if on_gpu else "CPU"


# the rows


def label_rows(given: Given, size: str) -> Iterator[Row]:
    queries = given.options.size(2048, 2)
    model = model_of(given, size)
    sides = [
        Side("rd-label", worker("gpu", "label_ours", model, queries, given.device), timed=True),
        Side("predict", worker("gpu", "label_theirs", model, queries, given.device), timed=True),
    ]
    yield from against_defaults_and_best(given, f"rd-label ce, {size}", "pairs/s", sides)


def train_rows(given: Given, size: str) -> Iterator[Row]:
    model = model_of(given, size)
    queries = given.options.size(512, 2)
    batches = [min(batch, queries) for batch in TRAIN_BATCHES]
    if given.options.small:
        batches = batches[:1]
    for kind in training.KINDS:
        ours = worker("gpu", "train_ours", kind, model, queries, batches[-1], given.device)
        theirs = worker(
            "gpu", "train_theirs", kind, model, queries, " ".join(map(str, batches)), given.device
        )
        sides = [
            Side("rd-train", ours, timed=True),
            Side(training.PEER, theirs, timed=True, needs=training.NEEDS),
        ]
        yield from left_out(f"rd-train {kind}, {size}", *sides)
        if not missing(*training.NEEDS):
            yield from against_defaults_and_best(given, f"rd-train {kind}, {size}", "docs/s", sides)


def against_defaults_and_best(given: Given, job: str, unit: str, sides: list[Side]) -> Iterator[Row]:
    """A row for each of our parts and each of: the peer as it comes, the fastest part of the peer."""
    ours: dict[str, Taken] = {}
    theirs: dict[str, Taken] = {}
    for part, taken in parts_in_turn(sides, given.options).items():
        for name, own in taken.items():
            (ours if name == sides[0].name else theirs)[part] = in_gpu_memory(own)
    default = next(part for part in theirs if part.startswith("float32"))
    best = max((part for part in theirs if part != default), key=lambda part: rate(theirs[part]))
    peers = {f"{sides[1].name}, {default}": theirs[default], f"{sides[1].name}, best: {best}": theirs[best]}
    targets = dict(zip(peers, ("≥ 2", "≥ 1.3"), strict=True))
    for part, own in ours.items():
        used = own.results["flops"] / own.seconds / 1e12 / given.peak_tflops
        yield from compare(f"{job}, {part} ({used:.0%} used)", unit, own, peers, targets)


def rate(taken: Taken) -> float:
    return (taken.count or 1) / taken.seconds


def in_gpu_memory(taken: Taken) -> Taken:
    return replace(taken, peak_mb=taken.results.get("gpu_mb", taken.peak_mb))


def search_rows(given: Given) -> Iterator[Row]:
    for places in (1_000_000, 8_841_823) if not given.options.small else (10_000,):
        queries = given.options.size(512, 64)
        sides = [
            Side(name, worker("dense", "search", name, places, queries, given.device), timed=True)
            for name in ("rd-mine", "faiss flat")
        ]
        taken = in_turn(sides, replace(given.options, repeats=1))
        ours = taken.pop("rd-mine")
        yield from compare(f"dense, exact search, {places:,} x {dense.DIMENSION}", "q/s", ours, taken, {})


def model_of(given: Given, size: str) -> Path:
    folder = given.options.folder / f"model-{size}"
    prepare(folder, *worker("gpu", "write_model", folder, size))
    return folder


def peak_of(device: str, options: Options) -> float:
    """The bf16 TFLOP/s of the device."""
    taken = in_turn([Side("a product", worker("gpu", "product", device), timed=True)], options)["a product"]
    reached, card = taken.results["flops"] / taken.seconds / 1e12, taken.results["card"]
    sold = next((peak for name, peak in PEAK_TFLOPS.items() if name in card), None)
    note(f"{card}: a product in bf16 reaches {reached:.2g} TFLOP/s; as sold: {sold or 'not known'}")
    return sold or reached


def main() -> None:
    parsed = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsed.add_argument("--device", default="cuda")
    parsed.add_argument(
        "--small", action="store_true", help="a toy model and few texts: to see that it works"
    )
    parsed.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parsed.add_argument("--models", nargs="+", choices=SIZES, help="default: BERT-base MiniLM-L6")
    parsed.add_argument("--repeats", type=int, default=3)
    parsed.add_argument("--folder", type=Path, default=Options.folder)
    parsed.add_argument(
        "--peak-tflops", type=float, help="of the device in bf16, instead of what is known of it"
    )
    asked = parsed.parse_args()
    if modules := missing(*texts.NEEDS):
        raise SystemExit(f"gpu.py: {modules} is not installed (pip install '.[bench]')")
    options = Options(asked.small, 1 if asked.small else asked.repeats, asked.folder / "gpu")
    peak = peak_of(asked.device, options)  # and so whether the device is there at all
    given = Given(options, asked.device, asked.peak_tflops or peak)
    sizes = asked.models or (["toy"] if asked.small else ["BERT-base", "MiniLM-L6"])
    rows = {"label": label_rows, "train": train_rows}
    table(
        row
        for job in asked.jobs
        for row in (search_rows(given) if job == "search" else chain.from_iterable(rows[job](given, size) for size in sizes))
    )  # fmt: skip


if __name__ == "__main__":
    main()
