"""The options of the dev set: queries that are kept out of training and measured on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag
from rdtools.core.measure_names import complete_measure
from rdtools.core.pictures import plot_target
from rdtools.data.options import complete_dataset

_NEEDS = ("--dev", "--dev-share")
DEFAULT_MEASURE = "nDCG@10"
MEASUREMENTS = 10
"""At most so many measurements after the first one, where --dev-every does not tell."""


@dataclass(frozen=True)
class DevOptions(OptionGroup):
    """The queries that tell during training how good the student is, and what follows from it.

    All defaults are None, so that a run without a dev set is resumed as before these options existed.
    """

    heading: ClassVar[str] = "Dev set"

    dev: str | None = flag(
        "--dev", default=None, metavar="DATASET|FILE", complete=complete_dataset,
        excludes=("names the queries to measure", ("--dev-share",)),
        help="Measure the student on a dataset (DIR:dev) or on the judged documents of a FILE of records, "
        "and save the weights of the best measurement.",
    )  # fmt: skip
    dev_share: float | None = flag(
        "--dev-share", default=None, metavar="X", above=0, below=1,
        help="Instead of --dev: hold back a share X of the queries with a relevant document (0.1 is usual), "
        "drawn by seed and query_id, and measure the student on their documents.",
    )  # fmt: skip
    dev_measure: str | None = flag(
        "--dev-measure", default=None, metavar="MEASURE", default_text=DEFAULT_MEASURE, needs=_NEEDS,
        complete=complete_measure,
        help="What to measure: an ir-measures name, such as RR@10, of which larger is better.",
    )  # fmt: skip
    dev_every: int | None = flag(
        "--dev-every", default=None, metavar="N", min=1, default_text="ten times a run", needs=_NEEDS,
        help="Measure every N steps; also before the first step and after the last.",
    )  # fmt: skip
    patience: int | None = flag(
        "--patience", default=None, metavar="N", min=1, needs=_NEEDS,
        help="Stop after N measurements in a row that are not above the best one.",
    )  # fmt: skip
    plot: str | None = flag(
        "--plot", default=None, metavar="FILE|terminal", parse=plot_target,
        help="Draw the loss and the dev values by step, to FILE.png, .svg or .pdf, or as text on stderr.",
    )  # fmt: skip

    @property
    def is_on(self) -> bool:
        return self.dev is not None or self.dev_share is not None

    @property
    def measure(self) -> str:
        return self.dev_measure or DEFAULT_MEASURE

    def every(self, steps: int, cost: float) -> int:
        """Return the number of steps between two measurements of a run.

        `cost` is the number of documents that a measurement encodes, as a share of those that the run trains
        on. By default all measurements after the first one encode no more documents than the training.
        """
        return self.dev_every or min(steps, math.ceil(steps * max(1 / MEASUREMENTS, cost)))
