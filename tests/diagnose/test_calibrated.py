"""`rd-entropy --calibrate` as installed, its curves, and the warning about cosines at temperature 1."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from rdtools.diagnose.calibrated import TemperatureCurve, plot_curves, sketch_curves

HEAD = "file\tmethod\tqueries\tgroups\tpositives_first\ttemperature\tnats\tlistwise_entropy_share\tbound\n"


def line(query_id: str, scores: list[float | None], positives=(), **fields) -> str:
    docs = [
        {"doc_id": str(i)}
        | ({} if score is None else {"score": score})
        | ({"relevance": 1} if i in positives else {})
        for i, score in enumerate(scores)
    ]
    return json.dumps({"query_id": query_id, "docs": docs, "score_scale": "logit"} | fields) + "\n"


RIGHT, WRONG = line("a", [1, 0], [0]), line("b", [1, 0], [1])


def entropy_bits(temperature: float) -> float:
    """The entropy of softmax over 1/T and 0."""
    p = 1 / (1 + math.exp(-1 / temperature))
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def test_a_row_per_file_and_method(run, tmp_path):
    """Right three times in four: T = 1/ln 3, ln 4 − 3/4 ln 3 nats. One judged record is tied, one not judged."""
    (tmp_path / "judged").write_text(
        RIGHT * 2 + WRONG + RIGHT + line("c", [2, 2], [0]) + line("d", [1, 0, None])
    )
    (tmp_path / "not").write_text(line("a", [1, 0]) * 3)
    (tmp_path / "empty").write_text("")
    done = run("rd-entropy", "--calibrate", "judged", "not", "empty", check=True)
    assert done.stdout.startswith(HEAD)
    entropy, judged, other = (row.split("\t") for row in done.stdout.removeprefix(HEAD).splitlines())
    nats = math.log(4) - 0.75 * math.log(3)
    assert judged[:5] == ["judged", "likelihood", "6", "4", "0.75"]
    assert list(map(float, judged[5:8])) == pytest.approx([1 / math.log(3), nats, nats / math.log(2)])
    assert judged[8] == ""
    assert entropy[:5] == ["judged", "entropy", "6", "5", "0.75"]
    assert other[:5] == ["not", "entropy", "3", "3", ""]
    for row in (entropy, other):
        assert (row[6], row[8]) == ("", "")
        assert entropy_bits(float(row[5])) == pytest.approx(0.35)
        assert float(row[7]) == pytest.approx(0.35)
    assert done.stderr == ""


def test_the_temperature_gives_the_share_that_a_diagnosis_prints(run):
    rng = np.random.default_rng(0)
    stdin = "".join(
        line(str(n), rng.normal(size=8).round(3).tolist(), [0], score_scale="cosine") for n in range(40)
    )
    written = run("rd-entropy", "--calibrate", "-f", "jsonl", stdin=stdin, check=True).stdout
    rows = [json.loads(text) for text in written.splitlines()]
    assert [row["method"] for row in rows] == ["entropy", "likelihood"]
    for row in rows:
        again = run("rd-entropy", "--temperature", row["temperature"], "-f", "jsonl", stdin=stdin, check=True)
        share = json.loads(again.stdout)["listwise_entropy_share"]
        assert share == pytest.approx(row["listwise_entropy_share"])
        assert row["bound"] is None
    assert rows[0]["listwise_entropy_share"] == pytest.approx(0.35)
    unjudged = run("rd-entropy", "--calibrate", "-f", "jsonl", stdin=line("a", [1, 0]), check=True).stdout
    assert json.loads(unjudged)["positives_first"] is None


@pytest.mark.parametrize(
    ("stdin", "cells", "words"),
    [
        (
            RIGHT * 3,
            ["likelihood", "3", "3", "1.0", "0.01", "low"],
            "<stdin>: likelihood: no positive scores below a negative, so that T is a bound: the median spread of "
            "the scores divided by 100",
        ),
        (
            WRONG * 3,
            ["likelihood", "3", "3", "0.0", "100.0", "high"],
            "<stdin>: likelihood: positives do not score above negatives, so that T is a bound: the median spread "
            "of the scores times 100",
        ),
        (
            line("a", [1, 1, 0]),
            ["entropy", "1", "1", "", "0.01", "low"],
            "<stdin>: entropy: tied best scores keep the entropy high, so that T is a bound: the median spread of "
            "the scores divided by 100",
        ),
        (
            line("a", [1, 1], [0]) + line("b", [3]),
            ["entropy", "2", "0", "", "", ""],
            "<stdin>: no record has two different scores: no temperature",
        ),
    ],
)
def test_what_gives_no_best_temperature_is_said(run, stdin, cells, words):
    done = run("rd-entropy", "--calibrate", stdin=stdin, check=True)
    row = done.stdout.splitlines()[-1].split("\t")
    assert [*row[1:6], row[8]] == cells
    assert done.stderr == f"rd-entropy: warning: {words}\n"
    assert run("rd-entropy", "--calibrate", "--quiet", stdin=stdin, check=True).stderr == ""


def test_records_are_checked(run):
    done = run("rd-entropy", "--calibrate", stdin=RIGHT + line("b", [1, 2], score_scale="rank"))
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        'rd-entropy: <stdin>:2: the scores of query "b" are ranks, whose differences mean nothing '
        "(label with a teacher first)\n",
    )
    mixed = line("a", [1, 0], [0], teacher="x") + line("b", [1, 0], [1], teacher="y")
    warned = run("rd-entropy", "--calibrate", stdin=mixed, check=True).stderr
    assert "warning: <stdin>: one temperature for scores of 2 provenances" in warned
    assert run("rd-entropy", "--calibrate", check=True).stdout == ""


def test_curves(run, tmp_path):
    """Nats are many at a low T, where one wrong order in four costs most; drawings leave stdout alone."""
    stdin = RIGHT * 3 + WRONG
    plain = run("rd-entropy", "--calibrate", stdin=stdin, check=True)
    drawn = run("rd-entropy", "--calibrate", "--plot", "terminal", stdin=stdin, check=True)
    assert drawn.stdout == plain.stdout
    share, rising, nats, falling = drawn.stderr.splitlines()
    assert (share, nats) == ("listwise_entropy_share", "nats")
    assert rising.startswith("  <stdin> | ")
    (row,) = (text for text in plain.stdout.splitlines() if "entropy\t" in text and "file" not in text)
    fitted = float(row.split("\t")[5])
    assert entropy_bits(fitted) == pytest.approx(0.35)
    assert rising.endswith(f"for T 0.01 to 10; 0.35 at T {fitted:.4g}")
    assert falling.startswith("  <stdin> |█")
    assert falling.endswith("for T 0.01 to 10; 0.5623 at T 0.9102")
    for name in ("x.svg", "y.svg"):
        assert (
            run("rd-entropy", "--calibrate", "--plot", name, stdin=stdin, check=True).stdout == plain.stdout
        )
    assert (tmp_path / "x.svg").read_bytes() == (tmp_path / "y.svg").read_bytes()
    unjudged = run("rd-entropy", "--calibrate", "--plot", "terminal", stdin=line("a", [1, 0]), check=True)
    assert unjudged.stderr.startswith("listwise_entropy_share\n")
    assert "nats" not in unjudged.stderr
    run("rd-entropy", "--calibrate", "--plot", "z.svg", check=True)
    assert not (tmp_path / "z.svg").exists()


def test_a_sketch_by_hand():
    curve = TemperatureCurve("a", np.geomspace(1, 1e39, 40).tolist(), [0.0] * 39 + [8.0], (2.0, 0.0))
    (name, bars) = sketch_curves({"nats": [curve]})
    assert name == "nats"
    assert bars == "  a |" + " " * 39 + "█| 0 to 8 for T 1 to 1e+39; 0 at T 2"


def test_a_drawing_has_each_curve_and_its_temperature(tmp_path, monkeypatch):
    mpl = pytest.importorskip("matplotlib")
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    curves = [TemperatureCurve(name, [1.0, 10.0], [0.5, 2.0], (3.0, 1.0)) for name in ("one", "two")]
    plot_curves({"nats": curves}, str(tmp_path / "x.svg"))
    svg = (tmp_path / "x.svg").read_text()
    assert {"one", "two", "nats", "temperature"} <= {*re.findall(r">([^<>\n]+)</text>", svg)}
    colours = re.findall(r"stroke: (#[0-9a-f]{6}); stroke-width: 1.3", svg)
    assert len({*colours}) == 2


def test_nothing_to_draw(tmp_path):
    plot_curves({}, str(tmp_path / "x.svg"))
    assert not (tmp_path / "x.svg").exists()


COSINES = (
    "rd-entropy: warning: softmax over cosines is nearly uniform at temperature 1, so that entropies are near "
    "their maximum (rd-entropy --calibrate finds the --temperature)\n"
)


@pytest.mark.parametrize(
    ("arguments", "scale", "warned"),
    [
        ([], "cosine", True),
        (["-q", "--temperature", "1"], "cosine", True),
        (["--compare"], "cosine", True),
        (["--score-scale", "cosine"], "unknown", True),
        (["--cut", "low"], "cosine", True),
        (["--cut", "low", "--by", "margin"], "cosine", False),
        (["--temperature", "0.05"], "cosine", False),
        (["--calibrate"], "cosine", False),
        ([], "logit", False),
    ],
)
def test_cosines_at_temperature_1(run, tmp_path, arguments, scale, warned):
    for name in "ab":
        (tmp_path / name).write_text(
            line("q", [0.5, 0.25], [0], score_scale=scale) + line("r", [0.25, 0.5], [0], score_scale=scale)
        )
    done = run("rd-entropy", "a", "b", *arguments, check=True)
    assert COSINES * warned in done.stderr
    assert done.stderr.count("cosines") == warned
