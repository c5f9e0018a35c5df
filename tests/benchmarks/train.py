"""rd-train beside sentence-transformers' trainers: same model, texts, steps and loss, for both kinds of student.

First the losses of the first steps of both are compared, dropout off. Then both train as they come; ours also
without dropout, and in bf16 without dropout where the CPU has bfloat16, which changes what is trained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import texts
from measuring import (
    Options,
    Row,
    Side,
    compare,
    left_out,
    missing,
    parts_in_turn,
    timed,
    worker,
)

MINUTES = (1.2, 7)
GROUP, BATCH, LR = 8, 4, 2e-5
SAME, NO_DROPOUT, BF16 = "the same maths", "no dropout", "bf16, no dropout"
NEEDS = ("accelerate", "datasets")
"""What the library's trainer needs."""
KINDS = ("be", "ce")
TARGETS = {"be": "≥ 2", "ce": "≥ 1.45"}
PEER = "sentence-transformers' trainer"


def make(options: Options) -> None:
    """The texts are made by the sides themselves."""


def groups(queries: int, group: int = GROUP) -> Any:
    from rdtools.train.groups import Groups
    from rdtools.train.losses.objective import objective
    from rdtools.train.options import GroupOptions

    records: Any = texts.records("passages", queries, group)
    return Groups(records, objective("margin-mse"), GroupOptions(group_size=group))


def ours(kind: str, steps: str, *parts: str) -> None:
    for part in parts:
        trainer = our_trainer(
            kind, texts.bi_encoder(), groups(200), int(steps), BATCH,
            dropout=part == SAME, dtype="bfloat16" if part == BF16 else "float32",
        )  # fmt: skip
        with timed(part, int(steps) * BATCH * GROUP) as results:
            results["losses"] = [row["loss"] for row in trainer.run()]


def theirs(kind: str, steps: str, part: str) -> None:
    """The library's trainer on the same batches in the same order."""
    from rdtools.models.loading import quiet_libraries

    with tempfile.TemporaryDirectory() as folder:
        trainer, losses = peer_trainer(
            kind, texts.bi_encoder(), groups(200), int(steps), BATCH, folder, dropout=part == SAME
        )
        with quiet_libraries(), timed(part, int(steps) * BATCH * GROUP) as results:
            trainer.train()
            results["losses"] = losses


def our_trainer(
    kind: str, model: str, given: Any, steps: int, batch: int, *, dropout: bool = True, dtype: str = "float32",
    device: str = "cpu",
) -> Any:  # fmt: skip
    from rdtools.core.registry import resolve
    from rdtools.models.options import ModelOptions
    from rdtools.train.losses.objective import objective
    from rdtools.train.options import STUDENTS, StudentOptions, TrainingOptions
    from rdtools.train.trainer import Trainer

    shape = StudentOptions(student=f"{kind}:{model}", scale=1.0 if kind == "be" else None)
    student = resolve(STUDENTS, kind, "student")(shape, ModelOptions(device=device))
    options = TrainingOptions(
        max_steps=steps, batch_size=batch, lr=LR, warmup=0.0, no_dropout=not dropout, dtype=dtype
    )
    return Trainer(student, given, objective("margin-mse"), options)


