"""The dev set: its values are rd-eval's, measuring does not change training, the best weights are saved."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import WORDS
from test_trainer import CPU, be, ce, equal, output_folder, trainer, weights
from test_trainer import records as training_records

from rdtools.core.errors import RdError
from rdtools.train.checkpoints import OutputFolder
from rdtools.train.cross_encoder_student import CrossEncoderStudent
from rdtools.train.dev import DevOptions
from rdtools.train.dev_set import HeldBack, dev_set_of_records
from rdtools.train.options import TrainingOutput
from rdtools.train.run import DevChecks, train_student
from rdtools.train.students import BiEncoderStudent

pytestmark = pytest.mark.usefixtures("one_thread")


def records(count=12, docs=6, seed=0, name="q"):
    """Records with graded judgements; some documents are unjudged, and a positive was added from the qrels."""
    rng = random.Random(seed)
    text = lambda most: " ".join(rng.choices(WORDS, k=rng.randint(3, most)))  # noqa: E731
    for q in range(count):
        found = [
            {"doc_id": f"d{q}-{d}", "text": text(20), "score": rng.gauss(0, 2), "source": "bm25"}
            for d in range(docs)
        ]
        found[0] |= {"relevance": 2, "source": "qrels"}
        found[1] |= {"relevance": 1}
        found[2] |= {"relevance": 0}
        yield {"query_id": f"{name}{q}", "query": text(6), "docs": found, "score_scale": "logit"}


def write_records(path, *more, **options):
    path.write_text("".join(json.dumps(record) + "\n" for record in [*records(**options), *more]))


@pytest.fixture
def arguments(tiny_be, tmp_path):
    write_records(tmp_path / "records", count=24, name="train")
    write_records(tmp_path / "dev.jsonl", seed=1)
    return [
        "records",
        "--student",
        f"be:{tiny_be}",
        "--loss",
        "lce",
        "-o",
        "out",
        "--max-steps",
        6,
        "--lr",
        1e-3,
    ]


@pytest.fixture
def beir(tmp_path):
    """A dataset whose split dev has judgements of 8 queries among 40 documents."""
    rng = random.Random(2)
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    words = lambda count: " ".join(rng.choices(WORDS, k=count))  # noqa: E731
    rows = [{"_id": f"d{n}", "title": "", "text": words(12)} for n in range(40)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"_id": f"q{n}", "text": words(4)} for n in range(8)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [f"q{q}\td{rng.randrange(40)}\t1\n" for q in range(8)]
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


def rows_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def measured(run, qrels, ranking, measure):
    done = run("rd-eval", qrels, "-m", measure, "--places", 12, stdin=ranking, check=True)
    return float(done.stdout.split("\t")[-1])


@pytest.mark.parametrize("kind", ["be", "ce"])
@pytest.mark.parametrize("measure", ["nDCG@10", "AP(rel=2)", "P@1"])
def test_a_value_is_rd_evals_of_the_same_run(run, tmp_path, tiny_be, tiny_ce, kind, measure):
    """Ties included: a text that is repeated has equal scores."""
    write_records(tmp_path / "dev.jsonl", seed=1)
    made = [json.loads(line) for line in (tmp_path / "dev.jsonl").read_text().splitlines()]
    for record in made:
        record["docs"][3]["text"] = record["docs"][0]["text"]
        del record["docs"][5]["text"]  # no candidate
    del made[1]["docs"][0:3]  # no judgement: ignored
    student = BiEncoderStudent(be(tiny_be), CPU) if kind == "be" else CrossEncoderStudent(ce(tiny_ce), CPU)
    dev_set = dev_set_of_records("dev", made)
    scores = dev_set.run(student)
    assert (len(scores), {len(own) for own in scores.values()}) == (11, {5})
    lines = [f"{q} Q0 {d} 1 {score!r} tag\n" for q, own in scores.items() for d, score in own.items()]
    qrels = [f"{q} 0 {d} {grade}\n" for q, own in dev_set.qrels.items() for d, grade in own.items()]
    (tmp_path / "qrels").write_text("".join(qrels))
    from rdtools.cli.dev_measure import dev_measure

    value = dev_measure(measure)(dev_set.qrels, scores)
    assert measured(run, "qrels", "".join(lines), measure) == pytest.approx(value, abs=1e-12)


def test_the_value_of_the_saved_student_is_that_of_re_ranking(run, arguments, tmp_path):
    done = run("rd-train", *arguments, "--dev", "dev.jsonl", "--dev-every", 2, check=True)
    *rows, last = rows_of(done)
    assert [(row["step"], "dev" in row) for row in rows] == [
        (0, True), (1, False), (2, True), (4, True), (6, False), (6, True),
    ]  # fmt: skip
    assert rows[0] == {"step": 0, "docs": 0, "measure": "nDCG@10", "dev": rows[0]["dev"]}
    values = {row["step"]: row["dev"] for row in rows if "dev" in row}
    step = max((step for step in values if step), key=lambda step: (values[step], -step))
    found = {
        name: last[name]
        for name in ("measure", "dev", "dev_step", "dev_untrained", "dev_queries", "stopped_early")
    }
    assert found == {
        "measure": "nDCG@10", "dev": values[step], "dev_step": step, "dev_untrained": values[0],
        "dev_queries": 12, "stopped_early": False,
    }  # fmt: skip
    assert "rd-train: --dev dev.jsonl: 12 queries, 72 documents to re-rank\n" in done.stderr
    assert (
        f"rd-train: nDCG@10 of 12 queries: {values[0]:.4f} untrained, {values[step]:.4f} after step {step} (saved), "
        f"{values[6]:.4f} at the end\n"
    ) in done.stderr
    card = json.loads((tmp_path / "out" / "rd-train.json").read_text())
    assert card["dev"] == [[step, value] for step, value in values.items()]
    assert card["data"]["dev"]["queries"] == 12
    # A run leaves out positives that were added from the qrels; here they are candidates.
    text = (tmp_path / "dev.jsonl").read_text().replace('"source": "qrels"', '"source": "bm25"')
    ranked = run("rd-label", "--teacher", "be:out", "-f", "trec", stdin=text, check=True).stdout
    judged = [json.loads(line) for line in text.splitlines()]
    lines = [f"{r['query_id']} 0 {d['doc_id']} {d['relevance']}\n" for r in judged for d in r["docs"][:3]]
    (tmp_path / "qrels").write_text("".join(lines))
    assert measured(run, "qrels", ranked, "nDCG@10") == pytest.approx(last["dev"], abs=1e-9)


@pytest.mark.parametrize("limits", [(4, 20), (20, 4)], ids=["short queries", "short documents"])
@pytest.mark.parametrize("kind", ["be", "ce", "sparse"])
def test_the_dev_value_is_that_of_the_saved_model_where_queries_are_cut(
    run, arguments, tmp_path, tiny_ce, tiny_sparse, kind, limits
):
    """A saved model has one limit, for queries and documents."""
    models = {"ce": tiny_ce, "sparse": tiny_sparse}
    made = [*records(seed=3)]
    for record in made:
        record["query"] = " ".join([record["query"]] * 4)
        record["docs"][0]["source"] = "bm25"
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(record) + "\n" for record in made))
    arguments = [
        f"{kind}:{models[kind]}" if str(word)[:3] == "be:" and kind in models else word for word in arguments
    ]
    arguments += ["--query-max-len", limits[0], "--doc-max-len", limits[1], "--dev", "long.jsonl"]
    last = rows_of(run("rd-train", *arguments, check=True))[-1]
    ranked = run("rd-label", "long.jsonl", "--teacher", f"{kind}:out", "-f", "trec", check=True).stdout
    assert measured(run, "long.jsonl", ranked, "nDCG@10") == pytest.approx(last["dev"], abs=1e-9)


def test_what_has_no_text_is_counted_as_not_found(run, arguments, tmp_path):
    """Its judgement counts, as in rd-eval; a query without text, or without such documents, has 0."""
    made = [*records(seed=1)]
    for record in made:
        record["docs"][0]["source"] = "bm25"
    whole = [json.loads(json.dumps(record)) for record in made]
    for record in made[:3]:
        del record["docs"][0]["text"]
    del made[4]["query"]
    for doc in made[5]["docs"]:
        del doc["text"]
    for name, some in (("dev.jsonl", made), ("whole.jsonl", whole)):
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in some))
    done = run("rd-train", *arguments, "--dev", "dev.jsonl", check=True)
    assert (
        "rd-train: warning: --dev dev.jsonl: 15 documents not ranked, without text or of a query without text "
        "(give --corpus or --dataset)\n"
    ) in done.stderr
    assert "rd-train: --dev dev.jsonl: 12 queries, 57 documents to re-rank\n" in done.stderr
    readable = [
        {**record, "docs": [doc for doc in record["docs"] if "text" in doc]}
        for record in made if "query" in record
    ]  # fmt: skip
    ranked = run(
        "rd-label", "--teacher", "be:out", "-f", "trec", check=True,
        stdin="".join(json.dumps(record) + "\n" for record in readable),
    ).stdout  # fmt: skip
    assert measured(run, "whole.jsonl", ranked, "nDCG@10") == pytest.approx(
        rows_of(done)[-1]["dev"], abs=1e-9
    )
    texts = "".join(json.dumps({**record, "query": ""}) + "\n" for record in made)
    (tmp_path / "dev.jsonl").write_text(texts)
    done = run("rd-train", *arguments, "--dev", "dev.jsonl", "--overwrite")
    assert done.stderr.endswith(
        "rd-train: --dev dev.jsonl: no judged query has a text and documents with a text\n"
    )


def test_a_bi_encoder_searches_a_small_dataset(run, arguments, beir):
    done = run("rd-train", *arguments, "--dev", "data:dev", "--dev-measure", "RR", check=True)
    assert "rd-train: --dev data:dev: 8 queries, which search 40 documents\n" in done.stderr
    mined = run(
        "rd-mine", "--dataset", "data:dev", "--from", "dense:out", "-n", "all", "-f", "trec", check=True
    )
    assert measured(run, "data:dev", mined.stdout, "RR") == pytest.approx(rows_of(done)[-1]["dev"], abs=1e-9)


def test_a_cross_encoder_re_ranks_bm25(run, arguments, beir, tiny_ce):
    arguments = [f"ce:{tiny_ce}" if str(word).startswith("be:") else word for word in arguments]
    done = run("rd-train", *arguments, "--dev", "data:dev", check=True)
    assert (
        "rd-train: --dev data:dev: 8 queries, BM25's first 100 documents of each to re-rank\n" in done.stderr
    )
    mined = run("rd-mine", "--dataset", "data:dev", "-n", "all", check=True).stdout
    ranked = run("rd-label", "--teacher", "ce:out", "-f", "trec", stdin=mined, check=True).stdout
    assert measured(run, "data:dev", ranked, "nDCG@10") == pytest.approx(rows_of(done)[-1]["dev"], abs=1e-9)


def test_a_query_for_which_nothing_is_found_has_0(run, arguments, beir, tiny_ce):
    lines = (beir / "queries.jsonl").read_text().splitlines()
    lines[3] = json.dumps({"_id": "q3", "text": "unknownword"})
    (beir / "queries.jsonl").write_text("\n".join(lines) + "\n")
    arguments = [f"ce:{tiny_ce}" if str(word).startswith("be:") else word for word in arguments]
    done = run("rd-train", *arguments, "--dev", "data:dev", check=True)
    mined = run("rd-mine", "--dataset", "data:dev", "-n", "all", check=True).stdout
    ranked = run("rd-label", "--teacher", "ce:out", "-f", "trec", stdin=mined, check=True).stdout
    assert "q3" not in ranked
    assert measured(run, "data:dev", ranked, "nDCG@10") == pytest.approx(rows_of(done)[-1]["dev"], abs=1e-9)


@pytest.mark.parametrize("kind", ["be", "ce"])
def test_measuring_does_not_change_the_training(tiny_be, tiny_ce, tmp_path, kind):
    """Dropout, weights and optimiser are the same after each step; the last weights too."""
    make = {
        "be": lambda: BiEncoderStudent(be(tiny_be), CPU), "ce": lambda: CrossEncoderStudent(ce(tiny_ce), CPU),
    }[kind]  # fmt: skip
    one, other = trainer(make()), trainer(make())
    checks = dev_checks(other, lambda qrels, scores: float(other.progress.step), dev_every=1)
    plain = [*train_student(one, folder_of(one, tmp_path / "one"))]
    with_dev = [*train_student(other, folder_of(other, tmp_path / "other"), checks)]
    assert [row for row in with_dev if "loss" in row] == [row for row in plain if "loss" in row]
    assert equal(weights(one.student), weights(other.student))
    assert not other.student.module.training


def dev_checks(one, measure, **options):
    dev_set = dev_set_of_records("dev", records(3))
    return DevChecks(one, dev_set, measure, DevOptions(dev="dev", **options))


def folder_of(one, path, **options):
    return output_folder(one, TrainingOutput(output=path, log_steps=1, **options))


def scripted(one, values):
    """A measure that gives these values by step."""
    return lambda qrels, scores: values[one.progress.step]


def test_the_best_weights_are_saved_and_patience_stops(tiny_be, tmp_path, caplog):
    caplog.set_level("INFO", "rdtools")
    one = trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=9)
    checks = dev_checks(one, scripted(one, [0.1, 0.2, 0.4, 0.4, 0.3, 0.5, 0.6]), dev_every=1, patience=2)
    seen: dict[int | None, Any] = {}
    rows = []
    for row in train_student(one, folder_of(one, tmp_path / "out"), checks):
        rows.append(row)
        seen.setdefault(row.get("step"), weights(one.student))
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert rows[-1]["dev_step"] == 2  # of equal values the earlier
    assert (rows[-1]["steps"], rows[-1]["stopped_early"], rows[-1]["dev"]) == (4, True, 0.4)
    assert equal(weights(BiEncoderStudent(be(tmp_path / "out"), CPU)), seen[2])
    assert equal(weights(one.student), seen[2])
    assert not equal(seen[2], seen[4])
    assert (
        "nDCG@10 of 3 queries: 0.1000 untrained, 0.4000 after step 2 (saved), 0.3000 at the end"
        in caplog.messages
    )


def test_the_seconds_of_training_are_without_those_of_measuring(tiny_be, tmp_path, monkeypatch):
    """The clock moves by a second with each look: at both ends of two measurements, and of the training."""
    monkeypatch.setattr("rdtools.train.run.time", SimpleNamespace(monotonic=itertools.count(100.0).__next__))
    one = trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=2)
    checks = dev_checks(one, scripted(one, [0.1, 0.2, 0.3]))
    *_, last = train_student(one, folder_of(one, tmp_path), checks)
    assert (last["seconds"], last["dev_seconds"]) == (2.0, 2.0)
    assert last["docs_per_s"] == last["docs"] / 2


def test_a_student_worse_than_before_is_a_warning(tiny_be, tmp_path, caplog):
    one = trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=2)
    [*_] = train_student(one, folder_of(one, tmp_path), dev_checks(one, scripted(one, [0.5, 0.2, 0.4])))
    assert [message for message in caplog.messages if "worse" in message] == [
        "the student is worse than before training: nDCG@10 0.4000, untrained 0.5000 (a lower --lr, another --loss "
        "or --teacher-temperature, or a better teacher may help)"
    ]


def test_a_resumed_run_has_the_same_rows_and_weights(tiny_be, tmp_path):
    """A checkpoint keeps the best weights so far, and how long they have been the best."""
    values = [0.1, 0.2, 0.6, 0.4, 0.3, 0.5, 0.5]

    def start(name, **options):
        one = trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=9)
        checks = dev_checks(one, scripted(one, values), dev_every=1, patience=4)
        return one, checks, folder_of(one, tmp_path / name, **options)

    one, checks, folder = start("whole")
    whole = [*train_student(one, folder, checks)]
    _, checks, folder = start("cut", save_steps=4)
    for row in train_student(checks.trainer, folder, checks):
        if row.get("step") == 5:
            break  # killed after the checkpoint of step 4
    other, checks, folder = start("cut", save_steps=4)
    assert isinstance(folder, OutputFolder)
    folder.resume(other)
    rows = [*train_student(other, folder, checks)]
    assert rows[:-1] == [row for row in whole[:-1] if row["step"] > 4]
    for name in ("dev", "dev_step", "dev_untrained", "steps", "stopped_early"):
        assert rows[-1][name] == whole[-1][name]
    assert whole[-1]["dev_step"] == 2
    assert other.history.losses == one.history.losses
    assert vars(other.history.end) == vars(one.history.end)
    assert equal(weights(one.student), weights(other.student))


def test_a_killed_run_with_a_dev_set_goes_on_to_the_same_bytes(arguments, tmp_path, warm_bin):
    command = [
        warm_bin / "rd-train",
        *map(str, arguments),
        "--dev-share",
        "0.3",
        "--dev-every",
        "1",
        "--patience",
        "4",
    ]
    command += ["--log-steps", "1", "--max-steps", "12", "--overwrite"]
    start = partial(subprocess.Popen, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with start([*command, "-o", "whole"]) as undisturbed:
        whole = undisturbed.communicate()[0].splitlines()
    with start([*command, "-o", "out", "--save-steps", "2"]) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            if json.loads(line)["step"] == 3:
                killed.send_signal(signal.SIGKILL)
                break
    assert killed.returncode == -signal.SIGKILL
    with start([*command[:-1], "-o", "out", "--resume"]) as resumed:
        out, err = resumed.communicate()
    assert "rd-train: resumed at step " in err, err
    rows = out.splitlines()
    assert rows[:-1] == whole[-len(rows) : -1]
    files = [tmp_path / name / "model.safetensors" for name in ("out", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_other_dev_sets_are_not_resumed(run, arguments, tmp_path):
    arguments = [*arguments, "--resume"]
    run("rd-train", *arguments, "--dev", "dev.jsonl", check=True)
    write_records(tmp_path / "dev.jsonl", seed=3)
    done = run("rd-train", *arguments, "--dev", "dev.jsonl")
    assert done.stderr.endswith("rd-train: out: its dev set was another one (--overwrite starts anew)\n")
    done = run("rd-train", *arguments)
    assert done.stderr.endswith("rd-train: out: its dev set was another one (--overwrite starts anew)\n")
    assert done.returncode == 1


def test_queries_are_held_back_by_seed_and_id():
    made = [*records(200)]
    unmeasurable: list[Any] = [dict(record, docs=record["docs"][3:]) for record in made[:100]]
    held = HeldBack(0.3, seed=5)
    rest = [*held.rest(made)]
    dev_set = held.dev_set()
    assert {*dev_set.query_ids} | {record["query_id"] for record in rest} == {r["query_id"] for r in made}
    assert len(rest) + len(dev_set.query_ids) == 200
    assert 40 <= len(dev_set.query_ids) <= 80
    again = HeldBack(0.3, seed=5)
    assert [*again.rest(reversed(made))] == rest[::-1]
    other = HeldBack(0.3, seed=6)
    assert [*other.rest(made)] != rest
    none = HeldBack(0.3, seed=5)
    assert [*none.rest(unmeasurable)] == unmeasurable
    with pytest.raises(RdError, match=r"^--dev-share 0\.3: no query with a relevant document was held back "):
        none.dev_set()


def test_relabelled_documents_are_candidates_and_no_judgements():
    (record,) = records(1)
    record["docs"][0]["relabelled"] = True
    dev_set = dev_set_of_records("dev", [record])
    assert dev_set.qrels == {"q0": {"d0-1": 1, "d0-2": 0}}
    assert dev_set.candidates == [[0, 1, 2, 3, 4, 5]]


def test_queries_of_the_dev_set_in_the_training_records_are_a_warning(run, arguments, tmp_path):
    made = [*records(seed=1)]
    made[3]["query_id"] = "x"  # found by its text
    write_records(tmp_path / "records", *made[2:4], count=24, name="train")
    done = run("rd-train", *arguments, "--dev", "dev.jsonl", check=True)
    assert (
        "rd-train: warning: --dev dev.jsonl: 2 of its 12 queries are in the training records (measure queries that "
        "are not trained on)\n"
    ) in done.stderr


@pytest.mark.parametrize(
    ("options", "message", "status"),
    [
        (["--dev", "x", "--dev-share", 0.1], "--dev-share cannot be combined with --dev, which names the queries to measure", 2),
        (["--patience", 2], "--patience needs --dev or --dev-share", 2),
        (["--dev-every", 2], "--dev-every needs --dev or --dev-share", 2),
        (["--dev-share", 1], "--dev-share must be above 0 and below 1, not 1", 2),
        (["--dev-share", 0.1, "--dev-measure", "nDCG@10 AP"], "--dev-measure nDCG@10 AP: give one measure, such as nDCG@10", 2),
        (["--dev-share", 0.1, "--dev-measure", "nDGC@10"], "unknown measure 'nDGC@10'; did you mean 'nDCG@10'?", 2),
        (["--plot", "x.eps"], "--plot x.eps: FILE.png, FILE.svg, FILE.pdf or terminal is needed", 2),
        (["--dev", "unjudged"], "--dev unjudged: no query has a document with relevance > 0 (give judged queries)", 1),
        (["--dev", "run"], 'run:1: query "q" has no text (give --queries or --dataset)', 1),
    ],
)  # fmt: skip
def test_errors(run, arguments, tmp_path, options, message, status):
    (tmp_path / "unjudged").write_text('{"query_id":"q","query":"x","docs":[{"doc_id":"d","text":"y"}]}\n')
    (tmp_path / "run").write_text("q Q0 d 1 2.5 tag\n")
    if options == ["--dev", "run"]:
        (tmp_path / "corpus").write_text("d\ttext\n")
        options = [*options, "--corpus", "corpus"]
    done = run("rd-train", *arguments, *options)
    pointer = "Try 'rd-train --help' for help.\n" if status == 2 else ""
    assert (done.stderr, done.returncode, done.stdout) == (f"rd-train: {message}\n{pointer}", status, "")


def test_measuring_costs_no_more_than_training(tiny_be):
    def every(steps, cost, **options):
        return DevOptions(dev="x", **options).every(steps, cost)

    assert [every(100, 0.01), every(100, 0.1), every(100, 0.3), every(100, 7)] == [10, 10, 30, 100]
    assert every(95, 0.01) == 10
    assert every(100, 7, dev_every=3) == 3
    one = trainer(BiEncoderStudent(be(tiny_be), CPU), max_steps=60)
    checks = dev_checks(one, lambda qrels, scores: 0.0)
    # 6 records of 5, 4, 3, 5, 4, 3 documents, 3 of them in each of 60 steps; 18 documents a measurement.
    assert one.groups.documents_of(one.total_groups) == 720
    assert [step for step in range(1, 61) if checks.due(step)] == [*range(6, 61, 6)]


def test_the_picture_of_a_run(run, arguments, tmp_path):
    pytest.importorskip("matplotlib")
    run("rd-train", *arguments, "--dev-share", 0.3, "--dev-every", 2, "--plot", "a.svg", check=True)
    assert "nDCG@10" in (tmp_path / "a.svg").read_text()


def test_the_picture_as_text():
    from rdtools.train.curves import sketch_history
    from rdtools.train.history import History

    history = History(losses=[(1, 3.0), (10, 1.0), (20, 2.0)], dev=[(0, 0.25), (10, 0.5)])
    assert [*sketch_history(history, "AP")] == [
        "loss   |█▁▄| 3 → 2 (1 to 3, steps 1 to 20)",
        "dev AP |▁█| 0.25 → 0.5 (0.25 to 0.5, steps 0 to 10)",
    ]


def test_no_training_record_is_measured(tiny_be):
    """The groups are those of the records that stay."""
    held = HeldBack(0.4, seed=0)
    made = training_records(20)
    rest = [*held.rest(made)]
    one = trainer(BiEncoderStudent(be(tiny_be), CPU), data=rest)
    queries = {group.query for group in one.groups.slice(0, len(one.groups))}
    assert queries.isdisjoint(held.dev_set().queries)
    assert len(queries) + len(held.dev_set().queries) == 20
    assert torch.is_grad_enabled()
