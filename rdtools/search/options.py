"""The options of search: where indexes are kept, BM25's parameters, and approximate search."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag

INDEX_DTYPES = {"float32": "float32", "fp32": "float32", "float16": "float16", "fp16": "float16"}
_DIGITS = r"[1-9]\d{0,6}"
_SCALARS = "Flat|SQ(?:4|6|8|fp16|bf16)"
_CODE = rf"(?:{_SCALARS}|PQ{_DIGITS}(?:x{_DIGITS}(?:fs)?)?)"
_ANN = re.compile(
    rf"(?:(?:PCA|RR){_DIGITS}(?:_{_DIGITS})?,)?"
    rf"(?:IVF{_DIGITS}(?:_HNSW[1-9]\d{{0,2}})?,{_CODE}|HNSW[1-9]\d{{0,2}}(?:[,_](?:{_SCALARS}))?|{_CODE})"
)
"""The indexes of faiss that fit. Others know no inner product (HNSW with PQ), or end the process where there
are few vectors (OPQ)."""


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
    index_dtype: str = flag(
        "--index-dtype", default="float32", metavar="NAME", choices=INDEX_DTYPES, kind="dtype",
        parse=INDEX_DTYPES.__getitem__, needs="--index",
        help="Precision of the embeddings in a dense index: float32, float16 (fp16; half the disk). Scores "
        "are those of the rounded embeddings.",
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


@dataclass(frozen=True)
class AnnOptions(OptionGroup):
    """Approximate search of dense embeddings by faiss."""

    heading: ClassVar[str] = "Approximate search"

    ann: str | None = flag(
        "--ann", default=None, metavar="FACTORY", needs="--index",
        help="Search dense embeddings approximately, by an index that faiss calls HNSW32, IVF4096,Flat, "
        "IVF4096,PQ64 and so on. Its recall is measured and printed. Scores are exact.",
    )  # fmt: skip
    ann_effort: int | None = flag(
        "--ann-effort", default=None, metavar="N", min=1, needs="--ann", default_text="32 lists; 128",
        help="Search N lists of an IVF index (nprobe), or N candidates of HNSW (efSearch).",
    )  # fmt: skip
    ann_oversample: int | None = flag(
        "--ann-oversample", default=None, metavar="F", min=1, max=1000, needs="--ann",
        default_text="4 for compressed vectors, else 1",
        help="Find F times as many candidates as are wanted, and rank them by their exact scores.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ann is not None and not _ANN.fullmatch(self.ann):
            raise UsageError(
                f"--ann {self.ann}: not an index that fits (such as HNSW32, IVF4096,Flat or IVF4096,PQ64)"
            )
