"""cmd: programs that answer at once, at the end, wrongly or not at all."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from settings import opened, teacher_resources

from rdtools.core.errors import RdError, UsageError
from rdtools.formats import Reading
from rdtools.label import program as program_module
from rdtools.label import spooled_queue
from rdtools.label.labeler import Labeler
from rdtools.label.score_cache import ScoreCache
from rdtools.label.targets import ScoreTarget

BIN = Path(sys.executable).parent
EACH = """
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    for doc in record["docs"]:
        doc["score"] = float(len(doc["text"]))
    {then}
"""
WRITE = "print(json.dumps(record))"
PROGRAMS = {
    "at once": EACH.format(then="print(json.dumps(record), flush=True)"),
    "when its buffer is full": EACH.format(then=WRITE),
    "at the end": EACH.replace("for line in sys.stdin", "for line in list(sys.stdin)").format(then=WRITE),
    "seven at a time": EACH.format(then="""
    held = globals().setdefault("held", [])
    held.append(json.dumps(record))
    if len(held) == 7:
        print(*held, sep="\\n", flush=True)
        held.clear()
""") + "if held: print(*held, sep='\\n')",
    "with blank lines and no last line end": EACH.format(then="""
    print(end="" if line.startswith('{"query_id":"0"') else "\\n\\r\\n")
    print(end=json.dumps(record))
"""),
}  # fmt: skip


def cmd(program: str) -> str:
    return "cmd:" + shlex.join([sys.executable, "-I", "-S", "-c", program])


def records(count, text="wing"):
    for n in range(count):
        docs = [{"doc_id": f"d{m}", "text": text * (n + m), "score": 77.0, "rank": m} for m in range(1, 3)]
        yield {"query_id": str(n), "query": "x", "docs": docs, "score_scale": "bm25", "n": n}


def labelled(spec, count=50, target=ScoreTarget(), **options):
    setting = teacher_resources(**options)
    specs = [spec] if isinstance(spec, str) else spec
    return list(Labeler([opened(one, setting) for one in specs], target).label(records(count)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_may_answer_when_they_like(name):
    done = labelled(cmd(PROGRAMS[name]))
    assert [record["n"] for record in done] == list(range(50))
    for record in done:
        n = record["n"]
        assert [doc["score"] for doc in record["docs"]] == [4.0 * (n + 1), 4.0 * (n + 2)]
        assert [doc["rank"] for doc in record["docs"]] == [1, 2]
        assert record["score_scale"] == "unknown"
        assert record["teacher"] == cmd(PROGRAMS[name])
        assert "scores" not in record["docs"][0]


def test_a_stream_larger_than_every_pipe_and_buffer_goes_through(monkeypatch):
    """64 KiB fit into a pipe: 400 records of 20 KB each way, and no more than 100 KB held in memory."""
    monkeypatch.setattr(spooled_queue, "_MEMORY_BYTES", 100_000)
    for name in ("at once", "at the end"):
        setting = teacher_resources()
        labeler = Labeler([opened(cmd(PROGRAMS[name]), setting)])
        done: list[Any] = list(labeler.label(records(400, text="wing" * 13)))
        assert [record["n"] for record in done] == list(range(400))
        assert all(record["docs"][1]["score"] == len(record["docs"][1]["text"]) for record in done)


def test_waiting_lines_come_out_in_order_from_memory_and_file(monkeypatch):
    monkeypatch.setattr(spooled_queue, "_MEMORY_BYTES", 30)
    waiting = spooled_queue.SpooledQueue()
    expected = []
    for step in range(300):
        waiting.push(b"%d\n" % (step + 1000))
        expected.append(step + 1000)
        if step % 3 == 2 or step > 250:
            assert int(waiting.pop()) == expected.pop(0)
        if step % 97 == 96:
            assert [int(waiting.pop()) for _ in range(len(waiting))] == expected
            expected.clear()
    assert [int(waiting.pop()) for _ in range(len(waiting))] == expected
    assert not waiting


def test_a_record_leaves_once_its_answer_is_there(tmp_path):
    mark = tmp_path / "answered"
    program = EACH.format(then=f"print(json.dumps(record), flush=True); open({str(mark)!r}, 'w')")
    read = []

    def slow():
        for record in records(3):
            read.append(record["n"])
            yield record
            while not mark.exists():
                time.sleep(0.01)

    first: Any = next(Labeler([opened(cmd(program))]).label(slow()))
    assert first["n"] == 0
    assert read == [0, 1]


def test_the_program_reads_texts_and_no_scores_and_says_its_scale():
    echo = """
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    assert sorted(record) == ["docs", "n", "query", "query_id"], record
    assert all(sorted(doc) == ["doc_id", "rank", "text"] for doc in record["docs"])
    record["docs"][0]["score"] = 1/3
    record["docs"][1]["score"] = None
    record.update(score_scale="logit", n="changed", more=1)
    print(json.dumps(record))
