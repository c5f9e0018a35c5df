"""The options of rd-entropy that do not belong to one diagnostic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag, seed_flag
from rdtools.core.output import output_flag
from rdtools.core.pictures import plot_target
from rdtools.core.scores import score_scale_flag
from rdtools.data.options import CorpusOptions
from rdtools.models.options import ModelOptions
from rdtools.search.options import IndexOptions

FORMATS = ("tsv", "jsonl", "markdown")
SHARED: tuple[type[OptionGroup], ...] = (CorpusOptions, IndexOptions, ModelOptions)
"""Option groups of other packages that only some diagnostics read (`Diagnostic.uses`)."""


@dataclass(frozen=True)
class DiagnosisOptions(OptionGroup):
    """The input, its measures and their summary."""

    heading: ClassVar[str] = "Diagnostics"

    files: tuple[str, ...] = flag("[FILE]...", default=(), help="Labelled records; - is standard input.")
    by_query: bool = flag("--by-query", "-q", default=False, help="Print one line per query.")
    temperature: float = flag(
        "--temperature", default=1.0, metavar="T", above=0, help="Divide score differences by T."
    )
    calibrate: bool = flag(
        "--calibrate", default=False,
        excludes=(
            "writes the temperature",
            ("--temperature", "--by-query", "--against", "--cut", "--confidence"),
        ),
        help="Write the temperature at which the scores have a moderate entropy, as rd-train fits it, and "
        "the one at which they predict the judged positives best.",
    )  # fmt: skip
    score_scale: str | None = score_scale_flag()
    confidence: float | None = flag(
        "--confidence", default=None, metavar="C", above=0, below=1,
        excludes=("is for the summary", ("--by-query",)),
        help="Add bootstrap confidence intervals over queries, at level C such as 0.95.",
    )  # fmt: skip
    against: str | None = flag(
        "--against", default=None, metavar="METRICS",
        excludes=("writes correlations", ("--by-query", "--plot")),
        help="Write the correlation of every column with measures by query (rd-eval -q, TSV or JSONL).",
    )  # fmt: skip
    plot: str | None = flag(
        "--plot", default=None, metavar="FILE|terminal", parse=plot_target,
        help="Draw the distribution of every column, or with --calibrate the curves over T, to FILE.png, "
        ".svg or .pdf, or as text on stderr.",
    )  # fmt: skip
    seed: int = seed_flag()


@dataclass(frozen=True)
class TableOutput(OptionGroup):
    """The output, and the format of a table."""

    heading: ClassVar[str] = "Output"

    format: str = flag(
        "--format", "-f", default="tsv", metavar="|".join(FORMATS), choices=FORMATS, kind="format",
        help="Format of the diagnostics.",
    )  # fmt: skip
    output: str | None = output_flag()
