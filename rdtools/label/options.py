"""The options of rd-label about its input and teachers.

`ScoreTarget`, `Augmentation` and `Prompt` declare the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.log import plural
from rdtools.core.registry import split_spec
from rdtools.core.scores import score_scale_flag
from rdtools.label.teachers import TEACHERS

PROGRAMS = ("cmd", "listwise-cmd")
"""The teachers that are programs of the user."""


@dataclass(frozen=True)
class TeacherOptions(OptionGroup):
    """The records, their teachers and the cache of scores."""

    heading: ClassVar[str] = "Teachers"

    files: tuple[str, ...] = flag(
        "[FILE]...", default=(), help="Records, or a run; - or no FILE is standard input."
    )
    teachers: tuple[str, ...] = flag(
        "--teacher", default=("ce",), metavar="TEACHER", choices=TEACHERS, kind="teacher", spec=True,
        help="ce (cross-encoder/ms-marco-MiniLM-L6-v2), ce:MODEL, be:MODEL, llm:MODEL, t5:MODEL, bm25, "
        "run:FILE, qrels or cmd:ARGV (see above). May be repeated.",
    )  # fmt: skip
    cache: str | None = flag(
        "--cache", default=None, metavar="FILE",
        help="Save the scores of models and programs in FILE. A run started again scores only what is "
        "missing.",
    )  # fmt: skip
    cache_key: str | None = flag(
        "--cache-key", default=None, metavar="NAME", needs="--cache",
        default_text="its words, and the contents of the files among them",
        help="Name what the scores of the program in cmd depend on. Another name starts anew.",
    )  # fmt: skip
    timeout: float | None = flag(
        "--timeout", default=None, metavar="SECONDS", above=0, default_text="none",
        needs="--teacher cmd:ARGV",
        help="Give up a program that neither reads nor writes for so long.",
    )  # fmt: skip
    score_scale: str | None = score_scale_flag()

    def __post_init__(self) -> None:
        super().__post_init__()
        programs = [spec for spec in self.teachers if split_spec(spec)[0] in PROGRAMS]
        if self.cache_key is not None and len(programs) != 1:
            raise UsageError(
                f"--cache-key names one program; the teachers have {plural(len(programs), 'program')}"
            )
