"""The options of rd-mine: sources of candidates, and the selection of documents from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag, options_of, seed_flag
from rdtools.core.registry import check_name, split_spec
from rdtools.core.scores import score_scale_flag
from rdtools.mine.sampling import SAMPLING
from rdtools.mine.sources import SOURCES

FALSE_NEGATIVES = {"drop": "dropped by", "keep": "kept against", "relabel": "relabelled by"}
"""The treatments of suspected false negatives (`--false-negatives`), and their words in the counts."""

_Count: TypeAlias = int | Mapping[str, int]
_Bound: TypeAlias = float | Mapping[str, float] | None
"""A number for all sources, or numbers by name: a value of --from, its part before the colon, "" for all."""

_DEPTH = 100
_SCORE = "candidates whose score in their source is"


class Limits(NamedTuple):
    """The limits of one source."""

    depth: int = _DEPTH
    range_min: int = 0
    relative_margin: float | None = None
    absolute_margin: float | None = None
    max_score: float | None = None
    min_score: float | None = None

    @property
    def has_margin(self) -> bool:
        return self.relative_margin is not None or self.absolute_margin is not None

    @property
    def has_bound(self) -> bool:
        return self.max_score is not None or self.min_score is not None

    @property
    def fits_one_scale(self) -> bool:
        """True if scores are compared with a number."""
        return self.has_bound or self.absolute_margin is not None


def _of_source(limit: Any, source: str) -> Any:
    """Return the number of the value of --from, else that of its kind, else that of all sources."""
    if not isinstance(limit, Mapping):
        return limit
    return next((limit[name] for name in (source, split_spec(source)[0], "") if name in limit), None)


def _named(limit: object) -> Iterable[str]:
    return limit if isinstance(limit, Mapping) else ()


def count_or_all(title: str, text: str) -> int | None:
    """Read `N|all`; None is all."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"{title} {text}: a whole number or all is needed")
    return int(text)


@dataclass(frozen=True)
class Candidates(OptionGroup):
    """Queries, and the sources of their candidates."""

    heading: ClassVar[str] = "Candidates"

    queries_files: tuple[str, ...] = flag("[QUERIES]...", default=(), help="Queries; - is standard input.")
    sources: tuple[str, ...] = flag(
        "--from", default=("bm25",), metavar="SOURCE", choices=SOURCES, kind="source", spec=True,
        help=f"{'; '.join(entry.help for entry in SOURCES.values())}. "
        "May be repeated: --depth is the quota of each.",
    )  # fmt: skip
    score_scale: str | None = score_scale_flag()


