"""Each family of encoders, as tiny random models: trained, cut to some layers, saved, opened by the libraries."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from conftest import WORDS, _tiny_config_and_tokenizer

from rdtools.models.options import ModelOptions
from rdtools.train.cross_encoder_student import CrossEncoderStudent
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import objective
from rdtools.train.options import StudentOptions, TrainingOptions
from rdtools.train.students import BiEncoderStudent
from rdtools.train.trainer import Trainer

CPU = ModelOptions(device="cpu")
pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
DISTILBERT = {"dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "electra": {**SIZES, "embedding_size": 16},
    "distilbert": DISTILBERT,
    "roberta": {**SIZES, "type_vocab_size": 2},  # as its tokenizer here tells queries from documents
    "deberta": {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "share_att_key": True},
    "modernbert": {
        **SIZES, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3,
        "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A folder with a model of this family without a head, and a tokenizer."""
    from transformers import AutoConfig, AutoModel

    folder = tmp_path_factory.mktemp(request.param)
    bert, tokenizer = _tiny_config_and_tokenizer(folder, None)
    if request.param == "roberta":
        tokenizer.model_max_length = 10**30  # the model's positions begin after that of its padding
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        request.param, vocab_size=bert.vocab_size, **{"pad_token_id": 0, **FAMILIES[request.param]}
    )
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if request.param in ("distilbert", "modernbert"):  # as in their checkpoints
        stated = folder / "tokenizer_config.json"
        inputs = {"model_input_names": ["input_ids", "attention_mask"]}
        stated.write_text(json.dumps(json.loads(stated.read_text()) | inputs))
    return folder


DATA: list[Any] = [
    {
        "query_id": str(q),
        "query": WORDS[q],
        "score_scale": "logit",
        "docs": [
            {"doc_id": str(d), "text": " ".join(WORDS[q + d : q + 5 * d + 2]), "score": -float(d), "relevance": int(d == 0)}
            for d in range(3)
        ],
    }
    for q in range(4)
]  # fmt: skip


def trained(student):
    groups = Groups(DATA, objective("kl"))
    trainer = Trainer(student, groups, objective("kl"), TrainingOptions(max_steps=3, lr=1e-3, batch_size=4))
    before = {name: tensor.clone() for name, tensor in student.module.state_dict().items()}
    assert all(row["loss"] > 0 for row in trainer.run())
    after = student.module.state_dict()
    layers = [name for name in after if "layer" in name and "weight" in name]
    assert all(not torch.equal(before[name], after[name]) for name in layers)
    batch = student.batch(groups.slice(0, 4))
    with torch.no_grad():
        return groups.slice(0, 4), batch.scores(student.encode_rows(batch, range(len(batch.lengths))))


@pytest.mark.parametrize("layers", [None, "2", "0,3"])
def test_bi_encoders(family, tmp_path, layers):
    from sentence_transformers import SentenceTransformer

    student = BiEncoderStudent(StudentOptions(student=f"be:{family}", layers=layers), CPU)
    groups, scores = trained(student)
    student.save(tmp_path / "out")
    saved = SentenceTransformer(str(tmp_path / "out"), device="cpu", local_files_only=True)
    transformer: Any = saved[0]
    assert transformer.auto_model.config.num_hidden_layers == (2 if layers else 4)
    for group, row in zip(groups, scores, strict=True):
        documents = saved.encode_document([document.text for document in group.documents])
        expected = saved.similarity(saved.encode_query([group.query]), documents)[0]
        torch.testing.assert_close(row / student.scale, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layers", [None, "2", "0,3"])
def test_cross_encoders(family, tmp_path, layers):
    from sentence_transformers import CrossEncoder

    student = CrossEncoderStudent(StudentOptions(student=f"ce:{family}", layers=layers), CPU)
    groups, scores = trained(student)
    student.save(tmp_path / "out")
    saved = CrossEncoder(str(tmp_path / "out"), device="cpu", local_files_only=True)
    assert saved.config.num_hidden_layers == (2 if layers else 4)
    for group, row in zip(groups, scores, strict=True):
        expected = saved.predict([(group.query, document.text) for document in group.documents])
        torch.testing.assert_close(row, torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "make"), [("be", BiEncoderStudent), ("ce", CrossEncoderStudent)])
def test_long_texts_are_truncated_where_the_model_ends(family, kind, make):
    data: list[Any] = [{**DATA[0], "docs": [{**doc, "text": "wing " * 200} for doc in DATA[0]["docs"]]}]
    student = make(StudentOptions(student=f"{kind}:{family}"), CPU)
    batch = student.batch(Groups(data, objective("kl")).slice(0, 1))
    with torch.no_grad():
        scores = batch.scores(student.encode_rows(batch, range(len(batch.lengths))))
    assert scores.isfinite().all()
    assert max(batch.lengths) >= 60
