"""`--shard I/N`: the shards together are the whole, and each stands alone."""

from __future__ import annotations

import json

import pytest
from test_determinism import FILES

from rdtools.core.shards import Shard

MINE = "--corpus corpus --qrels qrels --from bm25 --from random --from run:run --depth 9 -n 7 --pad"
QREL_ROWS = FILES["qrels"].replace(" 0 ", "\t").replace(" ", "\t")


@pytest.fixture
def files(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "DIR" / "qrels").mkdir(parents=True)
    for name in ("corpus", "queries"):
        rows = (line.split("\t") for line in FILES[name].splitlines())
        lines = "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in rows)
        (tmp_path / "DIR" / f"{name}.jsonl").write_text(lines)
    (tmp_path / "DIR" / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{QREL_ROWS}")
    (tmp_path / "score").write_text(
        "import json, sys\nfor line in sys.stdin:\n    record = json.loads(line)\n"
        "    for doc in record['docs']:\n        doc['score'] = len(doc['text'])\n    print(json.dumps(record))\n"
    )
    return tmp_path


def test_the_shard_of_a_query_never_changes():
    """The values are those of `printf %s ID | b2sum -l 64`, the last hexadecimal digit modulo 4, plus 1."""
    ids = ("q0", "q1", "q2", "q3", "1048585", "é")
    assert [next(n for n in (1, 2, 3, 4) if Shard(n, 4).has(one)) for one in ids] == [2, 1, 3, 2, 1, 4]


def test_shards_are_disjoint_complete_and_of_similar_size():
    for count in (1, 2, 7):
        sizes = [
            sum(Shard(number, count).has(f"q{n}") for n in range(7000)) for number in range(1, count + 1)
        ]
        assert sum(sizes) == 7000
        assert max(abs(size - 7000 / count) for size in sizes) < 150


@pytest.mark.parametrize(
    ("line", "stdin"),
    [
        (f"rd-mine queries {MINE}", None),
        (f"rd-mine {MINE}", "queries"),
        (f"rd-mine --queries queries {MINE}", None),
        ("rd-mine --dataset DIR:test --from graph -n 3", None),
        ("rd-mine records --dataset DIR --from records -n 3 --score-scale logit", None),
        ("rd-mine queries --corpus corpus -n all --depth 5 -f trec", None),
        ("rd-label --teacher bm25 --dataset DIR --noise 0.1 --augment-doc drop:0.5", "records"),
        ("rd-label run --teacher qrels --dataset DIR -f trec", None),
        ("rd-label records --teacher cmd:'python score'", None),
    ],
)
def test_all_shards_sorted_are_the_single_run_sorted(run, files, line, stdin):
    command, *words = line.replace("'python score'", "python\0score").split()
    words = [word.replace("\0", " ") for word in words]
    given = FILES[stdin] if stdin else ""
    whole = run(command, *words, stdin=given, check=True).stdout
    shards = [run(command, *words, "--shard", f"{n}/3", stdin=given, check=True).stdout for n in (1, 2, 3)]
    assert all(shards)
    assert sorted("".join(shards).splitlines()) == sorted(whole.splitlines())
    assert run(command, *words, "--shard", "1/1", stdin=given, check=True).stdout == whole


def test_an_id_that_is_a_number_is_its_text(run, files):
    number = '{"query_id": 7, "query": "wing", "docs": []}\n'
    for shard in ("1/2", "2/2"):
        options = ("--teacher", "qrels", "--qrels", "qrels", "--shard", shard)
        as_number = run("rd-label", *options, stdin=number, check=True).stdout
        assert as_number == run("rd-label", *options, stdin=number.replace("7", '"7"'), check=True).stdout


def test_an_empty_shard_is_empty_output_and_opens_no_model(run, files):
    done = run("rd-label", "--teacher", "ce:none", "--shard", "1/4", "-o", "out", stdin='{"query_id":"q0"}\n')
    assert (done.returncode, done.stderr, (files / "out").read_text()) == (0, "", "")
    done = run("rd-mine", "--corpus", "none", "--shard", "1/4", "-o", "mined", stdin="q0\ttext\n")
    assert (done.returncode, done.stderr, (files / "mined").read_text()) == (0, "", "")


def test_only_the_records_of_the_shard_need_texts(run, files):
    records = '{"query_id":"q1","query":"x","docs":[{"doc_id":"d1","text":"y"}]}\n{"query_id":"q0"}\n'
    for shard, status in (("1/4", 0), ("2/4", 1)):
        options = ("--teacher", "cmd:python score", "--shard", shard)
        assert run("rd-label", *options, stdin=records).returncode == status


def test_expect_counts_the_whole_input(run, files):
    label = ("rd-label", "records", "--teacher", "qrels", "--qrels", "qrels", "--shard", "1/40", "--expect")
    assert run(*label, 12).returncode == 0
    done = run(*label, 13, "-o", "out")
    assert (done.returncode, (files / "out").exists()) == (1, False)
    assert done.stderr.startswith("rd-label: the input has 12 records, not the 13 of --expect ")


def test_a_bad_line_of_another_shard_is_an_error_too(run, files):
    label = ("rd-label", "--teacher", "qrels", "--qrels", "qrels", "--shard", "1/4")
    assert run(*label, stdin='{"query_id":"q0"}\nnonsense\n').stderr.startswith(
        "rd-label: <stdin>:2: not valid"
    )


@pytest.mark.parametrize("shard", ["0/4", "5/4", "x", "1/0", "1", "1/4/2", "-1/4", "1/ 4", "१/4", ""])
def test_a_shard_that_is_none_is_one_line(run, shard):
    for command in ("rd-mine", "rd-label"):
        done = run(command, f"--shard={shard}", stdin="q\tx\n")
        says = f"{command}: --shard {shard}: give I/N, I from 1 to N, such as 1/4\n"
        assert (done.returncode, done.stderr) == (2, says + f"Try '{command} --help' for help.\n")