"""
    one = labelled(cmd(echo), 1)[0]
    assert (one["score_scale"], one["n"]) == ("logit", 0)
    assert "more" not in one  # only the scores are the program's
    assert [doc.get("score") for doc in one["docs"]] == [0.33333334, None]
    assert labelled(cmd(PROGRAMS["at once"]), 1, score_scale="dot")[0]["score_scale"] == "dot"
    assert labelled(cmd(echo), 1, score_scale="dot")[0]["score_scale"] == "logit"


def test_programs_combine_with_each_other_and_with_pairwise_teachers():
    specs = [
        cmd(PROGRAMS["at the end"]),
        "qrels",
        cmd(PROGRAMS["seven at a time"].replace("float(", "3*float(")),
    ]
    done = labelled(specs, 30, ScoreTarget(combine="max"), score_scale="logit")
    for record in done:
        lengths = [len(doc["text"]) for doc in record["docs"]]
        assert [doc["score"] for doc in record["docs"]] == [3.0 * length for length in lengths]
        assert [list(doc["scores"].values()) for doc in record["docs"]] == [[n, 0.0, 3 * n] for n in lengths]
        assert record["teacher"] == f"max({','.join(specs)})"
    says = EACH.format(then="record['score_scale'] = 'logit'; " + WRITE)
    with pytest.raises(UsageError, match=r"(?s)^teachers of different scales: .*\(dot\), cmd:.*\(logit\)"):
        labelled([cmd(PROGRAMS["at once"]), cmd(says)], 1, score_scale="dot")


def test_an_unknown_scale_is_a_missing_one():
    says = cmd(EACH.format(then="record['score_scale'] = 'unknown'; " + WRITE))
    assert {record["score_scale"] for record in labelled(says, 3, score_scale="logit")} == {"logit"}
    assert {record["score_scale"] for record in labelled(says, 3)} == {"unknown"}
    named = cmd(EACH.format(then="record['score_scale'] = 'dot'; " + WRITE))
    assert {record["score_scale"] for record in labelled(named, 3, score_scale="logit")} == {"dot"}


BEFORE = "import sys, os, signal, time, json; lines = list(sys.stdin); "
FAILURES = {
    "fails": ("raise SystemExit(3)", r" (did not read all of its input|wrote 0 of 50 records) and ", "ended with status 3"),
    "fails when it has read all": (BEFORE + "raise SystemExit(3)", " wrote 0 of 50 records and ", "ended with status 3"),
    "fails when it has written all": (EACH.format(then=WRITE) + "raise SystemExit(4)", " wrote all records and ", "ended with status 4"),
    "is killed": (BEFORE + "os.kill(os.getpid(), 9)", " wrote 0 of 50 records and ", "was ended by SIGKILL"),
    "writes garbage": (BEFORE + "print('garbage')", "record 1 of its output: not valid JSON: .*", "ended with status 0"),
    "writes no object": (BEFORE + "print([1])", r"record 1 of its output: not a JSON object but \[1\]", "ended with status 0"),
    "writes too few": (EACH.format(then="if len(line) < 250: " + WRITE), r" wrote \d+ of 50 records and ", "ended with status 0"),
    "writes too many": (EACH.format(then=WRITE + ";" + WRITE), 'record 2 of its output: "query_id" must be "1", not "0"', "ended with status 0"),
    "writes one too many": (EACH.format(then=WRITE) + WRITE, " wrote more than the 50 records that it read and ", "ended with status 0"),
    "forgets documents": (EACH.format(then="record['docs'].pop();" + WRITE), 'record 1 of its output: "docs" of query "0" must be those of the input, in the same order', "ended with status 0"),
    "swaps documents": (EACH.format(then="record['docs'].reverse();" + WRITE), 'record 1 of its output: "docs" of query "0" must be those .*', "ended with status 0"),
    "has no docs": (EACH.format(then="del record['docs'];" + WRITE), 'record 1 of its output: "docs" of query "0" must be a list of objects, not null', "ended with status 0"),
    "scores NaN": (EACH.format(then="record['docs'][1]['score'] = 1e39;" + WRITE), r'record 1 of its output: "score" of document "d2" must be a finite float32, not 1\.?0?e\+?39', "ended with status 0"),
    "names no scale": (EACH.format(then="record['score_scale'] = 'stars';" + WRITE), 'record 1 of its output: unknown "score_scale" "stars"', "ended with status 0"),
    "hangs after garbage": ("import time; print('x', flush=True); time.sleep(60)", "record 1 of its output: .*", "had to be stopped"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_program_that_goes_wrong_ends_in_one_line_with_argv_and_status(name, monkeypatch):
    monkeypatch.setattr(program_module, "_PATIENCE_SECONDS", 0.3 if "hangs" in name else 20)
    program, problem, status = FAILURES[name]
    with pytest.raises(RdError) as caught:
        labelled(cmd(program))
    said = f"{problem}{status}" if problem.endswith(" and ") else rf": {problem} \(it {status}\)"
    assert re.fullmatch(re.escape(cmd(program)) + said, str(caught.value), re.DOTALL)


def test_a_program_that_dies_amid_a_long_stream_is_noticed():
    program = "import sys; [sys.stdin.readline() for _ in range(3)]; sys.exit(5)"
    with pytest.raises(RdError, match=r" did not read all of its input and ended with status 5$"):
        labelled(cmd(program), 5000)


def test_a_line_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(program_module, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(RdError, match=r": a line of its output is longer than 1,000 bytes \("):
        labelled(cmd("import os\nwhile True: os.write(1, b'x' * 9999)"), reading=Reading(max_line=1000))


def test_an_error_upstream_ends_the_program_too(monkeypatch):
    marks = []

    def broken():
        yield from records(2)
        raise RdError("bad input")

    teacher = opened(
        cmd("import sys; print(end='', flush=True); sys.stdin.read()"),
        teacher_resources(),
    )

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            marks.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    with pytest.raises(RdError, match=r"^bad input$"):
        list(Labeler([teacher]).label(broken()))
    assert [process.poll() for process in marks] == [0]  # the end of its input ended it


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "--teacher cmd needs a program and its arguments: cmd:ARGV"),
        ("'a", "--teacher cmd:'a: No closing quotation"),
    ],
)
def test_arguments_that_are_none(argument, message):
    with pytest.raises(UsageError) as caught:
        opened(f"cmd:{argument}")
    assert str(caught.value) == message


def test_what_cannot_be_run_is_one_line(tmp_path):
    with pytest.raises(RdError, match=r"^cmd:/no/such/program x: cannot be run: No such file or directory$"):
        labelled("cmd:/no/such/program x")
    (tmp_path / "plain").write_text("")
    with pytest.raises(RdError, match=r": cannot be run: Permission denied$"):
        labelled(f"cmd:{tmp_path}/plain")


# as installed


def lines(count):
    return "".join(json.dumps(record) + "\n" for record in records(count))


def test_no_shell_and_stderr_and_what_was_run(run, tmp_path):
    (tmp_path / "score.py").write_text(
        "import sys\nprint('hello from', *sys.argv[1:], file=sys.stderr)\n" + PROGRAMS["at the end"]
    )
    argument = f"{sys.executable} score.py '$HOME *' a\\ b ; | > out"
    done = run(
        "rd-label",
        "-v",
        "--teacher",
        f"cmd:{argument}",
        "--score-scale",
        "logit",
        stdin=lines(20),
        check=True,
    )
    assert "hello from $HOME * a b ; | > out\n" in done.stderr
    assert f"rd-label: running {sys.executable} score.py '$HOME *' 'a b' ';' '|' '>' out\n" in done.stderr
    assert ": 20 records, exit status 0\n" in done.stderr
    assert done.stderr.endswith("rd-label: 20 records, 40 pairs: 40 scored\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["score.py"]
    assert [json.loads(line)["score_scale"] for line in done.stdout.splitlines()] == ["logit"] * 20


def test_a_dead_program_is_no_silent_end(run):
    """Writing to it raises SIGPIPE, which ends a filter without a word where it is stdout that is closed."""
    done = run("rd-label", "--teacher", "cmd:sh -c 'exit 7'", stdin=lines(3000))
    assert done.returncode == 1
    assert re.fullmatch(
        r"rd-label: cmd:sh -c 'exit 7' did not read all .* and ended with status 7\n", done.stderr
    )


def test_rd_label_is_such_a_program(run):
    """A teacher can be what another rd-label computes."""
    inner = f"cmd:{BIN / 'rd-label'} --teacher qrels --quiet"
    judged = lines(5).replace('"rank": 1', '"rank": 1, "relevance": 2')
    done = run("rd-label", "--teacher", inner, stdin=judged, check=True)
    assert [[doc["score"] for doc in json.loads(line)["docs"]] for line in done.stdout.splitlines()] == [
        [2.0, 0.0]
    ] * 5


def test_memory_does_not_grow_with_the_stream(tmp_path):
    """80 MB through a program that holds everything back: rd-label itself holds 16 MiB of it at most."""
    keeper = tmp_path / "keeper.py"
    keeper.write_text(PROGRAMS["at the end"])
    big = tmp_path / "big.jsonl"
    with open(big, "w") as file:
        for record in records(2000):
            for doc in record["docs"]:
                doc["text"] = "wing " * 4000
            file.write(json.dumps(record) + "\n")

    def peak(path):
        process = subprocess.Popen(
            [
                BIN / "rd-label",
                "--teacher",
                f"cmd:{sys.executable} -I -S {keeper}",
                "--quiet",
                path,
                "-o",
                tmp_path / "out",
            ]
        )
        _, status, usage = os.wait4(process.pid, 0)  # of this process, not of its child
        assert status == 0
        return usage.ru_maxrss / 1024

    (tmp_path / "small.jsonl").write_text(lines(2))
    small = peak(tmp_path / "small.jsonl")
    assert peak(big) - small < 45
    assert (tmp_path / "out").read_bytes().count(b"\n") == 2000


def test_an_interrupt_ends_both(tmp_path):
    process = subprocess.Popen(
        [BIN / "rd-label", "--teacher", f"cmd:{sys.executable} -I -S -c 'import sys, os; print(os.getpid(), file=sys.stderr, flush=True); sys.stdin.read()'"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(lines(1).encode())
    process.stdin.flush()
    child = int(process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert process.stderr.read() == b"rd-label: terminated\n"
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the program is still there")


# the cache

COUNTING = """
import json, sys, time
log = open(sys.argv[1], "a")
for line in sys.stdin:
    record = json.loads(line)
    print(record["query_id"], file=log, flush=True)
    for doc in record["docs"]:
        doc["score"] = float(len(doc["text"]))
    del record["docs"][0]["score"]
    record["score_scale"] = "dot"
    print(json.dumps(record), flush=True)
    time.sleep(0.005)
