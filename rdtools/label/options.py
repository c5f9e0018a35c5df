"""The options of rd-label about its input and teachers.

`ScoreTarget`, `Augmentation` and `Prompt` declare the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.registry import split_spec
from rdtools.core.scores import score_scale_flag
from rdtools.label.teachers import TEACHERS

_NAMED = [name for name, entry in TEACHERS.items() if "cache_key" in entry.reads]
_NEEDS_TIMEOUT = tuple(
    f"--teacher {name}:{'ARGV' if 'cmd' in name else 'MODEL'}"
    for name, entry in TEACHERS.items()
    if "timeout" in entry.reads
)


@dataclass(frozen=True)
class TeacherOptions(OptionGroup):
    """The records, their teachers and the cache of scores."""

    heading: ClassVar[str] = "Teachers"

    files: tuple[str, ...] = flag(
        "[FILE]...", default=(), help="Records, or a run; - or no FILE is standard input."
    )
    teachers: tuple[str, ...] = flag(
        "--teacher", default=("ce",), metavar="TEACHER", choices=TEACHERS, kind="teacher", spec=True,
        help="ce (cross-encoder/ms-marco-MiniLM-L6-v2), ce:MODEL, be:MODEL, sparse:MODEL, "
        "colbert:MODEL, llm:MODEL, t5:MODEL, bm25, run:FILE, qrels, cmd:ARGV, api:MODEL, listwise-llm:MODEL, "
        "listwise-cmd:ARGV or listwise-api:MODEL (see above). May be repeated.",
    )  # fmt: skip
    cache: str | None = flag(
        "--cache", default=None, metavar="FILE",
        help="Save the scores of models and programs in FILE. A run started again scores only what is "
        "missing.",
    )  # fmt: skip
    cache_key: str | None = flag(
        "--cache-key", default=None, metavar="NAME", needs="--cache",
        default_text="words of the program and contents of the files among them; URL of the server",
        help="Name the program or server in the cache. Change the name when its scores change.",
    )  # fmt: skip
    timeout: float | None = flag(
        "--timeout", default=None, metavar="SECONDS", above=0,
        default_text="none; for servers 120", needs=_NEEDS_TIMEOUT,
        help="Give up a program, or send a request again, if nothing is read or written for so long.",
    )  # fmt: skip
    embeddings: bool = flag(
        "--embeddings", default=False, needs="--teacher be:MODEL",
        help="Also write the embeddings of be:MODEL, from which the loss embedding learns: query_embedding "
        "of the query, embedding of each document, base64 of float16 numbers. A cache does not hold them.",
    )  # fmt: skip
    score_scale: str | None = score_scale_flag()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cache == "":
            raise UsageError("--cache needs the name of a file")
        named = sum(kind in _NAMED for kind in self._kinds)
        if self.cache_key is not None and named != 1:
            raise UsageError(f"--cache-key names one program or server; the teachers have {named}")
        if self.embeddings and (encoders := self._kinds.count("be")) > 1:
            raise UsageError(f"--embeddings writes those of one --teacher be:MODEL, not of {encoders}")

    @property
    def embedder(self) -> int | None:
        """The place of the teacher whose embeddings are written."""
        return self._kinds.index("be") if self.embeddings else None

    @property
    def _kinds(self) -> list[str]:
        return [split_spec(spec)[0] for spec in self.teachers]
