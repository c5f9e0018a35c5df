"""rd-entropy as installed: tables, cuts, scales, errors."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from settings import resources

from rdtools.data.collection import Collection
from rdtools.diagnose.columns.geometry import Geometry, GeometryOptions

HEAD = "pairwise_entropy_bits\tlistwise_entropy_bits\tlistwise_entropy_share\ttied_pairs\tmargin\tkappa\tlog10_kappa"


def line(query_id: str, scores: list[float | None], **fields) -> str:
    docs = [{"doc_id": str(i)} | ({} if s is None else {"score": s}) for i, s in enumerate(scores)]
    return json.dumps({"query_id": query_id, "docs": docs, "score_scale": "logit"} | fields) + "\n"


def test_by_query(run):
    done = run("rd-entropy", "-q", stdin=line("tied", [1, 1]) + line("one", [1, None]), check=True)
    assert done.stdout == (
        f"file\tquery_id\tdocs\t{HEAD}\ttemperature\n"
        "<stdin>\ttied\t2\t1.0\t1.0\t1.0\t1.0\t0.0\t1.0\t0.0\t1.0\n"
        "<stdin>\tone\t1\t\t\t\t\t\t\t\t1.0\n"
    )
    assert done.stderr == (
        "rd-entropy: 1 document without a score left out\n"
        "rd-entropy: 1 record with fewer than two scored documents: undefined, and in no --cut\n"
    )


def test_a_summary_row_per_file(run, tmp_path):
    (tmp_path / "a").write_text(line("1", [2, 2]) + line("2", [0, 1e6]))
    (tmp_path / "b").write_text(line("3", [0]))
    done = run("rd-entropy", "a", "b", "--temperature", 0.5, check=True)
    most = (2e6 - math.log(2)) / math.log(10)
    assert done.stdout == (
        f"file\tqueries\tdocs\t{HEAD}\tkappa_max\tlog10_kappa_max\ttemperature\n"
        f"a\t2\t4\t0.5\t0.5\t0.5\t0.5\t500000.0\tinf\t{most / 2}\tinf\t{most}\t0.5\n"
        "b\t1\t1\t\t\t\t\t\t\t\t\t\t0.5\n"
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
    assert rows[0]["log10_kappa"] == pytest.approx(math.log10(2))
    assert rows[1]["log10_kappa"] == pytest.approx((1e6 - math.log(2)) / math.log(10))
    assert (rows[2]["docs"], rows[2]["tied_pairs"]) == (0, None)
    table = run("rd-entropy", "-q", "-f", "markdown", stdin=line("q", [1, 1]), check=True).stdout.splitlines()
    assert table[1].startswith("| :--- | :--- | ---: |")
    assert table[2] == "| <stdin> | q | 2 | 1.0000 | 1.0000 | 1.0000 | 1.0000 | 0.0000 | 0.0000 | 1.0000 |"
    heads = run("rd-entropy", "-f", "markdown", "--confidence", "0.9", stdin=line("q", [1, 1]), check=True)
    names = heads.stdout.splitlines()[0].strip("| ").split(" | ")
    assert [name for name in names if "kappa" in name] == [
        "log10_kappa", "log10_kappa_max", "log10_kappa_low", "log10_kappa_high",
    ]  # fmt: skip


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


@settings(max_examples=4)
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
        'rd-entropy: <stdin>:2: the scores of query "b" are probabilities, whose differences are not log-odds '
        "(label with logits or log-probabilities)\n",
    )
    skipped = run("rd-entropy", "-q", "--on-error", "skip", stdin=stdin, check=True)
    assert len(skipped.stdout.splitlines()) == 2
    assert "1 bad line skipped" in skipped.stderr


def test_a_cut_is_within_one_scale(run):
    stdin = (
        line("a", [1, 2]) + line("b", [0.5, 0.2], score_scale="cosine") + line("c", [], score_scale="bm25")
    )
    done = run("rd-entropy", "--cut", "low", stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        'rd-entropy: <stdin>:2: the scores of query "b" are cosine, those before logit '
        "(cut each scale by itself)\n",
    )
    unstated = line("a", [1, 2]) + line("b", [3, 5], score_scale="unknown")
    assert run("rd-entropy", "--cut", "0:1", stdin=unstated).returncode == 1
    stated = run("rd-entropy", "--cut", "0:1", "--score-scale", "logit", stdin=unstated, check=True)
    assert [json.loads(kept)["query_id"] for kept in stated.stdout.splitlines()] == ["a", "b"]
    assert run("rd-entropy", "-q", stdin=stdin, check=True).stdout.count("\n") == 4  # each by itself
    assert run("rd-entropy", "--cut", "0:1", "--by", "docs", stdin=stdin, check=True).stdout.count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "0"], "--temperature must be above 0, not 0"),
        (["--temperature", "nan"], "--temperature nan: a finite number is needed"),
        (["--by", "kappa"], "--by needs --cut"),
        (["--cut", "low", "-q"], "--by-query cannot be combined with --cut, which writes records"),
        (["--cut", "low", "-f", "tsv"], "--format cannot be combined with --cut, which writes records"),
        (["--cut", "low", "--plot", "x.png"], "--plot cannot be combined with --cut, which writes records"),
        (["--against", "m", "-q"], "--by-query cannot be combined with --against, which writes correlations"),
        (
            ["--confidence", "0.9", "-q"],
            "--by-query cannot be combined with --confidence, which is for the summary",
        ),
        (["--confidence", "95"], "--confidence must be above 0 and below 1, not 95"),
        (["--alpha", "0.9"], "--alpha needs --encoder"),
        (["--density-among", "corpus"], "--density-among needs --encoder"),
        (["--device", "cpu"], "--device needs --encoder"),
        (["--batch-tokens", "9"], "--batch-tokens needs --encoder"),
        (
            ["--encoder", "m", "--density-among", "corpus"],
            "--density-among corpus needs --dataset or --corpus",
        ),
        (["--margin", "1"], "--margin needs --compare"),
        (["--positive", "mean"], "--positive needs --compare"),
        (
            ["--compare", "--positive", "best"],
            "unknown positive 'best'; did you mean 'lowest'? (choose from lowest, highest, mean)",
        ),
        (
            ["--calibrate", "-q"],
            "--by-query cannot be combined with --calibrate, which writes the temperature",
        ),
        (
            ["--calibrate", "--cut", "low"],
            "--cut cannot be combined with --calibrate, which writes the temperature",
        ),
        (
            ["--calibrate", "--temperature", "1"],
            "--temperature cannot be combined with --calibrate, which writes the temperature",
        ),
        (
            ["--calibrate", "--compare"],
            "--compare cannot be combined with --calibrate, which writes the temperature",
        ),
        (
            ["--calibrate", "--paper-compat"],
            "--paper-compat cannot be combined with --calibrate, which writes the temperature",
        ),
        (["--student-temperature", "1"], "--student-temperature needs --student"),
        (["--corpus", "c"], "--corpus needs --coverage or --encoder"),
        (["--index", "i"], "--index needs --encoder"),
        (["--encoder", "m", "--index", "i"], "--index needs --density-among corpus"),
        (["--encoder", "m", "--alpha", "1.5"], "--alpha must be above 0 and at most 1, not 1.5"),
        (["--compare", "--pairs-per-second", "0"], "--pairs-per-second must be above 0, not 0"),
        (["--plot", "x.eps"], "--plot x.eps: FILE.png, FILE.svg, FILE.pdf or terminal is needed"),
        (["--cut", "low", "--by", "diameter"], "--by diameter needs --encoder"),
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


def table(stdout: str) -> list[dict[str, str]]:
    header, *rows = (one.split("\t") for one in stdout.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_the_first_columns_stay_whatever_is_added(run, tmp_path):
    """Options add columns behind those that are there without them, whose text does not change."""
    (tmp_path / "qrels").write_text("q 0 0 1\n")
    (tmp_path / "run").write_text("q Q0 1 1 3.5 s\nq Q0 0 2 1.5 s\nq Q0 7 3 1.0 s\nz Q0 9 1 1.0 s\n")
    docs = [
        {"doc_id": "0", "score": 1.0, "relevance": 1, "text": "a b"},
        {"doc_id": "1", "score": 2.0, "text": "c"},
    ]
    stdin = line("q", [], docs=docs, teacher="ce", transformations=[{"temperature": 2.0}])
    plain = run("rd-entropy", stdin=stdin, check=True).stdout.splitlines()
    more = ["--compare", "--margin", "-2", "--pairs-per-second", "1", "--check-against", "qrels", "--coverage", "run",
            "--student", "run", "--student-temperature", "0.5", "--paper-compat", "--confidence", "0.9"]  # fmt: skip
    done = run("rd-entropy", *more, stdin=stdin, check=True)
    for before, after in zip(plain, done.stdout.splitlines(), strict=True):
        assert after.startswith(before + "\t")
    (row,) = table(done.stdout)
    sure = 1 / (1 + math.e)  # the teacher's share of document 0, e¹ to 1; the student's is e⁴ to 1
    own = 1 / (1 + math.e**4)
    expected = {
        "supremum": 2.0, "suspected_false_negatives": 0.0, "pairs": 2, "distinct_docs": 2, "words": 3,
        "hours": 2 / 3600, "test_queries": 1, "shared_queries": 1, "relevant_docs_seen": 1,
        "coverage": 2 / 3, "coverage_of_run": 2 / 4, "student_temperature": 0.5, "suspect_margin": -2.0,
        "student_kl_bits": sure * math.log2(sure / own) + (1 - sure) * math.log2((1 - sure) / (1 - own)),
        "score_share_entropy_nats": -(1 / 3) * math.log(1 / 3) - (2 / 3) * math.log(2 / 3),
        "score_share_kappa": 1.5, "confidence": 0.9, "supremum_low": 2.0, "supremum_high": 2.0,
    }  # fmt: skip
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
    assert (row["teacher"], row["score_scale"], row["transformed"]) == ("ce", "logit", "temperature=2.0")
    (by_query,) = table(run("rd-entropy", "-q", *more[:-2], stdin=stdin, check=True).stdout)
    for name in ("supremum", "coverage", "student_kl_bits", "score_share_kappa", "student_temperature"):
        assert float(by_query[name]) == pytest.approx(expected[name])


def test_the_interval_is_around_the_mean(run):
    stdin = "".join(line(str(n), [0, n % 7, 3]) for n in range(50))
    (row,) = table(run("rd-entropy", "--confidence", "0.95", stdin=stdin, check=True).stdout)
    for name in HEAD.split("\t"):
        assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"])
    other = table(run("rd-entropy", "--confidence", "0.5", stdin=stdin, check=True).stdout)[0]
    assert (
        float(row["margin_low"])
        < float(other["margin_low"])
        < float(other["margin_high"])
        < float(row["margin_high"])
    )


def test_correlation_with_effectiveness(run, tmp_path):
    stdin = "".join(line(f"q{n}", [0, n]) for n in range(8))
    (tmp_path / "metrics").write_text("".join(f"bm25\tq{n}\tAP\t{n / 10}\n" for n in range(8)))
    rows = table(run("rd-entropy", "--against", "metrics", stdin=stdin, check=True).stdout)
    assert list(rows[0]) == (
        "file run measure column queries pearson pearson_low pearson_high spearman spearman_low spearman_high "
        "confidence temperature".split()
    )
    margin = next(row for row in rows if row["column"] == "margin")
    assert (margin["queries"], float(margin["spearman"])) == ("8", 1)
    assert float(margin["pearson"]) == pytest.approx(1)
    assert (margin["confidence"], margin["run"], margin["measure"]) == ("0.95", "bm25", "AP")
    entropy = next(row for row in rows if row["column"] == "pairwise_entropy_bits")
    assert float(entropy["pearson_low"]) < float(entropy["pearson"]) < float(entropy["pearson_high"]) < 0
    assert run("rd-entropy", "--against", "metrics", check=True).stdout == ""


def test_drawings_leave_stdout_to_the_data(run, tmp_path):
    stdin = "".join(line(str(n), [0, n]) for n in range(5))
    plain = run("rd-entropy", stdin=stdin, check=True).stdout
    drawn = run("rd-entropy", "--plot", "terminal", stdin=stdin, check=True)
    assert drawn.stdout == plain
    assert "margin (0 to 4)\n  <stdin> |█" in drawn.stderr
    assert drawn.stderr.endswith("temperature 1.0\n")
    assert run("rd-entropy", "--plot", "terminal", "--quiet", stdin=stdin, check=True).stderr == ""
    by_query = run("rd-entropy", "-q", "--plot", "x.svg", stdin=stdin, check=True)
    assert (tmp_path / "x.svg").read_bytes().startswith(b"<?xml")
    assert len(by_query.stdout.splitlines()) == 6


PAPER_SCORES: list[list[float | None]] = [
    [4.0, 4.0],
    [1.0, 9.0],
    [None, 5.0],
    [-1.0, 2.0, 3.0],
    [2.0, 3.0, 3.0],
    [8.0, 1.0],
    [1.0, 2.0],
]


def paper_shares(scores: list[float | None]) -> float:
    """entropy/generate_entropy.py, on scores of which the missing ones are 0."""
    filled = [score or 0.0 for score in scores]
    return -sum(s / sum(filled) * math.log(s / sum(filled)) for s in filled if s / sum(filled) > 0)


@pytest.mark.parametrize(
    ("part", "keeps"),
    [
        ("low", lambda value, q1, median, q3: value > q1),
        ("high", lambda value, q1, median, q3: value < q3),
        ("below-median", lambda value, q1, median, q3: value < median),
        ("above-median", lambda value, q1, median, q3: value > median),
    ],
)
def test_the_papers_cuts(run, part, keeps):
    """The last line of a query decides, as in the paper's dictionary: here query 0 comes again."""
    lines: list[tuple[int, list[float | None]]] = [*enumerate(PAPER_SCORES), (0, [7.0, 2.0])]
    values = {query: paper_shares(scores) for query, scores in lines}
    quartiles = np.percentile(list(values.values()), [25, 50, 75])
    expected = [query for query, _ in lines if keeps(values[query], *quartiles)]
    stdin = "".join(line(str(query), scores) for query, scores in lines)
    done = run("rd-entropy", "--paper-compat", "--cut", part, stdin=stdin, check=True)
    assert [int(json.loads(one)["query_id"]) for one in done.stdout.splitlines()] == expected


