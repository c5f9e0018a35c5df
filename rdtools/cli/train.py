"""rd-train: labelled records -> a student."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rdtools import __version__
from rdtools.cli import old_options as options
from rdtools.cli.old_command import entry_point, need_input
from rdtools.core.errors import UsageError
from rdtools.core.registry import check_name, resolve, split_spec
from rdtools.train.losses.objective import Objective, explain_objective, objective
from rdtools.train.losses.table import LOSSES, SUMS

if TYPE_CHECKING:
    from rdtools.data.collection import Collection
    from rdtools.train.groups import Grouping, Groups

STUDENTS = {
    "be": "rdtools.train.students:BiEncoderStudent",
    "ce": "rdtools.train.students:CrossEncoderStudent",
}


INCIDENTAL = (
    "files", "output", "explain_loss", "log_steps", "save_steps", "resume", "overwrite", "device",
    "input_format", "on_error", "max_line", "check_against",
)  # fmt: skip
"""Options that do not change what is trained: not recorded with the model, and free to differ on --resume."""


def complete_loss(incomplete: str) -> list[str]:
    """Complete the last term of a sum."""
    end = max(incomplete.rfind("+"), incomplete.rfind("*")) + 1
    before, begun = incomplete[:end], incomplete[end:]
    return [before + name for name in (*LOSSES, *SUMS) if name.startswith(begun)]


def check_loss(spec: str) -> str:
    objective(spec)
    return spec


def show_loss(spec: str | None) -> None:
    if spec is not None:
        print(explain_objective(spec))
        raise typer.Exit


def train(
    files: options.Files = None,
    *,
    student: Annotated[
        str,
        typer.Option(
            "--student",
            metavar="KIND:MODEL",
            help="be:MODEL (bi-encoder) or ce:MODEL (cross-encoder).",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the trained model.",
        ),
    ],
    loss: Annotated[
        str,
        typer.Option(
            "--loss",
            metavar="NAME",
            help=f"What to minimise: {', '.join(name for name in LOSSES if ':' not in name)}; as a library "
            f"computes it: {', '.join(name for name in (*LOSSES, *SUMS) if ':' in name)}; or a weighted sum, "
            "as in kl+0.2*lce.",
            callback=check_loss,
            autocompletion=complete_loss,
        ),
    ],
    explain_loss: Annotated[
        str | None,
        typer.Option(
            "--explain-loss",
            metavar="NAME",
            help="Print formula, score scales and source of a loss or a sum, and exit.",
            callback=show_loss,
            is_eager=True,
            autocompletion=complete_loss,
        ),
    ] = None,
    group_size: Annotated[
        int, typer.Option("--group-size", metavar="N", min=2, help="Documents a query, positive included.")
    ] = 16,
    positives: Annotated[
        str,
        options.choice(
            "--positives",
            names=["one", "all"],
            kind="choice of positives",
            metavar="one|all",
            help="One positive a group, drawn anew each epoch, or all of them together.",
        ),
    ] = "one",
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Groups a batch.")] = 8,
    accumulate: Annotated[
        int, typer.Option("--accumulate", metavar="N", min=1, help="Batches a step of the optimiser.")
    ] = 1,
    mini_batch_size: Annotated[
        int | None,
        typer.Option(
            "--mini-batch-size",
            metavar="N",
            min=1,
            help="Keep only N texts in memory at a time (gradient caching): slower, same gradient.",
        ),
    ] = None,
    in_batch_negatives: Annotated[
        bool,
        typer.Option(
            "--in-batch-negatives",
            help="Take infonce for lce: the documents of a batch are negatives for its other queries (be).",
        ),
    ] = False,
    mask_false_negatives: Annotated[
        float | None,
        typer.Option(
            "--mask-false-negatives",
            metavar="MARGIN",
            help="infonce: leave out documents of other groups that the student finds more similar to the "
            "query than its positive by more than MARGIN (of cosine or dot; 0.1 is usual).",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, help="Passes over the queries (default 1).")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", metavar="N", min=1, help="Stop after N steps instead.")
    ] = None,
    max_docs: Annotated[
        int | None,
        typer.Option(
            "--max-docs",
            metavar="N",
            min=1,
            help="Stop before more than N documents instead (the first group must fit).",
        ),
    ] = None,
    lr: Annotated[float, typer.Option("--lr", metavar="X", min=0.0, help="Highest learning rate.")] = 1e-5,
    warmup: Annotated[
        float,
        typer.Option("--warmup", metavar="X", min=0.0, max=1.0, help="Share of the steps in which it rises."),
    ] = 0.1,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", metavar="X", min=0.0, help="Weight decay of AdamW.")
    ] = 0.0,
    max_grad_norm: Annotated[
        float, typer.Option("--max-grad-norm", metavar="X", min=0.0, help="Clip the gradient to this norm.")
    ] = 1.0,
    no_dropout: Annotated[
        bool, typer.Option("--no-dropout", help="Train without dropout: faster, but less regularised.")
    ] = False,
    teacher_temperature: Annotated[
        float | None,
        typer.Option(
            "--teacher-temperature",
            metavar="T",
            help="Divide the teacher's scores by T (kl and some of its variants; default 1).",
        ),
    ] = None,
    student_temperature: Annotated[
        float | None,
        typer.Option(
            "--student-temperature",
            metavar="T",
            help="Divide the student's scores by T (kl and some of its variants; default 1).",
        ),
    ] = None,
    similarity: Annotated[
        str | None,
        options.choice(
            "--similarity",
            names=["cosine", "dot"],
            kind="similarity",
            metavar="cosine|dot",
            help="How a bi-encoder scores, saved with it (default: as the model says).",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            metavar="X",
            help="Factor on the scores of a bi-encoder in training (cosine 20, dot 1).",
        ),
    ] = None,
    paper_compat: Annotated[
        bool,
        typer.Option(
            "--paper-compat",
            help="Compute as the code of arXiv 2505.21058: kl is kl:rankers, ranknet is ranknet:rankers (a "
            "tie of the teacher asks for the second above the first), and a cross-encoder's score in the "
            "loss is the logarithm of its probability, which saturates at 0.",
        ),
    ] = False,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            metavar="N|I,J,...",
            help="Start from the first N layers, or from those named, counted from 0.",
        ),
    ] = None,
    query_max_len: Annotated[
        int | None, typer.Option("--query-max-len", metavar="N", min=1, help="Cut queries at N tokens.")
    ] = None,
    doc_max_len: Annotated[
        int | None, typer.Option("--doc-max-len", metavar="N", min=1, help="Cut documents at N tokens.")
    ] = None,
    score_scale: options.ScoreScaleOption = None,
    dataset: options.Dataset = None,
    corpus: options.CorpusFile = None,
    queries: options.QueriesFile = None,
    check_against: Annotated[
        str | None,
        typer.Option(
            "--check-against",
            metavar="QRELS",
            help="Warn where queries or relevant documents of these judgements (a file, or a dataset such as "
            "DIR:test, whose texts are compared too) are in the training data.",
        ),
    ] = None,
    log_steps: Annotated[
        int, typer.Option("--log-steps", metavar="N", min=1, help="Print a line every N steps.")
    ] = 10,
    save_steps: Annotated[
        int | None,
        typer.Option(
            "--save-steps",
            metavar="N",
            min=1,
            help="Save a checkpoint in DIR every N steps (default: none).",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the checkpoint in DIR, if there is one; pass over what is finished."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model or the unfinished run in DIR.")
    ] = False,
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    trust_remote_code: options.TrustRemoteCode = False,
    input_format: options.InputFormat = None,
    on_error: options.OnError = "fail",
    max_line: options.MaxLine = options.MAX_LINE,
) -> None:
    """Train a bi-encoder or a cross-encoder on labelled records.

    \b
    Examples:
      rd-train labelled.jsonl --student be:bert-base-uncased --loss margin-mse -o be/
      rd-train labelled.jsonl.zst --student ce:google/electra-base-discriminator --loss ranknet -o ce/
      rd-mine --dataset pydoc:train | rd-train --student be:bert-base-uncased --loss lce -o be/

    Reads records with texts, and with teacher scores where the loss needs them, from FILES or stdin;
    --dataset, or --corpus and --queries, give the texts of records that come without. They are read once and
    kept in a temporary file, so they may be larger than memory (a corpus is held in it). Documents and
    queries that the loss cannot use are left out and counted.

    Each record makes a group in each epoch: one of its positives, and negatives drawn at random up to
    --group-size. Losses on a teacher's scores also take records without a positive, but for margin-mse.
    rd-train --explain-loss NAME says what a loss computes and which score scales it takes. The losses of a
    sum each count over the groups, and the documents, that have what they need. infonce is lce over the
    documents of the whole batch.

    DIR opens with SentenceTransformer(DIR) or CrossEncoder(DIR), and is a MODEL for the other commands;
    rd-train.json in it tells all options. A bi-encoder is trained on its cosine or dot product times --scale;
    the saved model gives the plain similarity. Of a pair for a cross-encoder the query is cut to
    --query-max-len, then the document to what is left of both limits together.

    stdout gets a JSON line for the first step and every --log-steps, and a last one for the whole run.
    Same records, options and seed: same weights, on the same machine; a run that was interrupted and
    resumed also has them (on a CPU, to the last bit).

    Under torchrun (torchrun --nproc-per-node 4 --no-python rd-train ...) the processes share the groups of
    each batch, so that what is trained is that of one process, but for dropout and rounding; the first one
    reads, logs and saves. infonce needs whole batches: --accumulate at least as many as processes.
    """
    if sum(limit is not None for limit in (epochs, max_steps, max_docs)) > 1:
        raise UsageError("give only one of --epochs, --max-steps and --max-docs")
    if max_steps is None and max_docs is None:
        epochs = epochs or 1
    given = {name.replace("_", "-"): value for name, value in locals().items() if name not in INCIDENTAL}
    kind, model = split_spec(student)
    check_name(STUDENTS, kind, "student")
    if not model:
        raise UsageError(f"--student {student}: say which model, as in {kind}:DIR")
    chosen = objective(loss, paper_compat=paper_compat, in_batch_negatives=in_batch_negatives)
    if in_batch_negatives and not chosen.in_batch:
        raise UsageError("--in-batch-negatives is for --loss lce, and sums with it")
    if chosen.in_batch and kind != "be":
        raise UsageError("in-batch negatives are for bi-encoders (--student be:MODEL)")
    if mask_false_negatives is not None and not chosen.in_batch:
        raise UsageError("--mask-false-negatives is for --loss infonce, and sums with it")
    options.check_above_zero({"--scale": scale, "--max-grad-norm": max_grad_norm})
    changed = kind == "ce" or chosen.losses != objective(loss, in_batch_negatives=in_batch_negatives).losses
    options.check_needs(
        {"--paper-compat": paper_compat}, "--student ce:MODEL, or --loss kl or ranknet", changed
    )
    chosen = chosen.with_temperatures(teacher_temperature, student_temperature)
    paths = need_input(files)

    import orjson

    from rdtools.core.output import open_output
    from rdtools.data.collection import Collection
    from rdtools.formats import Reading
    from rdtools.models.loading import Loading
    from rdtools.train.checkpoints import OutputFolder, check_output_folder
    from rdtools.train.groups import Grouping
    from rdtools.train.students import Shape
    from rdtools.train.torchrun import join
    from rdtools.train.trainer import Settings, Trainer, check_shares
    from rdtools.train.trainer import train_student as run

    settings = Settings(
        epochs=epochs, max_steps=max_steps, max_docs=max_docs, batch_size=batch_size, accumulate=accumulate,
        lr=lr, warmup=warmup, weight_decay=weight_decay, max_grad_norm=max_grad_norm,
        dtype=options.DTYPES[dtype], dropout=not no_dropout, mini_batch_size=mini_batch_size,
        seed=seed, log_steps=log_steps, save_steps=save_steps,
    )  # fmt: skip
    processes = join(device)
    check_shares(chosen, settings, processes)
    processes.from_first(partial(check_output_folder, Path(output), resume=resume, overwrite=overwrite))
    shape = Shape(model, layers, query_max_len, doc_max_len, similarity, scale, seed, paper_compat)
    loading = Loading(str(processes.device), trust_remote_code=trust_remote_code)
    pupil = resolve(STUDENTS, kind, "student")(shape, loading)
    collection = Collection(
        dataset,
        corpus,
        queries,
        reading=Reading(input_format=input_format, max_line=max_line, on_error=on_error),
    )
    grouping = Grouping(group_size, positives, seed)
    shared = processes.count > 1
    groups = processes.from_first(
        partial(_read, paths, collection, chosen, grouping, score_scale, check_against, shared)
    )
    groups.unlink()
    chosen = chosen.with_options("bce", scale=groups.score_scale)
    if mask_false_negatives is not None:
        chosen = chosen.with_options("infonce", false_negative_margin=mask_false_negatives * pupil.scale)
    trainer = Trainer(pupil, groups, chosen, settings, processes)
    about = {"options": given, "data": groups.provenance, "rdtools": __version__}
    target = OutputFolder(Path(output), about)
    result = target.finished() if resume and not overwrite else None
    if resume and result is None:
        target.resume(trainer)
    with open_output(None) as out:
        for row in run(trainer, target) if result is None else [result]:
            if processes.leads:
                out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _read(
    paths: list[str],
    collection: Collection,
    chosen: Objective,
    grouping: Grouping,
    score_scale: str | None,
    check_against: str | None,
    shared: bool,
) -> Groups:
    """Read the records into groups, and compare them with test judgements on the way."""
    from rdtools.data.leakage import open_leakage
    from rdtools.formats import read_records
    from rdtools.train.groups import Groups

    has_texts = collection.has_corpus or collection.has_queries
    records = read_records(paths, collection.reading, collection.complete if has_texts else None)
    if check_against is None:
        return Groups(records, chosen, grouping, score_scale, shared)
    leakage = open_leakage(check_against, collection.reading)
    groups = Groups(leakage.watch(records), chosen, grouping, score_scale, shared)
    leakage.report(f"--check-against {check_against}")
    return groups


main = entry_point("rd-train", train)
