"""Entropies and the κ of score shares, as the code of 2505.21058 computes them (`--paper-compat`).

Shares are kept apart from those of a softmax: on scores that are all negative, such as the
log-probabilities that the paper used, shares put the worst document first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdtools.core.records import Record
from rdtools.diagnose.columns import Diagnostic
from rdtools.diagnose.entropy import MEASURED, Floats, measure

ENTROPY = "score_share_entropy_nats"


class PaperEntropies(Diagnostic):
    """Columns, of all documents of a record, a missing score counting as 0, with p = s/Σs:

    score_share_entropy_nats: −Σ p ln p over p > 0, the others passed over in silence; 0 where Σs = 0.
    score_share_kappa: max of (1/n)/p; infinite where a score is 0, undefined where Σs = 0.
    zero_filled_pairwise_entropy_bits: mean over i<j of H₂(σ(sᵢ−sⱼ)), at no temperature but 1; undefined with
    fewer than two documents.
    """

    columns = {ENTROPY: None, "score_share_kappa": 0.5, "zero_filled_pairwise_entropy_bits": None}  # noqa: RUF012

    def measure(self, records: Sequence[Record]) -> Floats:
        filled = [[doc.get("score", 0.0) for doc in record["docs"]] for record in records]
        shares = np.array([_of_shares(scores) for scores in filled])
        pairwise = measure(filled, 1.0)[:, MEASURED.index("pairwise_entropy_bits")]
        return np.column_stack([shares, pairwise])


def _of_shares(scores: list[float]) -> tuple[float, float]:
    if not scores:
        return np.nan, np.nan
    total = sum(scores)
    if total == 0:
        return 0.0, np.nan
    shares = np.array(scores) / total
    positive = shares[shares > 0]
    with np.errstate(divide="ignore"):
        kappa = ((1 / len(shares)) / shares).max()
    return float(-(positive * np.log(positive)).sum()), float(kappa)
