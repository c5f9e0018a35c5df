"""rd-mine as it is installed."""

from __future__ import annotations

import json
import math
import shutil
import sysconfig
from pathlib import Path

import bm25s
import numpy as np
import pytest
from bm25_by_formula import words
from mined import miner_of
from safetensors.torch import load_file, save_file
from settings import resources

from rdtools.data.collection import Collection
from rdtools.data.pydoc import build, docstrings
from rdtools.formats.qrels import read_qrels
from rdtools.formats.records import dump
from rdtools.mine.options import Selection
from rdtools.mine.sources import open_source

CORPUS = "".join(f"d{n}\t{'wing ' * (n % 4)}{'flow ' * (n % 3)}number{n}\n" for n in range(40))
QUERIES = "q1\twing flow\nq2\tflow\nq3\twing number7\nq4\tnothing\n"
QRELS = "q1 0 d5 1\nq2 0 d8 1\nq2 0 d9 0\nq3 0 d7 2\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "corpus.tsv").write_text(CORPUS)
    (tmp_path / "queries.tsv").write_text(QUERIES)
    (tmp_path / "qrels").write_text(QRELS)
    return tmp_path


MINE = ("--corpus", "corpus.tsv", "--qrels", "qrels")


@pytest.mark.parametrize("source", ["bm25", "random"])
def test_split_input_gives_the_same_bytes_and_so_does_a_second_run(run, files, source):
    lines = QUERIES.splitlines(keepends=True)
    options = (*MINE, "--from", source, "-n", 5)
    whole = run("rd-mine", *options, stdin=QUERIES, check=True).stdout
    halves = [
        run("rd-mine", *options, stdin="".join(part), check=True).stdout for part in (lines[:2], lines[2:])
    ]
    assert "".join(halves) == whole
    assert run("rd-mine", "queries.tsv", *options, check=True).stdout == whole
    assert run("rd-mine", *options, "--queries", "queries.tsv", check=True).stdout == whole
    if source == "random":
        assert run("rd-mine", *options, "--seed", 1, stdin=QUERIES, check=True).stdout != whole


def test_a_dense_source_gives_the_same_bytes_to_a_part_of_the_input(run, files, tiny_be):
    options = (*MINE, "--from", f"dense:{tiny_be}", "-n", "all", "--depth", 9, "--device", "cpu")
    whole = run("rd-mine", *options, stdin=QUERIES, check=True).stdout
    setting = resources(Collection(corpus_path=str(files / "corpus.tsv")))
    source = open_source(f"dense:{tiny_be}", setting)
    qrels = read_qrels(str(files / "qrels"))
    miner = miner_of([source], Selection(num_negatives=None, depth=9), qrels, setting.collection.corpus)
    queries = [line.split("\t") for line in QUERIES.splitlines()[1:]]
    part = miner.mine({"query_id": query_id, "query": text, "docs": []} for query_id, text in queries)
    first, rest = whole.split("\n", 1)
    assert rest == "".join(dump(record).decode() for record in part)
    assert json.loads(first)["query_id"] == "q1"


def test_retrieval_is_the_same_with_and_without_judgements(run, files):
    options = ("queries.tsv", "--corpus", "corpus.tsv", "-n", "all", "--depth", 5, "-f", "trec")
    bare = run("rd-mine", *options, check=True).stdout
    assert run("rd-mine", *options, "--qrels", "qrels", check=True).stdout == bare
    assert run("rd-mine", *options, "--qrels", "qrels", "--add-positives", check=True).stdout == bare
    first = bare.splitlines()[0].split()
    assert first[:2] + first[3:4] + first[5:] == ["q1", "Q0", "1", "bm25"]


def test_a_run_of_several_sources_holds_all_their_documents_in_order(run, files):
    options = ("queries.tsv", "--corpus", "corpus.tsv", "--from", "bm25", "--from", "random", "-n", "all")
    written = run("rd-mine", *options, "--depth", 4, "-f", "trec", check=True).stdout
    records = run("rd-mine", *options, "--depth", 4, check=True).stdout
    for record in map(json.loads, records.splitlines()):
        ranking = [line.split() for line in written.splitlines() if line.startswith(record["query_id"] + " ")]
        assert [row[2] for row in ranking] == [doc["doc_id"] for doc in record["docs"]]
        assert [float(row[4]) for row in ranking] == [*range(len(ranking), 0, -1)]
        assert {row[5] for row in ranking} <= {"bm25+random", "random"}
        assert all(("score" in doc) is (doc["source"] == "bm25") for doc in record["docs"])


