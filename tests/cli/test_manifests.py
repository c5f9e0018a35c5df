"""`--manifest`: hashes are those of sha256sum, and figures are tied to the model that they are of."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess

import pytest
from conftest import BIN, WORDS

from rdtools.core.manifest import open_ledger, read_through, write_through


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def files(tmp_path):
    docs = [
        {"doc_id": f"d{n}", "text": WORDS[n], "score": float(n), "relevance": int(n == 0)} for n in range(4)
    ]
    records = [
        {"query_id": f"q{q}", "query": WORDS[q], "docs": docs, "teacher": "t", "score_scale": "logit"}
        for q in range(3)
    ]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "corpus.tsv").write_text("".join(f"d{n}\t{WORDS[n]}\n" for n in range(9)))
    (tmp_path / "queries.tsv").write_text("".join(f"q{n}\t{WORDS[n]}\n" for n in range(3)))
    (tmp_path / "qrels").write_text("".join(f"q{n} 0 d{n} 1\n" for n in range(3)))
    return tmp_path


def manifest(path):
    return json.loads(path.read_text())


def test_figures_are_tied_to_the_model_and_its_data(run, files, tiny_be):
    run("rd-label", "labelled.jsonl", "--teacher", "qrels", "-o", "l.jsonl.gz", "--manifest", "l.jsonl.gz.manifest.json",
        check=True)  # fmt: skip
    run("rd-train", "l.jsonl.gz", "--student", f"be:{tiny_be}", "--loss", "lce", "-o", "student", "--max-steps", 1,
        "--seed", 7, check=True)  # fmt: skip
    run("rd-mine", "queries.tsv", "--corpus", "corpus.tsv", "--from", "dense:student", "-n", "all", "-f", "trec", "-o",
        "student.run", "--manifest", "student.run.manifest.json", check=True)  # fmt: skip
    run(
        "rd-eval",
        "qrels",
        "student.run",
        "-o",
        "figures.tsv",
        "--manifest",
        "figures.manifest.json",
        check=True,
    )

    figures = manifest(files / "figures.manifest.json")
    assert figures["command"].startswith("rd-eval qrels student.run -o figures.tsv ")
    assert [(one["path"], one["sha256"]) for one in figures["inputs"]] == [
        ("qrels", sha256(files / "qrels")), ("student.run", sha256(files / "student.run")),
    ]  # fmt: skip
    size = (files / "figures.tsv").stat().st_size
    assert figures["outputs"] == [
        {"path": "figures.tsv", "bytes": size, "sha256": sha256(files / "figures.tsv")}
    ]
    (mined,) = figures["upstream"]
    (model,) = mined["models"]
    assert model["path"] == "student"
    assert model["files"]["model.safetensors"] == sha256(files / "student" / "model.safetensors")
    (trained,) = mined["upstream"]
    assert trained == manifest(files / "student" / "manifest.json")
    assert trained["outputs"][-1] == model
    assert trained["seed"] == 7
    assert trained["models"][0]["path"] == tiny_be
    assert trained["inputs"][0]["sha256"] == sha256(files / "l.jsonl.gz")
    (labelled,) = trained["upstream"]
    assert labelled["outputs"][0]["sha256"] == sha256(files / "l.jsonl.gz")
    assert labelled["inputs"][0]["sha256"] == sha256(files / "labelled.jsonl")
    assert {"python", "rdtools", "torch", "transformers"} <= set(trained["versions"])
    assert trained["hardware"]["processors"] >= 1
    listed = "".join(f"{own}  {name}\n" for name, own in model["files"].items())
    assert hashlib.sha256(listed.encode()).hexdigest() == model["sha256"]


def test_a_manifest_of_other_content_is_not_upstream(run, files):
    run("rd-label", "labelled.jsonl", "--teacher", "qrels", "-o", "l.jsonl", "--manifest", "l.jsonl.manifest.json",
        check=True)  # fmt: skip
    (files / "l.jsonl").write_text((files / "labelled.jsonl").read_text())
    (files / "x.manifest.json").write_text("[]")
    done = run("rd-label", "l.jsonl", "--teacher", "qrels", "--manifest", "m.json", check=True)
    assert manifest(files / "m.json")["upstream"] == []
    first, second = (line for line in done.stderr.splitlines() if "warning" in line)
    assert first.endswith("/l.jsonl.manifest.json: it is not the manifest of the present l.jsonl")
    assert second.endswith("/x.manifest.json: it is not a manifest")


def test_pipes_have_hashes_and_upstream(files):
    script = (
        "rd-label labelled.jsonl --teacher qrels --manifest one.manifest.json | tee piped |"
        "rd-label --teacher qrels --manifest two.manifest.json > out"
    )
    environment = {**os.environ, "PATH": f"{BIN}:/usr/bin:/bin"}
    subprocess.run(script, shell=True, check=True, cwd=files, env=environment, capture_output=True)
    one, two = (manifest(files / f"{name}.manifest.json") for name in ("one", "two"))
    piped = {"bytes": (files / "piped").stat().st_size, "sha256": sha256(files / "piped")}
    assert one["outputs"] == [{"path": "<stdout>", **piped}]
    assert two["inputs"] == [{"path": "<stdin>", **piped}]
    assert two["outputs"][0]["sha256"] == sha256(files / "out")
    assert two["upstream"] == [one]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet"])
def test_the_hash_of_an_output_is_that_of_the_file_and_changes_nothing(run, files, name):
    command = ("rd-label", "labelled.jsonl", "--teacher", "qrels", "-o", name)
    run(*command, check=True)
    plain = sha256(files / name)
    run(*command, "--manifest", "m.json", check=True)
    assert sha256(files / name) == plain
    assert manifest(files / "m.json")["outputs"] == [
        {"path": name, "bytes": (files / name).stat().st_size, "sha256": plain}
    ]
    run("rd-label", name, "--teacher", "qrels", "--manifest", "n.json", check=True)
    assert manifest(files / "n.json")["inputs"] == manifest(files / "m.json")["outputs"]


def test_a_command_that_fails_writes_no_manifest(run, files):
    done = run("rd-label", "nowhere.jsonl", "--teacher", "qrels", "--manifest", "m.json")
    assert done.returncode == 1
    assert not (files / "m.json").exists()
    done = run("rd-label", "labelled.jsonl", "--manifest", "-")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "rd-label: --manifest needs the name of a file",
    )


def test_what_is_read_in_part_is_hashed_from_the_file_or_says_so(tmp_path):
    (tmp_path / "long").write_bytes(b"x" * 3_000_000)
    with open_ledger("rd-x", [], None) as ledger:
        with open(tmp_path / "long", "rb") as file:
            read_through(file, str(tmp_path / "long")).read(3)
        read_through(io.BufferedReader(io.BytesIO(b"y" * 3_000_000)), "<stdin>").read(3)
        for _ in range(2):  # a file that is read twice is hashed once
            assert read_through(io.BufferedReader(io.BytesIO(b"ab")), "twice").read() == b"ab"
        sink = io.BytesIO()
        write_through(sink, "out").write(b"out")
    long, stdin, twice = ledger.manifest([])["inputs"]
    assert (long["bytes"], long["sha256"]) == (3_000_000, sha256(tmp_path / "long"))
    assert stdin["partly_read"] is True
    assert "partly_read" not in long
    assert twice["sha256"] == hashlib.sha256(b"ab").hexdigest()
    assert (sink.getvalue(), ledger.outputs["out"].size) == (b"out", 3)
    assert read_through(sink, "x") is sink
