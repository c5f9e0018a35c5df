"""rd-label: records -> records with teacher scores."""

from __future__ import annotations

from typing import Annotated

import typer

from rdtools.cli import old_options as options
from rdtools.cli.old_command import entry_point, need_input
from rdtools.core.records import Record
from rdtools.core.registry import check_name, split_spec
from rdtools.core.streams import unless_empty
from rdtools.label.augment import Augmentation, parse_step
from rdtools.label.prompts import parse_prompt
from rdtools.label.targets import COMBINE, NORMALIZE, RANK_TARGETS, ScoreTarget
from rdtools.label.teachers import TEACHERS


def label(
    files: options.Files = None,
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            metavar="TEACHER",
            help="ce (cross-encoder/ms-marco-MiniLM-L6-v2), ce:MODEL, be:MODEL, llm:MODEL, bm25, run:FILE, "
            "qrels or cmd:ARGV (see above); may be repeated.",
            show_default="ce",
            autocompletion=lambda incomplete: [name for name in TEACHERS if name.startswith(incomplete)],
        ),
    ] = None,
    rank_targets: Annotated[
        str | None,
        options.choice(
            "--rank-targets",
            names=RANK_TARGETS,
            kind="rank target",
            help="In place of a teacher's scores, of its ranks r within the record: reciprocal 1/r, "
            "log 1/log2(1+r), exponential 2^(-r/10). Equal scores share the mean of their ranks.",
        ),
    ] = None,
    normalize: Annotated[
        list[str] | None,
        options.choice(
            "--normalize",
            names=NORMALIZE,
            kind="normalization",
            help=f"A teacher's scores within a record, before they combine: {', '.join(NORMALIZE)}. "
            "Once for all teachers, or once for each in their order.",
        ),
    ] = None,
    combine: Annotated[
        str | None,
        options.choice(
            "--combine",
            names=COMBINE,
            kind="combination",
            help="Several teachers: mean, max, min or rrf (sum of 1/(60+r)).  [default: mean]",
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="Divide scores by T; the record says so.")
    ] = 1.0,
    noise: Annotated[
        float,
        typer.Option(
            "--noise",
            metavar="SD",
            help="Add Gaussian noise of this standard deviation to the final scores, drawn from (seed, "
            "query_id, doc_id).",
        ),
    ] = 0.0,
    augment_query: Annotated[
        list[str] | None,
        typer.Option(
            "--augment-query",
            metavar="KIND:P",
            help="Change the query that the teacher reads: drop:P leaves out each word with probability P, "
            "crop:P keeps a run of 1-P of them, shuffle:P permutes P of them; may be repeated, in order.",
        ),
    ] = None,
    augment_doc: Annotated[
        list[str] | None,
        typer.Option("--augment-doc", metavar="KIND:P", help="The same for each document."),
    ] = None,
    augmented_text: Annotated[
        str | None,
        options.choice(
            "--augmented-text",
            names=["teacher", "both"],
            kind="reader",
            help="Who reads augmented texts: the teacher alone, or both it and the student (the record "
            "carries them instead of its own).  [default: teacher]",
            metavar="teacher|both",
        ),
    ] = None,
    seed: options.Seed = 0,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            metavar="TEXT",
            help="llm: the question, with {query} and {document}.",
            show_default="see above",
        ),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            "--answers",
            metavar="YES,NO",
            help="llm: the two answers as they follow the prompt, leading space included; one token each.",
            show_default="' yes, no', with --chat 'yes,no'",
        ),
    ] = None,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat", help="llm: put the prompt into the model's chat template, as a user's message."
        ),
    ] = False,
    paper_compat: Annotated[
        bool,
        typer.Option(
            "--paper-compat",
            help="The arithmetic of the paper's code (arXiv 2505.21058): of a cross-encoder with two labels "
            "the log-softmax of the second, a log-probability; 0 for what a teacher did not score.",
        ),
    ] = False,
    cache_file: Annotated[
        str | None,
        typer.Option(
            "--cache",
            metavar="FILE",
            help="Remember scores of ce, be and llm here; a run started again scores only what is missing.",
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

    \b
    Teachers
      ce[:MODEL]  cross-encoder: the logit; of two labels the second minus the first
      be:MODEL    bi-encoder: cosine or dot product, as the model has it
      llm:MODEL   causal model: logit(yes) - logit(no) after the prompt
      bm25        with statistics from --corpus, --dataset or --index
      run:FILE    scores of a run; of an MS MARCO run the negated ranks
      qrels       the grade in --qrels, --dataset or the record; 0 for what is not judged
      cmd:ARGV    any program: records in (JSON lines on its stdin, with texts, without scores), as many out
                  in the same order, with "score" of each document (none or null: not scored) and
                  "score_scale" of each record (else --score-scale). It starts once, without a shell (quotes
                  group words), may hold back its output to the end, and must end with status 0.

    Scores are raw and float32: no sigmoid. The record says which teacher gave them (teacher) and on what
    scale (score_scale). Texts that records lack come from --dataset, --corpus and --queries. A score may
    differ with the pairs that shared its batch, by up to 1e-5, in half precision by 1e-2.

    What changes scores does so in this order: --rank-targets, --normalize, --combine, --temperature, --noise.
    The record lists what was done (transformations), and its documents keep what each teacher said (scores).
    Rank targets, minmax and zscore have no scale that is known, nor have probabilities and their logarithms
    after --temperature or --noise, which make dot of cosine; rd-train --score-scale states one. A document
    without a score of each teacher gets none; rrf sums over the rankings that have it.

    Augmentation depends on (seed, query_id), and for documents on doc_id too. The teacher scores the
    augmented texts while the record keeps its own, so that the student reads those (--augmented-text).

    \b
    The prompt of llm, where --prompt gives no other (\\n is a line end):
      Document: {document}\\n\\nQuery: {query}\\n\\n
      Does the document answer the query? Answer yes or no.\\nAnswer:

    Where it is too long for the model, the document loses its end. A chat template is used only with --chat:
    many models that were not tuned for chats carry one.

    \b
    Reads   records (or a run, with --dataset for its texts), a window of about 1,024 pairs at a time
    Holds   the window; for be the embeddings of the last 100,000 texts; --corpus or --dataset, where texts
            or statistics are taken from there; for cmd what its program has not answered (beyond 16 MiB in
            a temporary file)
    Writes  the records in order as soon as their window is scored (only cmd: as soon as they are answered)
    """
    from functools import cache

    from rdtools.core.log import track
    from rdtools.core.output import open_output
    from rdtools.data.collection import Collection
    from rdtools.formats import Reading, encode, read_records
    from rdtools.label.labeler import Labeler
    from rdtools.label.score_cache import ScoreCache
    from rdtools.label.teachers import open_teacher
    from rdtools.search.resources import Resources

    specs = teachers or ["ce"]
    for spec in specs:
        check_name(TEACHERS, split_spec(spec)[0], "teacher")
    question = parse_prompt(prompt, answers, chat)
    asks = any(split_spec(spec)[0] == "llm" for spec in specs)
    options.check_needs(
        {"--prompt": prompt, "--answers": answers, "--chat": chat}, "--teacher llm:MODEL", asks
    )
    options.check_needs({"--combine": combine}, "several --teacher", len(specs) > 1)
    options.check_needs(
        {"--augmented-text": augmented_text}, "--augment-query or --augment-doc", augment_query or augment_doc
    )
    target = ScoreTarget(
        combine or "mean", tuple(normalize or ["none"]), temperature, rank_targets, noise, seed, paper_compat
    )
    target.check(len(specs))
    augmentation = Augmentation(
        [parse_step("--augment-query", step) for step in augment_query or []],
        [parse_step("--augment-doc", step) for step in augment_doc or []],
        seed,
        augmented_text == "both",
    )
    paths = need_input(files)
    reading = Reading(input_format=input_format, max_line=max_line, on_error=on_error)
    collection = Collection(dataset, corpus, queries_file, qrels, reading)
    setting = Resources(
        collection, index, k1, b, device, options.DTYPES[dtype], max_length, batch_tokens,
        trust_remote_code, score_scale, seed, reading, question, paper_compat,
    )  # fmt: skip

    @cache
    def labeler() -> Labeler:
        opened = [open_teacher(spec, setting) for spec in specs]
        return Labeler(opened, target, ScoreCache(cache_file) if cache_file else None, augmentation)

    def complete(record: Record) -> None:
        if labeler().needs_text:
            collection.complete(record)

    # No model is loaded for an empty stream: the first record that is read opens the teachers.
    records = unless_empty(read_records(paths, reading, complete))
    with open_output(output) as out:
        if records is not None:
            for data in encode(track(labeler().label(records), "labelling", "record"), format):
                out.write(data)
            labeler().report()


main = entry_point("rd-label", label)
