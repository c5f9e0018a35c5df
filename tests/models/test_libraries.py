"""Each kind of model that sentence-transformers saves scores here as there, before and after training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import WORDS
from libraries import BI_ENCODERS, CROSS_ENCODERS, NEW
from settings import resources

from rdtools.core.errors import RdError
from rdtools.data.collection import Collection
from rdtools.label.teachers import TeacherResources, TextPair, open_teacher
from rdtools.models.options import ModelOptions
from rdtools.models.preprocessing import is_modular
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import objective
from rdtools.train.options import StudentOptions, TrainingOptions
from rdtools.train.students import BiEncoderStudent, CrossEncoderStudent
from rdtools.train.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = ModelOptions(device="cpu")
QUERIES = [" ".join(WORDS[i : i + 2 + 2 * i]) for i in range(4)]
TEXTS = [" ".join(WORDS[7 * i : 7 * i + 3 + 14 * (i % 4)]) for i in range(5)]  # up to 45 words: some too long
PAIRS = [(query, text) for query in QUERIES for text in TEXTS]
DATA = [
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


def setting(**options):
    return resources(Collection(), TeacherResources, **options)


def taught(spec, **options):
    """The scores of PAIRS by rd-label, in several batches."""
    teacher = open_teacher(spec, setting(batch_tokens=128, **options))
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
