"""rd-train: labelled records -> a student."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from rdtools import __version__
from rdtools.cli.command import EntryPoint, need_input
from rdtools.cli.dev_measure import dev_measure
from rdtools.core.registry import resolve
from rdtools.data.options import TextOptions
from rdtools.formats import Reading
from rdtools.models.options import LoadingOptions, ModelOptions
from rdtools.train.combination import check_combination
from rdtools.train.dev import DevOptions
from rdtools.train.options import (
    STUDENTS,
    GroupOptions,
    LossOptions,
    ProcessOptions,
    StudentOptions,
    TrainingInput,
    TrainingOptions,
    TrainingOutput,
    recorded,
)


def train(
    student: StudentOptions,
    loss: LossOptions,
    grouping: GroupOptions,
    training: TrainingOptions,
    dev: DevOptions,
    output: TrainingOutput,
    source: TrainingInput,
    where: TextOptions,
    loading: LoadingOptions,
    many: ProcessOptions,
    reading: Reading,
) -> None:
    """Train a ranking model on labelled records.

    \b
    Examples:
      rd-train labelled.jsonl --student be:bert-base-uncased --loss margin-mse -o be/
      rd-train labelled.jsonl.zst --student ce:google/electra-base-discriminator --loss ranknet -o ce/
      rd-mine --dataset pydoc:train | rd-train --student be:bert-base-uncased --loss lce -o be/

    Reads records from FILES or stdin, with texts, and with teacher scores if the loss needs them. --dataset,
    or --corpus and --queries, give the texts of records without texts. Records are read once and kept in a
    temporary file, so they may be larger than memory (a corpus is held in memory). Documents and queries
    that the loss cannot use are left out and counted.

    Each record makes one group in each epoch: one of its positives, and negatives drawn at random up to
    --group-size. Losses on a teacher's scores also take records without a positive, except margin-mse.
    rd-train --explain-loss NAME prints the formula of a loss and the score scales that it takes. Each loss
    of a sum uses the groups and the documents that have what it needs. infonce is lce over the documents of
    the whole batch. embedding compares embeddings, which rd-label --embeddings writes, instead of scores.
    Those of another dimension, or far from those of the untrained student, are first projected and rotated.

    Learning rate, length and the teacher's temperature suit model and data if no option states them. stderr
    says what was chosen, and how often the teacher ranks a judged positive first; it warns if that is seldom.

    DIR opens with SentenceTransformer(DIR), CrossEncoder(DIR), SparseEncoder(DIR) or MultiVectorEncoder(DIR)
    of sentence-transformers, and is a MODEL for the other commands;
    rd-train.json in it holds all options, README.md is a model card for the hub, and manifest.json has the
    hashes of what was read and written. A bi-encoder is trained on its cosine or dot product times --scale;
    the saved model gives the similarity without it. --scale learned trains the logarithm of the scale, with
    100 times the learning rate and up to a scale of 100; the last line and rd-train.json have its value as
    scale. For a cross-encoder, queries are truncated to --query-max-len; documents get the remaining tokens
    of both limits. Without limits, CrossEncoder.predict's rule holds. The model's template and prompts apply.
    A saved model has one limit: that of queries and documents together, or of a bi-encoder the larger one.
    --dev measures with it.

    A sparse encoder (sparse:MODEL) starts from one, or from a model with a head for masked words, which gets
    SPLADE's max pooling. The FLOPS regulariser is added to the loss: for the distinct queries of a batch, and
    for its documents, the sum over dimensions of the squared mean activation, times --flops-query and
    --flops-document. The weights rise with the square of the step in the first third of the steps. Lines on
    stdout have the loss without it, the two sums (flops) and the mean number of dimensions that are not 0
    (active_dims); the last line and rd-train.json have those of the saved weights.

    A late-interaction model (colbert:MODEL) starts from one, also of PyLate, or from a transformer or a
    bi-encoder, which gets a new projection to 128 dimensions. It is trained on its own MaxSim.
    --query-max-len is also the width to which queries are expanded, if the model expands them.
    sentence-transformers 6.1 or later is needed.

    --dev DIR:dev or --dev FILE measures the student before the first step, every --dev-every steps, and after
    the last one; by default ten times in a run, or less often, so that measuring encodes no more documents
    than training. Values are those of rd-eval. DIR gets the weights of the best measurement after training
    began. From a FILE of records, all documents of a query are ranked, also positives that rd-mine added;
    those with a relevance are the judgements. In a dataset of at most 10,000 documents, a bi-encoder or a
    sparse encoder searches the whole corpus; otherwise BM25's first 100 documents of each query are
    re-ranked. --dev-share 0.1 holds back a tenth of the queries instead. Measuring does not change the
    training. The learning rate falls towards the last step, so a run that --patience stops has not reached
    its lowest rates.

    --report-to sends the same lines to Trackio, Weights & Biases or TensorBoard, which read their settings
    from the environment: TRACKIO_DIR; WANDB_MODE=offline; TENSORBOARD_LOGGING_DIR (else runs/).

    stdout gets a JSON line for the first step and every --log-steps, one for each dev measurement (step,
    docs, measure, dev), and a last one for the whole run. The same records, options, seed and OMP_NUM_THREADS
    give the same weights on the same machine; so does a resumed run (on a CPU, to the last bit).

    Under torchrun (torchrun --nproc-per-node 4 --no-python rd-train ...) the processes share each batch. The
    result is that of one process, except for dropout and rounding; the first process reads, logs and saves.
    If a process ends or does not answer, all end, and --resume goes on, with any number of processes.
    Processes of several machines need a DIR and a MODEL that all machines see.
    """
    check_combination(student, loss)
    need_input(source.files)

    import orjson

    from rdtools.core.manifest import note_folder
    from rdtools.core.output import open_output
    from rdtools.data.collection import open_collection
    from rdtools.models.loading import fingerprint
    from rdtools.train.card import CardContent, read_figures
    from rdtools.train.checkpoints import OutputFolder, check_output_folder
    from rdtools.train.curves import plot_history
    from rdtools.train.flops import Flops
    from rdtools.train.inputs import open_inputs
    from rdtools.train.run import DevChecks, train_student
    from rdtools.train.scales import fit_teacher
    from rdtools.train.torchrun import join
    from rdtools.train.tracking import Trackers
    from rdtools.train.trainer import Trainer

    figures = [] if output.card_metrics is None else read_figures(output.card_metrics)
    card = CardContent(output.output.name if output.output.is_absolute() else str(output.output), figures)
    measure = dev_measure(dev.measure) if dev.is_on else None
    objective = loss.objective
    flops = Flops(*loss.flops) if student.kind == "sparse" else None
    with join(loading.device, many.process_timeout) as processes:
        processes.from_main(partial(many.check, student, training.dtype, processes.world_size))
        processes.from_main(partial(check_output_folder, output))
        device = "cpu" if many.fsdp else str(processes.device)  # each GPU gets its shard
        model = resolve(STUDENTS, student.kind, "student")(
            replace(student, seed=training.seed, log_probability=loss.paper_compat),
            ModelOptions(device=device, trust_remote_code=loading.trust_remote_code),
        )
        collection, drawn = open_collection(where, reading), replace(grouping, seed=training.seed)
        groups, dev_set = open_inputs(processes, source, collection, objective, drawn, dev, student)
        objective = objective.with_options("bce", scale=groups.score_scale)
        objective, fitted = fit_teacher(objective, groups, model)
        if loss.mask_false_negatives is not None:
            margin = loss.mask_false_negatives * model.scale
            objective = objective.with_options("infonce", false_negative_margin=margin)
        trainer = Trainer(model, groups, objective, training, processes, flops, many.fsdp)
        options = recorded(student, loss, grouping, trainer.options, dev, source, where, loading)
        data = {**groups.provenance, **({"dev": dev_set.provenance} if dev_set else {})}
        base = {"fingerprint": processes.from_main(partial(fingerprint, student.model))}
        about = {"options": options, "base": base, "data": data, **fitted, "rdtools": __version__}
        folder = OutputFolder(output, about, card)
        new = not output.resume or output.overwrite
        result = None if new else processes.from_main(folder.finished)
        checks = DevChecks(trainer, dev_set, measure, dev) if dev_set and measure else None
        if result is None:
            note_folder(output.output, is_main=processes.is_main)
        elif figures and processes.is_main:
            folder.rewrite_card(trainer, result)
        report_to = output.report_to if processes.is_main and result is None else ()
        trackers = Trackers(report_to, output.output.name, options)
        with open_output(None) as out, folder.reserved(processes) if result is None else nullcontext():
            if output.resume and result is None:
                folder.resume(trainer)
            for row in train_student(trainer, folder, checks) if result is None else [result]:
                if processes.is_main:
                    trackers.report(row)
                    out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        trackers.finish()
        if dev.plot is not None and result is None and processes.is_main:
            plot_history(trainer.history, dev.measure, dev.plot)


main = EntryPoint("rd-train", train, writes_folder=True)
