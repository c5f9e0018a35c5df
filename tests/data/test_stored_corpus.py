"""Corpora that stay on disk: what commands make of them is what they make of corpora in memory."""

from __future__ import annotations

import json
import os
import random
import resource
from pathlib import Path

import pytest
from conftest import WORDS

from rdtools.core.errors import RdError
from rdtools.data.corpus import Corpus
from rdtools.data.stored_corpus import open_stored
from rdtools.formats import Reading


def documents(count=300):
    rng = random.Random(1)
    ids = [str(n) for n in range(count - 3)] + ["é", "😀", "\uffff"]
    rng.shuffle(ids)
    rows = [(own, " ".join(rng.choices([*WORDS, "naïve", ""], k=rng.randint(0, 9)))) for own in ids]
    rows[7] = (rows[7][0], "naïve " * 50_000)  # longer than what is read at a time
    return rows


def stored(folder, rows, memory=4_000):
    (folder / "corpus.tsv").write_text("".join(f"{own}\t{text}\n" for own, text in rows))
    return open_stored(str(folder / "index"), str(folder / "corpus.tsv"), rows, memory, Reading())


def test_a_file_that_becomes_shorter_while_it_is_open_is_damage(tmp_path):
    corpus = stored(tmp_path, documents())
    (texts,) = tmp_path.glob("index/corpus-*/texts.bin")
    os.truncate(texts, texts.stat().st_size - 300_000)
    with pytest.raises(RdError, match=r"it is damaged: texts.bin has become shorter \(remove it to build"):
        list(map(corpus.texts.__getitem__, range(300)))


def test_texts_that_are_read_stay_out_of_the_memory_of_the_process(tmp_path):
    corpus = stored(tmp_path, [(f"d{number}", f"{number} " * 100_000) for number in range(200)], 10**9)
    read = sum(len(corpus.texts[row]) for row in range(200))
    assert read > 50_000_000
    mapped = Path("/proc/self/smaps")
    if mapped.exists():
        assert "texts.bin" not in mapped.read_text()


@pytest.mark.parametrize("memory", [1, 4_000, 10**9])
def test_it_is_the_corpus_in_memory(tmp_path, memory):
    rows = documents()
    one, other = Corpus(rows), stored(tmp_path, rows, memory)
    assert [*one.doc_ids] == [*other.doc_ids]
    assert [*one.texts] == [*other.texts]
    assert one.fingerprint == other.fingerprint
    assert len(one) == len(other) == 300
    assert {own: other.row_of[own] for own in one.doc_ids} == one.row_of
    for absent in ("", "300", "0x", "zz"):
        assert absent not in other.row_of
        assert other.row_of.get(absent) is None
    assert other.texts[2:9] == one.texts[2:9]
    with pytest.raises(IndexError):
        other.texts[300]


def test_sorted_parts_may_be_more_than_files_that_may_be_open(tmp_path):
    rows = [(f"d{number}", "a\nb" * number) for number in range(400)]
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, allowed[1]))
    try:
        corpus = stored(tmp_path, rows, memory=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert dict(zip(corpus.doc_ids, corpus.texts, strict=True)) == dict(rows)


def test_it_is_written_once_and_anew_for_another_file(tmp_path):
    rows = documents()
    stored(tmp_path, rows)
    again = open_stored(str(tmp_path / "index"), str(tmp_path / "corpus.tsv"), iter(()), 1, Reading())
    assert [*again.doc_ids] == sorted((own for own, _ in rows), reverse=True)
    (folder,) = (tmp_path / "index").iterdir()
    os.utime(tmp_path / "corpus.tsv", ns=(1, 1))
    other = open_stored(str(tmp_path / "index"), str(tmp_path / "corpus.tsv"), rows[:5], 1, Reading())
    assert len(other) == 5
    assert len(list((tmp_path / "index").iterdir())) == 2
    assert folder.exists()


def test_a_repeated_id_is_refused_and_nothing_stays(tmp_path):
    rows = documents()
    with pytest.raises(RdError, match=r'^corpus: doc_id "7" is repeated$'):
        stored(tmp_path, [*rows, ("7", "again")])
    assert [*(tmp_path / "index").iterdir()] == []


@pytest.mark.parametrize("name", ["ids.bin", "ids.offsets", "texts.bin", "texts.offsets"])
@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "missing"])
def test_damage_is_one_line(tmp_path, name, damage):
    rows = documents()
    stored(tmp_path, rows)
    (folder,) = (tmp_path / "index").iterdir()
    content = (folder / name).read_bytes()
    changed = {"changed": content[:-9] + b"\xff" + content[-8:], "cut": content[:-8], "empty": b""}
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(changed[damage])
    with pytest.raises(
        RdError, match=rf"^index {folder}: it is damaged: .*{name}.* \(remove it to build it again\)$"
    ):
        open_stored(str(tmp_path / "index"), str(tmp_path / "corpus.tsv"), rows, 1, Reading())


@pytest.fixture
def files(tmp_path):
    rows = documents()
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": own, "text": text}) + "\n" for own, text in rows)
    )
    (tmp_path / "queries.tsv").write_text("".join(f"q{n}\t{' '.join(WORDS[n : n + 4])}\n" for n in range(8)))
    (tmp_path / "qrels").write_text("".join(f"q{n} 0 {n * 7} 1\n" for n in range(8)))


@pytest.mark.parametrize(
    "sources", [["bm25"], ["random"], ["graph"], ["dense:{be}"], ["bm25", "--from", "random"]], ids=" ".join
)
def test_mining_is_the_same_on_disk_and_in_memory(run, files, tiny_be, tmp_path, sources):
    words = [
        "queries.tsv",
        "--corpus",
        "corpus.jsonl",
        "--qrels",
        "qrels",
        "--from",
        *sources,
        "-n",
        5,
        "--quiet",
    ]
    words = [word.format(be=tiny_be) if isinstance(word, str) else word for word in words]
    expected = run("rd-mine", *words, check=True).stdout
    for _ in range(2):
        done = run("rd-mine", *words, "--index", "index", "--memory", "10K", check=True)
        assert done.stdout == expected
    assert any(path.name.startswith("corpus-") for path in (tmp_path / "index").iterdir())


def test_labelling_finds_texts_on_disk(run, files):
    mine = (
        "rd-mine",
        "queries.tsv",
        "--corpus",
        "corpus.jsonl",
        "-n",
        "all",
        "--depth",
        9,
        "--no-text",
        "--quiet",
    )
    records = run(*mine, check=True).stdout
    label = (
        "rd-label",
        "--teacher",
        "bm25",
        "--corpus",
        "corpus.jsonl",
        "--queries",
        "queries.tsv",
        "--quiet",
    )
    expected = run(*label, stdin=records, check=True).stdout
    assert run(*label, "--index", "i", "--memory", "1k", stdin=records, check=True).stdout == expected


@pytest.mark.parametrize("size", ["", "0", "2X", "-1", "1.5G", "G"])
def test_what_is_no_size_is_refused(run, files, size):
    done = run("rd-mine", "queries.tsv", "--corpus", "corpus.jsonl", "--memory", size)
    assert done.returncode == 2
    assert done.stderr.startswith(f"rd-mine: --memory {size}: not a size (such as 500M or 2G)\n")
