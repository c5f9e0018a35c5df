"""Flags that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from rdtools.core.errors import UsageError
from rdtools.core.records import SCORE_SCALES
from rdtools.core.registry import check_name
from rdtools.core.streams import DEFAULT_MAX_LINE
from rdtools.formats.table import READERS, WRITERS


def choice(flag: str, *more: str, names: Iterable[str], kind: str, help: str, metavar: str = "NAME") -> Any:
    """An option that takes one of `names`: checked early, completed by TAB, near names suggested."""
    names = list(names)

    def check(value: str | list[str] | None) -> str | list[str] | None:
        for name in value if isinstance(value, list) else [value]:
            if name is not None:
                check_name(names, name, kind)
        return value

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return typer.Option(flag, *more, help=help, metavar=metavar, callback=check, autocompletion=complete)


Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="Input; - or no FILE is standard input.", show_default=False),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write to FILE, whole or not at all (.gz, .zst by name)."
    ),
]
InputFormat = Annotated[
    str | None,
    choice(
        "--input-format",
        names=READERS,
        kind="input format",
        help=f"Format of the input: {', '.join(READERS)} (recognised by its first line where unambiguous).",
    ),
]
OnError = Annotated[
    str,
    choice(
        "--on-error",
        names=["fail", "skip"],
        kind="way to treat errors",
        help="A bad record ends the command (fail) or is dropped and counted (skip).",
        metavar="fail|skip",
    ),
]
MaxLine = Annotated[
    int,
    typer.Option("--max-line", metavar="BYTES", min=1, help="A longer line is bad input."),
]
MAX_LINE = DEFAULT_MAX_LINE
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything random.")]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1, mps; where not given, a GPU if there is one."
    ),
]
DTYPES = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
    "fp32": "float32",
}
Dtype = Annotated[
    str,
    choice(
        "--dtype",
        names=DTYPES,
        kind="dtype",
        help="Precision of the model: float32, bfloat16 (bf16), float16 (fp16). Scores are always float32.",
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run code that comes with a model (off: it is refused)."),
]
ScoreScaleOption = Annotated[
    str | None,
    choice(
        "--score-scale",
        names=SCORE_SCALES,
        kind="score scale",
        help=f"State the scale of scores that do not say it: {', '.join(SCORE_SCALES)}.",
        metavar="SCALE",
    ),
]
Format = Annotated[
    str,
    choice(
        "--format", "-f", names=WRITERS, kind="format", help=f"Format of the output: {', '.join(WRITERS)}."
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="ID",
        help="A folder in BEIR layout, DIR or DIR:SPLIT; pydoc[:train|:test], the docstrings of Python's own "
        "library; irds:NAME.",
    ),
]
CorpusFile = Annotated[
    str | None, typer.Option("--corpus", metavar="FILE", help="Documents: BEIR JSONL, or doc_id TAB text.")
]
QueriesFile = Annotated[
    str | None,
    typer.Option("--queries", metavar="FILE", help="Queries: BEIR JSONL, query_id TAB text, or records."),
]
QrelsFile = Annotated[
    str | None, typer.Option("--qrels", metavar="FILE", help="Judgements: TREC, BEIR TSV, or records.")
]
Index = Annotated[
    str | None,
    typer.Option(
        "--index", metavar="DIR", help="Keep indexes here: built once, reused, checked against the corpus."
    ),
]
K1 = Annotated[float, typer.Option("--k1", min=0, help="BM25's k1: how soon repetitions stop counting.")]
B = Annotated[float, typer.Option("--b", min=0, max=1, help="BM25's b: how much length counts.")]
MaxLength = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        metavar="N",
        min=1,
        help="Cut model input at N tokens.",
        show_default="the model's own",
    ),
]
BatchTokens = Annotated[
    int | None,
    typer.Option(
        "--batch-tokens",
        metavar="N",
        min=1,
        help="Tokens of a batch, padding included.",
        show_default="1024 on a CPU, 65536 on a GPU",
    ),
]


def check_needs(flags: Mapping[str, object], others: str, given: object) -> None:
    """Refuse `flags` that were given, unless what they belong to is `given` too: they would do nothing."""
    for flag, value in flags.items():
        if value not in (None, False, []) and not given:
            raise UsageError(f"{flag} needs {others}")


def check_above_zero(flags: Mapping[str, float | None]) -> None:
    for flag, value in flags.items():
        if value is not None and not value > 0:
            raise UsageError(f"{flag} must be above 0, not {value:g}")


def count_or_all(flag: str, text: str) -> int | None:
    """Read `N|all`; None is all."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"{flag} {text}: a whole number or all is needed")
    return int(text)


def refuse_unused(context: typer.Context, because: str, *names: str) -> None:
    """Refuse parameters that the command line gives while nothing looks at them, even at their default.

    Raises:
        UsageError: one was given; `because` says what makes it idle.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{parameter.opts[0]} does nothing here: {because}")
