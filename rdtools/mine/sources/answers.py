"""Rows of a corpus as a ranking: by score, ties by row (rows go by descending doc_id)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rdtools.core.errors import RdError
from rdtools.core.scores import floats
from rdtools.data.corpus import Corpus
from rdtools.mine.sources import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray


def order(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the permutation that sorts by score, larger first, then by row."""
    return np.lexsort((rows, -scores))


def answer(
    corpus: Corpus,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    positives: Sequence[str],
    score_rows: Callable[[list[int]], NDArray[np.float32]],
) -> Found:
    """Answer with ranked rows and their scores, and score the positives that the corpus has.

    Raises:
        RdError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise RdError("a score of the model is not finite (try --dtype float32, or another model)")
    there = [doc_id for doc_id in positives if doc_id in corpus.row_of]
    their_scores = floats(score_rows([corpus.row_of[doc_id] for doc_id in there]))
    return Found(
        corpus.doc_id_array[rows].tolist(),  # a third of the time of one by one: they lie all over the memory
        floats(scores),
        dict(zip(there, their_scores, strict=True)),
        rows.tolist(),
    )
