"""Data that would run, flood or escape: nothing is unpickled, evaluated or obeyed, nothing grows without end."""

from __future__ import annotations

import ast
import gzip
import json
import os
import pty
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from rdtools.core.log import one_line, printable

ROOT = Path(__file__).parents[2] / "rdtools"
ESCAPE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
SHOWN = r"\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
HOSTILE = (
    json.dumps(
        {"query_id": ESCAPE, "query": ESCAPE, "docs": [{"doc_id": ESCAPE, "text": ESCAPE, "score": 1.5}]}
    )
    + "\n"
)


def test_no_code_of_ours_unpickles_evaluates_or_starts_a_shell():
    forbidden = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "marshal", "shelve", "dill", "joblib"}, path
            if not isinstance(node, ast.Call):
                continue
            where = f"{path}:{node.lineno}"
            assert ast.unparse(node.func) not in forbidden, where
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("shell", "False") == "False", where
            assert given.get("allow_pickle", "False") == "False", where
            if ast.unparse(node.func) == "torch.load":
                assert given.get("weights_only") == "True", where


def test_control_characters_are_shown_and_letters_stay():
    assert printable(ESCAPE) == SHOWN
    assert printable("Größe 漢字 😀 \\n") == "Größe 漢字 😀 \\n"
    assert one_line("two\nlines\r\tand a tab") == r"two lines\r\tand a tab"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("rd-label --teacher qrels -f trec", "has white space"),
        ("rd-label --teacher bm25 --corpus corpus", "is not in the corpus"),
        ("rd-entropy", "are of unknown scale"),
        ("rd-eval - run", "grade"),
        ("rd-mine --corpus - --from random", "duplicate doc_id"),
    ],
)
def test_no_message_sends_an_escape_sequence(run, tmp_path, command, says):
    (tmp_path / "corpus").write_text("d\tx\n")
    (tmp_path / "run").write_text("q Q0 d 1 1.5 t\n")
    stdin = {
        "rd-label --teacher qrels -f trec": json.dumps(
            {"query_id": f"{ESCAPE} q", "docs": [{"doc_id": "d", "score": 1}]}
        ),
        "rd-eval - run": f"q 0 {ESCAPE} {ESCAPE}\n",
    }.get(command, HOSTILE)
    if command.startswith("rd-label --teacher bm25"):
        stdin = stdin.replace(', "text": ' + json.dumps(ESCAPE), "")
    if command.startswith("rd-mine"):
        (tmp_path / "hostile").write_text(f"{ESCAPE}\tx\n" * 2)
        command, stdin = command.replace("-  ", "").replace("--corpus -", "--corpus hostile"), "q\tx\n"
    if command == "rd-eval - run":
        (tmp_path / "hostile").write_text(stdin)
        command = "rd-eval hostile run"
    done = run(*command.split(), stdin=stdin)
    assert done.returncode == 1
    assert says in done.stderr
    assert SHOWN in done.stderr
    assert printable(done.stderr) == done.stderr.replace("\n", "\\n")


def test_a_traceback_sends_no_escape_sequence(run):
    done = run("rd-entropy", "--debug", stdin=HOSTILE)
    assert (done.returncode, SHOWN in done.stderr, "\x1b" in done.stderr) == (1, True, False)
    assert done.stderr.startswith("Traceback ")


def test_a_terminal_is_shown_control_characters_and_a_file_gets_them(run, tmp_path):
    command = [str(Path(sys.executable).parent / "rd-label"), "--teacher", "qrels", "-f", "tsv", "--quiet"]
    assert run("rd-label", *command[1:], stdin=HOSTILE, check=True).stdout == f"{ESCAPE}\t{ESCAPE}\t0.0\n"
    master, slave = pty.openpty()
    done = subprocess.run(command, input=HOSTILE.encode(), stdout=slave, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    os.close(slave)
    assert os.read(master, 10000).decode().replace("\r\n", "\n") == f"{SHOWN}\t{SHOWN}\t0.0\n"
    os.close(master)


def test_a_bomb_and_an_endless_line_end_under_max_line(run, tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(300_000_000), 1))
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
    start = (
        "import sys; sys.argv = ['rd-entropy', *sys.argv[1:]]; from rdtools.cli.entropy import main; main()"
    )
    for name in ("bomb.gz", "/dev/zero"):
        command = [sys.executable, "-c", code + start, "--max-line", "1000000", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100,
                              env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})  # fmt: skip
        says = f"rd-entropy: {name}:1: line is longer than 1,000,000 bytes (see --max-line)\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", says)


def test_ids_are_no_paths(run, tmp_path):
    """An id that looks like a path is written into no name of a file."""
    (tmp_path / "corpus").write_text("../../outside\twing flow\n/etc/hosts\twing plate\n")
    folder = tmp_path / "index"
    stdin = '{"query_id":"../../q","query":"wing"}\n'
    run("rd-mine", "--corpus", "corpus", "--index", folder, "-n", 2, "-o", "out", stdin=stdin, check=True)
    found = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert found == {"corpus", "index", "out"}


def test_dependencies_are_bounded():
    for line in requires("ranking-distillation-tools") or []:
        requirement = Requirement(line)
        if requirement.name != "ranking-distillation-tools":
            assert {bound.operator for bound in requirement.specifier} & {"<", "=="}, line
