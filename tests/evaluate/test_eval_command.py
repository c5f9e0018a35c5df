"""rd-eval as installed: output, names, order of lines, errors."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess

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
    assert done.stderr == (
        "rd-eval: bad: 1 of 2 judged queries not in the run "
        "(they count as 0; --run-queries-only ignores them)\n"
    )


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


def test_a_baseline_in_another_spelling_is_the_same_run(run, files):
    many_queries(files)
    options = ("qrels", "x", "y", "-m", "RR", "--baseline")
    assert run("rd-eval", *options, "./x", check=True).stdout == run("rd-eval", *options, "x").stdout


def test_the_baseline_may_come_through_a_pipe(run, files):
    many_queries(files)
    os.mkfifo(files / "pipe")
    with subprocess.Popen(["sh", "-c", "cat x > pipe"], cwd=files):
        done = run("rd-eval", "qrels", "y", "-m", "RR", "--baseline", "pipe", check=True)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["pipe", "y"]


def test_relabelled_documents_are_no_judgements(run, files):
    docs = '{"doc_id":"a","relevance":1},{"doc_id":"b","relevance":1,"relabelled":true,"score":1}'
    (files / "relabelled.jsonl").write_text(f'{{"query_id":"q1","query":"x","docs":[{docs}]}}\n')
    (files / "run").write_text("q1 Q0 b 1 2.0 t\nq1 Q0 a 2 1.0 t\n")
    assert run("rd-eval", "relabelled.jsonl", "run", "-m", "RR", check=True).stdout == "run\tRR\t0.5000\n"
    done = run("rd-label", "relabelled.jsonl", "--teacher", "qrels", check=True)
    assert [doc["score"] for doc in json.loads(done.stdout)["docs"]] == [1.0, 0.0]


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
    refused = run("rd-eval", "qrels", "good.run", "none.run", "-m", "RR")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "rd-eval: none: the run is empty (--allow-empty accepts it)\n"
    done = run("rd-eval", "qrels", "none.run", "-m", "RR", "--allow-empty", check=True)
    assert done.stdout == "none\tRR\t0.0000\n"
    assert done.stderr == "rd-eval: warning: none: none of the judged queries is in the run\n"


def test_a_run_without_any_judged_query_is_refused(run, files):
    (files / "other.run").write_text(GOOD.replace("q", "x"))
    refused = run("rd-eval", "qrels", "other.run", "-m", "RR")
    assert (refused.returncode, refused.stdout) == (1, "")
    message = "rd-eval: other: none of the judged queries is in it (--allow-empty accepts it)\n"
    assert refused.stderr == message
    assert run("rd-eval", "qrels", "-m", "RR", stdin="x0 0 d 1 2 tag\n").stderr == message.replace(
        "other", "tag"
    )
    done = run("rd-eval", "qrels", "other.run", "-m", "RR", "--allow-empty", check=True)
    assert done.stdout == "other\tRR\t0.0000\n"


@pytest.mark.parametrize("format", ["tsv", "jsonl", "markdown", "latex"])
def test_an_empty_stdin_is_no_run(run, files, format):
    refused = run("rd-eval", "qrels", "-f", format)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "rd-eval: <stdin>: the run is empty (--allow-empty accepts it)\n"
    done = run("rd-eval", "qrels", "--equivalence", 1, "-f", format, "--allow-empty", check=True)
    assert (done.stdout, done.stderr) == ("", "rd-eval: warning: <stdin>: no run\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "ndgc@10"], "unknown measure 'ndgc@10'; did you mean 'nDCG@10'?"),
        (["--test", "t"], "--test needs --baseline"),
        (["--correction", "holm"], "--correction needs --baseline, --contrast or --pairs"),
        (["--alpha", "0.1"], "--alpha needs --equivalence, --paper-compat, --contrast or --pairs"),
        (["--equivalence", "0"], "--equivalence must be above 0, not 0"),
        (["--equivalence", "1", "--alpha", "2"], "--alpha must be above 0 and below 1, not 2"),
        (
            ["-q", "--baseline", "good"],
            "--baseline cannot be combined with --by-query, which prints values, not tests",
        ),
        (
            ["-q", "--paper-compat"],
            "--paper-compat cannot be combined with --by-query, which prints values, not tests",
        ),
        (["--baseline", "goof"], "unknown run 'goof'; did you mean 'good'? (choose from good)"),
        (["good.run"], "two runs have the name good.run"),
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
            '<stdin>:2: document "a" is repeated for query "q1"',
        ),
    ],
)
def test_bad_runs(run, files, stdin, message):
    done = run("rd-eval", "qrels", stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"rd-eval: {message}\n")
    skipped = run("rd-eval", "qrels", "--on-error", "skip", stdin=stdin)
    assert skipped.returncode == 0
    assert "1 bad line skipped" in skipped.stderr


SMALL = {  # system -> places of the only relevant document of q1 and q2, by seed
    "runs/c/kl.bm25.be.s": [(1, 1), (1, 2)],
    "runs/c/kl.random.be.s": [(2, 2), (1, 2)],
    "runs/c/lce.bm25.be.s": [(4, 1), (2, 1)],
    "runs/c/lce.bm25.ce.s": [(1, 1), (1, 1)],
    "runs/d/kl.bm25.be.s": [(1, 4), (4, 1)],
}
PATTERN = "{collection}/{loss}.{source}.{student}.s{seed}"


@pytest.fixture
def grid(tmp_path):
    """Runs of five systems with two seeds each; the relevant document is r on c, and s on d."""
    for path, seeds in SMALL.items():
        relevant = "r" if "/c/" in path else "s"
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        for seed, places in enumerate(seeds):
            lines = [
                f"q{q} Q0 {relevant if place == found else f'n{place}'} {place} {9 - place} tag\n"
                for q, found in enumerate(places, start=1)
                for place in range(1, 6)
            ]
            (tmp_path / f"{path}{seed}.trec").write_text("".join(lines))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "c.txt").write_text("q1 0 r 1\nq2 0 r 1\n")
    (tmp_path / "qrels" / "d.txt").write_text("q1 0 s 1\nq2 0 s 1\n")
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("runs/*/*.trec"))


def test_seeds_are_one_row(run, grid):
    """RR of kl.bm25.be on c: 1 and 1 of seed 0, 1 and 1/2 of seed 1, so 1 and 0.75, deviation 0.25/√2."""
    done = run(
        "rd-eval", "qrels/{collection}.txt", *grid, "-m", "RR", "--fields", PATTERN, "--places", 3, check=True
    )
    assert done.stdout == (
        "kl-bm25-be\tc\tkl\tbm25\tbe\tRR\t0.875\t0.177\t2\n"
        "kl-random-be\tc\tkl\trandom\tbe\tRR\t0.625\t0.177\t2\n"
        "lce-bm25-be\tc\tlce\tbm25\tbe\tRR\t0.688\t0.088\t2\n"
        "lce-bm25-ce\tc\tlce\tbm25\tce\tRR\t1.000\t0.000\t2\n"
        "kl-bm25-be\td\tkl\tbm25\tbe\tRR\t0.625\t0.000\t2\n"
    )
    done = run(
        "rd-eval", "qrels/c.txt", "runs/c/kl.bm25.be.s0.trec", "runs/c/kl.bm25.be.s1.trec", "-m", "RR", "-q",
        "--fields", "{run}.s{seed}", "-f", "jsonl", check=True,
    )  # fmt: skip
    assert list(map(json.loads, done.stdout.splitlines())) == [
        {"run": "kl.bm25.be", "query_id": "q1", "measure": "RR", "value": 1, "deviation": 0, "seeds": 2},
        {
            "run": "kl.bm25.be",
            "query_id": "q2",
            "measure": "RR",
            "value": 0.75,
            "deviation": pytest.approx(0.5**1.5),
            "seeds": 2,
        },
    ]


def test_a_run_without_seed_has_no_deviation(run, grid):
    done = run(
        "rd-eval", "qrels/c.txt", "runs/c/kl.bm25.be.s0.trec", "-m", "RR", "--fields", "{run}.s{seed}",
        "--places", 1, check=True,
    )  # fmt: skip
    assert done.stdout == "kl.bm25.be\tRR\t1.0\t\t1\n"


def test_the_table_of_the_paper(run, grid):
    """Rows are loss and source, columns collection and architecture; the letters those of each such column."""
    arguments = [
        "rd-eval", "qrels/{collection}.txt", *grid, "-m", "RR", "--fields", PATTERN, "--places", 2,
        "--columns", "collection,student", "--equivalence", 0.9, "--alpha", 0.4, "--within", "student",
    ]  # fmt: skip
    assert run(*arguments, "-f", "latex", check=True).stdout.splitlines() == [
        r"\begin{tabular}{llrrr}",
        r"\toprule",
        r" &  & \multicolumn{2}{c}{c} & \multicolumn{1}{c}{d} \\",
        r"\cmidrule(lr){3-4}\cmidrule(lr){5-5}",
        r" &  & \multicolumn{1}{c}{be} & \multicolumn{1}{c}{ce} & \multicolumn{1}{c}{be} \\",
        r"\cmidrule(lr){3-3}\cmidrule(lr){4-4}\cmidrule(lr){5-5}",
        r"loss & source & RR & RR & RR \\",
        r"\midrule",
        r"\multirow{2}{*}{kl} & bm25 & \textbf{0.88} $\pm$ 0.18$^{\mathrm{a}}$ & – & \textbf{0.62} $\pm$ 0.00$^{\mathrm{a}}$ \\",
        r" & random & 0.62 $\pm$ 0.18$^{\mathrm{a}}$ & – & – \\",
        r"\midrule",
        r"lce & bm25 & 0.69 $\pm$ 0.09$^{\mathrm{a}}$ & \textbf{1.00} $\pm$ 0.00$^{\mathrm{a}}$ & – \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    arguments = arguments[: arguments.index("--equivalence")]
    assert run(*arguments, "-f", "markdown", check=True).stdout == (
        "| loss | source | c be RR | c ce RR | d be RR |\n"
        "| :--- | :--- | ---: | ---: | ---: |\n"
        "| kl | bm25 | **0.88** ± 0.18 | – | **0.62** ± 0.00 |\n"
        "| kl | random | 0.62 ± 0.18 | – | – |\n"
        "| lce | bm25 | 0.69 ± 0.09 | **1.00** ± 0.00 | – |\n"
    )


def test_rows_and_columns_without_fields(run, files):
    done = run(
        "rd-eval", "qrels", "good.run", "bad.run.gz", "-m", "RR P@1", "-f", "markdown", "--places", 2,
        "--rows", "measure", check=True,
    )  # fmt: skip
    assert done.stdout == (
        "| measure | good | bad |\n| :--- | ---: | ---: |\n"
        "| RR | **1.00** | 0.25 |\n| P@1 | **1.00** | 0.00 |\n"
    )


def test_a_second_pattern_and_a_baseline_on_each_collection(run, grid, tmp_path):
    """The relevant document of bm25 stands fifth: RR 0.2 everywhere; its name says a source only."""
    for collection, relevant in [("c", "r"), ("d", "s")]:
        lines = "".join(f"q{q} Q0 {relevant} 1 1 t\n" for q in (1, 2))
        lines += "".join(f"q{q} Q0 n{place} 1 9 t\n" for q in (1, 2) for place in range(4))
        (tmp_path / f"runs/{collection}/bm25.trec").write_text(lines)
    done = run(
        "rd-eval", "qrels/{collection}.txt", "runs/c/bm25.trec", "runs/d/bm25.trec", *grid[:2], *grid[-2:],
        "-m", "RR", "--fields", PATTERN, "--fields", "{collection}/{source}", "--baseline", "bm25",
        "--correction", "none", "--places", 3, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:10] for row in rows] == [
        ["bm25", "c", "", "bm25", "", "RR", "0.200", "", "1", ""],
        ["bm25", "d", "", "bm25", "", "RR", "0.200", "", "1", ""],
        ["kl-bm25-be", "c", "kl", "bm25", "be", "RR", "0.875", "0.177", "2", "0.675"],
        ["kl-bm25-be", "d", "kl", "bm25", "be", "RR", "0.625", "0.000", "2", "0.425"],
    ]
    # On d both queries have a mean of 0.625, and both seeds too: nothing varies.
    assert rows[3][10:] == ["0", "0"]
    assert 0.05 < float(rows[2][10]) < 0.5


def test_letters_of_the_paper(run, grid):
    """Means of 0.875, 0.625 and 0.6875; the p of their differences, one-sided, are 0.15, 0.32 and 0.43."""
    runs = [name for name in grid if "/c/" in name and ".be." in name]
    arguments = ["rd-eval", "qrels/c.txt", *runs, "-m", "RR", "--fields", "{run}.s{seed}", "--places", 2]
    done = run(*arguments, "--paper-compat", check=True)
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()] == ["a", "a", "a"]
    done = run(*arguments, "--paper-compat", "--alpha", 0.4, check=True)
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()] == ["a", "b", "b"]
    done = run(*arguments, "--paper-compat", "--equivalence", 5, check=True)
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()] == ["a", "b", "c"]


def test_depth_and_identical_ids(run, files):
    """q1 finds itself first, then a; q2 finds c third."""
    lines = "q1 Q0 q1 1 9 t\nq1 Q0 a 2 8 t\nq2 Q0 x 1 9 t\nq2 Q0 y 2 8 t\nq2 Q0 c 3 7 t\n"
    (files / "self.run").write_text(lines)
    arguments = ["rd-eval", "qrels", "self.run", "-m", "RR NumRet", "-q", "--places", 2]
    assert run(*arguments, check=True).stdout.split()[3::4] == ["0.50", "2.00", "0.33", "3.00"]
    done = run(*arguments, "--ignore-identical-ids", check=True)
    assert done.stdout.split()[3::4] == ["1.00", "1.00", "0.33", "3.00"]
    done = run(*arguments, "--depth", 2, check=True)
    assert done.stdout.split()[3::4] == ["0.50", "2.00", "0.00", "2.00"]
    done = run(*arguments, "--depth", 1, "--ignore-identical-ids", check=True)
    assert done.stdout.split()[3::4] == ["1.00", "1.00", "0.00", "1.00"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "run"], "--rows needs --format markdown or --format latex"),
        (["--columns", "run", "-f", "jsonl"], "--columns needs --format markdown or --format latex"),
        (
            ["--rows", "run", "-q", "-f", "latex"],
            "--by-query cannot be combined with --rows, which arranges means",
        ),
        (["--within", "loss"], "--within needs --equivalence, --paper-compat or --pairs"),
        (["--within", "loss", "--equivalence", "1"], "--within needs --fields"),
    ],
)
def test_usage_errors_of_fields(run, files, arguments, message):
    done = run("rd-eval", "qrels", "good.run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"rd-eval: {message}\nTry 'rd-eval --help' for help.\n"


def test_fields_that_clash(run, grid):
    done = run("rd-eval", "qrels/c.txt", *grid[:2], "-m", "RR", "--fields", "{loss}.bm25.be.{rest}")
    assert done.returncode == 0
    done = run("rd-eval", "qrels/c.txt", *grid[:2], *grid[:1], "-m", "RR", "--fields", "{run}.s{seed}")
    assert done.stderr.startswith("rd-eval: two runs have the name kl.bm25.be with seed 0\n")
    done = run("rd-eval", "qrels/{collection}.txt", *grid[:2], "-m", "RR", "--fields", "{run}.s{seed}")
    assert done.stderr.startswith("rd-eval: qrels/{collection}.txt: unknown field {collection} (name it in ")
    done = run("rd-eval", "qrels/c.txt", "-m", "RR", "--fields", "{run}", stdin=GOOD)
    assert done.stderr.startswith("rd-eval: run <stdin> does not fit --fields {run} ")
