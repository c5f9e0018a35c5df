"""The options of rd-label about its input and teachers.

`ScoreTarget`, `Augmentation` and `Prompt` declare the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rdtools.core.flags import OptionGroup, flag
from rdtools.core.scores import score_scale_flag
from rdtools.label.teachers import TEACHERS


@dataclass(frozen=True)
class TeacherOptions(OptionGroup):
    """The records, their teachers and the cache of scores."""

    heading: ClassVar[str] = "Teachers"

    files: tuple[str, ...] = flag(
        "[FILE]...", default=(), help="Records, or a run; - or no FILE is standard input."
    )
    teachers: tuple[str, ...] = flag(
        "--teacher", default=("ce",), metavar="TEACHER", choices=TEACHERS, kind="teacher", spec=True,
        help="ce (cross-encoder/ms-marco-MiniLM-L6-v2), ce:MODEL, be:MODEL, llm:MODEL, bm25, run:FILE, "
        "qrels or cmd:ARGV (see above). May be repeated.",
    )  # fmt: skip
    cache: str | None = flag(
        "--cache", default=None, metavar="FILE",
        help="Save the scores of ce, be and llm in FILE. A run started again scores only what is missing.",
    )  # fmt: skip
    score_scale: str | None = score_scale_flag()
