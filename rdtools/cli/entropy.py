"""rd-entropy: labelled records to diagnostics of the teacher's scores, or to the part that is cut out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdtools.cli import old_options as options
from rdtools.cli.old_command import entry_point, need_input
from rdtools.core.errors import UsageError
from rdtools.core.log import log
from rdtools.core.output import open_output
from rdtools.core.registry import check_name
from rdtools.core.streams import STDIN
from rdtools.formats import Reading, read_records

if TYPE_CHECKING:
    from rdtools.diagnose.diagnosis import Diagnosis

FORMATS = ("tsv", "jsonl", "markdown")
DISTANCES = ("cosine", "euclidean")
CLOUDS = ("query", "corpus")
_WITH_OPTION = {
    "diameter": "--encoder", "dimension": "--encoder", "density": "--encoder", "coverage": "--coverage",
    "student_kl_bits": "--student", "supremum": "--compare", "suspected_false_negatives": "--compare",
    "score_share_entropy_nats": "--paper-compat", "score_share_kappa": "--paper-compat",
    "zero_filled_pairwise_entropy_bits": "--paper-compat",
}  # fmt: skip
"""Columns that are there only with an option."""
_WORDS = ("file", "query_id", "run", "measure", "column")
"""The columns that a row begins with, of words."""


def entropy(
    files: options.Files = None,
    by_query: Annotated[bool, typer.Option("--by-query", "-q", help="Print one line per query.")] = False,
    format: Annotated[
        str | None,
        options.choice(
            "--format", "-f", names=FORMATS, kind="format", metavar="|".join(FORMATS),
            help="Format of the diagnostics.  [default: tsv]",
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="Divide score differences by T.")
    ] = 1.0,
    confidence: Annotated[
        float | None,
        typer.Option(
            "--confidence", metavar="C",
            help="Add bounds of bootstrap intervals over queries, at a level such as 0.95.",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Add what decides between training sets: suspects, cost, origin."),
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", metavar="M",
            help="With --compare: suspect negatives that score s⁺ - M or more, s⁺ the lowest of a positive.  "
            "[default: 0]",
        ),
    ] = None,
    pairs_per_second: Annotated[
        float | None,
        typer.Option(
            "--pairs-per-second", metavar="X", help="With --compare: add hours, of all pairs at this speed."
        ),
    ] = None,
    check_against: Annotated[
        str | None,
        typer.Option(
            "--check-against", metavar="QRELS",
            help="Count what of these test judgements (a file, or DIR:test) stands in each FILE.",
        ),
    ] = None,
    coverage: Annotated[
        str | None,
        typer.Option("--coverage", metavar="RUN", help="Add the share of a run's documents in the records."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            "--student", metavar="RUN", help="Add the divergence of the student whose scores these are."
        ),
    ] = None,
    student_temperature: Annotated[
        float | None,
        typer.Option(
            "--student-temperature", metavar="T",
            help="Divide the student's score differences by T.  [default: that of --temperature]",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder", metavar="MODEL", help="Add diameter, dimension and density by this bi-encoder."
        ),
    ] = None,
    distance: Annotated[
        str | None,
        options.choice(
            "--distance", names=DISTANCES, kind="distance", metavar="|".join(DISTANCES),
            help="Distance between embeddings.  [default: cosine]",
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha", metavar="A", help="Quantile of distances that is the diameter.  [default: 0.99]"
        ),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option("--neighbours", metavar="K", min=1, help="k of the k-NN density.  [default: 10]"),
    ] = None,
    density_among: Annotated[
        str | None,
        options.choice(
            "--density-among", names=CLOUDS, kind="cloud", metavar="|".join(CLOUDS),
            help="Points among which neighbours are sought: the query's documents, or the whole corpus.  "
            "[default: query]",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="METRICS",
            help="Correlate every column with these measures by query (rd-eval -q, TSV or JSONL) instead.",
        ),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            "--cut",
            metavar="PART",
            help="Write the records of one part instead: low, middle, high, below-median, above-median, "
            "inlier, outlier, or quantiles A:B.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COLUMN", help="Column to cut by.  [default: pairwise_entropy_bits]"),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", metavar="FILE|terminal",
            help="Draw the distribution of every column, to FILE.png, FILE.svg, or as text on stderr.",
        ),
    ] = None,
    paper_compat: Annotated[
        bool,
        typer.Option(
            "--paper-compat", help="Add the entropies of 2505.21058, and cut as its code does."
        ),
    ] = False,
    dataset: options.Dataset = None,
    corpus: options.CorpusFile = None,
    index: options.Index = None,
    score_scale: options.ScoreScaleOption = None,
    input_format: options.InputFormat = None,
    on_error: options.OnError = "fail",
    max_line: options.MaxLine = options.MAX_LINE,
    output: options.Output = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    max_length: options.MaxLength = None,
    batch_tokens: options.BatchTokens = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:  # fmt: skip
    """Diagnose a teacher's scores, and compare candidate training sets.

    \b
    Examples:
      rd-entropy -q --temperature 2 labelled.jsonl | sort -t "$(printf '\\t')" -gk 4
      rd-entropy bm25.jsonl random.jsonl dense.jsonl --compare --encoder MODEL --confidence 0.95 -f markdown
      rd-label --teacher ce mined.jsonl | rd-entropy --cut middle | rd-train --student be:DIR --loss kl -o kl

    Columns, of the n scored documents of a query, with T the --temperature: docs (n), pairwise_entropy_bits
    (mean over pairs of the binary entropy of sigmoid((si - sj)/T)), listwise_entropy_bits (entropy of
    softmax(s/T)), listwise_entropy_share (the same over log2 n), tied_pairs (share of pairs with equal
    scores), margin (best score minus second best), kappa (largest (1/n) / softmax(s/T)), temperature.

    The summary has one row a FILE: queries, the sum of docs, means of the rest over the queries that have
    them, but for kappa the median, and the maximum as kappa_max. With fewer than two scored documents all
    but docs is undefined: empty in TSV and markdown, null in jsonl, and counted. A kappa too large for a
    float is inf, in jsonl null. Options add columns after these, and name in further columns what they
    were measured with:

    \b
    --encoder       diameter: A-quantile of the distances between a query's documents; of a FILE, the
                    A-quantile over queries. dimension: TwoNN, 1 / mean of ln(r2/r1). density: k / (N V r^d),
                    d that dimension, V the volume of its unit ball, r the distance to the k-th nearest of
                    the query's N documents, median over these; of a FILE the medians of both. Documents
                    within 1e-6 of each other are one point. With --density-among corpus, r, N and d are
                    the corpus's, whose embeddings are held: then densities of FILEs compare
    --coverage      coverage: share of the run's documents for the query that are in the record. Of a FILE
                    also coverage_of_run: share of all the run's documents that are in any record; and
                    with --dataset or --corpus coverage_over_random: that, over the share that as many
                    documents drawn at random would cover
    --student       student_kl_bits: KL(softmax(t/T) || softmax(s/T)) of the teacher's scores t and the
                    student's s, over the documents that both scored
    --compare       supremum: best score. suspected_false_negatives: share of scored negatives that have at
                    least the lowest positive's score minus M. Of a FILE also pairs, distinct_docs, words and
                    hours, and the teacher, score_scale and transformations that its records name
    --check-against test_queries, and of them shared_queries; test_relevant_docs, and of them
                    relevant_docs_seen; both by id, and with a dataset such as DIR:test by equal text too
    --confidence    COLUMN_low, COLUMN_high: percentile bootstrap over queries, 1,000 draws from --seed

    listwise_entropy_bits and diameter are what the bound of 2505.21058 is made of; the bound itself has
    unknown constants and is not computed. --against prints file, run, measure, column, queries, Pearson's and
    Spearman's correlation and their bounds (Fisher's z; Bonett and Wright's variance for Spearman's).

    Differences of scores must mean something: ranks and probabilities are refused, an unknown scale needs
    --score-scale. --cut keeps records, unchanged, all FILES taken together, and on one scale where --by
    depends on it: low (<= Q1), middle (> Q1 and <= Q3), high (> Q3), below-median (<=), above-median, outlier
    (beyond 1.5 IQR from the quartiles), inlier (the rest), A:B (> quantile A and <= quantile B; 0 includes
    the least). Quantiles are numpy's (linear). The records wait in a temporary file (TMPDIR says where);
    memory holds one number each. --confidence and --plot hold the values of all queries; --compare and
    --coverage a hash of each document's id.

    --paper-compat repeats the arithmetic of the paper's code: score_share_entropy_nats (-sum p ln p of
    p = s / sum s, a missing score being 0, p <= 0 passed over) and score_share_kappa, which favour the
    worst document where scores are negative, and zero_filled_pairwise_entropy_bits (as
    pairwise_entropy_bits, a missing score being 0, at temperature 1); --cut goes by the first, and low
    keeps what is > Q1, high what is < Q3, below-median what is < the median, and the last record of a query
    decides for all of them.
    """
    _check_combination(by_query, format, cut, by, against, plot, confidence)
    _check_numbers(temperature, student_temperature, confidence, alpha, margin, pairs_per_second)
    of_encoder = {
        "--distance": distance, "--alpha": alpha, "--neighbours": neighbours,
        "--density-among": density_among, "--device": device, "--max-length": max_length,
        "--batch-tokens": batch_tokens, "--trust-remote-code": trust_remote_code,
    }  # fmt: skip
    options.check_needs({"--margin": margin, "--pairs-per-second": pairs_per_second}, "--compare", compare)
    options.check_needs({"--student-temperature": student_temperature}, "--student", student)
    options.check_needs(of_encoder, "--encoder", encoder)
    options.check_needs(
        {"--dataset": dataset, "--corpus": corpus}, "--encoder or --coverage", encoder or coverage
    )
    options.check_needs({"--index": index}, "--density-among corpus", density_among == "corpus")
    paths = need_input(files) or [STDIN]
    reading = Reading(input_format=input_format, max_line=max_line, on_error=on_error)
    from rdtools.data.collection import Collection
    from rdtools.diagnose.columns.choice import Choice, open_diagnostics
    from rdtools.diagnose.cut import CUTS, PAPER_CUTS, cut_records, parse_cut
    from rdtools.diagnose.diagnosis import SCALE_FREE, Diagnosis
    from rdtools.search.resources import Resources

    kept_by = parse_cut(cut, PAPER_CUTS if paper_compat else CUTS) if cut is not None else None
    if plot is not None:
        from rdtools.diagnose.plot import check_plot

        check_plot(plot)
    aside = Reading(max_line=max_line, on_error=on_error)  # files beside the input are recognised by content
    setting = Resources(
        Collection(dataset, corpus, reading=aside), index, device=device, dtype=options.DTYPES[dtype],
        max_length=max_length, batch_tokens=batch_tokens, trust_remote_code=trust_remote_code, reading=aside,
    )  # fmt: skip
    choice = Choice(
        compare=compare, margin=margin or 0.0, pairs_per_second=pairs_per_second, test=check_against,
        coverage=coverage, student=student, student_temperature=student_temperature or temperature,
        encoder=encoder, alpha=alpha or 0.99, distance=distance or "cosine", neighbours=neighbours or 10,
        density_among=density_among or "query", paper_compat=paper_compat,
    )  # fmt: skip
    instruments = open_diagnostics(choice, temperature, setting)
    keep = plot is not None or confidence is not None
    column = by or ("score_share_entropy_nats" if paper_compat else "pairwise_entropy_bits")
    one_scale = kept_by is not None and column not in SCALE_FREE
    diagnosis = Diagnosis(temperature, score_scale, instruments, keep=keep, one_scale=one_scale)
    reading = replace(reading, only_scores=not instruments and kept_by is None)
    inputs = [(_name(path), read_records([path], reading, diagnosis.check)) for path in paths]
    if kept_by is not None:
        place = _place(diagnosis, column)
        chunks = diagnosis.chunks(chain.from_iterable(records for _, records in inputs))
        lines = cut_records(chunks, place, kept_by, last_decides=paper_compat)
    elif against is not None:
        from rdtools.diagnose.correlation import correlations, read_metrics

        metrics = read_metrics(against, aside)
        lines = _lines(correlations(diagnosis, inputs, metrics, confidence or 0.95), format)
    elif by_query:
        lines = _lines(diagnosis.query_rows(inputs), format)
    else:
        lines = _lines(diagnosis.summary_rows(inputs, confidence, seed), format)
    with open_output(output) as out:
        while block := b"".join(islice(lines, 1024)):
            out.write(block)
    if plot is not None:
        _draw(diagnosis, plot)
    diagnosis.report()


def _name(path: str) -> str:
    return "<stdin>" if path == STDIN else path


def _check_combination(
    by_query: bool, format: str | None, cut: str | None, by: str | None, against: str | None,
    plot: str | None, confidence: float | None,
) -> None:  # fmt: skip
    if cut is None and by is not None:
        raise UsageError("--by needs --cut")
    others = {
        "--by-query": by_query, "--format": format, "--against": against, "--plot": plot,
        "--confidence": confidence,
    }  # fmt: skip
    for flag, given in others.items():
        if cut is not None and given:
            raise UsageError(f"--cut writes records: {flag} does not go with it")
        if against is not None and given and flag in ("--by-query", "--plot"):
            raise UsageError(f"--against writes correlations: {flag} does not go with it")
    if by_query and confidence:
        raise UsageError("--confidence is of means: --by-query does not go with it")


def _check_numbers(
    temperature: float, student_temperature: float | None, confidence: float | None, alpha: float | None,
    margin: float | None, pairs_per_second: float | None,
) -> None:  # fmt: skip
    options.check_above_zero({
        "--temperature": temperature, "--student-temperature": student_temperature,
        "--pairs-per-second": pairs_per_second,
    })  # fmt: skip
    if confidence is not None and not 0 < confidence < 1:
        raise UsageError(f"--confidence must lie between 0 and 1, not {confidence:g}")
    if alpha is not None and not 0 < alpha <= 1:
        raise UsageError(f"--alpha must be above 0 and at most 1, not {alpha:g}")
    if margin is not None and not math.isfinite(margin):
        raise UsageError(f"--margin must be a number, not {margin:g}")


def _place(diagnosis: Diagnosis, column: str) -> int:
    """Return where a column stands in the tables of `diagnosis`."""
    check_name(dict.fromkeys([*diagnosis.columns, *_WITH_OPTION]), column, "column")
    if column not in diagnosis.columns:
        raise UsageError(f"--by {column} needs {_WITH_OPTION[column]}")
    return diagnosis.columns.index(column)


def _lines(rows: Iterable[dict[str, Any]], format: str | None) -> Iterator[bytes]:
    from rdtools.core import tables

    if format == "jsonl":
        yield from map(tables.jsonl, rows)
        return
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    if format == "markdown":
        cells = [[tables.format_cell(*item, 4) for item in row.items()] for row in rows]
        yield tables.markdown_table(list(first), cells, sum(name in _WORDS for name in first))
        return
    yield tables.tsv(first)
    for row in rows:
        yield tables.tsv(tables.format_cell(*item, -1) for item in row.items())


def _draw(diagnosis: Diagnosis, target: str) -> None:
    from rdtools.diagnose.plot import TERMINAL, draw, sketch

    columns, files = diagnosis.distributions()
    if not files:
        return
    settings = {"temperature": diagnosis.temperature, **diagnosis.settings}
    caption = ", ".join(f"{name} {value}" for name, value in settings.items())
    if target == TERMINAL:
        if log.isEnabledFor(logging.INFO):  # not with --quiet
            typer.echo("\n".join([*sketch(columns, files), caption]), err=True)
        return
    with open_output(target) as out:
        out.write(draw(columns, files, PurePath(target).suffix[1:], caption))


main = entry_point("rd-entropy", entropy)