"""


def with_cache(tmp_path, argument, count=10, items=None, **options):
    """Label; return the records, and [computed, from the cache]."""
    setting = teacher_resources(cache=ScoreCache(str(tmp_path / "db")), **options)
    labeler = Labeler([opened(f"cmd:{argument}", setting)], cache=setting.cache)
    done = list(labeler.label(items or records(count)))
    return done, [labeler._computed, labeler._from_cache]


def saved(cache: Path) -> int:
    """Count the answers in a cache that another process writes."""
    try:
        with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:  # it is not made yet
        return 0


def test_after_kills_a_program_scores_only_what_is_missing(tmp_path):
    (tmp_path / "count.py").write_text(COUNTING)
    (tmp_path / "in.jsonl").write_text(lines(200))
    argument = f"cmd:{sys.executable} -I -S {tmp_path}/count.py {tmp_path}/log"
    command = [BIN / "rd-label", "--teacher", argument, "--cache-key", "n", "--cache", tmp_path / "db", tmp_path / "in.jsonl", "-o", tmp_path / "out"]  # fmt: skip
    for kill in (60, 120):
        process = subprocess.Popen(command)
        while saved(tmp_path / "db") < kill:
            time.sleep(0.005)
        process.kill()
        process.wait()
        time.sleep(0.1)  # the program ends at the end of its input
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    scored = (tmp_path / "log").read_text().split()
    assert sorted(set(scored), key=int) == [str(n) for n in range(200)]
    assert (
        len(scored) < 360
    )  # 380 without the cache; twice is scored only what no answer was read of when a kill came
    found = re.fullmatch(
        r"rd-label: 200 records, 400 pairs: (\d+) scored, (\d+) from the cache, 200 without a score\n",
        done.stderr,
    )
    assert found is not None
    assert int(found[1]) + int(found[2]) == 200
    assert int(found[2]) >= 120
    rows = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [row["n"] for row in rows] == list(range(200))
    assert all(
        "score" not in row["docs"][0] and row["docs"][1]["score"] == len(row["docs"][1]["text"])
        for row in rows
    )
    assert {row["score_scale"] for row in rows} == {"dot"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_known_and_new_records_keep_their_order(name, tmp_path):
    argument = cmd(PROGRAMS[name]).removeprefix("cmd:")
    odd = [record for record in records(30) if record["n"] % 3 == 1]
    assert with_cache(tmp_path, argument, items=odd)[1] == [20, 0]
    done, counts = with_cache(tmp_path, argument, 30)
    assert counts == [40, 20]
    assert done == labelled(cmd(PROGRAMS[name]), 30)
    done, counts = with_cache(tmp_path, argument, 30)
    assert counts == [0, 60]
    assert done == labelled(cmd(PROGRAMS[name]), 30)


def test_a_program_with_nothing_to_score_does_not_start(tmp_path):
    (tmp_path / "score").write_text(f"#!{sys.executable} -ISs\n{PROGRAMS['at once']}")
    (tmp_path / "score").chmod(0o755)
    assert with_cache(tmp_path, f"{tmp_path}/score", 3, cache_key="one")[1] == [6, 0]
    (tmp_path / "score").unlink()
    assert with_cache(tmp_path, f"{tmp_path}/score", 3, cache_key="one")[1] == [0, 6]
    with pytest.raises(RdError, match="cannot be run"):
        with_cache(tmp_path, f"{tmp_path}/score", 4, cache_key="one")


def test_the_key_of_a_program_is_its_words_and_files_or_its_name(tmp_path):
    script = tmp_path / "score.py"
    script.write_text(PROGRAMS["at once"])
    program = f"{sys.executable} -I -S {script}"
    counts = [with_cache(tmp_path, program, 1)[1], with_cache(tmp_path, program, 1)[1]]
    assert counts == [[2, 0], [0, 2]]
    assert with_cache(tmp_path, f"{program} more", 1)[1] == [2, 0]
    assert with_cache(tmp_path, program, 1, cache_key="A")[1] == [2, 0]
    script.write_text(PROGRAMS["at once"] + "\n")  # another script under the same words
    assert with_cache(tmp_path, program, 1)[1] == [2, 0]
    assert with_cache(tmp_path, f"{program} more", 1, cache_key="A")[1] == [0, 2]
    (changed,) = records(1)
    changed["n"] = "another field, which the program reads"
    assert with_cache(tmp_path, program, items=[changed])[1] == [2, 0]


def test_a_known_answer_takes_the_scale_that_is_stated_now(tmp_path):
    argument = cmd(PROGRAMS["at once"]).removeprefix("cmd:")
    assert with_cache(tmp_path, argument, 1)[0][0]["score_scale"] == "unknown"
    done, counts = with_cache(tmp_path, argument, 1, score_scale="logit")
    assert (done[0]["score_scale"], counts) == ("logit", [0, 2])


@pytest.mark.parametrize(
    "teachers", [[], ["--teacher", "qrels"], ["--teacher", "cmd:a", "--teacher", "cmd:b"]]
)
def test_a_name_is_for_one_program(run, teachers):
    done = run("rd-label", *teachers, "--cache", "db", "--cache-key", "x", stdin=lines(1))
    assert done.returncode == 2
    count = 2 if "cmd:b" in teachers else 0
    assert done.stderr.startswith(
        f"rd-label: --cache-key names one program or server; the teachers have {count}\n"
    )


# patience, and what a program says

STALLS = {
    "stalls": "import sys, time; sys.stdin.readline(); time.sleep(60)",
    "stalls at the end": "import sys, time; sys.stdin.read(); time.sleep(60)",
    "closes its output and stays": EACH.format(then="print(json.dumps(record), flush=True)")
    + "\nimport os, time; os.close(1); time.sleep(60)",
}


@pytest.mark.parametrize("name", STALLS)
def test_a_silent_program_is_given_up(name, monkeypatch):
    monkeypatch.setattr(program_module, "_PATIENCE_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(RdError) as caught:
        labelled(cmd(STALLS[name]), 5000 if name == "stalls" else 5, timeout=0.4)
    assert time.monotonic() - started < 10
    assert str(caught.value) == (
        f"{cmd(STALLS[name])}: neither read nor wrote for 0.4 seconds, which --timeout allows (it had to be stopped)"
    )


def test_what_a_program_says_cannot_command_the_terminal(capfd):
    says = (
        "\nimport sys; sys.stderr.buffer.write('\\x1b[31mé\\x9b2J\\u202e\\r\\n\\t'.encode() + b'\\xff\\n'); "
    )
    labelled(cmd(says + PROGRAMS["at once"]), 1)
    assert capfd.readouterr().err == "\\x1b[31mé\\x9b2J\\u202e\r\n\t\\xff\n"
