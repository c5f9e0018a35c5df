"""The options of search: where indexes are kept, and BM25's parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.errors import UsageError
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
    memory: str = flag(
        "--memory", default="2G", metavar="SIZE",
        help="Build a BM25 index in about so much memory (such as 500M). With --index, a corpus file beyond "
        "an eighth of it stays on disk.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.memory_bytes:
            raise UsageError(f"--memory {self.memory}: not a size (such as 500M or 2G)")

    @property
    def memory_bytes(self) -> int:
        size = re.fullmatch(r"(\d{1,9})([KMGT]?)", self.memory.upper())
        return 0 if size is None else int(size[1]) * 1024 ** " KMGT".index(size[2] or " ")


@dataclass(frozen=True)
class SearchOptions(IndexOptions):
    """The folder of indexes, and BM25's parameters."""

    k1: float = flag(
        "--k1", default=1.2, metavar="K1", min=0, help="BM25's k1: how soon repetitions stop counting."
    )
    b: float = flag("--b", default=0.75, metavar="B", min=0, max=1, help="BM25's b: how much length counts.")
