"""`rd-eval --plot`: what is drawn, by hand, and what the command says."""

from __future__ import annotations

import re

import pytest
from scipy import stats

QRELS = "".join(f"q{n} 0 d 1\n" for n in range(4))
RANKS = {"base": [1, 2, 4, 4], "good": [1, 1, 2, 5], "zero": [0, 0, 0, 0]}
"""The rank of the relevant document by query, 0 if it is not retrieved; RR is its inverse."""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "qrels").write_text(QRELS)
    for name, ranks in RANKS.items():
        lines = [
            f"q{query} Q0 {'d' if rank == place else f'x{place}'} {place} {9 - place} t\n"
            for query, rank in enumerate(ranks)
            for place in range(1, 6)
        ]
        (tmp_path / f"{name}.run").write_text("".join(lines))
    return tmp_path


def test_the_text_by_hand(run, files):
    done = run("rd-eval", "qrels", "base.run", "good.run", "zero.run", "-m", "RR", "--baseline", "base", "--plot",
               "terminal", check=True)  # fmt: skip
    title, base, good, zero, *differences = done.stderr.splitlines()
    assert title == "RR (mean, 95 % interval)"
    # RR of base: 1, .5, .25, .25, mean .5; of good: 1, 1, .5, .2, mean .675. The longest bar is 1, 40 wide.
    assert base.startswith("  base |" + "█" * 20 + " " * 20 + "| 0.5000 [")
    assert good.startswith("  good |" + "█" * 27 + " " * 13 + "| 0.6750 [")
    assert zero == "  zero |" + " " * 40 + "| 0.0000 [0.0000, 0.0000]"
    low, high = stats.t.interval(0.95, 3, 0.5, stats.sem([1, 0.5, 0.25, 0.25]))
    assert base.endswith(f"[{low:.4f}, {high:.4f}]")
    assert differences == ["  good minus base: 2, 1, 1 queries", "  zero minus base: 0, 0, 4 queries"]


def test_a_picture_has_means_and_sorted_differences(run, files, monkeypatch):
    import matplotlib as mpl

    from rdtools.evaluate.evaluation import evaluate_runs
    from rdtools.evaluate.options import MeasureOptions
    from rdtools.evaluate.plot import draw_systems
    from rdtools.evaluate.systems import NamePatterns
    from rdtools.formats import Reading

    monkeypatch.chdir(files)
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    options = MeasureOptions(measures=("RR", "P@1"))
    found = evaluate_runs(["base.run", "good.run"], "qrels", NamePatterns([]), options, Reading())
    systems = list(found.values())
    svg = draw_systems(systems, "base", "svg").decode()
    words = re.findall(r">([^<>\n]+)</text>", svg)
    for word in (
        "RR (95 % interval)",
        "P@1 (95 % interval)",
        "RR minus base",
        "good (2, 1, 1)",
        "good (1, 3, 0)",
    ):
        assert words.count(word) == 1, word
    assert not re.findall(r">−[^<>]+</text>.*95 %", svg)  # no axis of means below 0
    assert "RR minus base" not in draw_systems(systems, None, "svg").decode()
    assert draw_systems(systems, "base", "svg").decode() == svg


def test_files_and_what_cannot_be_drawn(run, files):
    done = run("rd-eval", "qrels", "base.run", "good.run", "--plot", "out.pdf", check=True)
    assert done.stdout.count("\n") == 8
    assert (files / "out.pdf").read_bytes().startswith(b"%PDF")
    done = run("rd-eval", "qrels", "base.run", "--pairs", "--plot", "out.png")
    assert done.stderr.startswith(
        "rd-eval: --pairs cannot be combined with --plot, which draws means and differences from --baseline\n"
    )
    done = run("rd-eval", "qrels", "base.run", "--plot", "out.eps")
    assert (done.returncode, done.stdout) == (2, "")
    (files / "one").write_text("q0 0 d 1\n")
    done = run("rd-eval", "one", "base.run", "-m", "RR", "--plot", "terminal", check=True)
    assert done.stderr.splitlines()[-1] == "  base |" + "█" * 40 + "| 1.0000"
    done = run("rd-eval", "qrels", "--allow-empty", "--plot", "out.png", check=True)
    assert "Traceback" not in done.stderr
