"""What was kept and what was lost, by source and filter: rd-mine's last words on stderr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rdtools.core.log import log, plural

Counts = Counter[tuple[str, str]]
"""(source, what happened) -> documents; the source is empty where it is the record as a whole."""


class Tally:
    """How many documents, of how many queries, each source gave and each filter dropped."""

    def __init__(self) -> None:
        self.queries = 0
        self.not_sampled = 0
        self._documents: Counts = Counter()
        self._queries_of: Counts = Counter()

    def add(self, counts: Counts) -> None:
        """Add what was counted for one query."""
        self.queries += 1
        self._documents.update(counts)
        self._queries_of.update(key for key, count in counts.items() if count)

    def lines(self) -> Iterator[str]:
        """The account in words: a line for the whole, then one a source."""
        whole = plural(self.queries, "query")
        if self.not_sampled:
            whole += f" ({self.not_sampled:,} left out by --sample)"
        for source in dict.fromkeys(["", *(source for source, _ in self._documents)]):
            counts = [
                f"{count:,} {key[1]} ({plural(self._queries_of[key], 'query')})"
                for key, count in self._documents.items()
                if key[0] == source and count
            ]
            text = ", ".join(counts) or ("no candidates" if source else "")
            yield f"{source or whole}: {text}" if text else whole

    def report(self) -> None:
        for line in self.lines():
            log.info("%s", line)
