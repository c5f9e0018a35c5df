"""The options of rd-train, which are also the settings of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag, options_of, seed_flag
from rdtools.core.registry import split_spec
from rdtools.core.scores import score_scale_flag
from rdtools.data.options import complete_dataset
from rdtools.models.options import DTYPES
from rdtools.train.losses.objective import Objective, complete_loss, explain_objective, objective
from rdtools.train.losses.table import LOSSES, SUMS

STUDENTS = {
    "be": "rdtools.train.students:BiEncoderStudent",
    "ce": "rdtools.train.cross_encoder_student:CrossEncoderStudent",
    "sparse": "rdtools.train.sparse_student:SparseEncoderStudent",
    "colbert": "rdtools.train.late_interaction_student:LateInteractionStudent",
}
TRACKERS = {
    "trackio": "rdtools.train.tracking:Trackio",
    "wandb": "rdtools.train.tracking:WeightsAndBiases",
    "tensorboard": "rdtools.train.tracking:TensorBoard",
}
ENCODERS = "bi-encoders (--student be:MODEL, sparse:MODEL or colbert:MODEL)"
FLOPS = 5e-5, 3e-5
"""The weights of the FLOPS regulariser for queries and documents, as in sentence-transformers' examples."""
LEARNED = "learned"
"""The word for a --scale that training changes."""
INCIDENTAL = ("explain_loss", "files", "check_against", "device", "plot", "fsdp", "process_timeout")
"""Options that do not change what is trained: not recorded with the model, and free to differ on --resume.

The groups `TrainingOutput` and `Reading` are not recorded either.
"""


def recorded(*groups: OptionGroup) -> dict[str, Any]:
    """Return the options that decide what is trained, as rd-train.json keeps them."""
    return {
        option.flag.title.removeprefix("--"): getattr(group, option.field)
        for group in groups
        for option in options_of(type(group))
        if option.field not in INCIDENTAL
    }


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class StudentOptions(OptionGroup):
    """The model to train: its layers, the length of its inputs, how it scores.

    Attributes:
        seed: of the head that a cross-encoder gets if the model has none.
        log_probability: a cross-encoder is trained on log σ of its logit, as in arXiv 2505.21058.
    """

    heading: ClassVar[str] = "Student"

    student: str = flag(
        "--student", metavar="KIND:MODEL", choices=STUDENTS, kind="student", spec=True,
        help="be:MODEL (bi-encoder), ce:MODEL (cross-encoder), sparse:MODEL (sparse encoder, SPLADE) or "
        "colbert:MODEL (late interaction).",
    )  # fmt: skip
    layers: str | None = flag(
        "--layers", default=None, metavar="N|I,J,...",
        help="Start from the first N layers, or from the layers I, J, ..., counted from 0.",
    )  # fmt: skip
    query_max_len: int | None = flag(
        "--query-max-len", default=None, metavar="N", min=1, help="Truncate queries at N tokens."
    )
    doc_max_len: int | None = flag(
        "--doc-max-len", default=None, metavar="N", min=1, help="Truncate documents at N tokens."
    )
    similarity: str | None = flag(
        "--similarity", default=None, metavar="cosine|dot", choices=("cosine", "dot"), kind="similarity",
        default_text="as the model says", help="How a bi-encoder scores; saved with it.",
    )  # fmt: skip
    scale: float | str | None = flag(
        "--scale", default=None, metavar="X|learned", above=0, default_text="cosine 20, dot 1",
        parse=_number_or_text,
        complete=lambda incomplete: [LEARNED] if LEARNED.startswith(incomplete) else [],
        help="Multiply the scores of a bi-encoder by X in training; learned: train X too, from the default.",
    )  # fmt: skip
    seed: int = 0
    log_probability: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UsageError(f"--student {self.student}: say which model, as in {self.kind}:DIR")
        if self.kind == "ce" and (self.similarity is not None or self.scale is not None):
            raise UsageError(f"--similarity and --scale are for {ENCODERS}")
        if self.kind == "colbert" and self.similarity is not None:
            raise UsageError("--similarity: late interaction always sums the similarities of tokens")
        if isinstance(self.scale, str) and self.scale != LEARNED:
            raise UsageError(f"--scale must be a number above 0 or {LEARNED}, not {self.scale!r}")

    @property
    def kind(self) -> str:
        return split_spec(self.student)[0]

    @property
    def model(self) -> str:
        return split_spec(self.student)[1]