@pytest.mark.parametrize("form", ["trec", "jsonl"])
@pytest.mark.parametrize(
    "sources",
    [
        ["run:msmarco-run:m.run"],
        ["random"],
        ["run:msmarco-run:odd.run", "run:msmarco-run:m.run"],  # the positive is in the second alone
    ],
)
def test_a_run_of_groups_does_not_begin_with_the_positives(run, tmp_path, sources, form):
    (tmp_path / "c.tsv").write_text("".join(f"d{n}\talpha {n}\n" for n in range(1, 5)))
    (tmp_path / "q.tsv").write_text("q1\talpha\n")
    (tmp_path / "m.run").write_text("".join(f"q1\td{n}\t{n}\n" for n in range(1, 5)))
    (tmp_path / "odd.run").write_text("q1\td1\t1\nq1\td3\t2\n")
    arguments = ["q.tsv", "--corpus", "c.tsv", "--qrels", "qrels", "-f", form]
    arguments += [word for source in sources for word in ("--from", source)]
    for positive in ("d2", "d4"):
        (tmp_path / "qrels").write_text(f"q1 0 {positive} 1\n")
        values = [
            run("rd-eval", "qrels", "-m", "RR", stdin=run("rd-mine", *arguments, "-n", n, check=True).stdout)
            for n in ("all", "3")
        ]
        one, other = (done.stdout.split("\t")[2] for done in values)
        assert one == other


@pytest.mark.parametrize("paper", [(), ("--paper-compat",)])
def test_the_options_are_those_of_the_library(run, files, paper):
    options = (
        "--near-copies",
        0.3,
        "--false-negatives",
        "relabel",
        "--relative-margin",
        0.1,
        "--max-score",
        9,
    )
    sources = ("--from", "bm25", "--from", "graph", "--depth", 6, "--range-min", 1, "--seed", 3)
    done = run(
        "rd-mine", "queries.tsv", *MINE, *sources, *options, "-n", 12, "--pad", "--sample", 0.8, *paper, check=True
    )  # fmt: skip
    setting = resources(Collection(corpus_path=str(files / "corpus.tsv")), seed=3)
    selection = Selection(
        num_negatives=12, depth=6, range_min=1, near_copies=0.3, false_negatives="relabel", relative_margin=0.1,
        max_score=9, pad=True, sample=0.8, paper_compat=bool(paper), seed=3,
    )  # fmt: skip
    opened = [open_source(name, setting) for name in ("bm25", "graph")]
    miner = miner_of(opened, selection, read_qrels(str(files / "qrels")), setting.collection.corpus)
    records = list(miner.mine(Collection(queries_path=str(files / "queries.tsv")).queries([])))
    assert done.stdout == "".join(dump(record).decode() for record in records)
    assert done.stderr.endswith("".join(f"rd-mine: {line}\n" for line in miner.tally.lines()))
    assert len(records) == 3
    assert any(doc.get("relabelled") for record in records for doc in record["docs"])


