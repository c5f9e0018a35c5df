"""Which instruments a command asks for, and how they are set."""

from __future__ import annotations

from dataclasses import dataclass

from rdtools.diagnose.columns import Diagnostic
from rdtools.search.resources import Resources


@dataclass(frozen=True)
class Choice:
    """The flags that bring instruments, None or False where one is not asked for, and their settings."""

    paper_compat: bool = False
    compare: bool = False
    margin: float = 0.0
    pairs_per_second: float | None = None
    test: str | None = None
    coverage: str | None = None
    student: str | None = None
    student_temperature: float = 1.0
    encoder: str | None = None
    alpha: float = 0.99
    distance: str = "cosine"
    neighbours: int = 10
    density_among: str = "query"


def open_diagnostics(choice: Choice, temperature: float, resources: Resources) -> list[Diagnostic]:
    """Open what is asked for, in the order of their columns; a module is imported only where it is used."""
    instruments: list[Diagnostic] = []
    if choice.paper_compat:
        from rdtools.diagnose.columns.score_shares import PaperEntropies

        instruments.append(PaperEntropies())
    if choice.compare:
        from rdtools.diagnose.columns.cost import Cost
        from rdtools.diagnose.columns.false_negatives import SuspectedFalseNegatives

        instruments += [SuspectedFalseNegatives(choice.margin), Cost(choice.pairs_per_second)]
    if choice.test is not None:
        from rdtools.data.leakage import open_leakage
        from rdtools.diagnose.columns.check_against import SharedWithTest

        instruments.append(SharedWithTest(open_leakage(choice.test, resources.reading)))
    if choice.coverage is not None:
        from rdtools.diagnose.columns.coverage import open_coverage

        instruments.append(open_coverage(choice.coverage, resources))
    if choice.student is not None:
        from rdtools.diagnose.columns.student_kl import open_divergence

        instruments.append(
            open_divergence(choice.student, resources, temperature, choice.student_temperature)
        )
    if choice.encoder is not None:
        from rdtools.diagnose.columns.geometry import open_geometry

        geometry = open_geometry(
            choice.encoder, resources, alpha=choice.alpha, distance=choice.distance,
            neighbours=choice.neighbours, among=choice.density_among,
        )  # fmt: skip
        instruments.append(geometry)
    return instruments
