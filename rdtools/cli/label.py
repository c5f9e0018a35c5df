"""rd-label: records -> records with teacher scores."""

from __future__ import annotations

from typing import Annotated

import typer

from rdtools.cli import options
from rdtools.cli.door import door, need_input
from rdtools.errors import UsageError
from rdtools.records import Record
from rdtools.registry import check_name, split_spec
from rdtools.streams import unless_empty
from rdtools.teachers import TEACHERS


def label(
    files: options.Files = None,
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            metavar="TEACHER",
            help="ce (cross-encoder/ms-marco-MiniLM-L6-v2), ce:MODEL, be:MODEL, bm25, run:FILE or qrels; "
            "may be repeated.",
            show_default="ce",
            autocompletion=lambda incomplete: [name for name in TEACHERS if name.startswith(incomplete)],
        ),
    ] = None,
    combine: Annotated[
        str,
        options.choice(
            "--combine",
            names=["mean", "max", "min", "rrf"],
            kind="combination",
            help="Several teachers: mean, max, min or rrf.",
        ),
    ] = "mean",
    normalize: Annotated[
        str,
        options.choice(
            "--normalize",
            names=["none", "minmax", "zscore", "sigmoid"],
            kind="normalization",
            help="A teacher's scores within a record, before they combine: none, minmax, zscore, sigmoid.",
        ),
    ] = "none",
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="Divide scores by T; the record says so.")
    ] = 1.0,
    cache_file: Annotated[
        str | None,
        typer.Option(
            "--cache",
            metavar="FILE",
            help="Remember scores here; a run started again scores only what is missing.",
        ),
    ] = None,
    dataset: options.Dataset = None,
    corpus: options.CorpusFile = None,
    queries_file: options.QueriesFile = None,
    qrels: options.QrelsFile = None,
    index: options.Index = None,
    k1: options.K1 = 1.2,
    b: options.B = 0.75,
    max_length: options.MaxLength = None,
    batch_tokens: options.BatchTokens = None,
    score_scale: options.ScoreScaleOption = None,
    format: options.Format = "jsonl",
    output: options.Output = None,
    input_format: options.InputFormat = None,
    on_error: options.OnError = "fail",
    max_line: options.MaxLine = options.MAX_LINE,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Score the documents of records with a teacher.

    \b
    Examples:
      rd-mine --dataset pydoc:train | rd-label --teacher be:MODEL > labelled.jsonl
      rd-mine --dataset DIR:test -n all | rd-label --teacher ce:student -f trec | rd-eval DIR:test
      rd-label --teacher ce --teacher be:MODEL --normalize zscore --cache scores.db mined.jsonl > out.jsonl

    The scores are raw: logits of cross-encoders, without a sigmoid, in float32. The record says which
    teacher gave them (teacher) and on what scale (score_scale). Texts that records lack come from --dataset,
    --corpus and --queries. A score may differ by up to 1e-5 with the pairs that shared its batch.

    \b
    Reads   records (or a run, with --dataset for its texts), a window of about 1,024 pairs at a time
    Holds   the window; --corpus or --dataset, where texts or statistics are taken from there
    Writes  the records in order as soon as their window is scored
    """
    from functools import cache

    from rdtools.cache import ScoreCache
    from rdtools.collections import Collection
    from rdtools.formats import Reading, read_records, writer
    from rdtools.labeling import Labeler, Target
    from rdtools.log import track
    from rdtools.setting import Setting
    from rdtools.streams import open_output
    from rdtools.teachers import open_teacher

    if not temperature > 0:
        raise UsageError(f"--temperature {temperature:g}: it must be above 0")
    paths = need_input(files)
    reading = Reading(input_format, max_line, on_error)
    collection = Collection(dataset, corpus, queries_file, qrels, reading)
    setting = Setting(
        collection, index, k1, b, device, options.DTYPES[dtype], max_length, batch_tokens,
        trust_remote_code, score_scale, 0, reading,
    )  # fmt: skip
    write = writer(format)
    for spec in teachers or ["ce"]:
        check_name(TEACHERS, split_spec(spec)[0], "teacher")

    @cache
    def labeler() -> Labeler:
        opened = [open_teacher(spec, setting) for spec in teachers or ["ce"]]
        return Labeler(
            opened, Target(combine, normalize, temperature), ScoreCache(cache_file) if cache_file else None
        )

    def complete(record: Record) -> None:
        if labeler().needs_text:
            collection.complete(record)

    # No model is loaded for an empty stream: the first record that is read opens the teachers.
    records = unless_empty(read_records(paths, reading, complete))
    with open_output(output) as out:
        if records is not None:
            for record in track(labeler().label(records), "labelling", "record"):
                out.write(write(record))
            labeler().report()


main = door("rd-label", label)
