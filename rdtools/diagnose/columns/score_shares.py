"""Entropies and κ of score shares, as the code of 2505.21058 computes them (`--paper-compat`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rdtools.core.flags import OptionGroup, flag
from rdtools.core.records import Record
from rdtools.diagnose.diagnostic import Column, Diagnostic

if TYPE_CHECKING:
    from rdtools.diagnose.entropy import Floats
    from rdtools.search.resources import Resources

SCORE_SHARE_ENTROPY = "score_share_entropy_nats"


@dataclass(frozen=True)
class PaperOptions(OptionGroup):
    """The arithmetic of the paper's code. It also changes --cut and --encoder."""

    heading: ClassVar[str] = "Paper"

    paper_compat: bool = flag(
        "--paper-compat", default=False,
        help="Add the entropies of arXiv 2505.21058 (Parry et al.), cut as its code does, and measure "
        "dimension and density with 1 - cos.",
    )  # fmt: skip


class ScoreShares(Diagnostic):
    """score_share_entropy_nats: -Σ p ln p of p = s/Σs, a missing score being 0, p <= 0 skipped.

    score_share_kappa: largest (1/n)/p; of a FILE the median. Both favour the worst document if scores are
    negative. zero_filled_pairwise_entropy_bits: pairwise_entropy_bits at temperature 1, a missing score
    being 0.
    """

    option = "--paper-compat"
    option_group = PaperOptions
    columns = (
        Column(SCORE_SHARE_ENTROPY),
        Column("score_share_kappa", quantile=0.5),
        Column("zero_filled_pairwise_entropy_bits"),
    )

    @classmethod
    def open(cls, options: PaperOptions, temperature: float, resources: Resources) -> ScoreShares | None:
        return cls() if options.paper_compat else None

    def measure(self, records: Sequence[Record]) -> Floats:
        import numpy as np

        from rdtools.diagnose.entropy import MEASURED, measure, score_share_entropy_nats, score_share_kappa

        filled = [np.array([doc.get("score", 0.0) for doc in record["docs"]], float) for record in records]
        shares = np.array([(score_share_entropy_nats(own), score_share_kappa(own)) for own in filled])
        measured = measure(np.concatenate(filled), np.array(list(map(len, filled)), np.int64), 1.0)
        return np.column_stack([shares, measured[:, MEASURED.index("pairwise_entropy_bits")]])
