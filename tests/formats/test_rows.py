"""Parquet files and datasets of the hub, as input and output: their rows are lines of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rdtools.core.errors import RdError
from rdtools.core.output import open_output
from rdtools.core.rows import HUB
from rdtools.core.streams import open_lines
from rdtools.data.corpus import read_corpus_file
from rdtools.formats import Reading, Writing, encode, read_records
from rdtools.formats.qrels import read_qrels
from rdtools.formats.table import FORMATS, WRITERS

pq = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
pa = pytest.importorskip("pyarrow")

RECORDS: list[Any] = [
    {
        "query_id": "q1",
        "query": "tea",
        "docs": [
            {"doc_id": "a", "text": "Tea is…", "relevance": 1, "score": 9.31, "scores": {"ce": 1.5}},
            {"doc_id": "b", "text": "Car…", "score": -3.02, "source": "bm25", "rank": 2},
        ],
        "teacher": "ce",
        "score_scale": "logit",
        "transformations": [{"temperature": 2.0}, {"noise": 0.5, "seed": 1}],
        "licence": {"name": "MIT"},
    },
    {"query_id": "q2", "docs": [], "mine": [1, 2]},
]


def put(path: Path, rows: list[Any], **options: int) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return str(path)


def read(path: str, **reading: Any) -> list[Any]:
    return list(read_records([path], Reading(**reading)))


def write(path: Path, lines: list[bytes]) -> None:
    with open_output(str(path)) as out:
        for line in lines:
            out.write(line)


def test_records_come_back_from_parquet(tmp_path):
    path = tmp_path / "r.parquet"
    write(path, list(encode(RECORDS, Writing())))
    assert pq.read_metadata(path).num_rows == 2
    assert read(str(path)) == RECORDS
    again = tmp_path / "again.parquet"
    write(again, list(encode(RECORDS, Writing())))
    assert again.read_bytes() == path.read_bytes()


def test_a_field_that_comes_late_has_its_column(tmp_path):
    rows: list[Any] = [{"query_id": f"q{n}", "docs": [], "score_of": n} for n in range(3000)]
    rows[2500] |= {"late": {"a": [1.5]}, "score_of": 0.5}
    write(tmp_path / "r.parquet", [json.dumps(row).encode() + b"\n" for row in rows])
    back = read(str(tmp_path / "r.parquet"))
    assert back == rows
    assert len(back) == 3000


def test_no_rows_are_an_empty_table(tmp_path):
    write(tmp_path / "r.parquet", [])
    assert pq.read_metadata(tmp_path / "r.parquet").num_rows == 0
    assert read(str(tmp_path / "r.parquet")) == []


@pytest.mark.parametrize("format", [name for name in WRITERS if not FORMATS[name].frame[0]])
def test_formats_of_objects_go_through_parquet_and_others_say_so(tmp_path, format):
    docs = [{**doc, "text": doc["doc_id"]} for doc in RECORDS[0]["docs"]]
    lines = list(encode([RECORDS[0] | {"docs": docs}], Writing(format=format)))
    if lines[0].startswith(b"{"):
        write(tmp_path / "r.parquet", lines)
        (tmp_path / "r.jsonl").write_bytes(b"".join(lines))
        if format in FORMATS and FORMATS[format].read:
            assert read(str(tmp_path / "r.parquet")) == read(str(tmp_path / "r.jsonl"))
        return
    with pytest.raises(RdError, match="parquet holds rows with named columns, which this format has not"):
        write(tmp_path / "r.parquet", lines)
    assert not (tmp_path / "r.parquet").exists()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([b'{"a":1}\n{"a":"x"}\n'], 'field "a": '),
        ([b'{"a":{}}\n'], "Cannot write struct type 'a' with no child field to Parquet"),
    ],
)
def test_what_parquet_cannot_hold_is_one_line(tmp_path, rows, problem):
    with pytest.raises(RdError) as error:
        write(tmp_path / "r.parquet", rows)
    assert str(error.value).startswith(f"{tmp_path}/r.parquet: parquet: {problem}")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_is_named_by_its_number(tmp_path):
    path = put(tmp_path / "r.parquet", [{"query_id": "q"}, {"query_id": ""}], row_group_size=1)
    with pytest.raises(RdError, match=r'r.parquet:2: "query_id" must be a string that is not empty'):
        read(path)
    assert read(path, on_error="skip") == [{"query_id": "q", "docs": []}]
    with pytest.raises(RdError, match=r"r.parquet:1: line is longer than 5 bytes"):
        read(path, max_line=5, input_format="records")


def test_damaged_parquet_is_one_line(tmp_path):
    path = put(tmp_path / "r.parquet", RECORDS[:1])
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:-9])
    with pytest.raises(RdError, match=r"r.parquet: parquet: .*magic bytes"):
        read(path)


def test_a_query_id_that_looks_like_the_mark_of_parquet_is_none(tmp_path):
    (tmp_path / "run").write_text("PAR1 Q0 d 1 2.5 PAR1")
    assert read(str(tmp_path / "run"))[0]["query_id"] == "PAR1"


def test_parquet_through_the_commands(run, tmp_path):
    path = put(
        tmp_path / "in.parquet",
        [{"qid": "q1", "docno": "a", "score": 1.5}, {"qid": "q1", "docno": "b", "score": 2.5}],
    )
    (tmp_path / "qrels").write_text("q1 0 b 1\n")
    done = run("rd-eval", "qrels", "in.parquet", "-m", "RR", check=True)
    assert done.stdout == "in\tRR\t1.0000\n"
    run("rd-eval", "qrels", "in.parquet", "-m", "RR", "-f", "jsonl", "-o", "out.parquet", check=True)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"run": "in", "measure": "RR", "value": 1.0}
    ]
    done = run("rd-mine", "--from", "records", "-n", "all", stdin=Path(path).read_bytes(), check=True)
    assert [doc["doc_id"] for doc in json.loads(done.stdout)["docs"]] == ["b", "a"]
    done = run("rd-mine", "in.parquet", "--from", "records", "-n", "all", "-f", "trec", "-o", "x.parquet")
    message = "rd-mine: x.parquet: parquet holds rows with named columns, which this format has not"
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        f"{message} (use -f jsonl, or another format of JSON objects)",
    )
    done = run(
        "rd-mine", "in.parquet", "--from", "records", "-n", "all", "-f", "paper-scores", "-o", "x.parquet"
    )
    assert done.returncode == 2


@pytest.mark.parametrize(("module", "path"), [("pyarrow", "r.parquet"), ("datasets", "hf:name")])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, module, path):
    if module == "pyarrow":
        path = put(tmp_path / path, RECORDS[:1])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RdError, match=rf"{path}: .*needs .*\(pip install {module}\)"):
        read(path)
    if module == "pyarrow":
        with pytest.raises(RdError, match=r"parquet needs pyarrow \(pip install pyarrow\)"):
            write(tmp_path / "new.parquet", [])


# What datasets on the hub hold now: their columns, with a row or two


RANK_DISTILLM = [
    {"qid": "1185869", "docno": "0", "score": 3.5, "rank": 1},
    {"qid": "1185869", "docno": "16", "score": 1.25, "rank": 2},
    {"qid": "1185868", "docno": "434", "score": 0.5, "rank": 1},
]
MSMARCO_PASSAGE = [
    {
        "query_id": "7",
        "query": "tea",
        "positive_passages": [{"docid": "12", "title": "Tea", "text": "Leaves"}],
        "negative_passages": [{"docid": "40", "title": "", "text": "Car"}],
    },
    {"query_id": "8", "query": "dev query", "positive_passages": [], "negative_passages": []},
]
HARD_NEGATIVES = [
    {"qid": 7, "pos": [12], "neg": {"bm25": [40, 51], "msmarco-distilbert-base-tas-b": [60]}},
    {"qid": 8, "pos": [13], "neg": {"bm25": [41], "msmarco-distilbert-base-tas-b": None}},
]
TRIPLET_IDS = [{"query": 571018, "positive": 7349777, "negative": 6948601}]
LISTS = [{"query_id": 7, "document_ids": [12, 40], "scores": [0.75, 0.5]}]


def ids(record: Any) -> list[str]:
    return [doc["doc_id"] for doc in record["docs"]]


def test_rank_distillm_is_a_run(tmp_path):
    first, second = read(put(tmp_path / "r.parquet", RANK_DISTILLM))
    assert (first["query_id"], ids(first), [doc["score"] for doc in first["docs"]]) == (
        "1185869",
        ["0", "16"],
        [3.5, 1.25],
    )
    assert (second["query_id"], ids(second)) == ("1185868", ["434"])


def test_tevatron_msmarco_passage(tmp_path):
    first, second = read(put(tmp_path / "r.parquet", MSMARCO_PASSAGE))
    assert first["docs"] == [
        {"doc_id": "12", "text": "Tea Leaves", "title": "Tea", "relevance": 1},
        {"doc_id": "40", "text": "Car"},
    ]
    assert second == {"query_id": "8", "query": "dev query", "docs": []}


def test_msmarco_hard_negatives_without_some_systems(tmp_path):
    first, second = read(put(tmp_path / "r.parquet", HARD_NEGATIVES))
    assert [(doc["doc_id"], doc.get("source")) for doc in first["docs"]] == [
        *(("12", None), ("40", "bm25"), ("51", "bm25"), ("60", "msmarco-distilbert-base-tas-b"))
    ]
    assert ids(second) == ["13", "41"]


def test_triplets_of_numbers_are_ids(tmp_path):
    (record,) = read(put(tmp_path / "r.parquet", TRIPLET_IDS))
    assert record == {
        "query_id": "571018", "docs": [{"doc_id": "7349777", "relevance": 1}, {"doc_id": "6948601"}]
    }  # fmt: skip


def test_lists_of_pylate(tmp_path):
    (record,) = read(put(tmp_path / "r.parquet", LISTS))
    assert (record["query_id"], ids(record)) == ("7", ["12", "40"])


def test_collections_of_the_hub(tmp_path):
    documents = put(
        tmp_path / "d.parquet", [{"document_id": 12, "text": "Tea"}, {"document_id": 40, "text": "Car"}]
    )
    assert list(read_corpus_file(documents)) == [("12", "Tea"), ("40", "Car")]
    passages = put(tmp_path / "p.parquet", [{"docid": "1", "title": "Tea", "text": "Leaves"}])
    assert list(read_corpus_file(passages)) == [("1", "Tea Leaves")]
    for key in ("_id", "query_id", "qid", "id"):
        queries = put(tmp_path / f"{key}.parquet", [{key: 7, "text": "tea"}])
        assert read(queries) == [{"query_id": "7", "query": "tea", "docs": []}]
    qrels = put(tmp_path / "q.parquet", [{"query-id": "7", "corpus-id": "12", "score": 1.0}])
    assert read_qrels(qrels) == {"7": {"12": 1}}
    bad = put(tmp_path / "b.parquet", [{"query-id": "7", "corpus-id": "12", "score": 0.5}])
    with pytest.raises(RdError, match=r'b.parquet:1: "score" must be a whole number, not 0.5'):
        read_qrels(bad)


# hf:NAME


@pytest.fixture
def dataset(tmp_path) -> str:
    """A folder as a dataset is on the hub: two splits."""
    pytest.importorskip("datasets", reason="pip install datasets")
    (tmp_path / "set" / "data").mkdir(parents=True)
    for split, rows in (("train", MSMARCO_PASSAGE[:1]), ("test", MSMARCO_PASSAGE[1:])):
        (tmp_path / "set" / "data" / f"{split}-00000-of-00001.jsonl").write_text(json.dumps(rows[0]) + "\n")
    put(tmp_path / "set" / "run.parquet", RANK_DISTILLM)
    return f"hf:{tmp_path}/set"


def test_a_dataset_by_name_config_split_or_file(dataset):
    (train,) = read(f"{dataset}:train")
    assert ids(train) == ["12", "40"]
    assert read(f"{dataset}:default:test")[0]["query_id"] == "8"
    assert read(dataset) == [train]  # train where there are several
    assert [record["query_id"] for record in read(f"{dataset}:run.parquet")] == ["1185869", "1185868"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (":dev", "no split 'dev' (choose from train, test)"),
        (":other:train", "BuilderConfig 'other' not found. Available: ['default']"),
        (":nothing.parquet", "neither a folder, nor in the cache, nor reachable on the hub ("),
        ("::", "not a dataset (give hf:NAME, hf:NAME:CONFIG or hf:NAME:CONFIG:SPLIT)"),
    ],
)
def test_what_a_dataset_lacks_is_one_line(dataset, spec, problem):
    with pytest.raises(RdError) as error:
        read(dataset + spec)
    assert str(error.value).startswith(f"{dataset}{spec}: {problem}")
    assert "\n" not in str(error.value)


def test_offline_is_one_line(run):
    pytest.importorskip("datasets", reason="pip install datasets")
    done = run("rd-label", "hf:webis/rank-distillm", "--teacher", "qrels")
    assert done.returncode == 1
    message = "hf:webis/rank-distillm: neither a folder, nor in the cache, nor reachable on the hub ("
    assert done.stderr.startswith(f"rd-label: {message}")
    assert done.stderr.count("\n") == 1


def test_versions_that_run_scripts_of_datasets_are_refused(dataset, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "__version__", "3.6.0")
    with pytest.raises(
        RdError, match=r": needs datasets 4 or later, which runs no scripts \(pip install -U datasets\)$"
    ):
        read(dataset)


def test_rows_of_a_dataset_are_streamed(dataset, monkeypatch):
    import datasets

    asked = {}
    load = datasets.load_dataset
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name, **more: asked.update(more) or load(name, **more)
    )
    with open_lines(f"{dataset}:train") as lines:
        assert next(iter(lines)).startswith(b'{"query_id":"7"')
    assert asked == {"streaming": True}
    assert dataset.startswith(HUB)