def test_geometry_of_the_installed_command(run, tiny_be):
    """One query's diameter is both its own and the file's; documents without a score have a place too."""
    words = "boundary layer flow flat plate heat transfer wing body pressure speed sound".split()
    docs = [{"doc_id": word, "text": word} for word in words]
    stdin = line("q", [], docs=docs) + line("few", [], docs=docs[:2]) + line("none", [])
    options = [
        "--encoder",
        tiny_be,
        "--distance",
        "euclidean",
        "--alpha",
        "0.5",
        "--neighbours",
        "3",
        "--device",
        "cpu",
    ]
    done = run("rd-entropy", "-q", *options, stdin=stdin, check=True)
    one, few, none = table(done.stdout)
    assert 0 < float(one["diameter"]) < 2
    assert float(one["dimension"]) > 0
    assert float(one["density"]) > 0
    assert (one["docs"], one["pairwise_entropy_bits"]) == ("0", "")
    assert (one["distance"], one["alpha"], one["neighbours"], one["encoder"]) == (
        "euclidean",
        "0.5",
        "3",
        tiny_be,
    )
    assert float(few["diameter"]) > 0
    assert (few["density"], none["diameter"]) == ("", "")
    assert "2 records with too few distinct documents for 3 neighbours" in done.stderr


def test_density_among_the_corpus(tiny_be, tmp_path):
    """A query whose documents are far more common in the corpus lies in a denser place."""
    rng = np.random.default_rng(0)
    words = "boundary layer flow flat plate heat transfer wing body pressure speed sound".split()
    common = [" ".join([*words[:4], *rng.choice(words[:4], 2)]) for _ in range(60)]
    rare = [" ".join(rng.choice(words[4:], 6)) for _ in range(6)]
    texts = dict(enumerate(dict.fromkeys(common + rare)))
    (tmp_path / "corpus.tsv").write_text("".join(f"{i}\t{text}\n" for i, text in texts.items()))
    setting = resources(Collection(corpus_path=str(tmp_path / "corpus.tsv")))
    options = GeometryOptions(encoder=tiny_be, neighbours=4, density_among="corpus")
    geometry = Geometry.open(options, 1.0, setting)
    assert geometry is not None
    ids = [str(i) for i in texts]
    groups: list[Any] = [
        {"query_id": "q", "docs": [{"doc_id": i} for i in part]} for part in (ids[:6], ids[-6:])
    ]
    for group in groups:
        geometry.check(group)
    (_, dimension, dense), (_, same, sparse) = geometry.measure(groups).tolist()
    assert dimension == same > 0
    assert dense > sparse > 0


def test_the_fast_path_imports_no_model_and_no_picture(run, tmp_path):
    script = (
        "import sys; sys.argv = ['rd-entropy', 'in']\n"
        "from rdtools.cli.entropy import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'scipy', 'matplotlib', 'transformers'} & sys.modules.keys()), file=sys.stderr)"
    )
    (tmp_path / "in").write_text(line("q", [1, 2]))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "[]\n"
    assert done.stdout.startswith("file\tqueries")
