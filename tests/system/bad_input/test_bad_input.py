"""The bad-input battery: each input works as a user expects, or ends in one line with its file and line number.

    python -m pytest tests/system/bad_input

says in its last line how many of the inputs that were tried did so.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter

import pytest
from bad_inputs import AROUND, INPUTS, LABELLED, Case
from bad_lines import LINES
from conftest import says_last

from rdtools.core.errors import InputError
from rdtools.core.log import one_line
from rdtools.formats import Reading, read_records

BAD_LINES = [(format, good, *bad) for format, (good, lines) in LINES.items() for bad in lines]
BAD_RECORDS = [line for _, line, _ in LINES["records"][1]]
COUNTS: Counter[str] = Counter()


figure = says_last(lambda: f"bad inputs handled: {COUNTS['handled']} / {COUNTS['tried']} tried")


def fits(line: str, says: str) -> bool:
    return line.startswith(says[:-1]) if says.endswith("…") else line == says


@pytest.mark.parametrize("case", INPUTS, ids=[case.name for case in INPUTS])
def test_an_input_works_or_ends_in_one_line(run, tmp_path, tiny_be, tiny_ce, case: Case):
    COUNTS["tried"] += 1
    for name, content in {**AROUND, "in": case.given, "in.gz": case.given}.items():
        (tmp_path / name).write_bytes(content)
    models = {"be": tiny_be, "ce": tiny_ce}
    command, *arguments = shlex.split(case.command.format(**models))
    done = run(command, *arguments, *["--quiet"] * (case.notes is None), stdin=case.given)
    assert done.returncode == case.status, done.stderr
    if case.status == 0:
        printed = done.stdout.replace("e+", "e")  # versions of orjson differ in exponents
        assert (printed, done.stderr) == (case.says, case.notes or "")
    else:
        line, *more = done.stderr.splitlines()
        assert fits(line, f"{command}: {case.says.format(**models) if '{be}' in case.says else case.says}")
        assert more == [f"Try '{command} --help' for help."] * (case.status == 2)
        assert done.stdout == case.written
    COUNTS["handled"] += 1


@pytest.mark.parametrize(
    ("format", "good", "name", "bad", "says"), BAD_LINES, ids=[f"{line[0]}-{line[2]}" for line in BAD_LINES]
)
def test_a_bad_line_is_named_with_its_number(tmp_path, format, good, name, bad, says):
    COUNTS["tried"] += 1
    path = tmp_path / "in"
    path.write_bytes(good + b"\n\n" + bad + b"\n")
    with pytest.raises(InputError) as error:
        list(read_records([str(path)], Reading(input_format=format)))
    assert fits(one_line(str(error.value)), f"{path}:3: {says}")
    COUNTS["handled"] += 1


@pytest.mark.parametrize("format", LINES)
def test_bad_lines_are_skipped_and_counted_and_the_rest_goes_through(run, format):
    good, lines = LINES[format]
    bad = [line for _, line, _ in lines]
    command = ("rd-label", "--teacher", "qrels", "--input-format", format)
    alone = run(*command, stdin=good, check=True)
    skipped = run(*command, "--on-error", "skip", stdin=b"\n".join([good, *bad]), check=True)
    assert skipped.stdout == alone.stdout
    plural = "s" if len(bad) > 1 else ""
    assert (
        skipped.stderr == f"rd-label: warning: <stdin>: {len(bad)} bad line{plural} skipped\n{alone.stderr}"
    )


@pytest.mark.parametrize(
    "command",
    [
        "rd-mine --from records -n 2",
        "rd-label --teacher qrels",
        "rd-train --student be:{be} --loss kl -o {out} --max-steps 1",
        "rd-eval {qrels} -m RR",
        "rd-entropy -q",
    ],
)
def test_every_command_skips_and_counts_bad_records(run, tmp_path, tiny_be, command):
    (tmp_path / "qrels").write_bytes(AROUND["qrels"])

    def call(stdin: bytes, out: str, *flags: str):
        words = command.format(be=tiny_be, out=out, qrels="qrels").split()
        done = run(*words, *flags, stdin=stdin, check=True)
        return re.sub(r'"(seconds|docs_per_s|peak_memory_mb|output)":[^,}]*', "", done.stdout), done.stderr

    alone, notes = call(LABELLED, "one")
    skipped, more = call(LABELLED + b"\n".join(BAD_RECORDS), "two", "--on-error", "skip")
    assert skipped == alone
    warning = f"{command.split()[0]}: warning: <stdin>: {len(BAD_RECORDS)} bad lines skipped\n"
    assert warning in more
    assert more.replace(warning, "") == notes


def test_the_battery_is_as_large_as_it_should_be():
    assert len(INPUTS) + len(BAD_LINES) >= 250
    assert len({case.name for case in INPUTS}) == len(INPUTS)
