"""rd-mine: queries -> records with candidates."""

from __future__ import annotations

from typing import Annotated

import typer

from rdtools.cli import options
from rdtools.cli.command import entry_point, need_input
from rdtools.core.registry import check_name, split_spec
from rdtools.mine.options import FALSE_NEGATIVES, Selection
from rdtools.mine.sampling import SAMPLING
from rdtools.mine.sources import RECORDS, SOURCES

_SCORE = "negatives whose score in their source is"


def mine(
    context: typer.Context,
    queries: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERIES", help="Queries; - is standard input.", show_default=False),
    ] = None,
    dataset: options.Dataset = None,
    corpus: options.CorpusFile = None,
    queries_file: options.QueriesFile = None,
    qrels: options.QrelsFile = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="bm25; random (the whole corpus); dense:MODEL; graph, the BM25 neighbours of the "
            "positives; graph:dense:MODEL, those by embedding; run:FILE (run:msmarco-run:FILE for ranks); or "
            "records (the docs of the input, by score). May be repeated: --depth is the quota of each.",
            show_default="bm25",
            autocompletion=lambda incomplete: [name for name in SOURCES if name.startswith(incomplete)],
        ),
    ] = None,
    num_negatives: Annotated[
        str,
        typer.Option(
            "--num-negatives", "-n", metavar="N|all", help="Negatives of a query; all: retrieval instead."
        ),
    ] = "15",
    depth: Annotated[
        int, typer.Option("--depth", metavar="N", min=1, help="Candidates of each source, positives apart.")
    ] = 100,
    range_min: Annotated[
        int,
        typer.Option(
            "--range-min", metavar="N", min=0, help="Pass over the first N candidates of each source."
        ),
    ] = 0,
    sampling: Annotated[
        str,
        options.choice(
            "--sampling",
            names=SAMPLING,
            kind="sampling",
            help="Choice in the pool: random; top, sources taking turns; log-random (weight 1/ln(1 + rank), "
            "ranks counted in each source); stratified (one from each of N quantiles of the scores) or "
            "stratified-width (one from each of N equal intervals).",
        ),
    ] = "random",
    relative_margin: Annotated[
        float | None,
        typer.Option(
            "--relative-margin",
            metavar="R",
            help=f"Keep {_SCORE} below s⁺ − R·|s⁺|, s⁺ the lowest of a positive.",
        ),
    ] = None,
    absolute_margin: Annotated[
        float | None, typer.Option("--absolute-margin", metavar="M", help=f"Keep {_SCORE} below s⁺ − M.")
    ] = None,
    near_copies: Annotated[
        float | None,
        typer.Option(
            "--near-copies",
            metavar="J",
            help="Suspect also what shares at least J of its runs of 3 words with a positive: "
            "|A ∩ B|/|A ∪ B| of the two sets, letter case and punctuation apart.",
        ),
    ] = None,
    false_negatives: Annotated[
        str | None,
        options.choice(
            "--false-negatives",
            names=FALSE_NEGATIVES,
            kind="fate of false negatives",
            help="What a margin or --near-copies catches is dropped (the default), kept as a negative and "
            "counted, or relabelled: a positive of relevance 1, marked relabelled.",
            metavar="drop|keep|relabel",
        ),
    ] = None,
    max_score: Annotated[
        float | None, typer.Option("--max-score", metavar="S", help=f"Keep {_SCORE} at most S.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", metavar="S", help=f"Keep {_SCORE} at least S.")
    ] = None,
    pad: Annotated[
        bool,
        typer.Option(
            "--pad",
            help="Where fewer than -n negatives remain, add random documents of the corpus that no source "
            "gave (source random, no score: label them afterwards).",
        ),
    ] = False,
    sample: Annotated[
        float,
        typer.Option(
            "--sample", metavar="SHARE", help="Mine this share of the queries, drawn by seed and query_id."
        ),
    ] = 1.0,
    add_positives: Annotated[
        bool, typer.Option("--add-positives", help="With -n all: add judged positives that no source found.")
    ] = False,
    no_text: Annotated[bool, typer.Option("--no-text", help="Write ids without texts.")] = False,
    paper_compat: Annotated[
        bool,
        typer.Option(
            "--paper-compat",
            help="Draw as the code of arXiv 2505.21058 does: positives and their copies are candidates and "
            "padding too (one that is drawn takes a negative's place, but stands once, as a positive), "
            "padding may fall on what is there already, and --absolute-margin lets s⁺ − M itself pass. "
            "Not so: there, a source's quota counts only what passes the margin.",
        ),
    ] = False,
    k1: options.K1 = 1.2,
    b: options.B = 0.75,
    index: options.Index = None,
    max_length: options.MaxLength = None,
    batch_tokens: options.BatchTokens = None,
    score_scale: options.ScoreScaleOption = None,
    format: options.Format = "jsonl",
    output: options.Output = None,
    input_format: options.InputFormat = None,
    on_error: options.OnError = "fail",
    max_line: options.MaxLine = options.MAX_LINE,
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Mine candidates for queries: negatives to train with, or a ranking.

    \b
    Examples:
      rd-mine --dataset pydoc:train | rd-label --teacher be:MODEL > train.jsonl
      rd-mine --dataset DIR:test --from bm25 -n all --depth 1000 -f trec > bm25.trec
      rd-mine queries.tsv --corpus corpus.tsv --from bm25 --from dense:MODEL -n 7

    With -n N each record is a training group: all judged positives, then N negatives chosen by --sampling
    from the first --depth candidates of each source. Positives are never among the negatives, by id or by
    equal text. With -n all each record is what the sources found, in order; a run of several sources has
    that order, not scores. "Random" negatives are those of the whole corpus (--from random) or of a deep
    pool (--from bm25 --depth 10000 --sampling random).

    Margins and limits look at a source's own scores, written or not (of several scoring sources none is);
    what a source without scores gave passes, and is counted. Of records on two scales, --from records with a
    limit or --absolute-margin refuses the second.

    Where --dataset or --queries brings the queries, standard input is read only if - is given; --from records
    takes none from --dataset.

    \b
    Reads   queries (BEIR JSONL, query_id TAB text, or records), as many together as come within 0.1 s
    Holds   the corpus, its index, the judgements, and a run given by run:FILE
    Writes  records when their queries are searched, of slow input one query behind; then counts, on stderr
    """
    from rdtools.core.log import track
    from rdtools.core.output import open_output
    from rdtools.core.scores import state_scale
    from rdtools.core.streams import STDIN, unless_empty
    from rdtools.data.collection import Collection
    from rdtools.formats import Reading, encode
    from rdtools.formats.table import RUNS
    from rdtools.mine.miner import Miner
    from rdtools.mine.sources import open_source, query_check
    from rdtools.search.resources import Resources

    specs = sources or ["bm25"]
    for spec in specs:
        check_name(SOURCES, split_spec(spec)[0], "source")
    _refuse_unused(context, specs, num_negatives, queries)
    reading = Reading(input_format, max_line, on_error)
    collection = Collection(dataset, corpus, queries_file, qrels, reading)
    brings_queries = queries_file is not None if RECORDS in specs else collection.has_queries
    paths = queries or [] if brings_queries else need_input(queries) or [STDIN]
    selection = Selection(
        num_negatives=options.count_or_all("--num-negatives", num_negatives),
        depth=depth,
        range_min=range_min,
        sampling=SAMPLING[sampling],
        relative_margin=relative_margin,
        absolute_margin=absolute_margin,
        near_copies=near_copies,
        false_negatives=false_negatives,
        max_score=max_score,
        min_score=min_score,
        pad=pad,
        share=sample,
        add_positives=add_positives,
        with_text=not no_text,
        as_run=format in RUNS,
        paper_compat=paper_compat,
        seed=seed,
    )
    setting = Resources(
        collection, index, k1, b, device, options.DTYPES[dtype], max_length, batch_tokens,
        trust_remote_code, score_scale, seed, reading,
    )  # fmt: skip
    check = query_check(specs, selection.limits, score_scale)
    records = unless_empty(state_scale(collection.queries(paths, check), score_scale))
    with open_output(output) as out:
        if records is not None:
            opened = [open_source(spec, setting) for spec in specs]
            miner = Miner(
                opened, selection, collection.qrels, collection.corpus if collection.has_corpus else None
            )
            for data in encode(track(miner.mine(records), "mining", "query"), format):
                out.write(data)
            miner.account.report()


def _refuse_unused(
    context: typer.Context, specs: list[str], num_negatives: str, queries: list[str] | None
) -> None:
    """Refuse the options of sources that are not there, and what another option leaves without effect."""
    kinds = {split_spec(spec)[0] for spec in specs}
    if num_negatives == "all":
        options.refuse_unused(context, "-n all keeps what the sources found", "sampling")
    if queries:
        options.refuse_unused(context, f"{queries[0]} brings the queries", "queries_file")
    if not any(spec.startswith(("dense:", "graph:dense:")) for spec in specs):
        names = ("device", "dtype", "batch_tokens", "max_length", "trust_remote_code")
        options.refuse_unused(context, "no source is dense:MODEL or graph:dense:MODEL", *names)
    if not {"bm25", "graph"} & set(specs):
        options.refuse_unused(context, "no source is bm25 or graph", "k1", "b")
    if not {"run", RECORDS} & kinds:
        options.refuse_unused(context, "no source is run:FILE or records", "score_scale")


main = entry_point("rd-mine", mine)
