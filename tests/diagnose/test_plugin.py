"""A new diagnostic is one file and one line of DIAGNOSTICS."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from typer.testing import CliRunner

from rdtools.cli.command import EntryPoint
from rdtools.cli.entropy import entropy
from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag, options_of
from rdtools.diagnose import columns
from rdtools.diagnose.columns import DIAGNOSTICS, manual_of_columns, option_groups
from rdtools.diagnose.diagnostic import Column, Diagnostic


@dataclass(frozen=True)
class BestShareOptions(OptionGroup):
    heading = "Best share"

    best_share: bool = flag("--best-share", default=False, help="Add the softmax share of the best document.")


class BestShare(Diagnostic):
    """best_share: largest share of softmax(s/T); of a FILE the median."""

    option = "--best-share"
    option_group = BestShareOptions
    columns = (Column("best_share", quantile=0.5),)

    def __init__(self, temperature):
        self._temperature = temperature

    @classmethod
    def open(cls, options, temperature, resources):
        return cls(temperature) if options.best_share else None

    def measure(self, records):
        shares = []
        for record in records:
            scores = np.array([doc["score"] for doc in record["docs"] if "score" in doc])
            weights = np.exp((scores - scores.max()) / self._temperature) if len(scores) else np.zeros(1)
            shares.append(1 / weights.sum() if len(scores) else np.nan)
        return np.array(shares)[:, None]


def line(query_id, scores):
    docs = [{"doc_id": str(place), "score": score} for place, score in enumerate(scores)]
    return json.dumps({"query_id": query_id, "docs": docs, "score_scale": "logit"}) + "\n"


LINES = [line("a", [0.0, 0.0]), line("b", [0.0, 2 * np.log(3)]), line("c", [0.0] * 4)]


@pytest.fixture
def run(monkeypatch):
    """The command with the diagnostic in its table; it returns stdout, or raises."""
    monkeypatch.setattr(columns, "DIAGNOSTICS", (*DIAGNOSTICS, BestShare))
    app = EntryPoint("rd-entropy", entropy, plugins=option_groups()).app()

    def run(*arguments):
        done = CliRunner().invoke(app, arguments, input="".join(LINES), catch_exceptions=False)
        return done.stdout

    return run


def test_the_option_is_in_the_help(run):
    text = run("--help")  # the manual is made when the command is: a test can only ask for the new part
    manual = " ".join(manual_of_columns().split())
    assert "--best-share best_share: largest share of softmax(s/T); of a FILE the median." in manual
    assert "Best share:\n  --best-share  Add the softmax share of the best document.\n" in text


def test_the_column_is_in_the_table(run):
    plain, row = (run(*more, "--temperature", "2").splitlines() for more in ((), ("--best-share",)))
    assert row[0] == f"{plain[0]}\tbest_share"
    values = [one.split("\t")[-1] for one in run("-q", "--best-share", "--temperature", "2").splitlines()]
    assert values[0] == "best_share"
    assert [float(value) for value in values[1:]] == pytest.approx([1 / 2, 3 / 4, 1 / 4])
    assert float(row[1].split("\t")[-1]) == pytest.approx(1 / 2)


def test_records_can_be_cut_by_it(run):
    (kept,) = run("--best-share", "--cut", "above-median", "--by", "best_share").splitlines()
    assert json.loads(kept) == json.loads(LINES[1])
    with pytest.raises(UsageError, match=r"^--by best_share needs --best-share$"):
        run("--cut", "low", "--by", "best_share")


def test_every_diagnostic_says_its_columns_without_being_opened():
    names = [column.name for one in DIAGNOSTICS for column in one.columns]
    assert len(names) == len(set(names))
    for one in DIAGNOSTICS:
        options = {name for option in options_of(one.option_group) for name in option.flag.names}
        assert one.option in options
        assert all(f"{column.name}:" in str(one.__doc__) for column in one.columns)
