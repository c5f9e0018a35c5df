"""The options of a cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag


def _complete_cut(incomplete: str) -> list[str]:
    from rdtools.diagnose.cut import CUTS

    return [name for name in CUTS if name.startswith(incomplete)]


def _complete_column(incomplete: str) -> list[str]:
    from rdtools.diagnose.columns import DIAGNOSTICS
    from rdtools.diagnose.diagnosis import COLUMNS

    columns = [*COLUMNS, *(column for one in DIAGNOSTICS for column in one.columns)]
    return [column.name for column in columns if column.name.startswith(incomplete)]


@dataclass(frozen=True)
class CutOptions(OptionGroup):
    """The part of the records that is written instead of diagnostics."""

    heading: ClassVar[str] = "Cut"

    cut: str | None = flag(
        "--cut", default=None, metavar="PART", complete=_complete_cut,
        excludes=(
            "writes records", ("--by-query", "--format", "--against", "--plot", "--confidence")
        ),
        help="Write the records of one part: low, middle, high, below-median, above-median, inlier, "
        "outlier, or quantiles A:B.",
    )  # fmt: skip
    by: str | None = flag(
        "--by", default=None, metavar="COLUMN", default_text="pairwise_entropy_bits", needs="--cut",
        complete=_complete_column,
        help="Column to cut by.",
    )  # fmt: skip
