"""The options of rd-eval, and the tables of tests, corrections and output formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag, seed_flag
from rdtools.core.measure_names import complete_measure
from rdtools.core.output import output_flag
from rdtools.core.pictures import plot_target
from rdtools.data.options import complete_dataset
from rdtools.evaluate.contrasts import Contrast, parse_contrast

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "AP", "R@100")

TESTS = {
    "t": "rdtools.evaluate.significance:t_test",
    "wilcoxon": "rdtools.evaluate.significance:wilcoxon",
    "permutation": "rdtools.evaluate.significance:permutation_test",
    "bootstrap": "rdtools.evaluate.significance:bootstrap_test",
}
"""Tests of difference: `test(pair, rng) -> p`."""

CORRECTIONS = {
    "holm": "rdtools.evaluate.significance:holm",
    "bonferroni": "rdtools.evaluate.significance:bonferroni",
    "none": "rdtools.evaluate.significance:uncorrected",
}
"""Corrections of a family of tests: `correct(p_values) -> p_values`."""

TABLE_FORMATS = {
    "tsv": "rdtools.evaluate.rows:tsv_lines",
    "jsonl": "rdtools.evaluate.rows:json_lines",
    "markdown": "rdtools.evaluate.layout:markdown",
    "latex": "rdtools.evaluate.layout:latex",
}
"""Output formats: `write(rows, layout, places) -> bytes`."""


def split_names(text: str) -> list[str]:
    """Split `A,B`."""
    return [name.strip() for name in text.split(",")] if text else []


@dataclass(frozen=True)
class RunOptions(OptionGroup):
    """The judgements, the runs, and how runs are named."""

    heading: ClassVar[str] = "Judgements and runs"

    qrels: str = flag(
        "QRELS", metavar="FILE|DATASET", complete=complete_dataset,
        help="Judgements (TREC, BEIR TSV, records) or a dataset (DIR:test, pydoc:test). May contain fields "
        "of --fields: 'qrels/{collection}.txt'.",
    )  # fmt: skip
    runs: tuple[str, ...] = flag("[RUN]...", default=(), help="Runs; - or no RUN is standard input.")
    fields: tuple[str, ...] = flag(
        "--fields", default=(), metavar="PATTERN",
        help="Read fields from the names of runs: '{run}-s{seed}'. May be repeated: the first pattern that "
        "fits is used.",
    )  # fmt: skip


@dataclass(frozen=True)
class MeasureOptions(OptionGroup):
    """The measures of each query."""

    heading: ClassVar[str] = "Measures"

    measures: tuple[str, ...] = flag(
        "--measure", "-m", default=DEFAULT_MEASURES, default_text=" ".join(DEFAULT_MEASURES),
        metavar="MEASURE", complete=complete_measure,
        help="A measure by its name in ir-measures (nDCG@10, 'AP(rel=2)') or in trec_eval (ndcg_cut_10). May "
        "be repeated.",
    )  # fmt: skip
    depth: int | None = flag(
        "--depth", default=None, metavar="N", min=1,
        help="Truncate rankings after N documents, as trec_eval -M.",
    )  # fmt: skip
    run_queries_only: bool = flag(
        "--run-queries-only", default=False,
        help="Ignore judged queries that a run lacks, as trec_eval without -c.",
    )  # fmt: skip
    allow_empty: bool = flag(
        "--allow-empty", default=False,
        help="Accept a run without any judged query, such as an empty one; all its values are 0.",
    )  # fmt: skip
    ignore_identical_ids: bool = flag(
        "--ignore-identical-ids", default=False,
        help="Ignore a retrieved document whose id is that of the query.",
    )  # fmt: skip


@dataclass(frozen=True)
class TableOptions(OptionGroup):
    """The form of the output."""

    heading: ClassVar[str] = "Output"

    by_query: bool = flag(
        "--by-query", "-q", default=False,
        excludes=(
            "prints values, not tests",
            ("--baseline", "--equivalence", "--paper-compat", "--contrast", "--pairs"),
        ),
        help="Print the values of each query.",
    )  # fmt: skip
    format: str = flag(
        "--format", "-f", default="tsv", metavar="|".join(TABLE_FORMATS), choices=TABLE_FORMATS,
        kind="format", help="Output format.",
    )  # fmt: skip
    places: int = flag(
        "--places", default=4, metavar="N", min=-1,
        help="Decimals; -1 prints all. jsonl always prints all.",
    )  # fmt: skip
    rows: Sequence[str] = flag(
        "--rows", default=(), metavar="A,B", parse=split_names,
        needs=("--format markdown", "--format latex"),
        excludes=("arranges means", ("--by-query", "--contrast", "--pairs")),
        help="Fields that name the rows of a markdown or latex table.",
    )  # fmt: skip
    columns: Sequence[str] = flag(
        "--columns", default=(), metavar="A,B", parse=split_names,
        needs=("--format markdown", "--format latex"),
        excludes=("arranges means", ("--by-query", "--contrast", "--pairs")),
        help="Fields that name the columns of a markdown or latex table, the outermost first.",
    )  # fmt: skip
    plot: str | None = flag(
        "--plot", default=None, metavar="FILE|terminal", parse=plot_target,
        excludes=("draws means and differences from --baseline", ("--contrast", "--pairs")),
        help="Draw the mean of each run with its 95 % interval, and with --baseline the sorted differences "
        "of queries, to FILE.png, .svg or .pdf, or as text on stderr.",
    )  # fmt: skip
    output: str | None = output_flag()


@dataclass(frozen=True)
class BaselineOptions(OptionGroup):
    """Tests of difference from a baseline."""

    heading: ClassVar[str] = "Tests against a baseline"

    baseline: str | None = flag(
        "--baseline", default=None, metavar="RUN", help="Test all runs against this one (a name or a file)."
    )
    test: str = flag(
        "--test", default="t", metavar="|".join(TESTS), choices=TESTS, kind="test", needs="--baseline",
        help="Paired, two-sided test.",
    )  # fmt: skip
    correction: str = flag(
        "--correction", default="holm", metavar="|".join(CORRECTIONS), choices=CORRECTIONS,
        kind="correction", needs=("--baseline", "--contrast", "--pairs"),
        help="Correction of p for all comparisons and measures that are printed.",
    )  # fmt: skip
    seed: int = seed_flag()


_NO_VALUES = ("--baseline", "--paper-compat")


@dataclass(frozen=True)
class ComparisonOptions(OptionGroup):
    """Rows of differences instead of rows of values."""

    heading: ClassVar[str] = "Contrasts and pairs"

    contrasts: tuple[Contrast, ...] = flag(
        "--contrast", default=(), metavar="'FIELD=A,B FIELD=C,D'", parse=parse_contrast, needs="--fields",
        excludes=("prints differences", (*_NO_VALUES, "--pairs", "--within")),
        help="Print a difference (one field with two values) or a difference of differences (two such "
        "fields) with its confidence interval and test. May be repeated.",
    )  # fmt: skip
    pairs: bool = flag(
        "--pairs", default=False, excludes=("prints differences", _NO_VALUES),
        help="Print the difference of each pair of runs with its confidence interval and tests.",
    )  # fmt: skip


_LETTERS = ("--equivalence", "--paper-compat")


@dataclass(frozen=True)
class EquivalenceOptions(OptionGroup):
    """Letters for runs that are equivalent."""

    heading: ClassVar[str] = "Equivalence"

    equivalence: float | None = flag(
        "--equivalence", default=None, metavar="BOUND", above=0,
        help="Test equivalence within BOUND (TOST). Runs that are equivalent share a letter.",
    )  # fmt: skip
    within: Sequence[str] = flag(
        "--within", default=(), metavar="A,B", parse=split_names, needs=(*_LETTERS, "--pairs"),
        help="Compare only runs that have the same values of these --fields.",
    )  # fmt: skip
    alpha: float | None = flag(
        "--alpha", default=None, metavar="A", above=0, below=1, needs=(*_LETTERS, "--contrast", "--pairs"),
        default_text="0.05; with --paper-compat 0.1",
        help="Level of the equivalence tests and of the confidence intervals.",
    )  # fmt: skip
    equivalence_correction: str = flag(
        "--equivalence-correction", default="none", metavar="|".join(CORRECTIONS), choices=CORRECTIONS,
        kind="correction", needs="--equivalence",
        excludes=("its tests do not use", ("--paper-compat",)),
        help="Correction of the equivalence tests for all pairs (or contrasts) and measures.",
    )  # fmt: skip
    paper_compat: bool = flag(
        "--paper-compat", default=False,
        help="Assign letters as the tables of arXiv 2505.21058 do (see above).",
    )  # fmt: skip

    @property
    def method(self) -> str | None:
        """The name in `equivalence.LETTERINGS`, or None if no letters are wanted."""
        if self.paper_compat:
            return "paper"
        return None if self.equivalence is None else "tost"