@dataclass(frozen=True)
class LossOptions(OptionGroup):
    """The loss and its options."""

    heading: ClassVar[str] = "Loss"

    loss: str = flag(
        "--loss", metavar="NAME", complete=complete_loss,
        help=f"What to minimise: {', '.join(name for name in LOSSES if ':' not in name)}; as a library "
        f"computes it: {', '.join(name for name in (*LOSSES, *SUMS) if ':' in name)}; or a weighted sum, "
        "as in kl+0.2*lce.",
    )  # fmt: skip
    explain_loss: str | None = flag(
        "--explain-loss", default=None, metavar="NAME", complete=complete_loss,
        act=lambda spec, _: print(explain_objective(spec)),
        help="Print formula, score scales and source of a loss or a sum, and exit.",
    )  # fmt: skip
    teacher_temperature: float | None = flag(
        "--teacher-temperature", default=None, metavar="T", above=0,
        default_text="fitted to the scores; kl:tevatron 0.02, other variants 1",
        help="Divide the teacher's scores by T (kl, listnet, margin-mse, mse, and some variants of kl).",
    )  # fmt: skip
    student_temperature: float | None = flag(
        "--student-temperature", default=None, metavar="T", above=0, default_text="1; kl:tevatron 0.02",
        help="Divide the student's scores by T (kl and some of its variants).",
    )  # fmt: skip
    in_batch_negatives: bool = flag(
        "--in-batch-negatives", default=False,
        help="Replace lce by infonce: the documents of a batch are negatives for its other queries (not ce).",
    )  # fmt: skip
    mask_false_negatives: float | None = flag(
        "--mask-false-negatives", default=None, metavar="MARGIN",
        help="infonce: ignore documents of other groups whose similarity to the query, by the student, is "
        "more than MARGIN above that of the positive (0.1 is usual).",
    )  # fmt: skip
    flops_query: float | None = flag(
        "--flops-query", default=None, metavar="W", min=0, default_text=f"{FLOPS[0]:g}",
        help="Weight of the FLOPS regulariser on queries (sparse): a larger one leaves fewer dimensions.",
    )  # fmt: skip
    flops_document: float | None = flag(
        "--flops-document", default=None, metavar="W", min=0, default_text=f"{FLOPS[1]:g}",
        help="That on documents.",
    )  # fmt: skip
    paper_compat: bool = flag(
        "--paper-compat", default=False,
        help="Compute as the code of arXiv 2505.21058: kl is kl:rankers, ranknet is ranknet:rankers (if "
        "the teacher ties two documents, the target ranks the second one higher), and a cross-encoder's "
        "score in the loss is the logarithm of its probability, which saturates at 0.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        in_batch = self.objective.in_batch
        if self.in_batch_negatives and not in_batch:
            raise UsageError("--in-batch-negatives is for --loss lce, and sums with it")
        if self.mask_false_negatives is not None and not in_batch:
            raise UsageError("--mask-false-negatives is for --loss infonce, and sums with it")

    @property
    def flops(self) -> tuple[float, float]:
        """The weights of the FLOPS regulariser, of queries and documents."""
        stated = self.flops_query, self.flops_document
        query, document = (own if one is None else one for one, own in zip(stated, FLOPS, strict=True))
        return query, document

    @property
    def objective(self) -> Objective:
        """The losses and their weights, at the temperatures that are set."""
        found = objective(
            self.loss, paper_compat=self.paper_compat, in_batch_negatives=self.in_batch_negatives
        )
        return found.with_temperatures(self.teacher_temperature, self.student_temperature)


@dataclass(frozen=True)
class GroupOptions(OptionGroup):
    """The groups that are drawn from records, with a `seed`."""

    heading: ClassVar[str] = "Groups"

    group_size: int = flag(
        "--group-size", default=16, metavar="N", min=2, help="Documents of a group, positives included."
    )
    positives: str = flag(
        "--positives", default="one", metavar="one|all", choices=("one", "all"), kind="choice of positives",
        help="One positive a group, drawn anew in each epoch, or all of them together.",
    )  # fmt: skip
    seed: int = 0


@dataclass(frozen=True)
class TrainingOptions(OptionGroup):
    """The training. `defaults.with_defaults` fills in `lr`, and `epochs` if nothing else ends the run."""

    heading: ClassVar[str] = "Training"

    batch_size: int = flag("--batch-size", default=8, metavar="N", min=1, help="Groups of a batch.")
    accumulate: int = flag("--accumulate", default=1, metavar="N", min=1, help="Batches per optimiser step.")
    mini_batch_size: int | None = flag(
        "--mini-batch-size", default=None, metavar="N", min=1,
        help="Keep only N texts in memory at a time (gradient caching): slower, same gradient. For infonce, "
        "the FLOPS regulariser and --fsdp, which otherwise keep all texts of a batch in memory.",
    )  # fmt: skip
    epochs: int | None = flag(
        "--epochs", default=None, metavar="N", min=1, default_text="1, or more until 100 steps",
        help="How often to read all records.",
    )  # fmt: skip
    max_steps: int | None = flag(
        "--max-steps", default=None, metavar="N", min=1, help="Instead of --epochs: stop after N steps."
    )
    max_docs: int | None = flag(
        "--max-docs", default=None, metavar="N", min=1,
        help="Instead of --epochs: stop before more than N documents (the first group must fit).",
    )  # fmt: skip
    lr: float | None = flag(
        "--lr", default=None, metavar="X", min=0, default_text="0.23/(layers · width), at most 3e-4",
        help="Peak learning rate.",
    )  # fmt: skip
    warmup: float = flag(
        "--warmup", default=0.1, metavar="X", min=0, max=1,
        help="Share of the steps in which the learning rate rises.",
    )  # fmt: skip
    weight_decay: float = flag(
        "--weight-decay", default=0.0, metavar="X", min=0, help="Weight decay of AdamW."
    )
    max_grad_norm: float = flag(
        "--max-grad-norm", default=1.0, metavar="X", above=0, help="Clip the gradient to this norm."
    )
    no_dropout: bool = flag(
        "--no-dropout", default=False, help="Train without dropout: faster, but less regularised."
    )
    dtype: str = flag(
        "--dtype", default="float32", metavar="NAME", choices=DTYPES, kind="dtype",
        help="Compute in float32, bfloat16 (bf16) or float16 (fp16). Weights, scores and losses are always "
        "float32.",
    )  # fmt: skip
    seed: int = seed_flag()

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = [limit for limit in (self.epochs, self.max_steps, self.max_docs) if limit is not None]
        if len(limits) > 1:
            raise UsageError("give only one of --epochs, --max-steps and --max-docs")

    @property
    def groups_per_step(self) -> int:
        return self.batch_size * self.accumulate


@dataclass(frozen=True)
class TrainingOutput(OptionGroup):
    """The output folder, reports and checkpoints."""

    heading: ClassVar[str] = "Output and checkpoints"

    output: Path = flag("--output", "-o", metavar="DIR", parse=Path, help="Folder of the trained model.")
    log_steps: int = flag("--log-steps", default=10, metavar="N", min=1, help="Print a line every N steps.")
    save_steps: int | None = flag(
        "--save-steps", default=None, metavar="N", min=1, help="Save a checkpoint in DIR every N steps."
    )
    resume: bool = flag(
        "--resume", default=False,
        help="Resume from the checkpoint in DIR, if there is one; skip a run that has already finished.",
    )  # fmt: skip
    overwrite: bool = flag(
        "--overwrite", default=False, help="Replace the model or the unfinished run in DIR."
    )
    report_to: tuple[str, ...] = flag(
        "--report-to", default=(), metavar="|".join(TRACKERS), choices=TRACKERS, kind="tracker",
        help="Send the lines of standard output to a tracker, too, under the name of DIR. May be repeated.",
    )  # fmt: skip
    card_metrics: str | None = flag(
        "--card-metrics", default=None, metavar="FILE",
        help="Put the values in FILE into the README.md of DIR; with --resume also into that of a finished "
        "run. FILE is the output of rd-eval, tsv or jsonl.",
    )  # fmt: skip


@dataclass(frozen=True)
class ProcessOptions(OptionGroup):
    """The processes of torchrun; a run may be resumed by other ones."""

    heading: ClassVar[str] = "Several processes (torchrun)"

    fsdp: bool = flag(
        "--fsdp", default=False,
        help="Split weights, gradients and optimiser over the processes, for a model too large for one GPU.",
    )  # fmt: skip
    process_timeout: float = flag(
        "--process-timeout", default=600.0, metavar="SECONDS", above=0, max=1e6,
        help="End the run if a process does not do its part of a step in SECONDS.",
    )  # fmt: skip

    def check(self, student: StudentOptions, dtype: str, world_size: int) -> None:
        """Refuse --fsdp where it cannot work.

        Raises:
            UsageError: the message says what to do.
        """
        if not self.fsdp:
            return
        if world_size == 1:
            raise UsageError("--fsdp needs several processes (start rd-train with torchrun)")
        if student.scale == LEARNED:
            raise UsageError("--fsdp needs a fixed --scale (a number, or the default)")
        if dtype == "float16":
            raise UsageError("--fsdp is for --dtype float32 and bf16")


@dataclass(frozen=True)
class TrainingInput(OptionGroup):
    """The records to learn from."""

    heading: ClassVar[str] = "Input"

    files: tuple[str, ...] = flag(
        "[FILE]...", default=(), help="Labelled records; - or no FILE is standard input."
    )
    score_scale: str | None = score_scale_flag()
    check_against: str | None = flag(
        "--check-against", default=None, metavar="QRELS", complete=complete_dataset,
        help="Warn if queries or relevant documents of these judgements (a file, or a dataset such as "
        "DIR:test, whose texts are compared too) are in the training data.",
    )  # fmt: skip