def test_records_come_from_standard_input_also_where_a_dataset_has_queries(run, files):
    dataset = files / "data"
    (dataset / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "text": f"text {n}"} for n in range(20)]
    (dataset / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in corpus))
    (dataset / "queries.jsonl").write_text('{"_id": "other", "text": "never looked at"}\n')
    (dataset / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    docs = [{"doc_id": f"d{n}", "score": score} for n, score in ((1, 3.0), (2, 2.8), (3, 2.0))]
    record = {"query_id": "q1", "query": "x", "docs": docs, "teacher": "t", "score_scale": "logit"}
    options = ("--dataset", "data:test", "--from", "records", "--absolute-margin", 0.5, "-n", 3, "--pad")
    done = run("rd-mine", *options, stdin=json.dumps(record) + "\n", check=True)
    mined = json.loads(done.stdout)
    assert [(doc["doc_id"], doc.get("score")) for doc in mined["docs"][:2]] == [("d1", 3.0), ("d3", 2.0)]
    assert [doc["source"] for doc in mined["docs"][2:]] == ["random", "random"]
    assert (mined["teacher"], mined["score_scale"]) == ("t", "logit")
    assert (
        "rd-mine: 1 query: 1 positives (1 query), 3 negatives (1 query), 2 negatives that --pad drew (1 query)\n"
        "rd-mine: records: 1 candidates (1 query), 1 dropped by --absolute-margin (1 query), "
        "1 left out, positives by id (1 query)\n"
    ) in done.stderr


def test_the_help_says_what_random_and_the_papers_arithmetic_are(run):
    text = " ".join(run("rd-mine", "--help", check=True).stdout.split())
    assert "(--from random) or from a deep pool (--from bm25 --depth 10000 --sampling random)" in text
    assert "positives and their copies may be drawn as candidates and padding" in text
    assert "--absolute-margin keeps s⁺ − M itself" in text


def test_k1_and_b_count(run, files):
    options = ("queries.tsv", "--corpus", "corpus.tsv", "-n", "all", "-f", "trec")
    outputs = {
        run("rd-mine", *options, "--k1", k1, "--b", b, check=True).stdout
        for k1, b in [(1.2, 0.75), (0.9, 0.4), (0, 0)]
    }
    assert len(outputs) == 3


def test_unknown_fields_travel(run, files):
    record = {"query_id": 7, "query": "wing", "mine": {"a": [1, None]}, "docs": []}
    done = run("rd-mine", *MINE, "-n", 1, stdin=json.dumps(record) + "\n", check=True)
    mined = json.loads(done.stdout)
    assert mined["mine"] == record["mine"]
    assert mined["query_id"] == "7"


def test_the_account_is_on_stderr_and_quiet_silences_it(run, files):
    done = run("rd-mine", "queries.tsv", *MINE, "-n", 3, check=True)
    assert "rd-mine: 4 queries: 3 positives (3 queries)" in done.stderr
    assert "rd-mine: bm25: " in done.stderr
    assert run("rd-mine", "queries.tsv", *MINE, "-n", 3, "--quiet", check=True).stderr == ""


def test_an_index_is_kept_and_checked_against_the_corpus(run, files):
    options = ("queries.tsv", *MINE, "--index", "index")
    first = run("rd-mine", *options, check=True)
    second = run("rd-mine", *options, check=True)
    assert "indexed in" in first.stderr
    assert "indexed in" not in second.stderr
    assert second.stdout == first.stdout
    (files / "corpus.tsv").write_text(CORPUS + "d99\tnew\n")
    third = run("rd-mine", *options)
    assert (third.returncode, third.stdout) == (1, "")
    assert "it was built from another corpus (give another --index, or remove it)" in third.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["queries.tsv"],
            2,
            "rd-mine: a corpus is needed (give --dataset or --corpus)\nTry 'rd-mine --help' for help.\n",
        ),
        (
            ["queries.tsv", *MINE, "--from", "bm52"],
            2,
            "rd-mine: unknown source 'bm52'; did you mean 'bm25'? ",
        ),
        (
            ["queries.tsv", *MINE, "--sampling", "topp"],
            2,
            "rd-mine: unknown sampling 'topp'; did you mean 'top'? ",
        ),
        (
            ["queries.tsv", *MINE, "-n", "many"],
            2,
            "rd-mine: --num-negatives many: a whole number or all is needed\n",
        ),
        (
            ["queries.tsv", *MINE, "--range-min", "100"],
            2,
            "rd-mine: --range-min 100 skips all candidates of --depth 100\n",
        ),
        (
            ["queries.tsv", "--corpus", "none.tsv"],
            1,
            "rd-mine: none.tsv: cannot open: No such file or directory\n",
        ),
        (["none.tsv", *MINE], 1, "rd-mine: none.tsv: cannot open: No such file or directory\n"),
        (["bad.jsonl", *MINE], 1, 'rd-mine: bad.jsonl:2: missing "query_id"\n'),
        (
            ["notext.jsonl", *MINE],
            1,
            'rd-mine: notext.jsonl:1: query "q1" has no text (field "query" is missing)\n',
        ),
        (["queries.tsv", "--corpus", "twice.tsv"], 1, 'rd-mine: twice.tsv:3: duplicate doc_id "d1"\n'),
        (
            ["queries.tsv", *MINE, "-n", "all", "--sampling", "random"],
            2,
            "rd-mine: --sampling does nothing here: -n all keeps what the sources found\n",
        ),
        (
            ["queries.tsv", *MINE, "--queries", "queries.tsv"],
            2,
            "rd-mine: --queries does nothing here: queries.tsv brings the queries\n",
        ),
        *(
            (
                ["queries.tsv", *MINE, "--from", "bm25", *option],
                2,
                f"rd-mine: {option[0]} does nothing here: no source is dense:MODEL or sparse:MODEL or graph:dense:MODEL\n",
            )
            for option in (
                ["--device", "cpu"],
                ["--dtype", "float32"],
                ["--batch-tokens", "9"],
                ["--max-length", "9"],
            )
        ),
        *(
            (
                ["queries.tsv", *MINE, "--from", "random", *option],
                2,
                f"rd-mine: {option[0]} does nothing here: no source is bm25 or graph\n",
            )
            for option in (["--k1", "1.2"], ["--b", "1"])
        ),
        (
            ["queries.tsv", *MINE, "--score-scale", "logit"],
            2,
            "rd-mine: --score-scale does nothing here: no source is run:FILE or records\n",
        ),
        (["queries.tsv", "--dataset", "nowhere"], 2, "rd-mine: dataset nowhere: no such folder "),
        (
            ["queries.tsv", *MINE, "--false-negatives", "relabel"],
            2,
            "rd-mine: --false-negatives needs --relative-margin, --absolute-margin or --near-copies\n",
        ),
        (
            ["queries.tsv", *MINE, "--false-negatives", "drop", "--max-score", "1"],
            2,
            "rd-mine: --false-negatives needs --relative-margin, --absolute-margin or --near-copies\n",
        ),
        (
            ["queries.tsv", *MINE, "--near-copies", ".5", "--false-negatives", "relable"],
            2,
            "rd-mine: unknown treatment of false negatives 'relable'; did you mean 'relabel'? ",
        ),
        (
            ["queries.tsv", *MINE, "--from", "graph:bm25"],
            2,
            "rd-mine: --from graph:bm25: graph takes dense:MODEL, or nothing for BM25\n",
        ),
    ],
)
def test_errors_are_one_line_and_write_nothing(run, files, arguments, status, message):
    (files / "bad.jsonl").write_text('{"query_id":"q1","query":"wing"}\n{"query":"wing"}\n')
    (files / "notext.jsonl").write_text('{"query_id":"q1"}\n')
    (files / "twice.tsv").write_text("d1\tx\nd2\tx\nd1\tx\n")
    done = run("rd-mine", *arguments, "-o", "out.jsonl")
    assert (done.returncode, done.stdout) == (status, "")
    assert (
        done.stderr.split("indexed in")[-1]
        .splitlines()[-1 if status == 1 else -2]
        .startswith(message.splitlines()[0])
    )
    assert not (files / "out.jsonl").exists()


