"""rd-eval as installed: output, names, order of lines, errors."""

from __future__ import annotations

import gzip
import json
import random

import pytest

QRELS = "q1 0 a 1\nq1 0 b 0\nq2 0 c 2\n"
GOOD = "q1 Q0 a 1 2.0 good\nq1 Q0 b 2 1.0 good\nq2 Q0 c 1 5 good\n"
BAD = "q1 Q0 b 1 2.0 bad\nq1 Q0 a 2 1.0 bad\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "qrels").write_text(QRELS)
    (tmp_path / "good.run").write_text(GOOD)
    (tmp_path / "bad.run.gz").write_bytes(gzip.compress(BAD.encode()))
    return tmp_path


def test_means(run, files):
    done = run("rd-eval", "qrels", "good.run", "bad.run.gz", "-m", "RR NumRet", "-m", "P@1", check=True)
    assert done.stdout == (
        "good\tRR\t1.0000\ngood\tNumRet\t3.0000\ngood\tP@1\t1.0000\n"
        "bad\tRR\t0.2500\nbad\tNumRet\t2.0000\nbad\tP@1\t0.0000\n"
    )
    assert done.stderr == "rd-eval: bad: 1 of 2 judged queries not in the run\n"


def test_the_default_measures_and_the_tag_of_stdin(run, files):
    done = run("rd-eval", "qrels", stdin=GOOD, check=True)
    assert done.stdout == "".join(f"good\t{name}\t1.0000\n" for name in ["nDCG@10", "RR@10", "AP", "R@100"])


def test_by_query(run, files):
    done = run("rd-eval", "qrels", "bad.run.gz", "-m", "RR", "-q", "--places", 2, check=True)
    assert done.stdout == "bad\tq1\tRR\t0.50\nbad\tq2\tRR\t0.00\n"
    done = run(
        "rd-eval", "qrels", "bad.run.gz", "-m", "RR", "-q", "--run-queries-only", "--places", -1, check=True
    )
    assert done.stdout == "bad\tq1\tRR\t0.5\n"


def test_lines_in_any_order_and_any_format(run, files):
    lines = [f"q{q} Q0 d{d} 0 {(d * 7 + q) % 5} tag\n" for q in range(9) for d in range(30)]
    (files / "many").write_text("".join(f"q{q} 0 d{d} 1\n" for q in range(9) for d in range(0, 30, 4)))
    ordered = run("rd-eval", "many", "-q", stdin="".join(lines), check=True).stdout
    random.Random(0).shuffle(lines)
    assert run("rd-eval", "many", "-q", stdin="".join(lines), check=True).stdout == ordered
    tsv = "".join("{0}\t{2}\t{4}.0\n".format(*line.split()) for line in lines)
    records = "".join(
        json.dumps({"query_id": q, "docs": [{"doc_id": d, "score": float(s)}], "teacher": "tag"}) + "\n"
        for q, _, d, _, s, _ in map(str.split, lines)
    )
    assert run("rd-eval", "many", "-q", stdin=records, check=True).stdout == ordered
    tsv_values = run("rd-eval", "many", "-q", stdin=tsv, check=True).stdout
    assert tsv_values == ordered.replace("tag\t", "rdtools\t")


def test_jsonl_has_full_precision(run, files):
    done = run("rd-eval", "qrels", "bad.run.gz", "-m", "nDCG@10", "-f", "jsonl", check=True)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row == {
        "run": "bad",
        "measure": "nDCG@10",
        "value": pytest.approx(0.6309297535714575 / 2, abs=1e-15),
    }


def test_tables(run, files):
    (files / "a_b|c.run").write_text(GOOD)
    arguments = ["rd-eval", "qrels", "a_b|c.run", "bad.run.gz", "-m", "RR P@1", "-f"]
    assert run(*arguments, "markdown", check=True).stdout == (
        "| run | RR | P@1 |\n| :--- | ---: | ---: |\n"
        "| a\\_b\\|c | **1.0000** | **1.0000** |\n| bad | 0.2500 | 0.0000 |\n"
    )
    assert run(*arguments, "latex", check=True).stdout.splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"run & RR & P@1 \\",
        r"\midrule",
        r"a\_b|c & \textbf{1.0000} & \textbf{1.0000} \\",
        r"bad & 0.2500 & 0.0000 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def many_queries(files):
    """x finds all, y the same, z all but at the second place, over 20 queries."""
    (files / "qrels").write_text("".join(f"{q} 0 r 1\n" for q in range(20)))
    for name, first in [("x", "r"), ("y", "r"), ("z", "n")]:
        second = "n" if first == "r" else "r"
        lines = (f"{q} Q0 {first} 1 2 {name}\n{q} Q0 {second} 2 1 {name}\n" for q in range(20))
        (files / name).write_text("".join(lines))


