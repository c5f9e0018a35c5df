"""rd-eval: judgements and runs -> measures, with tests of difference and of equivalence."""

from __future__ import annotations

from rdtools.cli.command import EntryPoint, need_input
from rdtools.core.errors import UsageError
from rdtools.evaluate.options import (
    TABLE_FORMATS,
    BaselineOptions,
    ComparisonOptions,
    EquivalenceOptions,
    MeasureOptions,
    RunOptions,
    TableOptions,
)
from rdtools.formats import Reading


def evaluate(
    runs: RunOptions,
    measures: MeasureOptions,
    table: TableOptions,
    tests: BaselineOptions,
    comparisons: ComparisonOptions,
    letters: EquivalenceOptions,
    reading: Reading,
) -> None:
    """Evaluate runs against relevance judgements.

    \b
    Examples:
      rd-mine --dataset pydoc:test -n all | rd-eval pydoc:test
      rd-eval qrels.txt bm25.run student.run -m nDCG@10 -m "AP(rel=2)" --baseline bm25
      rd-eval qrels.txt runs/*.run --fields '{loss}-{source}-s{seed}' --columns source -f latex

    A run is a TREC run, TSV (query_id, doc_id, score), an MS MARCO run or records, its lines in any order.
    Documents that rd-mine added from the qrels do not count. The name of a run is its file name without
    extension; on standard input, its tag. tsv has no header; its columns are run, measure, value; with -q
    run, query_id, measure, value. markdown and latex print one row for each run and one column for each
    measure, the best value bold.

    Values are those of trec_eval: documents are sorted by score as float32, ties by larger doc_id. All judged
    queries count, missing ones as zero; queries without judgements are ignored. Memory holds the qrels and
    one run; of a TREC run with each query's lines together, only its judged documents.

    --fields reads fields from the end of a run's path. Three fields have a meaning. Runs that differ only in
    {seed}, a number, are one system: its value is the mean over seeds, followed by their standard deviation
    (n-1) and number. {collection} separates runs with different judgements: rd-eval
    'qrels/{collection}.txt' runs/*/*.trec --fields '{collection}/{loss}-{source}-{student}-s{seed}'. {run}
    is the name of the system; without it, the name is the other fields joined by -. tsv and jsonl print the
    fields after the name. --columns collection,student then gives the rows loss, source and the columns
    collection, student, measure. LaTeX needs the packages booktabs and, with several row fields, multirow.

    --baseline adds delta (run minus baseline), p and p_corrected: the columns of tsv are then run, measure,
    value, delta, p, p_corrected. markdown and latex print delta and p_corrected, labelled as in "Holm p". t
    is Student's test, wilcoxon the signed-rank test; permutation flips signs 100,000 times, bootstrap
    (studentised; Sakai 2006) draws 10,000 samples, both with --seed. With seeds, an observation is the mean
    of a query over seeds. t, intervals and the equivalence test add the variance between seeds to the
    variance between queries (quasi-t, Satterthwaite's degrees of freedom). The other tests do not, and say
    so: they hold for these runs, not for further seeds.

    --equivalence adds letters: two runs of a collection share a letter if two one-sided paired t-tests both
    have p < --alpha. The bound has the unit of the measures; fix it before you see the values. stderr says
    when a bound is out of reach even at difference 0, and how many seeds or queries would show a difference
    of 0 equivalent with 80 % power. Each pair is tested at --alpha; with many pairs, some letters are then
    shared by chance: --equivalence-correction holm bounds that chance by --alpha for all pairs and measures.
    With --baseline, the columns low, high (confidence interval of 1 - 2 x --alpha), p_equivalence and
    p_equivalence_corrected follow: run minus baseline.

    --contrast 'loss=kl,lce' prints kl minus lce for each combination of the other fields. --contrast
    'loss=kl,lce source=bm25,random' prints a difference of differences, (kl - lce on bm25) - (kl - lce on
    random): does the source change what the loss gives? FIELD=A compares only runs with that value,
    FIELD=* takes the mean over all values of a field. tsv prints contrast, the fields that not all contrasts
    name, measure, delta, low, high, p (t) and p_corrected. The interval has level 1 - --alpha; with
    --equivalence 1 - 2 x --alpha, and p_equivalence and p_equivalence_corrected follow. --pairs prints the
    same for each pair of runs: run, baseline (the other run), collection, measure, delta (run minus
    baseline), and so on.

    --plot draws the mean over queries and seeds of each run with its t interval, which counts the variance
    between seeds as the tests do. With --baseline it also draws, for each measure, the differences of all
    queries, sorted, and the number of queries that are better, equal and worse.

    --paper-compat adds letters without a test of equivalence: unpaired tests with the bound 0.1 % of the
    observed difference (or --equivalence BOUND: 0.01 in the paper's BEIR tables). Two runs are linked if
    both one-sided p exceed --alpha (default 0.1); each connected set of linked runs gets one letter.
    """
    if letters.within and not runs.fields:
        raise UsageError("--within needs --fields")
    from rdtools.core.output import open_output
    from rdtools.core.registry import resolve
    from rdtools.core.streams import STDIN
    from rdtools.evaluate import rows
    from rdtools.evaluate.comparisons import comparison_layout, contrast_rows, pair_rows
    from rdtools.evaluate.evaluation import evaluate_runs, with_baseline
    from rdtools.evaluate.layout import labelled, table_layout
    from rdtools.evaluate.systems import NamePatterns

    patterns = NamePatterns(runs.fields)
    paths, baseline = with_baseline(need_input(runs.runs) or [STDIN], tests.baseline)
    if comparisons.contrasts or comparisons.pairs:
        layout = comparison_layout(patterns, comparisons)
    else:
        layout = table_layout(table.rows, table.columns, patterns, table.by_query)
    by_path = evaluate_runs(paths, runs.qrels, patterns, measures, reading)
    systems = list(dict.fromkeys(by_path.values()))
    name = by_path[baseline].name if baseline in by_path else baseline
    if comparisons.contrasts:
        results = contrast_rows(systems, patterns, comparisons, letters, tests.correction)
    elif comparisons.pairs:
        results = pair_rows(systems, letters, tests.correction)
    elif table.by_query:
        results = rows.query_rows(systems, patterns)
    else:
        results = rows.mean_rows(systems, patterns)
        if name is not None:
            rows.add_tests(results, systems, name, tests)
        rows.add_letters(results, systems, letters, name)
    layout = labelled(layout, tests.correction, letters.equivalence_correction)
    write = resolve(TABLE_FORMATS, table.format, "format")
    with open_output(table.output) as out:
        out.write(write(results, layout, table.places))
    if table.plot is not None:
        from rdtools.evaluate.plot import plot_systems

        plot_systems(systems, name, table.plot)


main = EntryPoint("rd-eval", evaluate)
