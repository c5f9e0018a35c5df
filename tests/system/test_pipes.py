"""The commands together, and as the shell sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rdtools.cli.completions import COMMANDS, SHELLS, script

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]

CORPUS = "".join(
    f"d{n}\tthe {'wing ' * (n % 4)}{'flow ' * (n % 3)}of model {chr(97 + n % 26)}\n" for n in range(40)
)
QUERIES = "".join(f"q{n}\twing flow {chr(97 + n)}\n" for n in range(12))
QRELS = "".join(f"q{n} 0 d{n + 1} 1\n" for n in range(12))


def shell(
    command: str, folder: Path, timeout: float = 120, commands: Path = BIN
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path):
    (tmp_path / "corpus.tsv").write_text(CORPUS)
    (tmp_path / "queries.tsv").write_text(QUERIES)
    (tmp_path / "qrels").write_text(QRELS)
    return tmp_path


def test_mine_label_train_is_one_pipe_and_its_student_retrieves(run, files, tiny_be, warm_bin):
    done = shell(
        "rd-mine queries.tsv --corpus corpus.tsv --qrels qrels -n 3"
        f" | rd-label --teacher be:{tiny_be}"
        f" | rd-train --student be:{tiny_be} --layers 2 --loss kl --teacher-temperature 0.05 -o student --batch-size 4",
        files,
        commands=warm_bin,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["step"] == 1
    mined = run(
        "rd-mine",
        "queries.tsv",
        "--corpus",
        "corpus.tsv",
        "--from",
        "dense:student",
        "-n",
        "all",
        "-f",
        "trec",
        check=True,
    )
    assert "dense:student\tnDCG@10\t" in run("rd-eval", "qrels", stdin=mined.stdout, check=True).stdout
    assert sorted(path.name for path in files.iterdir()) == ["corpus.tsv", "qrels", "queries.tsv", "student"]


def test_a_closed_pipe_ends_every_filter_quietly(files):
    many = "".join(json.dumps({"query_id": str(n), "query": "wing", "docs": []}) + "\n" for n in range(3000))
    (files / "many.jsonl").write_text(many)
    for command in (
        "rd-mine many.jsonl --corpus corpus.tsv --from random --quiet",
        "rd-label many.jsonl --teacher qrels --quiet",
        "rd-entropy -q many.jsonl --quiet",
    ):
        done = shell(f"{command} | head -1", files)
        assert done.returncode in (0, 128 + signal.SIGPIPE)
        assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


@pytest.mark.parametrize(
    "command", ["rd-mine q.jsonl --corpus corpus.tsv", "rd-label q.jsonl --teacher qrels"]
)
def test_a_full_disk_or_a_closed_stdout_is_one_line(files, command):
    (files / "q.jsonl").write_text('{"query_id":"q","query":"wing"}\n')
    full = shell(f"{command} --quiet > /dev/full", files)
    assert (full.returncode, full.stderr) == (
        1,
        f"{command.split()[0]}: <stdout>: cannot write: No space left on device\n",
    )
    closed = shell(f"{command} --quiet >&-", files)
    assert (closed.returncode, closed.stderr) == (1, f"{command.split()[0]}: <stdout>: it is closed\n")


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "hung up"),
    ],
)
def test_an_interrupt_is_one_line_and_leaves_no_half_file(files, number, status, word):
    process = subprocess.Popen(
        [BIN / "rd-label", "--teacher", "qrels", "-o", "out.jsonl"],
        cwd=files, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # nohup and a shell's background job ignore it
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(b'{"query_id":"q","docs":[]}\n')
    process.stdin.flush()
    for _ in range(1200):  # until it has opened its output
        if list(files.glob(".out.jsonl.*")):
            break
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(20) == status
    assert process.stderr.read().decode() == f"rd-label: {word}\n"
    assert not list(files.glob("*out.jsonl*")) + list(files.glob(".out.jsonl*"))


ENDS = {
    "rd-mine - --corpus corpus.tsv --from random --expect {n} -o out": "record",
    "rd-label --teacher qrels --expect {n} -o out": "record",
    "rd-label --teacher qrels --expect {n} > out": "record",
    "rd-entropy --score-scale logit --expect {n} -o out": "record",
    "rd-entropy --score-scale logit -q --expect {n} -o out": "record",
    "rd-entropy --score-scale logit --cut low --expect {n} -o out": "record",
    "rd-entropy --score-scale logit --calibrate --expect {n} -o out": "record",
    "rd-eval qrels --expect {n} -o out": "query",
    "rd-train --student be:{be} --loss kl --max-steps 1 --expect {n} -o out --device cpu": "record",
}


@pytest.mark.parametrize("command", ENDS)
def test_a_stream_that_was_cut_short_is_an_error_where_its_length_is_stated(run, files, tiny_be, command):
    """Killed after 2 of 12 queries, a command leaves a stream that looks complete."""
    lines = [
        json.dumps({"query_id": f"q{n}", "query": "wing flow", "score_scale": "logit", "docs": [
            {"doc_id": f"d{n + m}", "text": "wing", "score": 3.0 - m, "relevance": 1 - m} for m in (0, 1)
        ]}) + "\n" for n in range(12)
    ]  # fmt: skip
    name = command.split()[0]
    source = "<stdin>" if name in ("rd-eval", "rd-entropy") and "--cut" not in command else "the input"
    words = command.removesuffix(" > out").format(n=12, be=tiny_be).split()
    for count, counted in ((2, f"2 {'queries' if ENDS[command] == 'query' else 'records'}"), (0, None)):
        if count == 0 and name == "rd-eval":
            continue
        counted = counted or "0 records"
        done = run(*words, "--quiet", stdin="".join(lines[:count]))
        says = f"{name}: {source} has {counted}, not the 12 of --expect (was the command that wrote it killed?)\n"
        assert (done.returncode, done.stderr) == (1, says)
        assert not (files / "out").exists()
    run(*words, "--quiet", stdin="".join(lines), check=True)


def test_a_terminal_without_a_file_gets_the_help():
    import pty

    for command in ("rd-mine", "rd-label", "rd-entropy"):
        master, slave = pty.openpty()
        done = subprocess.run([BIN / command], stdin=slave, capture_output=True, text=True, timeout=30)
        os.close(master)
        os.close(slave)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Usage: {command} ")


# --help, --version, completion


def test_help_imports_nothing_heavy():
    modules = [f"rdtools.cli.{command.removeprefix('rd-')}" for command in COMMANDS]
    code = f"import sys, importlib; [importlib.import_module(m) for m in {modules}]; print(*sys.modules)"
    imported = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert not imported & {
        "torch",
        "numpy",
        "transformers",
        "orjson",
        "rich",
        "scipy",
        "faiss",
        "tqdm",
        "bm25s",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_help_opens_with_a_sentence_and_three_examples(run, command):
    text = run(command, "--help", check=True).stdout
    usage, sentence, examples = text.split("\n\n")[:3]
    assert usage.startswith(f"Usage: {command} ")
    assert sentence.strip().endswith(".")
    assert "\n" not in sentence.strip()
    heading, *lines = examples.strip().splitlines()
    assert heading == "Examples:"
    assert len(lines) == 3
    assert all("rd-" in line for line in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_version_and_misspelt_options(run, command):
    from rdtools import __version__

    assert run(command, "--version", check=True).stdout == f"{command} {__version__}\n"
    done = run(command, "--queit")
    assert done.returncode == 2
    assert done.stderr == (
        f"{command}: no such option --queit; did you mean --quiet?\nTry '{command} --help' for help.\n"
    )


@pytest.mark.parametrize("shell_name", SHELLS)
def test_completions_are_fresh(shell_name):
    written = (ROOT / "completions" / f"rdtools.{shell_name}").read_text()
    assert written == script(shell_name), "run: python -m rdtools.cli.manual ."


@pytest.mark.parametrize(("program", "status"), [("/bin/rd-mine", -signal.SIGINT), ("a-notebook", 1)])
def test_an_interrupt_while_a_command_starts_shows_no_traceback(program, status):
    code = (
        f"import sys; sys.argv = ['{program}']; import rdtools.cli, signal\n"
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: sys.exit(1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (status, "")