def peer_trainer(
    kind: str, model_name: str, given: Any, steps: int, batch: int, folder: str, *, dropout: bool = True,
    device: str = "cpu", bf16: bool = False,
) -> tuple[Any, list[float]]:  # fmt: skip
    """Return a trainer of the library over the groups in their order, and the list that its losses go to."""
    import torch
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import MarginMSELoss as CrossMarginMSE
    from sentence_transformers.sentence_transformer import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    from rdtools.models.loading import quiet_libraries

    trainers: dict[str, Any] = {
        "be": (SentenceTransformerTrainer, SentenceTransformerTrainingArguments, MarginMSELoss),
        "ce": (CrossEncoderTrainer, CrossEncoderTrainingArguments, CrossMarginMSE),
    }
    make_trainer, make_arguments, make_loss = trainers[kind]
    model: Any
    with quiet_libraries():
        if kind == "be":
            model = SentenceTransformer(model_name, device=device, local_files_only=True)
        else:
            torch.manual_seed(0)
            model = CrossEncoder(
                model_name, device=device, num_labels=1, max_length=512, local_files_only=True
            )
    if not dropout:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
    rows: dict[str, list[Any]] = {"query": []}
    for group in given.slice(0, steps * batch):
        rows["query"].append(group.query)
        for place, document in enumerate(group.documents):
            rows.setdefault(f"doc{place}", []).append(document.text)
        margins = [group.documents[0].score - document.score for document in group.documents[1:]]
        rows.setdefault("label", []).append(margins)
    losses: list[float] = []

    class Recorded(make_loss):  # type: ignore[misc,valid-type]
        def forward(self, *arguments: Any, **more: Any) -> Any:
            loss = super().forward(*arguments, **more)
            losses.append(loss.item())
            return loss

    class InOrder(make_trainer):  # type: ignore[misc,valid-type]
        def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, **more: Any) -> Any:
            sequential = torch.utils.data.SequentialSampler(dataset)
            return DefaultBatchSampler(sequential, batch_size=batch_size, drop_last=drop_last)

    # With a fingerprint of our own nothing is pickled, which fails for some pairs of datasets and pyarrow.
    dataset = Dataset(InMemoryTable.from_pydict(rows), fingerprint=f"{kind}-{steps}")
    arguments = make_arguments(
        output_dir=folder, per_device_train_batch_size=batch, num_train_epochs=1, learning_rate=LR,
        warmup_steps=0, weight_decay=0.0, report_to="none", save_strategy="no", logging_strategy="no",
        use_cpu=device == "cpu", bf16=bf16, disable_tqdm=True, seed=0,
    )  # fmt: skip
    return InOrder(model=model, args=arguments, train_dataset=dataset, loss=Recorded(model)), losses


def rows(options: Options) -> Iterator[Row]:
    steps, agreement = options.size(4, 1), options.size(20, 2)
    parts = [SAME, NO_DROPOUT, *([BF16] if texts.has_bfloat16() else [])]
    for kind in KINDS:
        both = sides(kind, steps, parts)
        yield from left_out(f"rd-train {kind}", *both)
        if any(missing(*side.needs) for side in both):
            continue
        apart = disagreement(kind, agreement, options)
        taken = parts_in_turn(both, options)
        peers = {PEER: taken[SAME][PEER]}
        for part in parts:
            same = f" (first {agreement} losses without dropout agree to {apart:.0e})" * (part == SAME)
            target = {PEER: TARGETS[kind] if part == SAME else "≥ 2.6 with bf16"}
            yield from compare(
                f"rd-train {kind}, {part}{same}", "docs/s", taken[part]["rd-train"], peers, target
            )
        if BF16 not in parts:
            yield Row(
                f"rd-train {kind}, {BF16}", PEER, "not measured: this CPU has no bfloat16", "", "", "≥ 2.6"
            )


def sides(kind: str, steps: int, parts: list[str]) -> list[Side]:
    """Ours, which trains in several ways, and the library's trainer, which does so in the first of them."""
    ours, theirs = (worker("train", name, kind, steps) for name in ("ours", "theirs"))
    return [
        Side("rd-train", [*ours, *parts], timed=True, needs=texts.NEEDS),
        Side(PEER, [*theirs, parts[0]], timed=True, needs=(*NEEDS, *texts.NEEDS)),
    ]


def disagreement(kind: str, steps: int, options: Options) -> float:
    """The largest relative difference of the losses of the first steps, dropout off."""
    taken = parts_in_turn(sides(kind, steps, [NO_DROPOUT]), replace(options, repeats=1))[NO_DROPOUT]
    losses = zip(*(own.results["losses"] for own in taken.values()), strict=True)
    return max(float(abs(left - right) / abs(right)) for left, right in losses)
