"""What rd-entropy measures beyond the spread of a teacher's scores: instruments, a file each.

An instrument brings columns. It sees chunks of records in the order of the stream, gives a row of
values for each record and, at the end of a file, what that file comes to as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rdtools.core.records import Record
from rdtools.diagnose.entropy import Floats


class Diagnostic:
    """The base of all instruments; what one does not override does nothing."""

    columns: Mapping[str, float | None] = {}
    """Column -> the quantile over queries that stands for it in a summary; None: its mean."""
    settings: Mapping[str, Any] = {}
    """Columns that say how it was measured, the same in every row."""

    def check(self, record: Record) -> None:
        """Raise `BadLine` where a record lacks what is needed."""

    def measure(self, records: Sequence[Record]) -> Floats:
        """Return the values of m records, (m, len(columns)) float64, NaN where undefined."""
        raise NotImplementedError

    def totals(self) -> dict[str, Any]:
        """Return columns of a summary that are no mean over queries, and begin a new file."""
        return {}

    def report(self) -> None:
        """Say on stderr what could not be measured."""