def test_bad_queries_can_be_skipped_and_are_counted(run, files):
    stdin = '{"query_id":"q1","query":"wing"}\n{"query":"lost"}\n{"query_id":"q2","query":"flow"}\n'
    done = run("rd-mine", *MINE, "--on-error", "skip", stdin=stdin, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert "rd-mine: warning: <stdin>: 1 bad line skipped" in done.stderr


def test_documents_that_stand_twice_and_queries_without_text_can_be_skipped(run, files):
    (files / "twice.tsv").write_text("d1\twing\nd1\tflow\n")
    stdin = '{"query_id":"q1","query":"wing flow"}\n{"query_id":"q2"}\n'
    options = ("--corpus", "twice.tsv", "-n", "all", "-f", "trec", "--on-error", "skip")
    done = run("rd-mine", *options, stdin=stdin, check=True)
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [["q1", "Q0", "d1"]]
    assert "rd-mine: warning: twice.tsv: 1 bad line skipped\n" in done.stderr
    assert "rd-mine: warning: <stdin>: 1 bad line skipped\n" in done.stderr
    done = run("rd-mine", "--from", "random", *options, stdin=stdin, check=True)  # it searches for no text
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["q1", "q2"]


@pytest.mark.parametrize(("own", "written"), [("", "logit"), (',"score_scale":"cosine"', "cosine")])
def test_a_stated_scale_is_that_of_scores_that_do_not_say_theirs(run, files, own, written):
    record = f'{{"query_id":"q1","query":"x","docs":[{{"doc_id":"d1","score":0.5}}]{own}}}\n'
    (files / "run.jsonl").write_text(record)
    stated = ("-n", "all", "--score-scale", "logit")
    for source in ("records", "run:run.jsonl"):
        done = run("rd-mine", "--from", source, *stated, stdin=record, check=True)
        assert json.loads(done.stdout)["score_scale"] == written
    bare = run("rd-mine", "--from", "records", *stated, stdin='{"query_id":"q","docs":[{"doc_id":"d"}]}')
    assert "score_scale" not in json.loads(bare.stdout)
    done = run("rd-label", "--teacher", "qrels", "--score-scale", "logit", stdin=record, check=True)
    assert json.loads(done.stdout)["score_scale"] == "logit"


def test_limits_of_several_sources_are_stated_for_each(run, files):
    """A limit of one source leaves the other as it is without it; a file's name may have an equals sign."""
    (files / "a=b.run").write_text("".join(f"q1 Q0 d{n} {n} {10 - n} x\n" for n in range(1, 6)))
    both = ("queries.tsv", *MINE, "--from", "bm25", "--from", "run:a=b.run", "-n", "all")

    def mined(*limits):
        done = run("rd-mine", *both, "--depth", "bm25=2", *limits, check=True)
        first = json.loads(done.stdout.splitlines()[0])
        return [(doc["source"], doc["doc_id"]) for doc in first["docs"]]

    bm25 = [doc for doc in mined() if doc[0] == "bm25"]
    assert 2 == len(bm25) < len(mined())
    assert mined("--max-score", "run=0") == mined("--max-score", "run:a=b.run=0") == bm25
    assert bm25[:1] == mined("--depth", "bm25=1", "--max-score", "9", "--max-score", "run=0")[:1]


@pytest.mark.parametrize("limit", ["--max-score", "--min-score", "--absolute-margin"])
def test_no_limit_is_held_against_two_scales(run, files, limit):
    def record(number: int, scale: str) -> str:
        docs = [{"doc_id": "d1", "text": "x", "score": 0.5}]
        return json.dumps({"query_id": f"q{number}", "query": "x", "docs": docs, "score_scale": scale}) + "\n"

    both = record(1, "logit") + record(2, "cosine")
    mine = ("rd-mine", "--from", "records", "-n", 1, "--quiet")
    done = run(*mine, limit, 0.5, stdin=both)
    assert (done.returncode, done.stderr) == (
        1,
        'rd-mine: <stdin>:2: the scores of query "q2" are cosine, those before logit '
        "(no limit fits both: mine each scale by itself)\n",
    )
    assert len(run(*mine, stdin=both, check=True).stdout.splitlines()) == 2
    stated = record(1, "logit") + record(2, "unknown")
    run(*mine, limit, 0.5, "--score-scale", "logit", stdin=stated, check=True)


def test_empty_input_is_empty_output(run, files):
    done = run("rd-mine", *MINE, "--from", "dense:no/such-model")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["bm25", "dense"])
