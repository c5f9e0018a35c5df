"""`--shard I/N`: one of N parts of the input, which N machines label or mine independently."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.records import Record


class Shard(NamedTuple):
    """Shard `number` of `of` shards, numbered from 1."""

    number: int
    of: int

    def has(self, query_id: str) -> bool:
        """Return whether the records of a query are in this shard.

        The shard is 1 + the 8-byte BLAKE2b hash of query_id in UTF-8, as a big-endian number, modulo
        `of`. This never changes: shards that different versions wrote must fit together.
        """
        digest = hashlib.blake2b(query_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1


def parse_shard(text: str) -> Shard:
    """Read `I/N`."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard {text}: give I/N, I from 1 to N, such as 1/4")
    return Shard(int(found[1]), int(found[2]))


@dataclass(frozen=True)
class Sharding(OptionGroup):
    """The part of the input that a command takes."""

    heading: ClassVar[str] = "Input"

    shard: Shard | None = flag(
        "--shard", default=None, metavar="I/N", parse=parse_shard,
        help="Take only the records of shard I of N: a hash of query_id says which. All N outputs together "
        "are the output without --shard, in another order; scores of a model may differ by rounding. "
        "--expect counts the whole input.",
    )  # fmt: skip

    def select(self, records: Iterable[Record]) -> Iterable[Record]:
        """Return the records of the shard, in order; all of them without --shard."""
        shard = self.shard
        if shard is None:
            return records
        return (record for record in records if shard.has(record["query_id"]))

    def only(self, check: Callable[[Record], None]) -> Callable[[Record], None]:
        """Return a check that leaves the records of other shards alone."""
        shard = self.shard
        if shard is None:
            return check
        return lambda record: check(record) if shard.has(record["query_id"]) else None
