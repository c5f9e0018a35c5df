"""The names of measures that TAB offers, without importing what computes them."""

from __future__ import annotations

CUTOFFS = (1, 3, 5, 10, 20, 50, 100, 1000)
WITH_CUTOFF = ("nDCG", "RR", "R", "P", "AP", "Success", "ERR", "Judged")
WITHOUT_CUTOFF = (
    *("AP", "nDCG", "RR", "Rprec", "Bpref", "infAP", "SetP", "SetR", "SetF"),
    *("NumRet", "NumRel", "NumRelRet", "NumQ"),
)


def complete_measure(incomplete: str) -> list[str]:
    """Complete the last of several names: nDCG to nDCG@, nDCG@1 to nDCG@10."""
    before, blank, begun = incomplete.rpartition(" ")
    names = [f"{name}@{k}" for name in WITH_CUTOFF for k in CUTOFFS] if "@" in begun else []
    names += [*WITHOUT_CUTOFF, *(f"{name}@" for name in WITH_CUTOFF)] if "@" not in begun else []
    return [before + blank + name for name in names if name.startswith(begun)]
