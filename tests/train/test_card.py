"""The model card: what the hub reads in it, and an example that runs as it stands."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest
from conftest import WORDS
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id

from rdtools.train.card import Figure, hub_name, read_figures, shortened

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path):
    docs = [
        {"doc_id": f"d{n}", "text": WORDS[n], "score": float(n), "relevance": int(n == 0)} for n in range(4)
    ]
    record = {"docs": docs, "teacher": "cross-encoder/ms-marco-MiniLM-L6-v2", "score_scale": "logit"}
    records = [{"query_id": f"q{q}", "query": WORDS[q], **record} for q in range(4)]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return tmp_path


def base_with_card(folder, tiny, **metadata):
    base = folder / "base"
    shutil.copytree(tiny, base)
    head = "".join(f"{name}: {value}\n" for name, value in metadata.items())
    (base / "README.md").write_text(f"---\n{head}---\n# A base\n")
    return base


def train(run, *arguments, **options):
    return run("rd-train", "labelled.jsonl", "-o", "student", "--max-steps", 1, *arguments, **options)


@pytest.mark.parametrize(("kind", "task"), [("be", "sentence-similarity"), ("ce", "text-ranking")])
def test_the_hub_reads_the_card(run, folder, tiny_be, tiny_ce, kind, task, monkeypatch, capsys):
    base_with_card(
        folder,
        tiny_be if kind == "be" else tiny_ce,
        license="mit",
        language="[en, de]",
        base_model="org/small",
    )
    (folder / "beir.tsv").write_text("student\tnDCG@10\t0.5125\nstudent\tR@100\t0.75\n")
    train(run, "--student", f"{kind}:base", "--loss", "kl+0.5*lce", "--seed", 3, "--dev-share", 0.5, "--dev-measure", "RR@10",
          "--card-metrics", "beir.tsv", check=True)  # fmt: skip
    card = ModelCard.load(folder / "student" / "README.md")
    data = card.data
    assert (data.license, data.language, data.base_model) == ("mit", ["en", "de"], "org/small")
    validate_repo_id(data.base_model)
    names = [getattr(data, field) for field in ("library_name", "pipeline_tag", "model_name")]
    assert names == ["sentence-transformers", task, "student"]
    assert {task, "ranking-distillation"} <= set(data.tags)
    dev, *test = [(one.dataset_name, one.metric_type, one.metric_value) for one in data.eval_results]
    assert dev[:2] == ("dev: 0.5 of the queries", "rr_at_10")
    assert test == [("beir", "ndcg_at_10", 0.5125), ("beir", "r_at_100", 0.75)]
    assert ModelCard(str(card)).data.to_dict() == data.to_dict()
    groups = json.loads((folder / "student" / "rd-train.json").read_text())["data"]["groups"]
    assert "from `base` (base model: [org/small](https://huggingface.co/org/small))\nby the loss" in card.text
    for part in (
        "| teacher | cross-encoder/ms-marco-MiniLM-L6-v2 |", "| scale of its scores | logit |", f"| training groups | {groups} |",
        "| seed | 3 |", "T_s² · Σ_i p_i · log(p_i / q_i)", "kl+0.5*lce = 1 · kl + 0.5 · lce", "| student | beir | R@100 | 0.7500 |",
        f"\nrd-train labelled.jsonl -o student --max-steps 1 --student {kind}:base ", "| sentence-transformers | ", "| torch | ",
    ):  # fmt: skip
        assert part in card.text, part
    (example,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    monkeypatch.chdir(folder)
    exec(example, {})
    assert len(re.findall(r"-?\d\.\d+", capsys.readouterr().out)) == 2


def test_the_figures_of_a_finished_run_are_added_with_resume(run, folder, tiny_be):
    arguments = ("--student", f"be:{tiny_be}", "--loss", "lce", "--scale", "learned")
    train(run, *arguments, check=True)
    before = (folder / "student" / "README.md").read_text()
    assert "model-index" not in before
    rows = [
        {"run": run_, "measure": "AP", "value": value} for run_, value in (("student", 0.25), ("bm25", 0.125))
    ]
    (folder / "f.jsonl").write_text("".join(json.dumps({**row, "collection": "x/y"}) + "\n" for row in rows))
    train(run, *arguments, "--resume", "--card-metrics", "f.jsonl", check=True)
    after = (folder / "student" / "README.md").read_text()
    data: Any = ModelCard(after).data
    (result,) = data.eval_results  # that of bm25 is in the table only
    assert (result.dataset_name, result.dataset_type, result.metric_value) == ("x/y", "x-y", 0.25)
    assert "| bm25 | x/y | AP | 0.1250 |" in after
    for line in before.splitlines():
        if line.startswith(("| tokens", "| steps", "| documents", "| time", "Scale of the similarity")):
            assert line in after


def test_without_a_card_of_the_base_nothing_is_claimed(run, folder, tiny_be):
    train(run, "--student", f"be:{tiny_be}", "--loss", "lce", check=True)
    card = ModelCard.load(folder / "student" / "README.md")
    assert (card.data.base_model, card.data.license, card.data.language, card.data.datasets) == (None,) * 4
    assert str(folder) not in str(card)
    assert str(tiny_be) not in str(card)


@pytest.mark.parametrize("line", ["student\tnDCG@10\tx\n", '{"run":"a","value":1}\n', "one\n", '{"run":'])
def test_what_is_no_figure_is_named_before_training(run, folder, tiny_be, line):
    (folder / "f.tsv").write_text("student\tAP\t0.5\n" + line)
    done = train(run, "--student", f"be:{tiny_be}", "--loss", "lce", "--card-metrics", "f.tsv")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "rd-train: f.tsv:2: no run, measure and value (give the output of rd-eval, without -q)\n"
    )
    assert not (folder / "student").exists()


def test_figures_of_rd_eval_are_read(run, folder):
    (folder / "qrels").write_text("q 0 d 1\n")
    (folder / "a.run").write_text("q Q0 d 1 2 t\n")
    for format in ("tsv", "jsonl"):
        run("rd-eval", "qrels", "a.run", "-m", "AP", "-f", format, "-o", f"figures.{format}", check=True)
        assert read_figures(str(folder / f"figures.{format}")) == [Figure("a", "figures", "AP", 1.0)]


def test_names_on_the_hub(tmp_path):
    assert hub_name("cross-encoder/ms-marco-MiniLM-L6-v2") == "cross-encoder/ms-marco-MiniLM-L6-v2"
    assert hub_name("bert-base-uncased") == "bert-base-uncased"
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    assert hub_name(str(snapshot)) == "org/name"
    (tmp_path / "README.md").write_text("---\nbase_model:\n- org/other\n---\n")
    assert hub_name(str(tmp_path)) == "org/other"
    (tmp_path / "README.md").write_text("---\nbase_model: [\n---\n")  # no YAML
    assert hub_name(str(tmp_path)) is None
    assert hub_name("a b/c") is None


@pytest.mark.parametrize(
    ("command", "short"),
    [
        ("rd-train /home/me/x.jsonl --student be:/data/m/base -o out", "rd-train x.jsonl --student be:base -o out"),
        ("rd-label --teacher ce:cross-encoder/ms --corpus ../c.tsv", "rd-label --teacher ce:cross-encoder/ms --corpus ../c.tsv"),
    ],
)  # fmt: skip
def test_commands_have_no_absolute_paths(command, short):
    assert shortened(command) == short
