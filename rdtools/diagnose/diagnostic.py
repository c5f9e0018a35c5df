"""The base class of diagnostics: columns that an option adds to those of every query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rdtools.core.flags import OptionGroup
from rdtools.core.records import Record

if TYPE_CHECKING:
    from rdtools.diagnose.entropy import Floats
    from rdtools.search.resources import Resources


class Column(NamedTuple):
    """A number measured of each record.

    Attributes:
        quantile: the quantile over records that summarises a file; None: their mean.
        scale_free: True if the number does not depend on the scale of the scores.
    """

    name: str
    quantile: float | None = None
    scale_free: bool = False


class Diagnostic(ABC):
    """Measures records chunk by chunk, in the order of the stream, and each file as a whole.

    The docstring of a subclass tells users what its columns are: the manual shows it. Modules of diagnostics
    are imported for --help: they import numpy and the like only inside functions.
    """

    option: ClassVar[str]
    """The option that adds the columns, such as `--coverage`."""
    option_group: ClassVar[type[OptionGroup]]
    """The group that declares this option, and those that go with it. Diagnostics may share a group."""
    uses: ClassVar[tuple[type[OptionGroup], ...]] = ()
    """The groups of `rdtools.diagnose.options.SHARED` that it reads."""

    columns: Sequence[Column] = ()
    settings: Mapping[str, Any] = {}
    """Columns that say how it was measured, the same in every row."""

    @classmethod
    @abstractmethod
    def open(cls, options: Any, temperature: float, resources: Resources) -> Diagnostic | None:
        """Return the diagnostic if `options`, of its `option_group`, ask for it, or else None.

        `temperature` is the teacher's.
        """

    @abstractmethod
    def measure(self, records: Sequence[Record]) -> Floats:
        """Return the values of m records, (m, len(columns)) float64, NaN where undefined."""

    def repeat_paper(self) -> None:  # noqa: B027
        """Measure as the code of 2505.21058 does, where that differs (`--paper-compat`)."""

    def check(self, record: Record) -> None:  # noqa: B027
        """Raise `BadLine` if a record lacks what is needed."""

    def totals(self) -> dict[str, Any]:
        """Return columns of a summary that do not summarise values of records, and begin a new file."""
        return {}

    def report(self) -> None:  # noqa: B027
        """Log what could not be measured."""