@dataclass(frozen=True)
class Selection(OptionGroup):
    """The choice of candidates. `num_negatives` None keeps all: retrieval, not a training group.

    Suspected false negatives are candidates that do not score below a margin, and those whose
    `JudgedQuery.similarity` to a positive is at least `near_copies`. Margins are measured from s⁺, the lowest
    score of a positive in the same source: `relative_margin` R keeps scores below s⁺ − R·|s⁺|,
    `absolute_margin` M those below s⁺ − M (2407.15831). Relabelling follows 2505.16967.

    With `paper_compat` as in the code of 2505.21058, positives and copies of their texts may be drawn as
    negatives and as padding. A record holds a document once, so a document that is drawn again (a positive,
    or one drawn before) takes the place of a negative and adds none. A score of s⁺ − M passes.

    Raises:
        UsageError: options contradict each other, or a number is out of range.
    """

    heading: ClassVar[str] = "Selection"

    num_negatives: int | None = flag(
        "--num-negatives", "-n", default=15, metavar="N|all",
        parse=lambda text: count_or_all("--num-negatives", text),
        help="Negatives per query; all: keep every candidate (retrieval).",
    )  # fmt: skip
    depth: _Count = flag(
        "--depth", default=_DEPTH, metavar="[SOURCE=]N", per=SOURCES, min=1,
        help="Candidates of each source, not counting positives.",
    )  # fmt: skip
    range_min: _Count = flag(
        "--range-min", default=0, metavar="[SOURCE=]N", per=SOURCES, min=0,
        help="Skip the first N candidates of each source.",
    )  # fmt: skip
    sampling: str = flag(
        "--sampling", default="random", metavar="NAME", choices=SAMPLING, kind="sampling",
        help="How negatives are chosen from the pool: random; top (sources in turn); log-random (weight "
        "1/ln(1 + rank), with ranks counted in each source); stratified (one from each of N quantiles of the "
        "scores); stratified-width (one from each of N intervals of equal width).",
    )  # fmt: skip
    relative_margin: _Bound = flag(
        "--relative-margin", default=None, metavar="[SOURCE=]R", per=SOURCES,
        help=f"Keep {_SCORE} below s⁺ − R·|s⁺|, s⁺ the lowest score of a positive.",
    )  # fmt: skip
    absolute_margin: _Bound = flag(
        "--absolute-margin", default=None, metavar="[SOURCE=]M", per=SOURCES,
        help=f"Keep {_SCORE} below s⁺ − M.",
    )  # fmt: skip
    near_copies: float | None = flag(
        "--near-copies", default=None, metavar="J", above=0, max=1,
        help="Also suspect documents that share word 3-grams with a positive: Jaccard similarity of at least "
        "J, ignoring letter case and punctuation.",
    )  # fmt: skip
    false_negatives: str | None = flag(
        "--false-negatives", default=None, metavar="drop|keep|relabel", choices=FALSE_NEGATIVES,
        kind="treatment of false negatives", default_text="drop",
        needs=("--relative-margin", "--absolute-margin", "--near-copies"),
        help="Drop suspected false negatives, keep them as negatives and count them, or relabel them as "
        "positives of relevance 1, marked relabelled.",
    )  # fmt: skip
    max_score: _Bound = flag(
        "--max-score", default=None, metavar="[SOURCE=]S", per=SOURCES, help=f"Keep {_SCORE} at most S."
    )
    min_score: _Bound = flag(
        "--min-score", default=None, metavar="[SOURCE=]S", per=SOURCES, help=f"Keep {_SCORE} at least S."
    )
    pad: bool = flag(
        "--pad", default=False,
        help="If fewer than -n negatives remain, add random documents of the corpus that no source "
        "returned. They have source random and no score.",
    )  # fmt: skip
    sample: float = flag(
        "--sample", default=1.0, metavar="SHARE", above=0, max=1,
        help="Mine this share of the queries, drawn by seed and query_id.",
    )  # fmt: skip
    add_positives: bool = flag(
        "--add-positives", default=False, help="With -n all: add judged positives that no source found."
    )
    no_text: bool = flag("--no-text", default=False, help="Write ids without texts.")
    paper_compat: bool = flag(
        "--paper-compat", default=False,
        help="Draw as the code of arXiv 2505.21058 does: positives and their copies may be drawn as "
        "candidates and padding (a drawn positive takes a negative's place, and is written once, as a "
        "positive). Padding may repeat documents already in the group, and --absolute-margin keeps s⁺ − M "
        "itself. One difference remains: the paper counts only documents that pass the margin towards a "
        "source's quota; rd-mine counts all.",
    )  # fmt: skip
    seed: int = seed_flag()

    def __post_init__(self) -> None:
        super().__post_init__()
        for source in ("", *_named(self.depth), *_named(self.range_min)):
            depth, range_min, *_ = self.limits_of(source)
            if range_min >= depth:
                raise UsageError(f"--range-min {range_min} skips all candidates of --depth {depth}")
        if self.pad and not self.is_group:
            raise UsageError("--pad cannot be combined with -n all")

    @property
    def is_group(self) -> bool:
        """True if records are training groups, rather than rankings."""
        return self.num_negatives is not None

    def limits_of(self, source: str) -> Limits:
        """Return the limits of one source."""
        numbers = {field: _of_source(getattr(self, field), source) for field in Limits._fields}
        return Limits(**{field: number for field, number in numbers.items() if number is not None})

    def check_sources(self, sources: Iterable[str]) -> None:
        """Raise `UsageError` if a limit names a source that is none of `sources`, values of --from."""
        names = list(dict.fromkeys(name for source in sources for name in (source, split_spec(source)[0])))
        for option in options_of(Selection):
            for name in _named(getattr(self, option.field)):
                if name:
                    check_name(names, name, f"source of {option.flag.title}")