def test_scifact(run, scifact, minilm, source):
    """The figures known for this collection: BM25 0.679 and 0.913, MiniLM 0.645."""
    source = f"dense:{minilm}" if source == "dense" else source
    mined = run(
        "rd-mine", "--dataset", f"{scifact}:test", "--from", source, "-n", "all", "--depth", 1000, "-f", "trec",
        check=True, timeout=1800,
    )  # fmt: skip
    judgements = scifact / "qrels" / "test.trec"
    done = run("rd-eval", judgements, "-m", "nDCG@10", "-m", "R@100", stdin=mined.stdout, check=True)
    if source == "bm25":
        assert done.stdout == "bm25\tnDCG@10\t0.6791\nbm25\tR@100\t0.9127\n"
    else:
        assert float(done.stdout.split("\t")[2].split("\n")[0]) == pytest.approx(0.645, abs=0.002)


def test_pydoc_bm25_against_another_library(run, tmp_path):
    """Two packages of it as a dataset: the measures are those of a ranking by bm25s, with words by a regex."""
    library = Path(sysconfig.get_path("stdlib"))
    names = ("asyncio", "email")
    documents, asked = build(
        {f"{part}.{name}": text for part in names for name, text in docstrings(library / part).items()}
    )
    queries = {query_id: summary for query_id, (summary, _) in asked.items()}
    qrels = {query_id: set(relevant) for query_id, (_, relevant) in asked.items()}
    folder = tmp_path / "part"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in texts.items())
        )
    (folder / "qrels" / "test.tsv").write_text(
        "".join(
            ["query-id\tcorpus-id\tscore\n", *(f"{q}\t{d}\t1\n" for q, own in qrels.items() for d in own)]
        )
    )
    mined = run("rd-mine", "--dataset", "part:test", "-n", "all", "--depth", 100, "-f", "trec", check=True)
    done = run(
        "rd-eval", "part:test", "-m", "nDCG@10", "-m", "R@100", "-f", "jsonl", stdin=mined.stdout, check=True
    )
    found = {row["measure"]: row["value"] for row in map(json.loads, done.stdout.splitlines())}

    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    doc_ids = sorted(documents, reverse=True)  # ties: the larger id first
    index.index([words(documents[doc_id]) for doc_id in doc_ids], show_progress=False)
    gains, recalls = [], []
    for query_id, judged in qrels.items():
        order = np.argsort(-index.get_scores(words(queries[query_id])), kind="stable")[:100]
        hits = [doc_ids[row] in judged for row in order]
        best = sum(1 / math.log2(place + 2) for place in range(min(10, len(judged))))
        gains.append(sum(hit / math.log2(place + 2) for place, hit in enumerate(hits[:10])) / best)
        recalls.append(sum(hits) / len(judged))
    assert found == pytest.approx({"nDCG@10": np.mean(gains), "R@100": np.mean(recalls)}, abs=1e-3)
    assert 0.25 < found["nDCG@10"] < 0.45
    assert 0.7 < found["R@100"] < 0.9


