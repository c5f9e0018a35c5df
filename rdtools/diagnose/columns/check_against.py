"""Test queries and relevant test documents in a training set (`--check-against`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rdtools.core.flags import OptionGroup, flag
from rdtools.core.records import Record
from rdtools.diagnose.diagnostic import Diagnostic

if TYPE_CHECKING:
    from rdtools.data.leakage import Leakage
    from rdtools.diagnose.entropy import Floats
    from rdtools.search.resources import Resources


@dataclass(frozen=True)
class CheckAgainstOptions(OptionGroup):
    """The test judgements."""

    heading: ClassVar[str] = "Leakage of test data"

    check_against: str | None = flag(
        "--check-against", default=None, metavar="QRELS",
        help="Count the queries and relevant documents of these test judgements (a file, or DIR:test) that "
        "are in each FILE.",
    )  # fmt: skip


class CheckAgainst(Diagnostic):
    """Of a FILE test_queries, and of them shared_queries; test_relevant_docs, and of them relevant_docs_seen.
    Both are found by id; with a dataset such as DIR:test also by equal text.
    """

    option = "--check-against"
    option_group = CheckAgainstOptions

    def __init__(self, leakage: Leakage) -> None:
        self._leakage = leakage

    @classmethod
    def open(
        cls, options: CheckAgainstOptions, temperature: float, resources: Resources
    ) -> CheckAgainst | None:
        if options.check_against is None:
            return None
        from rdtools.data.leakage import open_leakage

        return cls(open_leakage(options.check_against, resources.reading))

    def measure(self, records: Sequence[Record]) -> Floats:
        import numpy as np

        for record in records:
            self._leakage.add(record)
        return np.empty((len(records), 0))

    def totals(self) -> dict[str, Any]:
        leakage = self._leakage
        row = {
            "test_queries": leakage.judged_queries,
            "shared_queries": len(leakage.queries),
            "test_relevant_docs": leakage.judged_docs,
            "relevant_docs_seen": len(leakage.relevant_docs),
        }
        leakage.restart()
        return row
