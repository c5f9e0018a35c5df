"""The options of search: where indexes are kept, and BM25's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag


@dataclass(frozen=True)
class IndexOptions(OptionGroup):
    """The folder of indexes."""

    heading: ClassVar[str] = "Search"

    index: str | None = flag(
        "--index", default=None, metavar="DIR",
        help="Keep indexes here: built once, reused, checked against the corpus.",
    )  # fmt: skip
    verify: bool = flag(
        "--verify", default=False, needs="--index",
        help="Compare all bytes of an index with its checksums (else, of files beyond 32 MiB a sample).",
    )  # fmt: skip


@dataclass(frozen=True)
class SearchOptions(IndexOptions):
    """The folder of indexes, and BM25's parameters."""

    k1: float = flag(
        "--k1", default=1.2, metavar="K1", min=0, help="BM25's k1: how soon repetitions stop counting."
    )
    b: float = flag("--b", default=0.75, metavar="B", min=0, max=1, help="BM25's b: how much length counts.")
