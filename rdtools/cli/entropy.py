"""rd-entropy: labelled records -> diagnostics of the teacher's scores, or the records of one part."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rdtools.cli.command import EntryPoint, need_input
from rdtools.cli.options import Given
from rdtools.core.flags import OptionGroup
from rdtools.core.streams import STDIN
from rdtools.data.options import CorpusOptions
from rdtools.diagnose.columns import (
    is_any_wanted,
    manual_of_columns,
    open_diagnostics,
    option_groups,
    refuse_columns,
    refuse_unused,
)
from rdtools.diagnose.columns.score_shares import SCORE_SHARE_ENTROPY, PaperOptions
from rdtools.diagnose.cut_options import CutOptions
from rdtools.diagnose.options import DiagnosisOptions, TableOutput
from rdtools.formats import Reading, read_each
from rdtools.models.options import ModelOptions
from rdtools.search.options import IndexOptions

if TYPE_CHECKING:
    from rdtools.diagnose.calibrated import Curves
    from rdtools.diagnose.cut import Cut
    from rdtools.diagnose.diagnosis import Diagnosis


def entropy(
    options: DiagnosisOptions,
    cut: CutOptions,
    plugins: Sequence[OptionGroup],
    paper: PaperOptions,
    where: CorpusOptions,
    index: IndexOptions,
    model: ModelOptions,
    reading: Reading,
    output: TableOutput,
    given: Given,
) -> None:
    """Diagnose a teacher's scores, and compare candidate training sets.

    \b
    Examples:
      rd-entropy -q --temperature 2 labelled.jsonl | sort -t "$(printf '\\t')" -gk 4
      rd-entropy bm25.jsonl random.jsonl dense.jsonl --compare --encoder MODEL --confidence 0.95 -f markdown
      rd-label --teacher ce mined.jsonl | rd-entropy --cut middle | rd-train --student be:DIR --loss kl -o kl

    Columns, of the n scored documents of a query, with T the --temperature: docs (n), pairwise_entropy_bits
    (mean over pairs of the binary entropy of sigmoid((si - sj)/T)), listwise_entropy_bits (entropy of
    softmax(s/T)), listwise_entropy_share (the same over log2 n), tied_pairs (share of pairs with equal
    scores), margin (best score minus second best), kappa (largest (1/n) / softmax(s/T)), log10_kappa
    (its decimal logarithm), temperature. A log10_kappa of 0 is a uniform distribution; at 3 the worst
    document gets a thousandth of a uniform share, and hardly counts in kl. markdown and --plot leave out
    kappa.

    The summary has one row per FILE: queries, the sum of docs, and the mean of each other column over the
    queries where it is defined. For kappa and log10_kappa: the median; kappa_max and log10_kappa_max are the
    maximum. With fewer than two scored documents all but docs is undefined: empty in TSV and markdown, null
    in jsonl, and counted. A kappa too large for a float is inf, in jsonl null. Options add columns, and
    further columns with their settings:

    \b
    {columns}

    --confidence adds COLUMN_low and COLUMN_high: percentile bootstrap over queries, 1,000 draws from --seed.

    --calibrate writes rows per FILE: method, queries, groups (those that temperature was fitted to),
    positives_first, temperature, nats, listwise_entropy_share, bound. Method entropy: T gives a mean
    listwise_entropy_share of 0.35 over queries, as rd-train fits it to scores that are not cosines for a
    student of cosines. Method likelihood, where a query has a scored positive and a scored negative
    (temperature scaling, Guo et al., 1706.04599): T minimises nats, the mean over these queries of the mean
    of -ln p over positives, p the positive's share of softmax(s/T) among itself and the negatives.
    positives_first is the share of these queries whose best document is a positive that no negative ties.
    Queries with equal scores do not count. T lies between the spread of the scores (median over groups of
    best minus worst) divided by 100 and times 100; bound is low or high if T is one of these, otherwise
    empty. --plot draws a curve over T for each method, a dot at the temperature.

    listwise_entropy_bits and diameter are the ingredients of the bound of arXiv 2505.21058; the bound itself
    has unknown constants and is not computed. --against prints file, run, measure, column, queries, Pearson's
    and Spearman's correlation and their bounds (Fisher's z; Bonett and Wright's variance for Spearman's).

    Differences of scores must mean something: ranks and probabilities are refused, an unknown scale needs
    --score-scale. --cut writes records unchanged, of all FILES together. Where --by depends on the scale of
    the scores, they must have one scale. PART is low (<= Q1), middle (> Q1 and <= Q3), high (> Q3),
    below-median (<=), above-median, outlier (beyond 1.5 IQR from the quartiles), inlier (the rest), or A:B
    (> quantile A and <= quantile B; 0 includes the least). Quantiles are numpy's (linear).

    With --paper-compat, --cut goes by score_share_entropy_nats, low keeps records > Q1, high those < Q3,
    below-median those < the median, and the last record of a query decides for all of them.

    Records stream; -q writes the row of a record at most 0.1 s after it came. With --cut they wait in a
    temporary file (in TMPDIR), and memory holds one number each; --confidence and --plot hold the values of
    all queries, --calibrate the scores of a FILE, --compare and --coverage a hash of each document's id.
    """
    paths = need_input(options.files) or (STDIN,)
    refuse_unused(given)
    if options.calibrate:
        refuse_columns(given, "--calibrate, which writes the temperature")
        _calibrate(options, paths, reading, output)
        return
    from rdtools.core.output import open_output
    from rdtools.diagnose.diagnosis import Diagnosis

    kept_part = _parse_cut(cut, paper) if cut.cut is not None else None
    diagnostics = []
    if is_any_wanted(given):  # else start without what they need
        from rdtools.data.collection import open_collection
        from rdtools.search.options import SearchOptions
        from rdtools.search.resources import Resources

        other_files = replace(reading, input_format=None)  # recognised by their content
        collection = open_collection(where, other_files, index.index, index.memory_bytes)
        resources = Resources(collection, SearchOptions(**vars(index)), model, other_files)
        diagnostics = open_diagnostics(plugins, options.temperature, resources)
    by = cut.by or (SCORE_SHARE_ENTROPY if paper.paper_compat else "pairwise_entropy_bits")
    diagnosis = Diagnosis(
        options.temperature, options.score_scale, diagnostics,
        keep=options.plot is not None or options.confidence is not None,
        cut_by=by if kept_part is not None else None,
        soon=options.by_query,
    )  # fmt: skip
    if kept_part is not None:
        from rdtools.diagnose.cut import cut_records

        measured = diagnosis.measure_records(read_each(paths, reading, diagnosis.check))
        lines = cut_records(measured, diagnosis.place_of(by), kept_part, last_decides=paper.paper_compat)
    else:
        lines = _table(options, diagnosis, paths, reading, output.format)
    with open_output(output.output) as out:
        out.write_lines(lines)
    if options.plot is not None:
        from rdtools.diagnose.plot import plot_diagnosis

        plot_diagnosis(diagnosis, options.plot)
    diagnosis.report()


def _calibrate(
    options: DiagnosisOptions, paths: Sequence[str], reading: Reading, output: TableOutput
) -> None:
    """Write the temperatures of each file, and draw their curves."""
    from rdtools.core.output import open_output
    from rdtools.diagnose.calibrated import plot_curves, rows_of_calibration
    from rdtools.diagnose.diagnosis import Diagnosis
    from rdtools.diagnose.rows import encode_rows

    curves: Curves | None = None if options.plot is None else {}
    diagnosis = Diagnosis(options.temperature, options.score_scale)
    rows = rows_of_calibration(diagnosis, paths, reading, curves)
    with open_output(output.output) as out:
        out.write(b"".join(encode_rows(rows, output.format)))
    if options.plot is not None and curves is not None:
        plot_curves(curves, options.plot)


def _parse_cut(cut: CutOptions, paper: PaperOptions) -> Cut:
    from rdtools.diagnose.cut import CUTS, PAPER_CUTS, parse_cut

    return parse_cut(cut.cut or "", PAPER_CUTS if paper.paper_compat else CUTS)


def _table(
    options: DiagnosisOptions, diagnosis: Diagnosis, paths: Sequence[str], reading: Reading, format: str
) -> Iterator[bytes]:
    """Return the lines of the table that the options ask for."""
    from rdtools.diagnose.diagnosis import measured_files
    from rdtools.diagnose.rows import encode_rows, rows_by_file, rows_by_query

    files = measured_files(diagnosis, paths, reading)
    if options.against is not None:
        from rdtools.diagnose.correlation import correlations, read_metrics

        metrics = read_metrics(options.against, replace(reading, input_format=None))
        rows = correlations(diagnosis, files, metrics, options.confidence or 0.95)
    elif options.by_query:
        rows = rows_by_query(diagnosis, files)
    else:
        rows = rows_by_file(diagnosis, files, options.confidence, options.seed)
    return encode_rows(rows, format)


entropy.__doc__ = inspect.cleandoc(entropy.__doc__ or "").replace("{columns}", manual_of_columns())
main = EntryPoint("rd-entropy", entropy, plugins=option_groups())
