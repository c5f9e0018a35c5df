"""Which candidates become negatives: what the options of rd-mine say, and the tests that they stand for."""

from __future__ import annotations

from dataclasses import dataclass

from rdtools.core.errors import UsageError
from rdtools.mine.sampling import Sampling, uniform

FALSE_NEGATIVES = {"drop": "dropped by", "keep": "kept against", "relabel": "relabelled by"}
"""What may become of suspected false negatives (`--false-negatives`), in the words of the account."""


@dataclass(frozen=True)
class Selection:
    """What is kept of the candidates. `num_negatives` None keeps all: retrieval, not a training group.

    Suspected false negatives are the candidates that are not scored below a margin, and those whose
    `JudgedQuery.nearness` to a positive is at least `near_copies`. A margin is measured from s⁺, the lowest
    score of a positive in the same source: `relative_margin` R lets pass scores below s⁺ − R·|s⁺|,
    `absolute_margin` M those below s⁺ − M (2407.15831). To relabel is 2505.16967's way.

    Attributes:
        share: how much of the queries is mined, each drawn by its id.
        as_run: a run is what will be written. Scores of one source would hide the documents of the others
            there, so with several sources none is given: their order is the ranking.
        paper_compat: as the code of 2505.21058 has it. Positives, and copies of their texts, may be drawn as
            negatives and as padding. A record holds a document once, so one that is there already (a
            positive, or twice drawn) takes the place of a negative and adds none. A score of s⁺ − M passes.

    Raises:
        UsageError: options that do not go together, or a number out of its range.
    """

    num_negatives: int | None = 15
    depth: int = 100
    range_min: int = 0
    sampling: Sampling = uniform
    relative_margin: float | None = None
    absolute_margin: float | None = None
    near_copies: float | None = None
    false_negatives: str | None = None
    max_score: float | None = None
    min_score: float | None = None
    pad: bool = False
    share: float = 1.0
    add_positives: bool = False
    with_text: bool = True
    as_run: bool = False
    paper_compat: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.range_min >= self.depth:
            raise UsageError(f"--range-min {self.range_min} leaves nothing of --depth {self.depth}")
        if self.pad and not self.is_group:
            raise UsageError("--pad: it fills the groups of -n N, and -n all makes none")
        for option, share in (("--sample", self.share), ("--near-copies", self.near_copies)):
            if share is not None and not 0 < share <= 1:
                raise UsageError(f"{option} {share:g}: it must be above 0 and at most 1")
        if self.false_negatives is not None and not self.margins and self.near_copies is None:
            tests = "--relative-margin, --absolute-margin or --near-copies"
            raise UsageError(f"--false-negatives {self.false_negatives}: nothing is suspected (give {tests})")

    @property
    def is_group(self) -> bool:
        return self.num_negatives is not None

    @property
    def margins(self) -> bool:
        return self.relative_margin is not None or self.absolute_margin is not None

    @property
    def limits(self) -> bool:
        """Whether candidates are held against a number in the unit of their scores."""
        return any(one is not None for one in (self.max_score, self.min_score, self.absolute_margin))

    @property
    def looks_at_each(self) -> bool:
        """Whether a candidate may be dropped for its score or its text."""
        return self.limits or self.margins or self.near_copies is not None

    def limit_exceeded(self, score: float) -> str | None:
        """Name the limit that a score exceeds, None where it keeps within them."""
        if self.max_score is not None and score > self.max_score:
            return "max-score"
        if self.min_score is not None and score < self.min_score:
            return "min-score"
        return None

    def margin_failed(self, score: float, lowest_positive: float) -> str | None:
        """Name the margin that a score is not below, None where it is below them."""
        relative, absolute = self.relative_margin, self.absolute_margin
        if relative is not None and not score < lowest_positive - relative * abs(lowest_positive):
            return "relative-margin"
        if absolute is not None:
            edge = lowest_positive - absolute
            if not (score < edge or (self.paper_compat and score == edge)):
                return "absolute-margin"
        return None
