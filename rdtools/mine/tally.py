"""The counts of rd-mine: documents and queries by source and filter, reported on stderr at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rdtools.core.log import log, plural

Counts = Counter[tuple[str, str]]
"""(source, event) -> documents; the source is empty for events of the record as a whole."""


_FIRST = ("candidates", "positives", "positives added", "negatives")
"""These events come first, the others in alphabetical order."""


def _place(event: str) -> tuple[int, str]:
    return _FIRST.index(event) if event in _FIRST else len(_FIRST), event


class Tally:
    """The numbers of documents, and of queries, that each source returned and each filter dropped.

    Attributes:
        queries: the number of mined queries.
        with_positives: the number of these that have a positive.
        not_sampled: the number of queries that --sample left out.
    """

    def __init__(self) -> None:
        self.queries = 0
        self.with_positives = 0
        self.not_sampled = 0
        self._documents: Counts = Counter()
        self._queries: Counts = Counter()

    def add(self, counts: Counts) -> None:
        """Add the counts of one query."""
        self.queries += 1
        self._documents.update(counts)
        self._queries.update(key for key, count in counts.items() if count)

    def lines(self) -> Iterator[str]:
        """Yield the counts in words: a line for the records, then one for each source."""
        whole = plural(self.queries, "query")
        if self.not_sampled:
            whole += f" ({self.not_sampled:,} left out by --sample)"
        for source in dict.fromkeys(["", *(source for source, _ in self._documents)]):
            counts = [
                f"{count:,} {key[1]} ({plural(self._queries[key], 'query')})"
                for key, count in sorted(self._documents.items(), key=lambda item: _place(item[0][1]))
                if key[0] == source and count
            ]
            text = ", ".join(counts) or ("no candidates" if source else "")
            yield f"{source or whole}: {text}" if text else whole

    def report(self) -> None:
        """Write the counts to stderr."""
        for line in self.lines():
            log.info("%s", line)
