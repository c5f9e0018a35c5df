"""rd-label: records -> records with teacher scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rdtools.cli.command import EntryPoint, need_input
from rdtools.cli.options import Given, refuse_idle
from rdtools.core.errors import UsageError
from rdtools.core.records import Record
from rdtools.core.registry import split_spec
from rdtools.core.shards import Sharding
from rdtools.data.options import CollectionOptions
from rdtools.formats import Reading, Writing
from rdtools.label.augment import Augmentation
from rdtools.label.options import TeacherOptions
from rdtools.label.prompts import Prompt
from rdtools.label.targets import ScoreTarget
from rdtools.label.teacher_options import ApiOptions, WindowOptions
from rdtools.label.teachers import idle_teacher_options
from rdtools.models.options import ModelOptions
from rdtools.search.options import SearchOptions


def label(
    options: TeacherOptions,
    target: ScoreTarget,
    augmentation: Augmentation,
    prompt: Prompt,
    windows: WindowOptions,
    api: ApiOptions,
    where: CollectionOptions,
    search: SearchOptions,
    model: ModelOptions,
    reading: Reading,
    sharding: Sharding,
    writing: Writing,
    given: Given,
) -> None:
    """Score the documents of records with a teacher.

    \b
    Examples:
      rd-mine --dataset pydoc:train | rd-label --teacher be:MODEL > labelled.jsonl
      rd-mine --dataset DIR:test -n all | rd-label --teacher ce:student -f trec | rd-eval DIR:test
      rd-label --teacher ce --teacher be:MODEL --normalize zscore --cache scores.db mined.jsonl > out.jsonl

    \b
    Teachers
      ce[:MODEL]  cross-encoder: its logit; of two labels the second logit minus the first
      be:MODEL    bi-encoder: cosine or dot product, as the model defines
      sparse:MODEL
                  sparse encoder (SPLADE): dot product or cosine, as the model defines
      colbert:MODEL
                  late-interaction model: MaxSim, the largest similarity of each token of the query to a
                  token of the document, summed. sentence-transformers 6.1 or later is needed
      llm:MODEL   causal model: logit(yes) - logit(no) after the prompt
      t5:MODEL    T5-like model: logit(true) - logit(false) of the first token that it would write
      bm25        BM25 with the statistics of --corpus, --dataset or --index
      run:FILE    the scores of a run; the negated ranks of an MS MARCO run
      qrels       the grade in --qrels, --dataset or the record; 0 for unjudged documents
      cmd:ARGV    any program. It reads records with texts and without scores, JSON lines, on its stdin,
                  and writes as many records in the same order, with "score" for each document (none or
                  null: not scored) and "score_scale" for each record (if missing or unknown: --score-scale).
                  It starts once, without a shell (quotes group words), may write all at the end of its
                  input, and must end with status 0. In a --cache its key is ARGV and the contents of the
                  files in it, or --cache-key; a record whose fields have changed is scored again.
      api:MODEL   a model behind a server with OpenAI's chat API: log P(yes) - log P(no) after the prompt.
                  $OPENAI_API_KEY is its key; the package openai is needed (extra "api")
      listwise-llm:MODEL, listwise-api:MODEL, listwise-cmd:ARGV
                  models and programs that rank documents instead of scoring them: -1 for the best, -2 for
                  the next. A window of --window documents moves from the end of the ranking to its
                  beginning by --stride. Malformed answers are repaired and counted. The ranking begins by
                  the record's scores, or its ranks; without either, in an order drawn from (seed, query_id).
                  listwise-cmd reads a JSON line for each window, with "query", "docs" and the "messages" of
                  the prompt, and answers each at once with {"ranking": "[2] > [1] > ..."}

    Scores are raw float32 numbers, without a sigmoid. The record names the teacher (teacher) and the scale
    (score_scale). ce, be, sparse and colbert apply the chat template, prompts and modules that a model was
    saved with, as CrossEncoder.predict, SentenceTransformer, SparseEncoder and MultiVectorEncoder of
    sentence-transformers do. Texts that records lack come from --dataset, --corpus and
    --queries. A score may depend on the other pairs in its batch: by up to 1e-5, in half precision by up to
    1e-2; so may the last digit of an embedding.

    Scores are changed in this order: --rank-targets, --normalize, --combine, --temperature, --noise. The
    record lists the changes (transformations), and its documents keep each teacher's own scores (scores).
    After --rank-targets, minmax or zscore the scale becomes unknown. After --temperature or --noise,
    probability and log-probability become unknown and cosine becomes dot; rd-train --score-scale can state
    the scale. A document without a score of each teacher gets none, except with rrf, which sums over the
    teachers that scored it.

    Augmentation is drawn from (seed, query_id), for documents from (seed, query_id, doc_id). The teacher
    scores the augmented texts. The record keeps its own texts, which the student reads, unless
    --augmented-text both.

    \b
    The default --prompt of llm (\\n is a line end):
      Document: {document}\\n\\nQuery: {query}\\n\\n
      Does the document answer the query? Answer yes or no.\\nAnswer:

    \b
    Those of t5 (monot5 and, with --prompt-preset rankt5, its answer's logit alone):
      Query: {query} Document: {document} Relevant:
      Query: {query} Document: {document}

    If the prompt is too long for the model, the end of the document is truncated. A chat template is used
    only with --chat, because many models without chat training have one too.

    \b
    Reads   records (or a run, with --dataset for its texts), a window of about 1,024 pairs at a time
    Holds   the window; for be the embeddings of the 100,000 most recently used texts; the corpus, if texts
            or statistics come from it; for cmd the records that its program has not answered (beyond 16 MiB
            in a temporary file)
    Writes  the records in order as soon as their window is scored (with cmd alone: as soon as answered); a
            window ends early if its first record has waited 0.5 s for others
    """
    from functools import cache

    from rdtools.core.log import track
    from rdtools.core.output import open_output, refuse_same_file
    from rdtools.core.streams import unless_empty
    from rdtools.data.collection import open_collection
    from rdtools.formats import encode, expected, read_records
    from rdtools.label.labeler import Labeler
    from rdtools.label.score_cache import ScoreCache
    from rdtools.label.teachers import TeacherResources, open_teacher

    _refuse_idle(given, options.teachers, where)
    if options.embeddings and writing.format != "jsonl":
        raise UsageError(f"--embeddings needs -f jsonl, not {writing.format}")
    if options.embeddings and augmentation and not augmentation.in_record:
        raise UsageError("--embeddings needs --augmented-text both (they are those of the record's texts)")
    if options.cache is not None and writing.output is not None:
        refuse_same_file("--cache", options.cache, "--output", writing.output)
    target.check(len(options.teachers))
    paths = need_input(options.files)
    collection = open_collection(where, reading, search.index, search.memory_bytes)

    @cache
    def labeler() -> Labeler:
        """Open the teachers when the first record is read: an empty stream loads no model."""
        scores = ScoreCache(options.cache) if options.cache else None
        resources = TeacherResources(
            collection, search, model, reading, options.score_scale, target.seed, prompt, windows,
            api, scores, options.cache_key, options.timeout, target.paper_compat,
        )  # fmt: skip
        teachers = [open_teacher(spec, resources) for spec in options.teachers]
        augmented = replace(augmentation, seed=target.seed)
        embedder: Any = None if options.embedder is None else teachers[options.embedder]
        return Labeler(teachers, target, scores, augmented, reading.on_error, embedder)

    def complete(record: Record) -> None:
        if labeler().needs_text or writing.needs_texts:
            collection.complete(record)

    read = expected(read_records(paths, reading, sharding.only(complete)), reading)
    records = unless_empty(sharding.select(read))
    with open_output(writing.output) as out:
        if records is not None:
            labelled = track(labeler().label(records), "labelling", "record")
            for data in encode(labelled, writing, reading.strict):
                out.write(data)
            labeler().report()
            collection.report_unread()


def _refuse_idle(given: Given, teachers: Sequence[str], where: CollectionOptions) -> None:
    """Refuse options that none of the teachers reads."""
    if "combine" in given and len(teachers) == 1:
        raise UsageError("--combine needs several --teacher")
    for because, field in idle_teacher_options(teachers):
        refuse_idle(given, because, field)
    kinds = {split_spec(teacher)[0] for teacher in teachers}
    if "bm25" not in kinds and where.corpus is None and where.dataset is None:
        refuse_idle(given, "an index belongs to a corpus (give --corpus or --dataset)", "index")


main = EntryPoint("rd-label", label)