@pytest.mark.parametrize(("test", "least"), [("t", "0"), ("permutation", "0.0005"), ("bootstrap", "0.0005")])
def test_baseline(run, files, test, least):
    many_queries(files)
    done = run(
        "rd-eval", "qrels", "y", "z", "-m", "RR P@2", "--baseline", "x", "--test", test,
        "--correction", "none", "--places", 1, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[:4] == [
        ["x", "RR", "1.0", "", "", ""],
        ["x", "P@2", "0.5", "", "", ""],
        ["y", "RR", "1.0", "0.0", "1", "1"],
        ["y", "P@2", "0.5", "0.0", "1", "1"],
    ]
    assert rows[4][:4] == ["z", "RR", "0.5", "-0.5"]
    assert float(rows[4][4]) <= float(least)
    assert rows[5] == ["z", "P@2", "0.5", "0.0", "1", "1"]
    assert done.stderr == ""


def test_the_baseline_by_name_and_the_holm_family(run, files):
    many_queries(files)
    done = run(
        "rd-eval", "qrels", "x", "y", "z", "-m", "RR P@2", "--baseline", "x", "--test", "permutation",
        "-f", "jsonl", check=True,
    )  # fmt: skip
    rows = {(row["run"], row["measure"]): row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["x", "RR"]["p"] is None
    assert rows["z", "RR"]["p_corrected"] == pytest.approx(4 * rows["z", "RR"]["p"])


def test_equivalence_letters(run, files):
    many_queries(files)
    done = run("rd-eval", "qrels", "x", "y", "z", "-m", "RR", "--equivalence", 0.01, check=True)
    assert done.stdout == "x\tRR\t1.0000\ta\ny\tRR\t1.0000\ta\nz\tRR\t0.5000\tb\n"
    done = run("rd-eval", "qrels", "x", "z", "-m", "RR", "--equivalence", 0.01, "-f", "latex", check=True)
    assert r"x & \textbf{1.0000}$^{\mathrm{a}}$ \\" in done.stdout


def test_the_qrels_of_a_dataset_and_the_runs_of_unjudged_queries(run, files):
    (files / "qrels").rename(files / "old")
    (files / "set" / "qrels").mkdir(parents=True)
    (files / "set" / "corpus.jsonl").write_text('{"_id":"a","text":"x"}\n')
    (files / "set" / "queries.jsonl").write_text('{"_id":"q1","text":"x"}\n')
    (files / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\n")
    done = run("rd-eval", "set:test", "good.run", "-m", "RR", check=True)
    assert done.stdout == "good\tRR\t1.0000\n"
    assert done.stderr == "rd-eval: good: 1 query without judgements ignored\n"


def test_same_stems_are_told_apart_by_path(run, files):
    (files / "other").mkdir()
    (files / "other" / "good.run").write_text(BAD)
    done = run("rd-eval", "qrels", "good.run", "other/good.run", "-m", "RR", "--quiet", check=True)
    assert done.stdout == "good.run\tRR\t1.0000\nother/good.run\tRR\t0.2500\n"
    assert done.stderr == ""


def test_an_empty_file_is_a_run_without_documents(run, files):
    (files / "none.run").touch()
    done = run("rd-eval", "qrels", "none.run", "-m", "RR", check=True)
    assert done.stdout == "none\tRR\t0.0000\n"
    assert done.stderr == "rd-eval: warning: none: none of the judged queries is in the run\n"


@pytest.mark.parametrize("format", ["tsv", "jsonl", "markdown", "latex"])
def test_an_empty_stdin_is_no_run(run, files, format):
    done = run("rd-eval", "qrels", "--equivalence", 1, "-f", format, check=True)
    assert (done.stdout, done.stderr) == ("", "rd-eval: warning: <stdin>: no run\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "ndgc@10"], "unknown measure 'ndgc@10'; did you mean 'nDCG@10'?"),
        (["--test", "t"], "--test needs --baseline"),
        (["--correction", "holm"], "--correction needs --baseline"),
        (["--alpha", "0.1"], "--alpha needs --equivalence"),
        (["--equivalence", "0"], "--equivalence must be above 0, not 0"),
        (["--equivalence", "1", "--alpha", "2"], "--alpha must lie between 0 and 1, not 2"),
        (
            ["-q", "--baseline", "good"],
            "--by-query prints values, not tests (leave out --baseline and --equivalence)",
        ),
        (["--baseline", "goof"], "unknown run 'goof'; did you mean 'good'? (choose from good)"),
        (["good.run"], "two runs are called good.run"),
    ],
)
def test_usage_errors(run, files, arguments, message):
    done = run("rd-eval", "qrels", "good.run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"rd-eval: {message}\nTry 'rd-eval --help' for help.\n"


def test_qrels_that_are_not_there(run, files):
    done = run("rd-eval", "qrel", "good.run")
    assert done.returncode == 2
    assert done.stderr.startswith("rd-eval: qrel: no such file; dataset qrel: no such folder ")
    (files / "empty").touch()
    done = run("rd-eval", "empty", "good.run")
    assert (done.returncode, done.stderr) == (1, "rd-eval: empty: no judgements\n")


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (
            GOOD + "q1 Q0 a 1\n",
            "<stdin>:4: a TREC run line has 6 columns (query_id Q0 doc_id rank score tag), not 4",
        ),
        (
            '{"query_id":"q1","docs":[{"doc_id":"a"}]}\n' * 2,
            '<stdin>:2: document "a" stands twice for query "q1"',
        ),
    ],
)
def test_bad_runs(run, files, stdin, message):
    done = run("rd-eval", "qrels", stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"rd-eval: {message}\n")
    skipped = run("rd-eval", "qrels", "--on-error", "skip", stdin=stdin)
    assert skipped.returncode == 0
    assert "1 bad line skipped" in skipped.stderr
