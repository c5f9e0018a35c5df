"""Models without a fast tokenizer: they score as their library does, and rd-train says what it needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import WORDS
from settings import opened

from rdtools.core.errors import RdError, UsageError
from rdtools.label.teachers import TextPair
from rdtools.models.encoding import BiEncoder
from rdtools.models.loading import load_bi_encoder
from rdtools.models.options import ModelOptions
from rdtools.train.cross_encoder_student import CrossEncoderStudent
from rdtools.train.options import StudentOptions
from rdtools.train.students import BiEncoderStudent

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = ModelOptions(device="cpu")
QUERIES = ["wing flow", "heat"]
TEXTS = [" ".join(WORDS[place : place + 2 * place + 1]) for place in range(5)]


def static(folder):
    """Word embeddings, averaged; the tokenizer is one of the library tokenizers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["[UNK]", *dict.fromkeys(WORDS)])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    embedding = StaticEmbedding(tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[embedding], device="cpu").save_pretrained(
        str(folder), create_model_card=False
    )
    return str(folder)


def of_bytes(folder, kind):
    """BERT over bytes, which a tokenizer in Python makes."""
    import transformers

    labels: dict[str, Any] = {"num_labels": 1}
    config = transformers.BertConfig(
        vocab_size=384, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=256, initializer_range=0.2, **labels,
    )  # fmt: skip
    torch.manual_seed(0)
    getattr(transformers, kind)(config).save_pretrained(folder)
    transformers.ByT5Tokenizer(model_max_length=256).save_pretrained(folder)
    return str(folder)


MAKE = {"static": static, "bytes": lambda folder: of_bytes(folder, "BertModel")}


def taught(spec):
    teacher = opened(spec, batch_tokens=600)
    pairs = [TextPair("q", "d", query, text) for query in QUERIES for text in TEXTS]
    found = torch.full((len(pairs),), torch.nan)
    for places, scores in teacher.score(pairs):
        found[list(places)] = torch.tensor(list(scores), dtype=torch.float32)
    return found.reshape(len(QUERIES), len(TEXTS))


@pytest.mark.parametrize("kind", MAKE)
def test_a_bi_encoder_encodes_as_its_library_does(kind, tmp_path):
    model = load_bi_encoder(MAKE[kind](tmp_path), CPU)
    encoder = BiEncoder(model)
    expected = model.encode(TEXTS, normalize_embeddings=True, convert_to_tensor=True)
    for found in (encoder.encode_documents(TEXTS), encoder.encode_queries(TEXTS)):
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=1e-5)
    assert encoder.encode_documents([]).shape == (0, encoder.dimension) == (0, expected.shape[1])
    similarities = model.similarity(model.encode(QUERIES), model.encode(TEXTS))
    assert similarities.std() > 1e-3
    torch.testing.assert_close(taught(f"be:{tmp_path}"), similarities, atol=1e-5, rtol=1e-5)


def test_a_limit_that_a_model_cannot_have_is_refused(tmp_path):
    folder = static(tmp_path)
    with pytest.raises(UsageError, match=rf"^--max-length: model {folder} always reads whole texts$"):
        load_bi_encoder(folder, ModelOptions(device="cpu", max_length=5))
    assert load_bi_encoder(of_bytes(tmp_path / "c", "BertModel"), ModelOptions(device="cpu", max_length=5))


def test_a_cross_encoder_scores_as_its_library_does(tmp_path):
    from sentence_transformers import CrossEncoder

    folder = of_bytes(tmp_path, "BertForSequenceClassification")
    pairs = [(query, text) for query in QUERIES for text in TEXTS]
    model = CrossEncoder(folder, device="cpu", local_files_only=True)
    expected = torch.tensor(model.predict(pairs, activation_fn=torch.nn.Identity())).reshape(2, 5)
    assert expected.std() > 1e-3
    torch.testing.assert_close(taught(f"ce:{folder}"), expected, atol=1e-5, rtol=1e-5)


def test_training_says_that_it_needs_a_fast_tokenizer(tmp_path):
    for name, make, student in (
        ("be", MAKE["static"], BiEncoderStudent),
        ("be", MAKE["bytes"], BiEncoderStudent),
        ("ce", lambda folder: of_bytes(folder, "BertForSequenceClassification"), CrossEncoderStudent),
    ):
        folder = tmp_path / f"{name}{len(list(tmp_path.iterdir()))}"
        with pytest.raises(RdError) as error:
            student(StudentOptions(student=f"{name}:{make(folder)}"), CPU)
        assert str(error.value) == f"model {folder}: it has no fast tokenizer, which training needs"
