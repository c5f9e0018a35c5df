"""rd-entropy as installed: tables, cuts, scales, errors."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEAD = "pairwise_entropy_bits\tlistwise_entropy_bits\tlistwise_entropy_share\ttied_pairs\tmargin\tkappa"


def line(query_id: str, scores: list[float | None], **fields) -> str:
    docs = [{"doc_id": str(i)} | ({} if s is None else {"score": s}) for i, s in enumerate(scores)]
    return json.dumps({"query_id": query_id, "docs": docs, "score_scale": "logit"} | fields) + "\n"


def test_by_query(run):
    done = run("rd-entropy", "-q", stdin=line("tied", [1, 1]) + line("one", [1, None]), check=True)
    assert done.stdout == (
        f"file\tquery_id\tdocs\t{HEAD}\ttemperature\n"
        "<stdin>\ttied\t2\t1.0\t1.0\t1.0\t1.0\t0.0\t1.0\t1.0\n"
        "<stdin>\tone\t1\t\t\t\t\t\t\t1.0\n"
    )
    assert done.stderr == (
        "rd-entropy: 1 document without a score left out\n"
        "rd-entropy: 1 record with fewer than two scored documents: undefined, and in no --cut\n"
    )


def test_a_summary_row_per_file(run, tmp_path):
    (tmp_path / "a").write_text(line("1", [2, 2]) + line("2", [0, 1e6]))
    (tmp_path / "b").write_text(line("3", [0]))
    done = run("rd-entropy", "a", "b", "--temperature", 0.5, check=True)
    assert done.stdout == (
        f"file\tqueries\tdocs\t{HEAD}\tkappa_max\ttemperature\n"
        "a\t2\t4\t0.5\t0.5\t0.5\t0.5\t500000.0\tinf\tinf\t0.5\n"
        "b\t1\t1\t\t\t\t\t\t\t\t0.5\n"
    )
    assert "1 record with a kappa beyond the range of a float\n" in done.stderr


def test_jsonl_and_markdown(run):
    stdin = line("q", [0.0, math.log(3)]) + line("big", [0, 1e6]) + line("none", [])
    rows = list(
        map(json.loads, run("rd-entropy", "-q", "-f", "jsonl", stdin=stdin, check=True).stdout.splitlines())
    )
    assert rows[0]["kappa"] == pytest.approx(2)
    assert rows[0]["pairwise_entropy_bits"] == pytest.approx(2 - 0.75 * math.log2(3))
    assert (rows[1]["kappa"], rows[1]["margin"]) == (None, 1e6)
    assert (rows[2]["docs"], rows[2]["tied_pairs"]) == (0, None)
    table = run("rd-entropy", "-q", "-f", "markdown", stdin=line("q", [1, 1]), check=True).stdout.splitlines()
    assert table[1].startswith("| :--- | :--- | ---: |")
    assert table[2] == "| <stdin> | q | 2 | 1.0000 | 1.0000 | 1.0000 | 1.0000 | 0.0000 | 1.0000 | 1.0000 |"


@pytest.mark.parametrize("arguments", [[], ["-q"], ["-q", "-f", "markdown"], ["--cut", "low"]])
def test_empty_input_empty_output(run, arguments):
    done = run("rd-entropy", *arguments, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_cut_writes_the_records_as_they_are(run, tmp_path):
    lines = [
        f'{{"query_id":"{n}","note":{{"é":[1,null]}},"docs":[{{"doc_id":"a","score":0.1,"x":1}},'
        f'{{"doc_id":"b","score":{n}.5}}],"score_scale":"logit"}}\n'
        for n in range(8)
    ]
    (tmp_path / "a").write_text("".join(lines[:3]))
    (tmp_path / "b").write_text("".join(lines[3:]) + line("undefined", [1]))
    done = run("rd-entropy", "a", "b", "--cut", "low", "--by", "margin", "-o", "out", check=True)
    assert (tmp_path / "out").read_text() == "".join(lines[:2])
    assert "1 record with fewer than two scored documents" in done.stderr
    assert run("rd-entropy", "a", "b", "--cut", "low", check=True).stdout == "".join(lines[6:])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.lists(st.floats(-9, 9, width=32), max_size=4), min_size=1, max_size=20))
def test_the_cuts_of_a_stream_make_up_what_is_defined(run, lists):
    stdin = "".join(line(str(number), scores) for number, scores in enumerate(lists))
    kept = [
        json.loads(one)["query_id"]
        for part in ("low", "middle", "high")
        for one in run("rd-entropy", "--cut", part, stdin=stdin, check=True).stdout.splitlines()
    ]
    assert sorted(kept, key=int) == [str(number) for number, scores in enumerate(lists) if len(scores) > 1]


def test_a_run_needs_its_scale_stated(run):
    stdin = "q Q0 a 1 2 x\nq Q0 b 2 2 x\n"
    done = run("rd-entropy", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert 'the scores of query "q" are of unknown scale (state it with --score-scale)' in done.stderr
    assert run("rd-entropy", "--score-scale", "bm25", stdin=stdin, check=True).stdout.count("\n") == 2


def test_unfit_scales_are_bad_records(run):
    stdin = line("a", [1, 1]) + line("b", [0.5, 0.2], score_scale="probability")
    done = run("rd-entropy", stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        'rd-entropy: <stdin>:2: the scores of query "b" are probabilities, whose differences are no odds '
        "(label with logits or log-probabilities)\n",
    )
    skipped = run("rd-entropy", "-q", "--on-error", "skip", stdin=stdin, check=True)
    assert len(skipped.stdout.splitlines()) == 2
    assert "1 bad line skipped" in skipped.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "0"], "--temperature must be above 0, not 0"),
        (["--temperature", "nan"], "--temperature must be above 0, not nan"),
        (["--by", "kappa"], "--by needs --cut"),
        (["--cut", "low", "-q"], "--cut writes records: --by-query does not go with it"),
        (["--cut", "low", "-f", "tsv"], "--cut writes records: --format does not go with it"),
        (["--cut", "0.9:0.1"], "cut '0.9:0.1': A:B are two quantiles with 0 <= A < B <= 1, such as 0.1:0.9"),
        (
            ["--cut", "lwo"],
            "unknown cut 'lwo'; did you mean 'low'? (choose from low, middle, high, below-median, "
            "above-median, inlier, outlier, A:B)",
        ),
    ],
)
def test_usage_errors(run, arguments, message):
    done = run("rd-entropy", *arguments, stdin=line("q", [1, 2]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"rd-entropy: {message}\nTry 'rd-entropy --help' for help.\n"


def test_a_misspelt_column(run):
    done = run("rd-entropy", "--cut", "low", "--by", "kapa", stdin=line("q", [1, 2]))
    assert done.returncode == 2
    assert "rd-entropy: unknown column 'kapa'; did you mean 'kappa'? (choose from docs, " in done.stderr
