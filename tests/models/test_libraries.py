"""Each kind of model that sentence-transformers saves scores here as there, before and after training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import WORDS
from libraries import BI_ENCODERS, CROSS_ENCODERS, NEW, TEMPLATE, cross_encoder, plain
from settings import opened

from rdtools.core.errors import RdError, UsageError
from rdtools.label.teachers import TextPair
from rdtools.models.loading import fingerprint
from rdtools.models.options import ModelOptions
from rdtools.models.preprocessing import installed_version, is_modular
from rdtools.train.cross_encoder_student import CrossEncoderStudent
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import objective
from rdtools.train.options import StudentOptions, TrainingOptions
from rdtools.train.students import BiEncoderStudent
from rdtools.train.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = ModelOptions(device="cpu")
QUERIES = [" ".join(WORDS[i : i + 2 + 2 * i]) for i in range(4)]
TEXTS = [" ".join(WORDS[7 * i : 7 * i + 3 + 14 * (i % 4)]) for i in range(5)]  # up to 45 words: some too long
PAIRS = [(query, text) for query in QUERIES for text in TEXTS]
DATA: list[Any] = [
    {
        "query_id": str(number),
        "query": query,
        "score_scale": "logit",
        "docs": [{"doc_id": str(d), "text": text, "score": -float(d)} for d, text in enumerate(TEXTS)],
    }
    for number, query in enumerate(QUERIES)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a model of some kind, made once."""
    from sentence_transformers import SentenceTransformer

    folders = {}

    def make(table, kind):
        if kind in NEW and not is_modular(SentenceTransformer):
            pytest.skip("needs sentence-transformers 5.5")
        if (id(table), kind) not in folders:
            folders[id(table), kind] = table[kind](tmp_path_factory.mktemp(kind.replace(" ", "-")))
        return folders[id(table), kind]

    return make


def taught(spec, **options):
    """The scores of PAIRS by rd-label, in several batches."""
    teacher = opened(spec, batch_tokens=128, **options)
    scores = torch.full((len(PAIRS),), torch.nan)
    for rows, some in teacher.score([TextPair("q", "d", *pair) for pair in PAIRS]):
        scores[list(rows)] = torch.tensor(some, dtype=torch.float32)
    return scores


def predicted(folder):
    """The logits of PAIRS by the library."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(folder, device="cpu", local_files_only=True)
    found = torch.tensor(model.predict(PAIRS, activation_fn=torch.nn.Identity()))
    return found if found.ndim == 1 else found[:, 1] - found[:, 0]


def similar(folder):
    """The similarities of PAIRS by the library."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    return model.similarity(model.encode_query(QUERIES), model.encode_document(TEXTS)).flatten()


def same(left, right):
    assert right.std() > 1e-3  # else all would agree
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


def trained(student, folder):
    """Train and save a student; return its scores of PAIRS in training, without dropout."""
    groups = Groups(DATA, objective("kl"))
    options = TrainingOptions(max_steps=2, lr=1e-3, batch_size=4, mini_batch_size=3)
    list(Trainer(student, groups, objective("kl"), options).run())
    student.module.eval()
    student.save(Path(folder))
    own = {group.query: group for group in groups.slice(0, len(QUERIES))}
    batch = student.batch([own[query] for query in QUERIES])
    with torch.no_grad():
        scores = batch.scores(student.encode_all(batch.features)) / student.scale
    texts = [[document.text for document in own[query].documents] for query in QUERIES]
    rows = zip(scores, texts, strict=True)
    return torch.stack([row[found.index(text)] for row, found in rows for text in TEXTS])


@pytest.mark.parametrize("kind", CROSS_ENCODERS)
def test_a_cross_encoder_scores_as_its_library_does(made, kind, tmp_path):
    folder = made(CROSS_ENCODERS, kind)
    before = predicted(folder)
    same(taught(f"ce:{folder}"), before)
    if kind == "two labels":
        return
    student = CrossEncoderStudent(StudentOptions(student=f"ce:{folder}"), CPU)
    scores = trained(student, tmp_path / "out")
    after = predicted(str(tmp_path / "out"))
    same(scores, after)
    same(taught(f"ce:{tmp_path / 'out'}"), after)
    assert (after - before).abs().max() > 1e-3


@pytest.mark.parametrize("kind", BI_ENCODERS)
def test_a_bi_encoder_scores_as_its_library_does(made, kind, tmp_path):
    folder = made(BI_ENCODERS, kind)
    before = similar(folder)
    same(taught(f"be:{folder}"), before)
    options = StudentOptions(student=f"be:{folder}")
    if kind == "router":
        with pytest.raises(RdError, match=r": its first module is a Router, not a transformer$"):
            BiEncoderStudent(options, CPU)
        return
    scores = trained(BiEncoderStudent(options, CPU), tmp_path / "out")
    after = similar(str(tmp_path / "out"))
    same(scores, after)
    same(taught(f"be:{tmp_path / 'out'}"), after)
    assert (after - before).abs().max() > 1e-3


