"""Share of a run's documents that a training set holds (`--coverage RUN`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from rdtools.core.flags import OptionGroup, flag
from rdtools.core.log import log, plural
from rdtools.core.records import Record
from rdtools.data.options import CorpusOptions
from rdtools.diagnose.columns.cost import DistinctIds
from rdtools.diagnose.diagnostic import Column, Diagnostic
from rdtools.formats import Reading, read_records

if TYPE_CHECKING:
    from rdtools.diagnose.entropy import Floats
    from rdtools.search.resources import Resources


@dataclass(frozen=True)
class CoverageOptions(OptionGroup):
    """The run to cover."""

    heading: ClassVar[str] = "Coverage"

    coverage: str | None = flag(
        "--coverage", default=None, metavar="RUN",
        help="Add the share of a run's documents that are in the records.",
    )  # fmt: skip


class Coverage(Diagnostic):
    """coverage: share of the run's documents for the query that are in the record; undefined if the run lacks
    the query. Of a FILE also coverage_of_run: share of all the run's documents that are in any record; and
    with --dataset or --corpus coverage_over_random: that, over the share that as many documents drawn at
    random would cover (Parry et al., 2505.21058).
    """

    option = "--coverage"
    option_group = CoverageOptions
    uses = (CorpusOptions,)
    columns = (Column("coverage", scale_free=True),)

    def __init__(self, run: Mapping[str, Sequence[str]], corpus_size: int | None = None) -> None:
        """`run` has the doc_ids of each query."""
        self._run = {query_id: frozenset(doc_ids) for query_id, doc_ids in run.items()}
        self._of_run = frozenset().union(*self._run.values())
        self._corpus_size = corpus_size
        self._undefined = 0
        self._begin()

    @classmethod
    def open(cls, options: CoverageOptions, temperature: float, resources: Resources) -> Coverage | None:
        if options.coverage is None:
            return None
        collection = resources.collection
        size = len(collection.corpus) if collection.has_corpus else None
        return cls(read_documents(options.coverage, resources.reading), size)

    def _begin(self) -> None:
        self._covered: set[str] = set()
        self._distinct = DistinctIds()

    def measure(self, records: Sequence[Record]) -> Floats:
        import numpy as np

        shares = []
        for record in records:
            own = {doc["doc_id"] for doc in record["docs"]}
            self._covered |= own & self._of_run
            self._distinct.add(own)
            wanted = self._run.get(record["query_id"])
            shares.append(len(own & wanted) / len(wanted) if wanted else np.nan)
        table = np.array(shares)[:, None]
        self._undefined += int(np.isnan(table).sum())
        return table

    def totals(self) -> dict[str, Any]:
        share = len(self._covered) / len(self._of_run) if self._of_run else None
        row: dict[str, Any] = {"coverage_of_run": share}
        if self._corpus_size is not None:
            expected = len(self._distinct) / self._corpus_size if self._corpus_size else 0
            row["coverage_over_random"] = share / expected if share is not None and expected else None
        self._begin()
        return row

    def report(self) -> None:
        if self._undefined:
            log.info("%s not in the run: coverage undefined", plural(self._undefined, "query"))


def read_documents(path: str, reading: Reading) -> dict[str, list[str]]:
    """Return the doc_ids that a run ranks for each query. Its lines may be in any order; added positives do
    not count.
    """
    from rdtools.formats.runs import ranking

    found: dict[str, list[str]] = {}
    for record in read_records([path], replace(reading, together=False)):
        found.setdefault(record["query_id"], []).extend(doc_id for doc_id, _ in ranking(record))
    return found
