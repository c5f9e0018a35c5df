"""Sparse encoders and late interaction: the scores, rankings and penalties of their library."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
from conftest import WORDS
from libraries import BI_ENCODERS, LATE_INTERACTION, SPARSE_ENCODERS
from settings import opened, resources, teacher_resources
from test_libraries import DATA, PAIRS, QUERIES, TEXTS, made, taught  # noqa: F401

from rdtools.core.errors import RdError
from rdtools.data.collection import Collection
from rdtools.label.teachers import TextPair
from rdtools.mine.sources import SearchRequest, open_source
from rdtools.models.options import ModelOptions
from rdtools.train.flops import Flops
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import objective
from rdtools.train.options import StudentOptions, TrainingOptions
from rdtools.train.sparse_student import SparseEncoderStudent
from rdtools.train.torchrun import Processes
from rdtools.train.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = ModelOptions(device="cpu")
needs_late = pytest.mark.skipif(
    not hasattr(sentence_transformers, "MultiVectorEncoder"), reason="needs sentence-transformers 6.1"
)


def similarities(folder, queries=QUERIES, texts=TEXTS, kind="SparseEncoder"):
    model = getattr(sentence_transformers, kind)(folder, device="cpu", local_files_only=True)
    return model.similarity(model.encode_query(queries), model.encode_document(texts))


@pytest.mark.parametrize("kind", SPARSE_ENCODERS)
def test_a_teacher_scores_as_the_library(made, kind):  # noqa: F811
    folder = made(SPARSE_ENCODERS, kind)
    teacher = opened(f"sparse:{folder}")
    assert teacher.scale == ("cosine" if "cosine" in kind else "dot")
    assert teacher.key.startswith("sparse ")
    expected = similarities(folder).flatten()
    assert len(expected.unique()) > 10
    torch.testing.assert_close(taught(f"sparse:{folder}"), expected, atol=1e-5, rtol=1e-6)


@needs_late
@pytest.mark.parametrize("kind", LATE_INTERACTION)
def test_late_interaction_scores_as_the_library(made, kind):  # noqa: F811
    folder = made(LATE_INTERACTION, kind)
    expected = similarities(folder, kind="MultiVectorEncoder").flatten()
    assert len(expected.unique()) > 10
    torch.testing.assert_close(taught(f"colbert:{folder}"), expected, atol=1e-5, rtol=1e-6)
    if kind == "pylate":  # it has a limit for documents, which --max-length replaces
        assert (taught(f"colbert:{folder}", max_length=8) - expected).abs().max() > 0.01


@pytest.fixture
def corpus(tmp_path):
    """40 documents, each text twice; most share few dimensions with a query."""
    texts = [" ".join(WORDS[n : n + 1 + n % 3]) for n in range(20)] * 2
    (tmp_path / "corpus.tsv").write_text("".join(f"d{n:02}\t{text}\n" for n, text in enumerate(texts)))
    return Collection(corpus_path=str(tmp_path / "corpus.tsv"))


@pytest.mark.parametrize("depth", [1, 7, 100])
def test_a_source_ranks_as_brute_force_does(made, corpus, tmp_path, depth):  # noqa: F811
    folder = made(SPARSE_ENCODERS, "auto-encoder")  # of 3 active dimensions, so that some share none
    setting = resources(corpus, index=str(tmp_path / "index"))
    requests = [
        SearchRequest({"query_id": query, "query": query, "docs": []}, depth, ["d03"]) for query in QUERIES
    ]
    found = list(open_source(f"sparse:{folder}", setting).search(requests))
    again = list(open_source(f"sparse:{folder}", setting).search(requests[1:2]))
    assert again == found[1:2]  # from the saved index, whichever queries come together
    documents = corpus.corpus
    scores = similarities(folder, texts=list(documents.texts)).numpy()
    missing = 0
    for ranking, row in zip(found, scores, strict=True):
        places = documents.row_of
        assert ranking.scores == pytest.approx([row[places[doc_id]] for doc_id in ranking.doc_ids], abs=1e-5)
        assert ranking.positives == {"d03": pytest.approx(float(row[places["d03"]]), abs=1e-5)}
        order = np.lexsort((np.arange(len(row)), -row.round(4)))
        wanted = [place for place in order if row[place] > 0][:depth]
        assert [places[doc_id] for doc_id in ranking.doc_ids] == wanted
        missing += len(row) - len(wanted)
    assert missing > 0


def test_a_damaged_index_is_refused(made, corpus, tmp_path):  # noqa: F811
    spec = f"sparse:{made(SPARSE_ENCODERS, 'splade')}"
    setting = resources(corpus, index=str(tmp_path / "index"))
    open_source(spec, setting)
    (file,) = tmp_path.glob("index/sparse-*/postings-indices.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RdError, match=r"it is damaged: postings-indices.npy was changed"):
        open_source(spec, setting)


def test_a_teacher_takes_embeddings_from_the_index_of_the_source(made, corpus, tmp_path, monkeypatch):  # noqa: F811
    spec = f"sparse:{made(SPARSE_ENCODERS, 'splade')}"
    texts = corpus.corpus.texts
    pairs = [TextPair("q", doc_id, QUERIES[1], texts[row]) for doc_id, row in corpus.corpus.row_of.items()]
    alone = opened(spec)
    ((_, expected),) = alone.score(pairs)
    setting = teacher_resources(corpus, index=str(tmp_path / "index"))
    open_source(spec, setting)
    teacher = opened(spec, setting)
    monkeypatch.setattr(teacher._encoder, "encode_documents", None)
    ((_, scores),) = teacher.score(pairs)
    assert scores == pytest.approx(expected, abs=1e-5)
    assert teacher.key == alone.key


def test_a_teacher_says_that_an_index_is_damaged(made, corpus, tmp_path):  # noqa: F811
    spec = f"sparse:{made(SPARSE_ENCODERS, 'splade')}"
    teacher: Any = opened(spec, teacher_resources(corpus, index=str(tmp_path / "index")))
    rows = teacher._index.embeddings.rows
    wrong = rows._replace(indices=np.full_like(rows.indices, 10**6))
    teacher._index.embeddings = teacher._index.embeddings._replace(rows=wrong)
    pairs = [TextPair("q", "d03", QUERIES[1], corpus.corpus.texts[corpus.corpus.row_of["d03"]])]
    with pytest.raises(RdError, match="it is damaged: its arrays have numbers out of bounds"):
        list(teacher.score(pairs))


@pytest.mark.parametrize(
    ("table", "kind", "spec", "message"),
    [
        (SPARSE_ENCODERS, "splade", "be", "it is a sparse encoder, not a bi-encoder (use sparse:{0})"),
        (BI_ENCODERS, "bert", "sparse",
         "it is a bi-encoder, not a sparse encoder (use be:{0}, as a source dense:{0})"),
        (LATE_INTERACTION, "pylate", "be", "it is a late-interaction model, not a bi-encoder (use colbert:{0})"),
        (SPARSE_ENCODERS, "splade", "colbert",
         "it is a sparse encoder, not a late-interaction model (use sparse:{0})"),
    ],
)  # fmt: skip
def test_models_of_other_kinds_are_refused(made, table, kind, spec, message):  # noqa: F811
    if "colbert" in (spec, message[-13:-5]) and not hasattr(sentence_transformers, "MultiVectorEncoder"):
        pytest.skip("needs sentence-transformers 6.1")
    folder = made(table, kind)
    with pytest.raises(RdError) as raised:
        opened(f"{spec}:{folder}")
    assert str(raised.value) == f"model {folder}: {message.format(folder)}"


def test_late_interaction_names_the_version_that_it_needs(monkeypatch):
    monkeypatch.delattr(sentence_transformers, "MultiVectorEncoder", raising=False)
    message = r"^colbert:x needs sentence-transformers 6\.1 \(pip install -U sentence-transformers\)$"
    with pytest.raises(RdError, match=message):
        opened("colbert:x")


def test_a_model_without_a_head_for_masked_words_is_refused(tmp_path):
    from libraries import plain

    folder, _ = plain(tmp_path, "bert", num_hidden_layers=1)
    with pytest.raises(RdError, match=r"it has no modules of one, and no head for masked words$"):
        SparseEncoderStudent(StudentOptions(student=f"sparse:{folder}"), CPU)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))
    with pytest.raises(RdError, match=r"its files lack the weights cls\.predictions"):
        SparseEncoderStudent(StudentOptions(student=f"sparse:{folder}"), CPU)


def trainer_of(folder, processes=Processes(), weights=(0.02, 0.03), make=SparseEncoderStudent, **options):
    kind = "sparse" if make is SparseEncoderStudent else "colbert"
    shape = {name: options.pop(name) for name in ("query_max_len", "doc_max_len") if name in options}
    student = make(StudentOptions(student=f"{kind}:{folder}", **shape), CPU)
    settings = TrainingOptions(**{"max_steps": 6, "lr": 1e-3, "batch_size": 2, "no_dropout": True, **options})
    flops = Flops(*weights) if kind == "sparse" else None
    return Trainer(student, Groups(DATA, objective("kl")), objective("kl"), settings, processes, flops)


def check_trained(trainer, out, library, spec):
    """Train, and compare the student with its folder, opened by the library and by rd-label."""
    student = trainer.student
    before = {name: tensor.clone() for name, tensor in student.module.state_dict().items()}
    rows = list(trainer.run())
    assert any(not torch.equal(before[name], now) for name, now in student.module.state_dict().items())
    student.save(out)
    expected = similarities(str(out), kind=library)
    ranked = torch.stack(list(student.rank(QUERIES, TEXTS, None)))
    torch.testing.assert_close(ranked, expected, atol=1e-5, rtol=1e-6)
    some = torch.stack(list(student.rank(QUERIES, TEXTS, [[3, 0]] * len(QUERIES))))
    torch.testing.assert_close(some, expected[:, [3, 0]], atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(taught(f"{spec}:{out}"), expected.flatten(), atol=1e-5, rtol=1e-6)
    groups = trainer.groups.slice(0, 4)
    batch = student.batch(groups)
    with torch.no_grad():
        encoded = torch.cat([student.encode_rows(batch, [row]) for row in range(len(batch.lengths))])
        scores = batch.scores(encoded) / student.scale
    for group, own in zip(groups, scores, strict=True):
        places = [TEXTS.index(document.text) for document in group.documents]
        torch.testing.assert_close(own, expected[QUERIES.index(group.query), places], atol=1e-5, rtol=1e-5)
    return rows


@pytest.mark.parametrize("kind", SPARSE_ENCODERS)
def test_a_trained_student_scores_as_its_folder_does(made, kind, tmp_path):  # noqa: F811
    trainer = trainer_of(made(SPARSE_ENCODERS, kind), no_dropout=kind != "splade")
    rows = check_trained(trainer, tmp_path / "out", "SparseEncoder", "sparse")
    assert rows[0]["active_dims"].keys() == rows[0]["flops"].keys() == {"query", "document"}
    assert trainer.student.scale == (20 if "cosine" in kind else 1)


@needs_late
@pytest.mark.parametrize(
    ("table", "kind", "options"),
    [
        *((LATE_INTERACTION, kind, {}) for kind in LATE_INTERACTION),
        (LATE_INTERACTION, "late interaction", {"query_max_len": 8, "doc_max_len": 20, "no_dropout": False}),
        (SPARSE_ENCODERS, "head for masked words", {"query_max_len": 6, "mini_batch_size": 2}),
        (BI_ENCODERS, "prompts", {}),
    ],
)
def test_a_trained_late_interaction_model_scores_as_its_folder_does(made, table, kind, options, tmp_path):  # noqa: F811
    from rdtools.train.late_interaction_student import LateInteractionStudent

    trainer = trainer_of(made(table, kind), make=LateInteractionStudent, **options)
    rows = check_trained(trainer, tmp_path / "out", "MultiVectorEncoder", "colbert")
    assert "flops" not in rows[0]
    if "doc_max_len" in options:
        saved = sentence_transformers.MultiVectorEncoder(str(tmp_path / "out"), device="cpu")
        assert [len(saved.encode_query(QUERIES[3])), len(saved.encode_document(TEXTS[3]))] == [8, 20]


def gradient(trainer, step=4):
    trainer.progress.step = step
    figures = trainer.gather(trainer._batches(step))
    return figures, {n: p.grad for n, p in trainer.student.module.named_parameters() if p.grad is not None}


def test_the_penalty_is_that_of_the_library(made):  # noqa: F811
    from sentence_transformers.sparse_encoder.losses import FlopsLoss

    folder = made(SPARSE_ENCODERS, "splade")
    figures, with_penalty = gradient(trainer_of(folder))
    _, without = gradient(trainer_of(folder, weights=(0.0, 0.0)))
    trainer = trainer_of(folder)
    (groups,) = trainer._batches(4)
    model = trainer.student.model
    sides = (
        [group.query for group in groups],
        list(dict.fromkeys(d.text for g in groups for d in g.documents)),
    )
    library = FlopsLoss(model)
    embeddings = [
        model(model.preprocess(side) if hasattr(model, "preprocess") else model.tokenize(side))["sentence_embedding"]
        for side in sides
    ]  # fmt: skip
    query, document = (library.compute_loss_from_embeddings(one) for one in embeddings)
    active = [float((one != 0).sum(1).float().mean()) for one in embeddings]
    assert figures[2:] == pytest.approx([query.item(), document.item(), *active], rel=1e-5)
    (0.02 * query + 0.03 * document).backward()  # step 4 of 6 is beyond the warm-up
    expected = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    for name, wanted in expected.items():
        torch.testing.assert_close(with_penalty[name] - without[name], wanted, atol=2e-6, rtol=1e-4)


def test_the_warm_up_is_that_of_the_library():
    from types import SimpleNamespace

    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
        SpladeRegularizerWeightSchedulerCallback,
    )
    from sentence_transformers.sparse_encoder.losses import SpladeLoss

    loss = SpladeLoss.__new__(SpladeLoss)
    torch.nn.Module.__init__(loss)
    loss.document_regularizer_weight, loss.query_regularizer_weight = 1.0, 1.0
    callback: Any = SpladeRegularizerWeightSchedulerCallback(loss)
    for steps in (1, 2, 10, 31):
        callback.on_train_begin(None, SimpleNamespace(max_steps=steps), None)
        for step in range(steps):
            assert Flops(1, 1).share(step, steps) == callback._calculate_weight_value(step, 1.0)


@pytest.mark.parametrize(("size", "most_tokens"), [(3, 4096), (None, 1)])
def test_how_a_step_is_cut_changes_nothing(made, monkeypatch, size, most_tokens):  # noqa: F811
    """The FLOPS regulariser needs all texts of a batch, so a batch is not split."""
    folder = made(SPARSE_ENCODERS, "splade")
    whole = gradient(trainer_of(folder, accumulate=2))
    monkeypatch.setattr("rdtools.train.gradient_cache.CPU_GRAPHS", most_tokens)
    figures, gradients = gradient(trainer_of(folder, accumulate=2, mini_batch_size=size))
    assert list(figures) == pytest.approx(whole[0], rel=1e-4)
    for name, wanted in whole[1].items():
        torch.testing.assert_close(gradients[name], wanted, atol=1e-5, rtol=1e-4)


def test_a_resumed_run_ends_in_the_same_weights(made, tmp_path):  # noqa: F811
    folder = made(SPARSE_ENCODERS, "splade")
    whole, begun, resumed = (trainer_of(folder, no_dropout=False) for _ in range(3))
    rows = list(whole.run())
    for trainer, _ in zip((begun,) * 3, range(3), strict=True):
        trainer.student.module.train()
        trainer.step()
    begun.save_checkpoint(tmp_path)
    resumed.load_checkpoint(tmp_path)
    assert list(resumed.run()) == rows[3:]
    for name, wanted in whole.student.module.state_dict().items():
        assert torch.equal(resumed.student.module.state_dict()[name], wanted)
    assert resumed.sparsity() == whole.sparsity()


def test_a_run_says_how_sparse_it_became(made, run, tmp_path):  # noqa: F811
    records = [
        {**record, "docs": [{**doc, "relevance": int(doc["doc_id"] == "0")} for doc in record["docs"]]}
        for record in DATA
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    start = ("rd-train", "train.jsonl", "--student", f"sparse:{made(SPARSE_ENCODERS, 'splade')}",
             "--loss", "margin-mse+lce", "--lr", "1e-3", "--max-steps", "4", "--batch-size", "2", "--log-steps", "1")  # fmt: skip
    whole = run(*start, "-o", "whole", "--flops-document", "0.01", check=True)
    *steps, last = map(json.loads, whole.stdout.splitlines())
    assert all(row["active_dims"]["document"] > 0 and "parts" in row for row in steps)
    about = json.loads((tmp_path / "whole" / "rd-train.json").read_text())
    assert about["options"]["flops-document"] == 0.01
    assert about["result"]["active_dims"] == last["active_dims"]
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "- sparse-encoder\n" in card
    assert "pipeline_tag: feature-extraction\n" in card
    assert 'model = SparseEncoder("whole")' in card
    assert "active dimensions" in card
    labelled = run("rd-label", "train.jsonl", "--teacher", "sparse:whole", check=True)
    found = [doc["score"] for line in labelled.stdout.splitlines() for doc in json.loads(line)["docs"]]
    np.testing.assert_allclose(found, similarities(str(tmp_path / "whole")).flatten(), atol=1e-5)
    assert json.loads(labelled.stdout.splitlines()[0])["score_scale"] == "dot"


def test_options_of_students(run):
    done = run("rd-train", "--student", "colbert:x", "--loss", "kl", "-o", "out", "--similarity", "dot")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "rd-train: --similarity: late interaction always sums the similarities of tokens\n"
    )
    done = run("rd-train", "--student", "be:x", "--loss", "kl", "-o", "out", "--flops-query", "0.1")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "rd-train: --flops-query and --flops-document are for sparse encoders (--student sparse:MODEL)\n"
    )
