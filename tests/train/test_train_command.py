"""rd-train as installed: what it prints and refuses, and that a killed run goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from functools import partial

import pytest
import torch
from conftest import BIN, WORDS
from safetensors.torch import load_file, save_file

from rdtools.core.atomic import locked
from rdtools.train.losses.objective import explain_objective


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Threads only wait for each other in models so small."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def lines(count=8, docs=4):
    for q in range(count):
        found = [
            {
                "doc_id": f"d{q}{d}",
                "text": " ".join(WORDS[q + d : q + 3 * d + 4]),
                "score": float(-d),
                "relevance": int(d == 0),
            }
            for d in range(docs)
        ]
        yield (
            json.dumps({"query_id": str(q), "query": WORDS[q], "docs": found, "score_scale": "logit"}) + "\n"
        )


def with_embeddings(records):
    """The records with embeddings of another dimension than that of the student."""
    draw = random.Random(0)
    for record in map(json.loads, records):
        record["query_embedding"] = [draw.gauss(0, 1) for _ in range(48)]
        for doc in record["docs"]:
            doc["embedding"] = [draw.gauss(0, 1) for _ in range(48)]
        yield json.dumps(record) + "\n"


def test_help_and_explanations_need_no_torch(run):
    done = run("rd-train", "--help", check=True)
    sentence, _, rest = done.stdout.partition("\n\n")[2].partition("\n\n")
    assert sentence.strip() == "Train a ranking model on labelled records."
    assert rest.split("\n\n")[0].count("rd-train ") == 3
    for name in ("lambda", "ranknet:lightning-ir", "kl+0.2*lce"):
        assert run("rd-train", "--explain-loss", name, check=True).stdout == explain_objective(name) + "\n"
    heavy = ("torch", "numpy", "orjson", "transformers")
    code = f"import sys, rdtools.cli.train; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([BIN / "python", "-c", code], capture_output=True, text=True).stdout == "[]\n"


PLAIN = "lce, infonce, ranknet, margin-mse, kl, listnet, listmle, plistmle, lambda, adr-mse, mse, bce, bce-hard, embedding"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--loss", "klo"],
            f"unknown loss 'klo'; did you mean 'kl'? (choose from {PLAIN})",
        ),
        (["--epochs", "1", "--max-steps", "3"], "give only one of --epochs, --max-steps and --max-docs"),
        (
            ["--student", "ba:x"],
            "unknown student 'ba'; did you mean 'be'? (choose from be, ce, sparse, colbert)",
        ),
        (["--student", "be"], "--student be: say which model, as in be:DIR"),
        (["--teacher-temperature", "2"], "--loss lce has no temperature (--loss kl has)"),
        (["--loss", "kl", "--student-temperature", "0"], "--student-temperature must be above 0, not 0"),
        (
            ["--loss", "kl", "--in-batch-negatives"],
            "--in-batch-negatives is for --loss lce, and sums with it",
        ),
        (["--mask-false-negatives", "0.1"], "--mask-false-negatives is for --loss infonce, and sums with it"),
        (
            ["--student", "ce:x", "--loss", "kl+infonce"],
            "in-batch negatives are for bi-encoders (--student be:MODEL, sparse:MODEL or colbert:MODEL)",
        ),
        (["--scale", "0"], "--scale must be above 0, not 0"),
        (["--max-grad-norm", "0"], "--max-grad-norm must be above 0, not 0"),
        (["--loss", "kl", "--student-temperature", "-1"], "--student-temperature must be above 0, not -1"),
        (["--paper-compat"], "--paper-compat needs --student ce:MODEL, or --loss kl or ranknet"),
        (["--loss", "kl+0*lce"], "--loss kl+0*lce: the weight '0' is not a number above 0"),
        (
            ["--explain-loss", "marginmse"],
            f"unknown loss 'marginmse'; did you mean 'margin-mse'? (choose from {PLAIN})",
        ),
    ],
)
def test_usage_errors(run, arguments, message):
    done = run("rd-train", "--student", "be:x", "--loss", "lce", "-o", "out", *arguments)
    assert done.stderr == f"rd-train: {message}\nTry 'rd-train --help' for help.\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_records_on_stdin_become_a_cross_encoder(run, tiny_ce, tmp_path):
    arguments = [
        "--student",
        f"ce:{tiny_ce}",
        "--loss",
        "ranknet",
        "-o",
        "out",
        "--log-steps",
        2,
        "--lr",
        1e-3,
        "--epochs",
        1,
    ]
    done = run(
        "rd-train", *arguments, "--batch-size", 2, "--group-size", 3, stdin="".join(lines()), check=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["step"] for row in rows[:-1]] == [1, 2, 4]
    assert [row["docs"] for row in rows[:-1]] == [6, 12, 24]
    assert set(rows[0]) == {"step", "docs", "loss", "lr"}
    assert list(rows[-1]) == [
        "done",
        "steps",
        "docs",
        "tokens",
        "seconds",
        "docs_per_s",
        "peak_memory_mb",
        "output",
    ]
    assert (rows[-1]["done"], rows[-1]["steps"], rows[-1]["docs"], rows[-1]["output"]) == (True, 4, 24, "out")
    assert done.stderr == "rd-train: 8 groups of up to 3 documents\n"
    assert json.loads((tmp_path / "out" / "rd-train.json").read_text())["options"]["loss"] == "ranknet"
    again = run("rd-train", *arguments, stdin="".join(lines()))
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "rd-train: out already contains a trained model (--overwrite replaces it)\n"


def test_resume_passes_over_what_is_finished(run, tiny_be, tmp_path):
    arguments = [
        "--student",
        f"be:{tiny_be}",
        "--loss",
        "kl",
        "-o",
        "out",
        "--max-steps",
        1,
        "--resume",
        "--lr",
        1e-3,
    ]
    done = run("rd-train", *arguments, stdin="".join(lines()), check=True)
    assert done.stderr.endswith("rd-train: out: no checkpoint yet: starting at the beginning\n")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = run("rd-train", *arguments, stdin="".join(lines()), check=True)
    groups, temperature, *_, finished = again.stderr.splitlines()
    assert groups == "rd-train: 8 groups of up to 4 documents"
    assert temperature.startswith("rd-train: teacher temperature ")
    assert finished == "rd-train: out: finished already, after step 1"
    assert again.stdout == done.stdout.splitlines(keepends=True)[-1]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    other = run("rd-train", *arguments, "--seed", 1, stdin="".join(lines()))
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr.endswith(
        "rd-train: out: the earlier run had --seed 0; this one has --seed 1 (give the same options, or --overwrite)\n"
    )
    other = run("rd-train", *arguments, stdin="".join(lines(7)))
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr.endswith("rd-train: out: it was trained on other data (--overwrite starts anew)\n")


def test_texts_may_come_from_elsewhere(run, tiny_be, tmp_path):
    (tmp_path / "corpus.tsv").write_text("".join(f"d{i}\t{word} {word}\n" for i, word in enumerate(WORDS)))
    (tmp_path / "queries.tsv").write_text("1\twing\n2\tflow\n")
    (tmp_path / "run").write_text("".join(f"{q} Q0 d{i} {i} {-i}.5 t\n" for q in (1, 2) for i in (1, 2, 3)))
    arguments = ["run", "--student", f"be:{tiny_be}", "--loss", "ranknet", "-o", "out"]
    done = run("rd-train", *arguments, "--corpus", "corpus.tsv", "--queries", "queries.tsv", check=True)
    assert json.loads(done.stdout.splitlines()[-1])["docs"] == 6 * 400  # two queries, 100 steps of 8 groups
    done = run("rd-train", *arguments, "--overwrite", "--corpus", "corpus.tsv")
    assert done.returncode == 1
    assert done.stderr == 'rd-train: run:1: query "1" has no text (give --queries or --dataset)\n'


def test_sums_and_leaked_judgements(run, tiny_be, tmp_path):
    (tmp_path / "qrels").write_text("1 0 d10 1\n1 0 d11 0\nx 0 d20 1\ny 0 z 1\n")
    arguments = ["--student", f"be:{tiny_be}", "--loss", "kl+0.5*infonce", "-o", "out", "--max-steps", 1]
    arguments += ["--lr", 1e-3, "--mask-false-negatives", 0.2, "--check-against", "qrels", "--paper-compat"]
    done = run("rd-train", *arguments, stdin="".join(lines()), check=True)
    row = json.loads(done.stdout.splitlines()[0])
    assert list(row["parts"]) == ["kl:rankers", "infonce"]
    assert row["loss"] == pytest.approx(row["parts"]["kl:rankers"] + 0.5 * row["parts"]["infonce"])
    assert done.stderr == (
        "rd-train: 8 groups of up to 4 documents\n"
        "rd-train: warning: --check-against qrels: 1 of its 3 queries and 2 of its 3 relevant documents are in "
        "these records\n"
    )


def test_a_killed_run_goes_on_to_the_same_weights(tiny_be, tmp_path, warm_bin):
    (tmp_path / "records").write_text("".join(with_embeddings(lines())))
    # All are started alike: a fork of the warm process rounds differently.
    command = [
        warm_bin / "rd-train",
        "records",
        "--student",
        f"be:{tiny_be}",
        "--loss",
        "kl+embedding",
        "--max-steps",
        "16",
    ]
    start = partial(subprocess.Popen, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with start([*command, "-o", "undisturbed"]) as undisturbed:
        with start([*command, "-o", "out", "--save-steps", "3", "--log-steps", "1"]) as killed:
            assert killed.stdout is not None
            for line in killed.stdout:
                if json.loads(line)["step"] == 5:
                    killed.send_signal(signal.SIGKILL)
                    break
        assert killed.returncode == -signal.SIGKILL
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["checkpoints"]
        with start([*command, "-o", "out", "--resume"]) as resumed:
            assert "rd-train: resumed at step " in resumed.communicate()[1]
        undisturbed.communicate()
    assert resumed.returncode == undisturbed.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "records", "undisturbed"]
    weights, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "undisturbed"))
    assert weights.keys() == whole.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in whole.items())


SHORT = ("--loss", "kl", "--max-steps", 2, "--lr", 1e-3, "--device", "cpu")


def test_overwrite_keeps_to_the_files_of_the_model(run, tiny_be, tmp_path):
    train = ("rd-train", "--student", f"be:{tiny_be}", *SHORT, "-o", "out", "--quiet")
    run(*train, stdin="".join(lines()), check=True)
    (tmp_path / "out" / "notes.txt").write_text("three weeks of work")
    done = run(*train, "--overwrite", stdin="".join(lines()))
    assert (done.returncode, done.stderr) == (
        1,
        "rd-train: out contains files that are not of a trained model: notes.txt "
        "(move them, or choose an empty or new folder)\n",
    )
    assert (tmp_path / "out" / "notes.txt").read_text() == "three weeks of work"
    (tmp_path / "out" / "notes.txt").unlink()
    run(*train, "--overwrite", stdin="".join(lines()), check=True)


def test_a_base_model_that_was_changed_is_not_finished_already(run, tiny_be, tmp_path):
    base = shutil.copytree(tiny_be, tmp_path / "base")
    train = ("rd-train", "--student", "be:base", *SHORT, "-o", "out", "--resume", "--quiet")
    first = run(*train, stdin="".join(lines()), check=True)
    (base / "README.md").write_text("its card does not count")
    assert (
        run(*train, stdin="".join(lines()), check=True).stdout == first.stdout.splitlines(keepends=True)[-1]
    )
    weights = load_file(base / "model.safetensors")
    weights[next(iter(weights))] += 1
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    done = run(*train, stdin="".join(lines()))
    says = "rd-train: out: the files of base were others then (--overwrite starts anew)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", says)


def test_of_two_runs_in_one_folder_the_second_is_refused(run, tiny_be, tmp_path):
    train = ("rd-train", "--student", f"be:{tiny_be}", *SHORT, "-o", "out", "--resume", "--quiet")
    with locked(tmp_path / "out", "busy", wait=False):
        done = run(*train, stdin="".join(lines()))
    says = "rd-train: out: another rd-train is writing it (wait for it, or give another folder)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", says)
    assert list(tmp_path.iterdir()) == []
    run(*train, stdin="".join(lines()), check=True)
    assert os.listdir(tmp_path) == ["out"]


def test_a_finished_run_is_skipped_where_nothing_may_be_written(run, tiny_be, tmp_path):
    """A file stands for the write-protected parent, which does not stop root."""
    train = ("rd-train", "--student", f"be:{tiny_be}", *SHORT, "-o", "out", "--resume", "--quiet")
    run(*train, stdin="".join(lines()), check=True)
    (tmp_path / ".out.lock").mkdir()  # no lock can be made
    assert json.loads(run(*train, stdin="".join(lines()), check=True).stdout)["done"]
