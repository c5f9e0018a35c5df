"""Cost and provenance of a training set: pairs, distinct documents, words, hours (`--compare`)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rdtools.core.flags import OptionGroup, flag
from rdtools.core.provenance import Provenance, provenance_of, shared_provenance
from rdtools.core.records import Record
from rdtools.core.scores import has_scores
from rdtools.diagnose.diagnostic import Diagnostic

if TYPE_CHECKING:
    from rdtools.diagnose.entropy import Floats
    from rdtools.search.resources import Resources


POSITIVE = ("lowest", "highest", "mean")
"""What s⁺ may be of the scores of a query's positives."""


@dataclass(frozen=True)
class CompareOptions(OptionGroup):
    """The comparison of training sets; it brings `Cost` and `SuspectedFalseNegatives`."""

    heading: ClassVar[str] = "Comparison of training sets"

    compare: bool = flag(
        "--compare", default=False,
        help="Add suspected false negatives, cost (pairs, documents, words, hours), teacher and scale.",
    )  # fmt: skip
    margin: float = flag(
        "--margin", default=0.0, metavar="M", needs="--compare",
        help="Suspect negatives that score s⁺ - M or more.",
    )  # fmt: skip
    positive: str = flag(
        "--positive", default="lowest", metavar="|".join(POSITIVE), choices=POSITIVE, kind="positive",
        needs="--compare", help="What s⁺ is of a query's positive scores; the lowest suspects most.",
    )  # fmt: skip
    pairs_per_second: float | None = flag(
        "--pairs-per-second", default=None, metavar="X", above=0, needs="--compare",
        help="Add hours: the time that all pairs take at X pairs per second.",
    )  # fmt: skip


class Cost(Diagnostic):
    """Of a FILE also pairs (query and document), distinct_docs, words (of the texts, counted once per pair;
    undefined if a text is missing), hours (of all pairs at X pairs per second), and the teacher, score_scale
    and transformations that its records name, "mixed" if they differ.
    """

    option = "--compare"
    option_group = CompareOptions

    def __init__(self, pairs_per_second: float | None = None) -> None:
        self._speed = pairs_per_second
        if pairs_per_second is not None:
            self.settings = {"pairs_per_second": pairs_per_second}
        self._begin()

    @classmethod
    def open(cls, options: CompareOptions, temperature: float, resources: Resources) -> Cost | None:
        return cls(options.pairs_per_second) if options.compare else None

    def _begin(self) -> None:
        self._pairs = self._words = self._texts = 0
        self._docs = DistinctIds()
        self._provenances: set[Provenance] = set()

    def measure(self, records: Sequence[Record]) -> Floats:
        import numpy as np

        for record in records:
            self._pairs += len(record["docs"])
            texts = [doc["text"] for doc in record["docs"] if "text" in doc]
            self._texts += len(texts)
            self._words += sum(len(text.split()) for text in texts)
            self._docs.add(doc["doc_id"] for doc in record["docs"])
        self._provenances.update(provenance_of(record) for record in records if has_scores(record))
        return np.empty((len(records), 0))

    def totals(self) -> dict[str, Any]:
        words = self._words if self._texts == self._pairs else None
        row: dict[str, Any] = {"pairs": self._pairs, "distinct_docs": len(self._docs), "words": words}
        if self._speed is not None:
            row["hours"] = self._pairs / self._speed / 3600
        row |= shared_provenance(self._provenances)
        self._begin()
        return row


class DistinctIds:
    """Counts distinct ids by 64-bit hashes: 8 to 16 bytes an id, wrong once in 10⁶ files of 10⁷ ids."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._limit = 2**20

    def add(self, ids: Iterable[str]) -> None:
        self._hashes.extend(map(hash, ids))
        if len(self._hashes) > self._limit:
            import numpy as np

            self._hashes = array("q", np.unique(np.frombuffer(self._hashes, np.int64)).tobytes())
            self._limit = max(2**20, 2 * len(self._hashes))

    def __len__(self) -> int:
        import numpy as np

        return len(np.unique(np.frombuffer(self._hashes, np.int64)))
