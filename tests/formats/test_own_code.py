"""The files of other libraries, opened by their own code; docs/peers.md is the table of these checks.

A check of a library that is not installed is skipped. After a change of the table, or with other versions:

    python tests/formats/test_own_code.py

It runs the checks whose library is installed, and writes the page with their versions; others keep theirs.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from copy import deepcopy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from rdtools.core.output import open_output
from rdtools.formats import Reading, Writing, encode, read_records
from rdtools.formats.table import FORMATS

PAGE = Path(__file__).parents[2] / "docs" / "peers.md"


def document(name: str, score: float, relevance: int | None = None) -> Any:
    judged = {} if relevance is None else {"relevance": relevance}
    return {"doc_id": name, "text": f"heat of wing {name}", "score": score, **judged}


RECORDS: list[Any] = [
    {
        "query_id": "7",
        "query": "wing flow",
        "docs": [document("40", -3.25), document("12", 9.5, 1), document("51", -8.0)],
        "score_scale": "logit",
    },
    {
        "query_id": "8",
        "query": "shock wave",
        "docs": [document("60", 4.0, 1), document("12", 0.5), document("61", 0.25)],
        "score_scale": "logit",
    },
]
POSITIVES_FIRST = [["12", "40", "51"], ["60", "12", "61"]]
SCORES = [[9.5, -3.25, -8.0], [4.0, 0.5, 0.25]]
RANKED = {"7": {"12": 9.5, "40": -3.25, "51": -8.0}, "8": {"60": 4.0, "12": 0.5, "61": 0.25}}


def texts(ids: list[str]) -> list[str]:
    return [f"heat of wing {name}" for name in ids]


def written(folder: Path, format: str, name: str, with_texts: bool = False) -> str:
    """Write the records as `rd-label -f FORMAT -o NAME --with-texts DIR` does."""
    path = folder / name
    writing = Writing(
        format=format, output=str(path), with_texts=str(folder / "texts") if with_texts else None
    )
    with open_output(str(path)) as out:
        for data in encode(deepcopy(RECORDS), writing):
            out.write(data)
    return str(path)


def back(path: str) -> dict[str, dict[str, float]]:
    """Read a file as a run."""
    records = read_records([path], Reading())
    return {record["query_id"]: {doc["doc_id"]: doc["score"] for doc in record["docs"]} for record in records}


# sentence-transformers


def _rows(path: str) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=path, split="train", cache_dir=str(Path(path).parent / "cache"))


def st_tuples(folder: Path) -> None:
    """An n-tuple and its scores, as DistillKLDivLoss takes them."""
    rows = _rows(written(folder, "sentence-transformers", "train.jsonl"))
    assert rows.column_names == ["anchor", "positive", "negative_1", "negative_2", "scores"]
    assert [[row["positive"], row["negative_1"], row["negative_2"]] for row in rows] == [
        *map(texts, POSITIVES_FIRST)
    ]
    assert rows["scores"][:] == SCORES
    _collated(rows, ["anchor", "positive", "negative_1", "negative_2"], SCORES)


def _collated(rows: Any, columns: list[str], labels: list[list[float]]) -> None:
    """The collator of the trainer finds the labels, and the texts in the order of the columns."""
    collator = pytest.importorskip(
        "sentence_transformers.sentence_transformer.data_collator",
        reason="this sentence-transformers has its collator elsewhere",
    )
    seen = []

    def tokenize(texts: list[str], **_: Any) -> dict[str, Any]:
        seen.append(texts)
        return {}

    batch = collator.SentenceTransformerDataCollator(tokenize)([dict(row) for row in rows])
    assert batch["label"].tolist() == labels
    assert seen == [[row[column] for row in rows] for column in columns]


def st_triplets(folder: Path) -> None:
    """A triplet and its two scores."""
    rows = _rows(written(folder, "sentence-transformers-triplet", "train.jsonl"))
    assert rows.column_names == ["anchor", "positive", "negative", "scores"]
    _collated(rows, ["anchor", "positive", "negative"], [[9.5, -3.25], [9.5, -8.0], [4.0, 0.5], [4.0, 0.25]])


def st_lists(folder: Path) -> None:
    """Lists, as the listwise losses of CrossEncoder take them."""
    rows = _rows(written(folder, "sentence-transformers-list", "train.jsonl"))
    assert rows.column_names == ["query", "docs", "scores"]
    assert rows["docs"][0] == texts(["40", "12", "51"])
    assert rows["scores"][0] == [-3.25, 9.5, -8.0]


# FlagEmbedding, Tevatron, PyLate, ColBERT: datasets that they train on


def flagembedding(folder: Path) -> None:
    import transformers
    from FlagEmbedding.abc.finetune.embedder.AbsArguments import AbsEmbedderDataArguments
    from FlagEmbedding.abc.finetune.embedder.AbsDataset import AbsEmbedderTrainDataset

    path = written(folder, "flagembedding", "train.jsonl")
    arguments = AbsEmbedderDataArguments(
        train_data=[path], train_group_size=3, knowledge_distillation=True, cache_path=str(folder / "cache")
    )
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    library: Any = transformers  # whose types lack the name
    tokenizer = library.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    dataset = AbsEmbedderTrainDataset(arguments, tokenizer)
    for number in range(2):
        query, passages, scores = dataset[number]
        expected = dict(zip(texts(POSITIVES_FIRST[number]), SCORES[number], strict=True))
        assert query == RECORDS[number]["query"]
        assert passages[0] == texts(POSITIVES_FIRST[number])[0]
        assert dict(zip(passages, scores, strict=True)) == expected


TRAINER = SimpleNamespace(state=SimpleNamespace(epoch=0), args=SimpleNamespace(seed=0))


def _tevatron_arguments(folder: Path, path: str, corpus: str | None = None) -> Any:
    from tevatron.retriever.arguments import DataArguments

    return DataArguments(
        dataset_name="json", dataset_path=path, dataset_cache_dir=str(folder / "cache"), train_group_size=3,
        corpus_name=corpus and "json", corpus_path=corpus,
    )  # fmt: skip


def tevatron(folder: Path) -> None:
    """Passages with scores, as its distillation reads them."""
    from tevatron.retriever.dataset import DistilTrainDataset

    path = written(folder, "tevatron", "train.jsonl")
    dataset = DistilTrainDataset(_tevatron_arguments(folder, path), TRAINER)
    for number in range(2):
        query, passages, scores = dataset[number]
        found = dict(zip([text.strip() for text, *_ in passages], scores, strict=True))
        assert query[0] == RECORDS[number]["query"]
        assert found == dict(zip(texts(POSITIVES_FIRST[number]), SCORES[number], strict=True))


def tevatron_ids(folder: Path) -> None:
    from tevatron.retriever.dataset import TrainDataset

    path = written(folder, "tevatron-ids", "train.jsonl", with_texts=True)
    dataset = TrainDataset(_tevatron_arguments(folder, path, f"{folder}/texts/corpus.jsonl"), TRAINER)
    for number in range(2):
        query, passages = dataset[number]
        assert query[0] == RECORDS[number]["query"]
        assert passages[0][0].strip() == texts(POSITIVES_FIRST[number])[0]
        assert {text.strip() for text, *_ in passages} == {*texts(POSITIVES_FIRST[number])}


def pylate(folder: Path) -> None:
    """KDProcessing, which puts texts in the place of ids."""
    from pylate.utils import KDProcessing

    train = _rows(written(folder, "pylate", "train.jsonl", with_texts=True))
    queries, documents = (_rows(f"{folder}/texts/{name}.jsonl") for name in ("queries", "documents"))
    train.set_transform(KDProcessing(queries=queries, documents=documents).transform)
    assert [row["query"] for row in train] == [record["query"] for record in RECORDS]
    assert [row["documents"] for row in train] == [*map(texts, POSITIVES_FIRST)]
    assert [row["scores"] for row in train] == SCORES


def colbert_triples(folder: Path) -> None:
    found = _colbert(folder, "colbert-triples", nway=2)
    assert found == [
        (RECORDS[number]["query"], texts([ids[0], negative]))
        for number, ids in enumerate(POSITIVES_FIRST)
        for negative in ids[1:]
    ]


def colbert_nway(folder: Path) -> None:
    found = _colbert(folder, "colbert-nway", nway=3)
    assert found == [(RECORDS[n]["query"], texts(ids), SCORES[n]) for n, ids in enumerate(POSITIVES_FIRST)]


def _colbert(folder: Path, format: str, nway: int) -> list[Any]:
    """Look the ids up as its LazyBatcher does."""
    from colbert.data.collection import Collection
    from colbert.data.examples import Examples
    from colbert.data.queries import Queries

    path = written(folder, format, "examples.json", with_texts=True)
    queries = Queries(path=f"{folder}/texts/queries.tsv")
    collection = Collection(path=f"{folder}/texts/collection.tsv")
    found: list[Any] = []
    for query, *passages in Examples(path=path, nway=nway).tolist():
        if isinstance(passages[0], list):
            ids, scores = zip(*passages, strict=True)
            found.append((queries[query], [collection[one] for one in ids], [*scores]))
        else:
            found.append((queries[query], [collection[one] for one in passages]))
    return found


# Runs and requests


def rank_llm(folder: Path) -> None:
    """Requests that it reads, and the three files that it writes of results."""
    from rank_llm.data import DataWriter, read_requests_from_file

    requests = read_requests_from_file(written(folder, "rank-llm", "requests.jsonl"))
    assert {
        request.query.qid: {one.docid: one.score for one in request.candidates} for request in requests
    } == RANKED
    assert requests[0].query.text == "wing flow"
    assert requests[0].candidates[0].doc == {"text": "heat of wing 12"}
    writer = DataWriter(requests)
    writer.write_in_json_format(str(folder / "results.json"))
    writer.write_in_jsonl_format(str(folder / "results.jsonl"))
    writer.write_in_trec_eval_format(str(folder / "results.trec"))
    for name in ("json", "jsonl", "trec"):
        assert back(str(folder / f"results.{name}")) == RANKED


def lightning_ir_trec(folder: Path) -> None:
    _lightning_ir(written(folder, "trec", "rdtools.run"))


def lightning_ir_rows(folder: Path) -> None:
    """A run in parquet, the form of Rank-DistiLLM."""
    _lightning_ir(written(folder, "jsonl-run", "rdtools.parquet"))


def _lightning_ir(path: str) -> None:
    from lightning_ir.data.dataset import RunDataset

    rows = RunDataset(path)._load_run().to_dict("records")
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["query_id"], {})[row["doc_id"]] = row["score"]
    assert found == RANKED
    assert [row["rank"] for row in rows] == [1, 2, 3] * 2


def ir_measures_trec(folder: Path) -> None:
    from ir_measures import read_trec_run

    found: dict[str, dict[str, float]] = {}
    for one in read_trec_run(written(folder, "trec", "rdtools.run")):
        found.setdefault(one.query_id, {})[one.doc_id] = one.score
    assert found == RANKED


def ranx_trec(folder: Path) -> None:
    """A run that it reads, and the run that it writes."""
    from ranx import Run

    run = Run.from_file(written(folder, "trec", "rdtools.trec"), kind="trec")
    assert run.to_dict() == RANKED
    run.save(str(folder / "ranx.trec"), kind="trec")
    assert back(str(folder / "ranx.trec")) == RANKED


def datasets_records(folder: Path) -> None:
    """Records in parquet: a folder of them is a dataset of the hub, which `hf:` reads again."""
    from datasets import load_dataset

    (folder / "set").mkdir()
    written(folder, "jsonl", "set/train.parquet")
    rows = load_dataset(str(folder / "set"), split="train", cache_dir=str(folder / "cache"))
    assert rows["query_id"][:] == ["7", "8"]
    assert [doc["score"] for doc in rows[0]["docs"]] == [-3.25, 9.5, -8.0]
    assert [*read_records([f"hf:{folder}/set"])] == RECORDS


class Check(NamedTuple):
    """A library opens a file: `module` must be there for it, `package` has the version; `place` if not PyPI."""

    peer: str
    package: str
    module: str
    format: str
    opened: str
    run: Callable[[Path], None]
    place: str = ""


CHECKS = (
    Check("sentence-transformers", "sentence-transformers", "sentence_transformers", "sentence-transformers",
          "`load_dataset`, `SentenceTransformerDataCollator`", st_tuples),
    Check("sentence-transformers", "sentence-transformers", "sentence_transformers", "sentence-transformers-triplet",
          "`load_dataset`, `SentenceTransformerDataCollator`", st_triplets),
    Check("sentence-transformers", "sentence-transformers", "sentence_transformers", "sentence-transformers-list",
          "`load_dataset`", st_lists),
    Check("FlagEmbedding", "FlagEmbedding", "FlagEmbedding.abc.finetune.embedder.AbsDataset", "flagembedding",
          "`AbsEmbedderTrainDataset`", flagembedding),
    Check("Tevatron", "tevatron", "tevatron.retriever.dataset", "tevatron", "`DistilTrainDataset`", tevatron, " (GitHub)"),
    Check("Tevatron", "tevatron", "tevatron.retriever.dataset", "tevatron-ids",
          "`TrainDataset`, with the corpus of `--with-texts`", tevatron_ids, " (GitHub)"),
    Check("PyLate", "pylate", "pylate.utils", "pylate",
          "`KDProcessing`, with the texts of `--with-texts`", pylate),
    Check("ColBERT", "colbert-ai", "colbert.data.examples", "colbert-triples",
          "`Examples`, `Queries`, `Collection`, with the texts of `--with-texts`", colbert_triples),
    Check("ColBERT", "colbert-ai", "colbert.data.examples", "colbert-nway",
          "`Examples`, `Queries`, `Collection`, with the texts of `--with-texts`", colbert_nway),
    Check("rank_llm", "rank-llm", "rank_llm.data", "rank-llm",
          "`read_requests_from_file`; what `DataWriter` writes is read", rank_llm),
    Check("lightning-ir", "lightning-ir", "lightning_ir.data.dataset", "trec", "`RunDataset`", lightning_ir_trec),
    Check("lightning-ir", "lightning-ir", "lightning_ir.data.dataset", "jsonl-run",
          "`RunDataset`, `-o FILE.parquet`", lightning_ir_rows),
    Check("ir_measures", "ir-measures", "ir_measures", "trec", "`read_trec_run`", ir_measures_trec),
    Check("ranx", "ranx", "ranx", "trec", "`Run.from_file`; what `Run.save` writes is read", ranx_trec),
    Check("datasets", "datasets", "datasets", "jsonl",
          "`load_dataset` of a folder, `-o FILE.parquet`; read again as `hf:FOLDER`", datasets_records),
)  # fmt: skip
NOT_OPENED = {
    "msmarco-hard-negatives": ("sentence-transformers", "its examples read the file line by line"),
    "gpl-hard-negatives": ("GPL", "its training needs models of the hub"),
    "gpl": ("GPL", "its training needs models of the hub"),
    "splade": ("SPLADE", "not on PyPI"),
    "ms-swift": ("ms-swift", "its training needs a GPU"),
    "msmarco-triples": ("MS MARCO", "data, not a library"),
    "msmarco-text-triples": ("MS MARCO", "data, not a library"),
    "msmarco-run": ("MS MARCO", "data, not a library"),
    "paper-triples": ("code of arXiv 2505.21058", "not on PyPI"),
    "paper-scores": ("code of arXiv 2505.21058", "not on PyPI"),
    "tevatron-kd": ("Tevatron", "its present code has no reader of this form"),
    "colbert-scores": ("ColBERT", "written by its scorers; no code of it reads them"),
}
OUR_OWN = {"records", "beir-queries", "tsv-queries", "tsv"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.peer}-{check.format}")
def test_its_own_code_opens_what_is_written(tmp_path, check):
    reason = f"{check.peer} is not installed; docs/peers.md names the version that opened the file"
    pytest.importorskip(check.module, reason=reason, exc_type=ImportError)
    pytest.importorskip("datasets", reason="pip install datasets")
    check.run(tmp_path)


def test_the_page_is_the_table_of_these_checks():
    assert PAGE.read_text() == page(versions_of_page())


def test_every_format_is_in_the_page():
    assert {check.format for check in CHECKS} | {*NOT_OPENED} | OUR_OWN == {*FORMATS}


def page(versions: dict[tuple[str, str], str]) -> str:
    """Return the page; `versions` has those with which the checks passed."""
    rows = [
        (check.peer, check.format, check.opened, versions.get((check.peer, check.format), "–"))
        for check in CHECKS
    ]
    rows += [(peer, name, "–", why) for name, (peer, why) in NOT_OPENED.items()]
    lines = [
        f"| {peer} | `{name}` | {_mark(_is_read(name))} | {_mark(bool(FORMATS[name].write))} | {opened} | {said} |"
        for peer, name, opened, said in rows
    ]
    return PAGE_TEXT.replace("ROWS", "\n".join(lines))


def _is_read(name: str) -> bool:
    of_another = name == "jsonl" or name.startswith("sentence-transformers")
    return of_another or bool(FORMATS[name].read)


def _mark(yes: bool) -> str:
    return "yes" if yes else "–"


def versions_of_page() -> dict[tuple[str, str], str]:
    rows = (
        re.findall(r"^\| (\S.*?) \| `(.*?)` \|.*\| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
        if PAGE.exists()
        else []
    )
    return {(peer, name): said for peer, name, said in rows}


PAGE_TEXT = """# Other libraries

What `rd-mine` and `rd-label` write for a library, its own code opens, with the same texts, order and scores.
`tests/formats/test_own_code.py` proves it, and wrote this table. "Version" is the version that opened the file; where
no code opened it, the reason stands there. [Formats](formats.md) says what each file holds.

| library | format | read | written | opened by its own code | version |
|---|---|---|---|---|---|
ROWS

The tests skip libraries that are not installed. To run all checks, install the libraries that you use beside rdtools
and run:

```sh
python -m pytest tests/formats/test_own_code.py -rs
```
"""


def write_page() -> None:
    """Run the checks of the installed libraries, and write the page."""
    versions = versions_of_page()
    for check in CHECKS:
        try:
            __import__(check.module)
            installed = version(check.package)
        except (ImportError, PackageNotFoundError) as error:
            print(f"{check.peer} {check.format}: skipped, {error}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            check.run(Path(folder))
        versions[check.peer, check.format] = installed + check.place
        print(f"{check.peer} {check.format}: {installed}")
    PAGE.write_text(page(versions))


if __name__ == "__main__":
    write_page()
