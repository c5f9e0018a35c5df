"""Kills in a short form, two processes at once, disks that are full, and what does not belong together."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from warm import FILE_SIZE

from rdtools.cli.command import EntryPoint
from rdtools.core.errors import RdError
from rdtools.label.score_cache import ScoreCache

RECORDS = "".join(
    json.dumps({"query_id": f"q{n}", "query": f"flow {n}", "docs": [{"doc_id": f"d{m}", "text": f"wing {n} {m}"} for m in range(4)]}) + "\n"
    for n in range(5)
)  # fmt: skip
CORPUS = "".join(f"d{n}\twing {n}\n" for n in range(30))


def test_commands_survive_kills_and_interrupts():
    command = [
        sys.executable,
        str(Path(__file__).with_name("kills.py")),
        "--label",
        "2",
        "--train",
        "1",
        "--signals",
        "5",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    says = "survived: rd-label 2/2 kills, rd-train 1/1 kills, 5/5 interrupts"
    assert done.stdout.splitlines()[-1:] == [says], done.stderr


def test_two_processes_on_one_cache_are_both_right(run, tmp_path, tiny_ce):
    def label(name: str) -> str:
        run(
            "rd-label",
            "--teacher",
            f"ce:{tiny_ce}",
            "--cache",
            "cache",
            "--batch-tokens",
            32,
            "-o",
            name,
            stdin=RECORDS,
            check=True,
        )
        return str((tmp_path / name).read_text())

    with ThreadPoolExecutor() as pool:
        one, two = pool.map(label, ["one", "two"])
    assert one == two
    with sqlite3.connect(tmp_path / "cache") as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (20,)


def test_two_processes_build_one_index(run, tmp_path):
    (tmp_path / "corpus").write_text(CORPUS)

    def mine(name: str) -> str:
        done: str = run(
            "rd-mine",
            "--corpus",
            "corpus",
            "--index",
            "index",
            "-n",
            3,
            "--quiet",
            stdin="q\twing 7\n",
            check=True,
        ).stdout
        return done

    with ThreadPoolExecutor() as pool:
        one, two = pool.map(mine, ["one", "two"])
    assert one == two
    assert not [name for name in os.listdir(tmp_path / "index") if name.startswith(".")]


def test_an_index_of_another_corpus_is_named_and_one_of_another_setting_is_not_used(run, tmp_path):
    (tmp_path / "corpus").write_text(CORPUS)
    (tmp_path / "other").write_text(CORPUS.replace("wing 3", "wing 4"))
    mine = ("rd-mine", "--index", "index", "-n", 3, "--quiet")
    run(*mine, "--corpus", "corpus", stdin="q\twing\n", check=True)
    done = run(*mine, "--corpus", "other", stdin="q\twing\n")
    assert done.returncode == 1
    assert re.fullmatch(
        r"rd-mine: index index/bm25-\w+: it was built from another corpus \(give another --index, or remove it\)\n",
        done.stderr,
    )
    run(*mine, "--corpus", "corpus", "--k1", "0.9", stdin="q\twing\n", check=True)
    assert len(os.listdir(tmp_path / "index")) == 2


def test_a_cache_serves_no_other_model_precision_or_length(run, tmp_path, tiny_ce, tiny_be):
    """What was computed is what the last line says."""
    variants = [
        ("ce", tiny_ce),
        ("be", tiny_be),
        ("ce", tiny_ce, "--dtype", "bf16"),
        ("ce", tiny_ce, "--max-length", 9),
    ]
    for kind, model, *flags in variants:
        for scored, cached in ((20, 0), (0, 20)):
            done = run(
                "rd-label",
                "--teacher",
                f"{kind}:{model}",
                "--cache",
                "cache",
                *flags,
                stdin=RECORDS,
                check=True,
            )
            assert done.stderr == f"rd-label: 5 records, 20 pairs: {scored} scored, {cached} from the cache\n"


def test_a_cache_of_another_version_is_named(tmp_path):
    path = str(tmp_path / "cache")
    ScoreCache(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RdError, match=r"cache: not a score cache of this version \(give another --cache\)$"):
        ScoreCache(path)


def test_a_dense_index_serves_no_other_tokenizer_precision_length_or_version(run, tmp_path, tiny_be):
    (tmp_path / "corpus").write_text(CORPUS)
    other = shutil.copytree(tiny_be, tmp_path / "other")
    with open(other / "tokenizer.json", "a") as file:
        file.write("\n")
    mine = ("rd-mine", "--corpus", "corpus", "--index", "index", "-n", 3, "--quiet", "--from")
    variants = [
        (f"dense:{tiny_be}",),
        (f"dense:{other}",),
        (f"dense:{tiny_be}", "--dtype", "bf16"),
        (f"dense:{tiny_be}", "--max-length", 9),
    ]
    for number, variant in enumerate([*variants, *variants]):
        run(*mine, *variant, stdin="q\twing 7\n", check=True)
        assert len(os.listdir(tmp_path / "index")) == min(number + 1, len(variants))
    for manifest in tmp_path.glob("index/*/manifest.json"):
        manifest.write_text(manifest.read_text().replace('"layout": 2', '"layout": 1'))
    done = run(*mine, *variants[0], stdin="q\twing 7\n")
    assert done.returncode == 1
    assert re.fullmatch(
        r"rd-mine: index index/dense-\w+: it was built with another layout \(give another --index, or remove it\)\n",
        done.stderr,
    )


def test_a_damaged_cache_is_one_line(run, tmp_path, tiny_ce):
    label = ("rd-label", "--teacher", f"ce:{tiny_ce}", "--cache", "cache", "--quiet")
    run(*label, stdin=RECORDS, check=True)
    with sqlite3.connect(tmp_path / "cache") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log mends the file
    whole = (tmp_path / "cache").read_bytes()
    (tmp_path / "cache").write_bytes(whole[:4096] + b"x" * (len(whole) - 4096))
    done = run(*label, stdin=RECORDS)
    assert (done.returncode, done.stderr) == (1, "rd-label: cache cache: database disk image is malformed\n")


SPOOL = r"temporary file in \S+: cannot write: File too large \(TMPDIR names another folder\)"
FULL = {  # bytes that a file may have -> what is said
    "rd-label --teacher ce:{ce} --cache cache records": (
        8192,
        r"cache cache: (database or disk is full|disk I/O error)",
    ),
    "rd-mine --corpus corpus --index index -n 3 --queries queries": (
        150,
        r"index index/bm25-\w+: (cannot write: )?.*",
    ),
    "rd-train --student be:{be} --loss kl --max-steps 1 --score-scale logit -o out scored": (
        70_000,  # the records and their table take 65,700, the model more
        r"\S+/out: cannot write: .*",
    ),
    "rd-train --student be:{be} --loss kl --max-steps 2 --score-scale logit -o out scored": (600, SPOOL),
    "rd-entropy --cut low --score-scale logit -o out scored": (600, SPOOL),
    "rd-entropy -q --score-scale logit -o out scored": (20, "out: cannot write: File too large"),
    "rd-eval qrels run -o out": (20, "out: cannot write: File too large"),
    "rd-mine --corpus corpus --from random -o out queries": (20, "out: cannot write: File too large"),
    "rd-label --teacher qrels -o out.zst records": (20, "out.zst: cannot write: File too large"),
}


@pytest.mark.parametrize("command", FULL)
def test_a_full_disk_is_one_line_and_leaves_nothing_half(warm_bin, tmp_path, tiny_be, tiny_ce, command):
    """RLIMIT_FSIZE stands for the disk: a write beyond it fails."""
    size, says = FULL[command]
    scored = RECORDS.replace('"text"', '"score": 1.5, "text"')
    for name, content in {
        "records": RECORDS * 20,
        "corpus": CORPUS * 1,
        "queries": "q\twing\n",
        "scored": scored,
        "run": "q Q0 d1 1 1.5 tag\n",
        "qrels": "q 0 d1 1\n",
    }.items():
        (tmp_path / name).write_text(content)
    name, *words = command.format(be=tiny_be, ce=tiny_ce).split()
    environment = {**os.environ, FILE_SIZE: str(size)}
    done = subprocess.run(
        [warm_bin / name, *words, "--quiet"], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert re.fullmatch(f"{name}: {says}\n", done.stderr), done.stderr
    assert not list(tmp_path.glob("*out*"))
    index = tmp_path / "index"
    assert not index.exists() or not list(index.iterdir())


def test_an_output_whose_folder_vanishes_is_one_line(run, tmp_path):
    """The program of the teacher removes the folder that the output is to appear in."""
    (tmp_path / "there").mkdir()
    (tmp_path / "remove.py").write_text(
        "import shutil, sys\nshutil.rmtree('there')\nsys.stdout.writelines(sys.stdin)\n"
    )
    done = run("rd-label", "--teacher", f"cmd:{sys.executable} remove.py", "--score-scale", "logit", "-o", "there/out", "--quiet",
               stdin='{"query_id":"q","query":"x","docs":[]}\n')  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "rd-label: there/out: cannot write: No such file or directory\n",
    )


def test_a_model_that_was_being_replaced_comes_back(tmp_path):
    from rdtools.train.checkpoints import check_output_folder
    from rdtools.train.options import TrainingOutput

    (tmp_path / ".out.1.old" / "checkpoints" / "step-5").mkdir(parents=True)
    (tmp_path / ".out.2.part").mkdir()
    with pytest.raises(RdError, match="out already contains an unfinished run"):
        check_output_folder(TrainingOutput(output=tmp_path / "out"))
    check_output_folder(TrainingOutput(output=tmp_path / "out", resume=True))
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out" / "checkpoints") == ["step-5"]


def test_an_interrupt_that_is_ignored_stays_so(monkeypatch):
    """As under nohup, and in the background of a script."""
    import signal

    handlers = {signal.SIGINT: signal.SIG_IGN}
    monkeypatch.setattr(signal, "getsignal", handlers.get)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(sys, "argv", ["rd-x"])

    def nothing() -> None:
        "Nothing."

    with pytest.raises(SystemExit):
        EntryPoint("rd-x", nothing)()
    assert handlers[signal.SIGINT] is signal.SIG_IGN
    assert signal.SIGTERM in handlers


@pytest.mark.slow
@pytest.mark.parametrize(("script", "says"), [
    (("damages.py", "--count", "15"), "harmless: 45/45"),
    (("damages.py", "--count", "15", "--forged"), "harmless: 45/45"),
    (("pipe_kills.py", "--count", "5"), "survived: 5/5 kills of a pipe of three"),
])  # fmt: skip
def test_damages_and_kills_of_a_pipe_do_no_harm(script, says):
    command = [sys.executable, Path(__file__).with_name(script[0]), *script[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.stdout.splitlines()[-1:] == [says], done.stderr
