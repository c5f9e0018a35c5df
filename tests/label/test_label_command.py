"""rd-label as it is installed."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
from safetensors.torch import load_file, save_file

from rdtools.core.errors import RdError
from rdtools.label.score_cache import ScoreCache

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


@pytest.mark.parametrize("kind", ["ce", "be"])
def test_in_half_precision_it_changes_none_beyond_1e_2(run, kind, tiny_ce, tiny_be):
    label = ("rd-label", "--teacher", f"{kind}:{tiny_ce if kind == 'ce' else tiny_be}", "--dtype", "bf16", "--device", "cpu")  # fmt: skip
    whole = scores(run(*label, stdin=RECORDS, check=True).stdout)
    alone = "".join(run(*label, stdin=line, check=True).stdout for line in RECORDS.splitlines())
    assert scores(alone) == pytest.approx(whole, abs=1e-2)


@pytest.fixture(params=["ce", "be"])
def broken(request, tmp_path, tiny_ce, tiny_be):
    """A teacher with one weight that is not a number, as after a training that has diverged."""
    kind = request.param
    folder = shutil.copytree(tiny_ce if kind == "ce" else tiny_be, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "embeddings.LayerNorm.weight" in name)
    weights[name][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return f"{kind}:{folder}"


def test_a_broken_teacher_is_one_line_and_not_a_file_without_scores(run, tmp_path, broken):
    label = ("rd-label", "--teacher", broken, "--device", "cpu", "--quiet")
    done = run(*label, "-o", "out", stdin=RECORDS)
    name = broken.partition(":")[2]
    assert re.fullmatch(
        rf'rd-label: query "q\d", document "d\d": the score of {name} is nan .*\n', done.stderr
    )
    assert (done.returncode, (tmp_path / "out").exists()) == (1, False)
    done = run(*label[:-1], "--on-error", "skip", stdin=RECORDS, check=True)
    assert 'score":' not in done.stdout
    assert done.stderr == (
        "rd-label: 6 records, 18 pairs: 0 scored, 18 without a score\n"
        "rd-label: warning: 18 scores skipped because they are not finite\n"
    )


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
        ([], '{"query_id":"q","query":"x"}\n{"query_id":\n', 1, "rd-label: model cross-encoder/ms-marco-MiniLM-L6-v2: not a local folder"),
        (["--teacher", "qrels"], '{"query_id":"q"}\nnonsense\n', 1, "rd-label: <stdin>:2: not valid JSON: "),
        (["--teacher", "bm25", "--corpus", "c.tsv"], '{"query_id":"q","query":"x","docs":[{"doc_id":"d"}]}\n', 1,
         'rd-label: <stdin>:1: document "d" is not in the corpus\n'),
        (["--teacher", "bm25"], "q Q0 d 1 2.5 t\n", 2, "rd-label: a corpus is needed (give --dataset or --corpus)\n"),
        (["--teacher", "cee"], "", 2, "rd-label: unknown teacher 'cee'; did you mean 'ce'? "),
        (["--normalize", "z"], "", 2, "rd-label: unknown normalization 'z'"),
        (["--temperature", "0"], "", 2, "rd-label: --temperature must be above 0, not 0\n"),
        (["--noise", "-1"], "", 2, "rd-label: --noise must be at least 0, not -1\n"),
        (["--rank-targets", "recip"], "", 2, "rd-label: unknown rank target 'recip'; did you mean 'reciprocal'?"),
        (["--normalize", "none", "--normalize", "minmax"], "", 2,
         "rd-label: --normalize is given 2 times for 1 teacher (give it once for all, or once for each)\n"),
        (["--augment-doc", "drop:2"], "", 2, "rd-label: --augment-doc drop:2: give a share above 0 and at most 1, such as drop:0.1"),
        (["--augmented-text", "student"], "", 2, "rd-label: unknown reader 'student'"),
        (["--teacher", "llm:m", "--prompt", "{query}"], "", 2, "rd-label: --prompt must contain {query} and {document}"),
        (["--prompt", "{query} {document}"], "", 2, "rd-label: --prompt needs --teacher llm:MODEL, --teacher t5:MODEL or --teacher api:MODEL\n"),
        (["--chat"], "", 2, "rd-label: --chat needs --teacher llm:MODEL\n"),
        (["--answers", "a,b"], "", 2, "rd-label: --answers needs --teacher llm:MODEL, --teacher t5:MODEL or --teacher api:MODEL\n"),
        (["--teacher", "llm:m", "--instruction", "x"], "", 2, "rd-label: --instruction: the prompt has no {instruction} (write it into --prompt)\n"),
        (["--teacher", "llm:m", "--prompt-preset", "qwen3-reranker", "--prompt", "{query}{document}"], "", 2,
         "rd-label: --prompt-preset cannot be combined with --prompt, which has a prompt\n"),
        (["--teacher", "llm:m", "--prompt-preset", "monot"], "", 2, "rd-label: unknown preset 'monot'; did you mean 'monot5'?"),
        (["--teacher", "be:m", "--index", "i"], "", 2,
         "rd-label: --index does nothing here: an index belongs to a corpus (give --corpus or --dataset)\n"),
        (["--teacher", "ce:m", "--index", "i", "--corpus", "c.tsv"], "", 2,
         "rd-label: --index does nothing here: --teacher ce reads no index\n"),
        (["--teacher", "be:m", "--k1", "2"], "", 2, "rd-label: --k1 does nothing here: --teacher be is not BM25\n"),
        (["--teacher", "qrels", "--teacher", "run:r", "--device", "cpu"], "", 2,
         "rd-label: --device does nothing here: --teacher qrels or run loads no model\n"),
        (["--teacher", "bm25", "--cache", "c.db"], "", 2,
         "rd-label: --cache does nothing here: --teacher bm25 scores too fast for a cache\n"),
        (["--teacher", "ce:m", "--qrels", "q"], "", 2,
         "rd-label: --qrels does nothing here: --teacher ce reads no judgements\n"),
        (["--teacher", "ce:m", "--score-scale", "logit"], "", 2,
         "rd-label: --score-scale does nothing here: --teacher ce knows the scale of its scores\n"),
        (["--combine", "mean"], "", 2, "rd-label: --combine needs several --teacher\n"),
        (["--augmented-text", "both"], "", 2, "rd-label: --augmented-text needs --augment-query or --augment-doc\n"),
        (["--teacher", "qrels", "--augment-doc", "drop:0.5"], '{"query_id":"q","docs":[]}\n', 2,
         "rd-label: no teacher reads the augmented texts (--augmented-text both gives them to the student)\n"),
        (["--teacher", "llm:m", "--answers", "yes,"], "", 2, "rd-label: --answers 'yes,': give two answers"),
        (["--teacher", "qrels", "--temperature", "1e-39"], '{"query_id":"q","query":"x","docs":[{"doc_id":"d","relevance":1}]}\n', 1,
         'rd-label: query "q", document "d": the score 1e+39 after temperature is not a finite float32\n'),
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


def test_a_ranking_without_scores_becomes_targets(run, tmp_path):
    """An MS MARCO run has ranks of the whole collection; targets count ranks within the record."""
    (tmp_path / "run.tsv").write_text("q\tb\t3\nq\tx\t4\nq\ta\t70\n")
    stdin = '{"query_id":"q","docs":[{"doc_id":"a"},{"doc_id":"b"},{"doc_id":"c"}]}\n'
    done = run(
        "rd-label", "--teacher", "run:msmarco-run:run.tsv", "--rank-targets", "log", stdin=stdin, check=True
    )
    assert json.loads(done.stdout) == {
        "query_id": "q",
        "docs": [
            {"doc_id": "a", "score": 0.63092977, "scores": {"run:msmarco-run:run.tsv": -70.0}},  # 1/log2(3)
            {"doc_id": "b", "score": 1.0, "scores": {"run:msmarco-run:run.tsv": -3.0}},
            {"doc_id": "c", "scores": {}},
        ],
        "teacher": "run:msmarco-run:run.tsv",
        "score_scale": "unknown",
        "transformations": [{"rank_targets": "log"}],
    }
    assert done.stderr == "rd-label: 1 record, 3 pairs: 2 scored, 1 without a score\n"


def test_what_is_random_does_not_depend_on_how_the_input_was_split(run):
    options = ("--teacher", "qrels", "--noise", "0.3", "--seed", "2", "--augment-query", "shuffle:1", "--augment-doc",
               "drop:0.5", "--augment-doc", "crop:0.2", "--augmented-text", "both")  # fmt: skip
    lines = RECORDS.splitlines(keepends=True)
    whole = run("rd-label", *options, stdin=RECORDS, check=True).stdout
    assert run("rd-label", *options, stdin="".join(lines[4:]), check=True).stdout == "".join(
        whole.splitlines(keepends=True)[4:]
    )
    assert run("rd-label", *options, "--seed", "3", stdin=RECORDS, check=True).stdout != whole
    first = json.loads(whole.splitlines()[0])
    assert first["transformations"] == [{"noise": 0.3, "seed": 2}]
    assert first["augmentation"] == {
        "query": ["shuffle:1.0"], "doc": ["drop:0.5", "crop:0.2"], "text": "both", "seed": 2,
    }  # fmt: skip
    assert [doc["scores"] for doc in first["docs"]] == [{"qrels": 0.0}] * 3


def test_each_teacher_has_its_normalization(run, tmp_path):
    (tmp_path / "run.trec").write_text("q0 Q0 d1 1 30.0 t\nq0 Q0 d2 2 10.0 t\nq0 Q0 d3 3 20.0 t\n")
    judged = RECORDS.splitlines()[0].replace('"rank": 3', '"rank": 3, "relevance": 4') + "\n"
    done = run(
        "rd-label", "--teacher", "qrels", "--normalize", "none", "--teacher", "run:run.trec", "--normalize", "minmax",
        "--combine", "max", stdin=judged, check=True,
    )  # fmt: skip
    one = json.loads(done.stdout)
    assert [doc["score"] for doc in one["docs"]] == [1.0, 0.0, 4.0]
    assert [doc["scores"] for doc in one["docs"]] == [
        {"qrels": 0.0, "run:run.trec": 30.0}, {"qrels": 0.0, "run:run.trec": 10.0}, {"qrels": 4.0, "run:run.trec": 20.0},
    ]  # fmt: skip
    assert one["transformations"] == [{"normalize": ["none", "minmax"]}, {"combine": "max"}]
    assert (one["teacher"], one["score_scale"]) == ("max(qrels,run:run.trec)", "unknown")


def test_paper_compat_writes_missing_scores_as_zero(run, tmp_path):
    (tmp_path / "run.trec").write_text("q0 Q0 d1 1 -0.25 t\n")
    arguments = ("--teacher", "run:run.trec", "--score-scale", "log-probability")
    line = RECORDS.splitlines()[0] + "\n"
    done = run("rd-label", *arguments, "--paper-compat", stdin=line, check=True)
    assert scores(done.stdout) == [-0.25, 0.0, 0.0]
    assert done.stderr == "rd-label: 1 record, 3 pairs: 1 scored, 2 without a score, written as 0\n"
    correct = json.loads(run("rd-label", *arguments, stdin=line, check=True).stdout)
    assert [doc.get("score") for doc in correct["docs"]] == [-0.25, None, None]


def test_help_says_what_the_prompt_and_the_paper_are(run):
    from rdtools.label.prompts import DEFAULT_TEMPLATE

    text = run("rd-label", "--help", check=True).stdout
    assert DEFAULT_TEMPLATE.replace("\n", "\\n") in "".join(line.strip() for line in text.splitlines())
    words = " ".join(text.replace("-\n", "-").split())
    assert "a score that a teacher did not give is 0" in words[words.index("--paper-compat Compute") :]


def test_options_of_models_reach_the_teachers(tmp_path, monkeypatch):
    from rdtools.cli.label import main
    from rdtools.label import teachers
    from rdtools.label.prompts import Prompt

    opened = []

    class Nothing:
        scale, key, needs_text = "logit", None, False

        def __init__(self, spec, resources):
            self.name = spec
            opened.append((spec, resources))

        def score(self, pairs):
            yield range(len(pairs)), [1.0] * len(pairs)

    monkeypatch.setattr(teachers, "open_teacher", Nothing)
    (tmp_path / "records.jsonl").write_text(RECORDS)
    main.app()(
        [
            str(tmp_path / "records.jsonl"), "--teacher", "llm:model", "--teacher", "bm25", "--teacher", "cmd:x", "--prompt", "{query} {document}", "--answers", "A,B",
            "--chat", "--paper-compat", "--seed", "4", "--dtype", "bf16", "--max-length", "9", "--k1", "2", "--index", "ix",
            "--score-scale", "logit", "-o", str(tmp_path / "out.jsonl"),
        ],
        standalone_mode=False,
    )  # fmt: skip
    ((spec, resources), *_) = opened
    assert spec == "llm:model"
    assert resources.prompt == Prompt(template="{query} {document}", answers="A,B", chat=True)
    assert (resources.paper_compat, resources.seed, resources.score_scale) == (True, 4, "logit")
    assert (resources.model.dtype, resources.model.max_length) == ("bfloat16", 9)
    assert (resources.search.k1, resources.search.index) == (2.0, "ix")
    assert scores((tmp_path / "out.jsonl").read_text()) == [1.0] * 18


def test_records_without_documents_are_pointed_to_rd_mine(run):
    done = run("rd-label", "--teacher", "qrels", stdin='{"query_id":"q","query":"x"}\n', check=True)
    assert done.stderr == (
        "rd-label: 1 record, 0 pairs: 0 scored\n"
        "rd-label: warning: no record has documents (mine candidates first: rd-mine)\n"
    )


def test_a_complaint_about_a_query_of_a_run_has_its_first_line(run, tmp_path):
    (tmp_path / "c.tsv").write_text("d\twing\n")
    (tmp_path / "q.tsv").write_text("1\twing\n2\tflow\n3\tjet\n")
    lines = ["1 Q0 d 1 1 t", "2 Q0 d 1 2 t", "2 Q0 far 2 1 t", "3 Q0 d 1 2 t", "3 Q0 gone 2 1 t"]
    arguments = ["--teacher", "bm25", "--corpus", "c.tsv", "--queries", "q.tsv"]
    for first, run_lines, doc_id in ((2, lines, "far"), (2, [lines[0], *lines[3:]], "gone")):
        done = run("rd-label", *arguments, stdin="\n".join(run_lines))
        assert done.returncode == 1
        assert done.stderr.endswith(f'rd-label: <stdin>:{first}: document "{doc_id}" is not in the corpus\n')
    skipped = run(
        "rd-label", *arguments, "--on-error", "skip", "-f", "tsv", stdin="\n".join(lines), check=True
    )
    assert [line.split("\t")[:2] for line in skipped.stdout.splitlines()] == [["1", "d"]]
    assert "warning: <stdin>: 2 bad lines skipped" in skipped.stderr
    late = run("rd-label", *arguments, stdin="\n".join([*lines[:2], "2 Q0 d"]))
    assert "<stdin>:3: a TREC run line has 6 columns" in late.stderr  # later lines keep their own numbers


def test_a_bad_line_loses_none_of_the_records_before_it(run, tmp_path):
    (tmp_path / "corpus.tsv").write_text("a\twing\nb\tflow\n")
    records = '{"query_id":"q1","query":"wing","docs":[{"doc_id":"a"}]}\n{"query_id":"q2","query":"flow","docs":[{"doc_id":"b"}]}\n'
    done = run("rd-label", "--teacher", "bm25", "--corpus", "corpus.tsv", "--quiet", stdin=records + "{}\n")
    assert done.returncode == 1
    assert [json.loads(line)["docs"][0]["doc_id"] for line in done.stdout.splitlines()] == ["a", "b"]
    assert done.stderr == 'rd-label: <stdin>:3: missing "query_id"\n'


def test_a_cache_that_the_output_would_replace_is_refused(run, tmp_path):
    (tmp_path / "link").symlink_to("scores.db")
    for cache, output in (("scores.db", "scores.db"), ("link", "./scores.db")):
        done = run("rd-label", "--teacher", "ce:x", "--cache", cache, "-o", output, stdin=RECORDS)
        says = (
            f"rd-label: --cache and --output are the same file: {output}\nTry 'rd-label --help' for help.\n"
        )
        assert (done.returncode, done.stderr) == (2, says)
    done = run("rd-label", "--teacher", "ce:x", "--cache", "", stdin=RECORDS)
    assert done.stderr.startswith("rd-label: --cache needs the name of a file\n")


@pytest.mark.parametrize("name", [":memory:", "file:x?mode=ro", "a b%20#?.db"])
def test_a_cache_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    ScoreCache(name).put([(b"key", 1.5)])
    assert ScoreCache(name).get([b"key"]) == {b"key": 1.5}
    assert name in os.listdir()


@pytest.mark.parametrize("value", ["'high'", "x'00'", "9e999"])
def test_a_cache_whose_score_is_no_number_is_one_line(tmp_path, value):
    cache = ScoreCache(str(tmp_path / "cache"))
    cache.put([(b"key", 1.5)])
    cache._connection.execute(f"UPDATE scores SET score = {value}")
    with pytest.raises(
        RdError, match=r"cache: it has a score that is not a number \(give another --cache\)$"
    ):
        cache.get([b"key"])


def test_a_complete_cache_can_be_used_where_nothing_may_be_written(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    cache = ScoreCache(str(path))
    cache.put([(b"key", 1.5)])
    cache._connection.close()
    before = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    cache = ScoreCache(str(path))
    assert cache.get([b"key", b"other"]) == {b"key": 1.5}
    with pytest.raises(RdError, match="cache: attempt to write a readonly database"):
        cache.put([(b"other", 1.0)])
    assert sorted(os.listdir(tmp_path)) == before