def test_the_key_of_a_cache_tells_templates_prompts_and_lengths_apart(made, tmp_path):
    def key(folder, **options):
        return opened(f"ce:{folder}", **options).key

    bert = made(CROSS_ENCODERS, "bert")
    assert key(bert) == f"ce {fingerprint(bert)} float32 40"  # as before there were templates
    for kind, file, old, new in (
        ("template", "chat_template.jinja", "the high", "the low"),
        ("prompt", "config_sentence_transformers.json", "heat transfer", "supersonic"),
    ):
        folder = shutil.copytree(made(CROSS_ENCODERS, kind), tmp_path / kind)
        first = key(folder)
        assert first.endswith(f" 40 sentence-transformers {installed_version()}")
        assert key(folder) == first != key(folder, max_length=30)
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace(old, new))
        assert key(folder) != first
    excluded = opened(f"be:{made(BI_ENCODERS, 'pooling without the prompt')}").key
    assert excluded.endswith(f" 40 sentence-transformers {installed_version()}")
    assert opened(f"be:{made(BI_ENCODERS, 'prompts')}").key.endswith(" float32 40")


def test_a_causal_model_is_not_taken_for_a_cross_encoder(tmp_path):
    folder, _ = plain(tmp_path / "causal", "qwen3", use="causal", template=TEMPLATE)
    with pytest.raises(RdError) as error:
        opened(f"ce:{folder}")
    assert str(error.value) == (
        f"model {folder}: it is a causal model without a head for pairs (use llm:{folder})"
    )


def test_a_template_without_a_place_for_the_pair_is_refused(made, tmp_path):
    made(CROSS_ENCODERS, "template")  # skips where there are no templates
    folder = cross_encoder(tmp_path, "qwen3", template="{{ messages[0].role }}")
    with pytest.raises(RdError) as error:
        opened(f"ce:{folder}")
    assert str(error.value) == (
        f"model {folder}: it cannot score a pair: its chat template does not render a query and a document "
        "(save it with one that does)"
    )


def test_a_limit_counts_the_tokens_of_the_template(made):
    folder = made(CROSS_ENCODERS, "template")
    with pytest.raises(UsageError, match=r"^--max-length must be at least 20, not 9: this model adds 19 spe"):
        opened(f"ce:{folder}", max_length=9)


def test_an_older_library_is_not_asked_to_ignore_a_template(made, monkeypatch):
    monkeypatch.setattr("rdtools.models.cross_encoder.is_modular", lambda model: False)
    for kind in ("template", "prompt", "logit score", "dense"):
        folder = made(CROSS_ENCODERS, kind)
        with pytest.raises(
            RdError, match=r"prompt or modules that sentence-transformers \S+ ignores \(install"
        ):
            opened(f"ce:{folder}")


def test_logits_of_a_causal_model_are_float32_and_only_two(made):
    folder = made(CROSS_ENCODERS, "logit score")
    scores = taught(f"ce:{folder}", dtype="bfloat16")
    torch.testing.assert_close(scores, taught(f"ce:{folder}"), atol=0.1, rtol=0.1)
    assert (scores.bfloat16() != scores).any()


@pytest.mark.parametrize("use", ["", "causal"])
def test_a_new_head_reads_plain_pairs(tmp_path, use):
    folder, _ = plain(tmp_path / "plain", "qwen3", use=use, template=TEMPLATE)
    student = CrossEncoderStudent(StudentOptions(student=f"ce:{folder}"), CPU)
    assert student.batch(Groups(DATA, objective("kl")).slice(0, 1)).features.keys() == {
        "input_ids", "token_type_ids", "attention_mask",
    }  # fmt: skip
    scores = trained(student, tmp_path / "out")
    same(scores, predicted(str(tmp_path / "out")))
    same(scores, taught(f"ce:{tmp_path / 'out'}"))


def test_with_a_template_the_query_is_truncated_and_the_document_gets_the_rest(made, tmp_path):
    options = StudentOptions(student=f"ce:{made(CROSS_ENCODERS, 'template')}", query_max_len=4, doc_max_len=9)
    student = CrossEncoderStudent(options, CPU)
    scores = trained(student, tmp_path / "out")
    batch = student.batch(Groups(DATA, objective("kl")).slice(0, len(QUERIES)))
    assert max(batch.lengths) == 19 + 4 + 9
    query: Any = student.tokenizer.convert_tokens_to_ids(QUERIES[3].split())
    ids: Any = batch.features["input_ids"]
    rows = [row for row in ids if row[8 : 8 + 4] == query[:4]]
    assert rows
    assert not any(query[4] in row[: 8 + 5] for row in rows)
    short = slice(0, 2 * len(TEXTS))  # the queries of 2 and 4 words
    same(scores[short], predicted(str(tmp_path / "out"))[short])


def test_bi_encoders_are_saved_in_the_form_that_older_versions_read(made, tmp_path):
    kinds = {
        "dense and normalize": "5.1",
        "template": installed_version(),
        "truncated dimensions": installed_version(),
    }
    for kind, needs in kinds.items():
        student = BiEncoderStudent(StudentOptions(student=f"be:{made(BI_ENCODERS, kind)}"), CPU)
        assert student.save(tmp_path / kind) == needs
        modules = json.loads((tmp_path / kind / "modules.json").read_text())
        older = all(module["type"].startswith("sentence_transformers.models.") for module in modules)
        assert older == (needs == "5.1")
    folder = tmp_path / "dense and normalize"
    assert json.loads((folder / "sentence_bert_config.json").read_text()) == {
        "max_seq_length": 40, "do_lower_case": False,
    }  # fmt: skip
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    assert [key for key, value in pooling.items() if value is True] == [
        "pooling_mode_mean_tokens",
        "include_prompt",
    ]
    assert pooling["word_embedding_dimension"] == 32