def test_a_bad_query_loses_none_of_those_before_it(run, files):
    done = run("rd-mine", *MINE, "-n", 5, stdin="q1\twing flow\nq2\tflow\nno tabulator\n")
    assert done.returncode == 1
    assert [json.loads(line)["query_id"] for line in done.stdout.splitlines()] == ["q1", "q2"]


@pytest.mark.parametrize(
    "arguments",
    [["--from", "graph"], ["--absolute-margin", "1"], ["--relative-margin", "0.1"], ["--near-copies", "0.5"]],
)
def test_sources_and_filters_that_need_positives_say_that_there_are_none(run, tmp_path, arguments):
    (tmp_path / "c.tsv").write_text("d1\twing flow\nd2\twing\n")
    (tmp_path / "q.tsv").write_text("q\twing\n")
    (tmp_path / "qrels").write_text("q 0 d1 1\n")
    warning = "rd-mine: warning: no query has a positive (give --qrels or --dataset)\n"
    command = ["rd-mine", "q.tsv", "--corpus", "c.tsv", "-n", "1", *arguments]
    assert run(*command, check=True).stderr.endswith(warning)
    assert warning not in run(*command, "--qrels", "qrels", check=True).stderr
    assert warning not in run(*command[:6], check=True).stderr


@pytest.mark.parametrize("source", ["dense", "graph:dense"])
def test_a_model_whose_embeddings_are_not_finite_is_one_line(run, tmp_path, tiny_be, source):
    folder = shutil.copytree(tiny_be, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.LayerNorm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (tmp_path / "corpus").write_text("d1\twing\nd2\tflow\n")
    arguments = ("--corpus", "corpus", "--index", "index", "--from", f"{source}:broken", "--quiet")
    done = run("rd-mine", *arguments, stdin="q\twing\n")
    says = "model broken: an embedding is not finite (try --dtype float32, or another model)"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"rd-mine: {says}\n")
    assert not list(tmp_path.glob("index/*"))
