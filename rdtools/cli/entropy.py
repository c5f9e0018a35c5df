"""rd-entropy: labelled records to diagnostics of the teacher's scores, or to the part that is cut out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdtools.cli import options
from rdtools.cli.door import door, need_input
from rdtools.errors import UsageError
from rdtools.formats import Reading, read_records
from rdtools.log import log, plural
from rdtools.streams import STDIN, open_output

if TYPE_CHECKING:
    from rdtools.entropy import Diagnosis

FORMATS = ("tsv", "jsonl", "markdown")


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
    score_scale: options.ScoreScaleOption = None,
    input_format: options.InputFormat = None,
    on_error: options.OnError = "fail",
    max_line: options.MaxLine = options.MAX_LINE,
    output: options.Output = None,
) -> None:  # fmt: skip
    """Diagnose how sure a teacher is of its order, query by query.

    \b
    Examples:
      rd-entropy labelled.jsonl
      rd-entropy -q --temperature 2 labelled.jsonl | sort -t "$(printf '\\t')" -gk 4
      rd-label --teacher ce mined.jsonl | rd-entropy --cut middle | rd-train --student be:DIR -o out

    Columns, of the n scored documents of a query, with T the --temperature: docs (n), pairwise_entropy_bits
    (mean over pairs of the binary entropy of sigmoid((si - sj)/T)), listwise_entropy_bits (entropy of
    softmax(s/T)), listwise_entropy_share (the same over log2 n), tied_pairs (share of pairs with equal
    scores), margin (best score minus second best), kappa (largest (1/n) / softmax(s/T)), temperature.

    The summary has one row a FILE: queries, the sum of docs, means of the rest over the queries that have
    them, but for kappa the median, and the maximum as kappa_max. With fewer than two scored documents all
    but docs is undefined: empty in TSV and markdown, null in jsonl, and counted. A kappa too large for a
    float is inf, in jsonl null.

    Differences of scores must mean something: ranks and probabilities are refused, an unknown scale needs
    --score-scale. --cut keeps records, unchanged, all FILES taken together: low (<= Q1), middle (> Q1 and
    <= Q3), high (> Q3), below-median (<=), above-median, outlier (beyond 1.5 IQR from the quartiles), inlier
    (the rest), A:B (> quantile A and <= quantile B; 0 includes the least). Quantiles are numpy's (linear).
    The records wait in a temporary file (TMPDIR says where); memory holds one number each.
    """
    _check_combination(by_query, format, temperature, cut, by)
    paths = need_input(files) or [STDIN]
    reading = Reading(input_format, max_line, on_error)
    from rdtools.entropy import Diagnosis, cut_records, parse_cut

    diagnosis = Diagnosis(temperature, score_scale)
    if cut is not None:
        records = read_records(paths, reading, diagnosis.check)
        lines = cut_records(diagnosis.chunks(records), by or "pairwise_entropy_bits", parse_cut(cut))
    else:
        inputs = [(_name(path), read_records([path], reading, diagnosis.check)) for path in paths]
        rows = diagnosis.query_rows(inputs) if by_query else diagnosis.summary_rows(inputs)
        lines = _lines(rows, format or "tsv")
    with open_output(output) as out:
        while block := b"".join(islice(lines, 1024)):
            out.write(block)
    _report(diagnosis)


def _name(path: str) -> str:
    return "<stdin>" if path == STDIN else path


def _check_combination(
    by_query: bool, format: str | None, temperature: float, cut: str | None, by: str | None
) -> None:
    if not 0 < temperature < math.inf:
        raise UsageError(f"--temperature must be above 0, not {temperature:g}")
    if cut is None and by is not None:
        raise UsageError("--by needs --cut")
    if cut is not None and (by_query or format):
        flag = "--by-query" if by_query else "--format"
        raise UsageError(f"--cut writes records: {flag} does not go with it")


def _lines(rows: Iterable[dict[str, Any]], format: str) -> Iterator[bytes]:
    from rdtools import tables

    if format == "jsonl":
        yield from map(tables.jsonl, rows)
        return
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    if format == "markdown":
        cells = [[tables.cell(*item, 4) for item in row.items()] for row in rows]
        yield tables.markdown_table(list(first), cells, 2 if "query_id" in first else 1)
        return
    yield tables.tsv(first)
    for row in rows:
        yield tables.tsv(tables.cell(*item, -1) for item in row.items())


def _report(diagnosis: Diagnosis) -> None:
    if diagnosis.unscored:
        log.info("%s without a score left out", plural(diagnosis.unscored, "document"))
    if diagnosis.undefined:
        undefined = plural(diagnosis.undefined, "record")
        log.info("%s with fewer than two scored documents: undefined, and in no --cut", undefined)
    if diagnosis.infinite:
        log.info("%s with a kappa beyond the range of a float", plural(diagnosis.infinite, "record"))


main = door("rd-entropy", entropy)
