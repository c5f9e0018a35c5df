"""rd-label as it is installed."""

from __future__ import annotations

import json

import pytest

RECORDS = "".join(
    json.dumps({"query_id": f"q{n}", "query": f"wing {n}", "extra": n, "docs": [
        {"doc_id": f"d{m}", "text": f"flow {'wing ' * m}", "rank": m, "source": "bm25"} for m in range(1, 4)
    ]}) + "\n"
    for n in range(6)
)  # fmt: skip


def scores(text):
    return [doc["score"] for line in text.splitlines() for doc in json.loads(line)["docs"]]


@pytest.mark.parametrize("kind", ["ce", "be"])
def test_splitting_the_stream_changes_no_score_beyond_1e_5(run, kind, tiny_ce, tiny_be):
    teacher = f"{kind}:{tiny_ce if kind == 'ce' else tiny_be}"
    lines = RECORDS.splitlines(keepends=True)
    whole = run("rd-label", "--teacher", teacher, "--device", "cpu", stdin=RECORDS, check=True)
    again = run("rd-label", "--teacher", teacher, "--device", "cpu", stdin=RECORDS, check=True)
    part = run("rd-label", "--teacher", teacher, "--device", "cpu", stdin="".join(lines[4:]), check=True)
    assert again.stdout == whole.stdout
    assert scores(part.stdout) == pytest.approx(scores(whole.stdout)[12:], abs=1e-5)
    first = json.loads(whole.stdout.splitlines()[0])
    assert first["extra"] == 0
    assert first["score_scale"] == ("logit" if kind == "ce" else "cosine")
    assert [doc["rank"] for doc in first["docs"]] == [1, 2, 3]
    assert whole.stderr == "rd-label: 6 records, 18 pairs: 18 scored\n"


def test_reranking_is_a_pipe(run, tmp_path, tiny_ce):
    (tmp_path / "corpus.tsv").write_text("d1\twing\nd2\tflow wing\nd3\tjet\n")
    (tmp_path / "queries.tsv").write_text("q\twing flow\n")
    bm25 = run(
        "rd-mine", "queries.tsv", "--corpus", "corpus.tsv", "-n", "all", "-f", "trec", check=True
    ).stdout
    # A run has no texts: they come from the collection.
    done = run(
        "rd-label", "--teacher", f"ce:{tiny_ce}", "--corpus", "corpus.tsv", "--queries", "queries.tsv", "-f", "trec",
        stdin=bm25, check=True,
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {row[2] for row in rows} == {"d1", "d2"}
    assert {row[5] for row in rows} == {tiny_ce}
    assert float(rows[0][4]) >= float(rows[1][4])


def test_a_cache_is_shared_by_runs(run, tiny_ce):
    options = ("--teacher", f"ce:{tiny_ce}", "--cache", "scores.db", "--device", "cpu")
    first = run("rd-label", *options, stdin="".join(RECORDS.splitlines(keepends=True)[:4]), check=True)
    second = run("rd-label", *options, stdin=RECORDS, check=True)
    assert first.stderr == "rd-label: 4 records, 12 pairs: 12 scored, 0 from the cache\n"
    assert second.stderr == "rd-label: 6 records, 18 pairs: 6 scored, 12 from the cache\n"
    assert second.stdout.startswith(first.stdout)


def test_empty_input_is_empty_output_whatever_the_teacher(run):
    done = run("rd-label")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "message"),
    [
        ([], '{"query_id":"q","query":"x"}\n{"query_id":\n', 1, "rd-label: model cross-encoder/ms-marco-MiniLM-L6-v2: neither"),
        (["--teacher", "qrels"], '{"query_id":"q"}\nnonsense\n', 1, "rd-label: <stdin>:2: not valid JSON: "),
        (["--teacher", "bm25", "--corpus", "c.tsv"], '{"query_id":"q","query":"x","docs":[{"doc_id":"d"}]}\n', 1,
         'rd-label: <stdin>:1: document "d" is not in the corpus\n'),
        (["--teacher", "bm25"], "q Q0 d 1 2.5 t\n", 2, "rd-label: a corpus is needed (give --dataset or --corpus)\n"),
        (["--teacher", "cee"], "", 2, "rd-label: unknown teacher 'cee'; did you mean 'ce'? "),
        (["--normalize", "z"], "", 2, "rd-label: unknown normalization 'z'"),
        (["--temperature", "0"], "", 2, "rd-label: --temperature 0: it must be above 0\n"),
    ],
)  # fmt: skip
def test_errors_are_one_line(run, tmp_path, arguments, stdin, status, message):
    (tmp_path / "c.tsv").write_text("d1\twing\n")
    done = run("rd-label", *arguments, stdin=stdin)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_skipped_records_are_counted_and_the_rest_goes_through(run, tmp_path):
    (tmp_path / "c.tsv").write_text("d1\twing\nd2\tflow\n")
    stdin = '{"query_id":"a","query":"wing","docs":[{"doc_id":"gone"}]}\n{"query_id":"b","query":"wing","docs":[{"doc_id":"d1"}]}\n'
    done = run(
        "rd-label", "--teacher", "bm25", "--corpus", "c.tsv", "--on-error", "skip", stdin=stdin, check=True
    )
    assert [json.loads(line)["query_id"] for line in done.stdout.splitlines()] == ["b"]
    assert "1 bad line skipped" in done.stderr
