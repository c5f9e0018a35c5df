"""t5: tiny random models, against a forward pass of the whole vocabulary, one pair at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scoring import scores
from settings import opened

from rdtools.core.errors import RdError, UsageError
from rdtools.label.labeler import Labeler
from rdtools.label.prompts import Prompt
from rdtools.label.teachers import TextPair

WORDS = "Query Document Relevant : wing flow jet of air true false yes no a the".split()
PAIRS = [
    TextPair("q", str(n), query, text)
    for n, text in enumerate(["the flow of air", "jet", "", "a wing of the jet wing of a jet flow of air"])
    for query in ("wing", "flow of the air")
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tied head with scaled outputs, as in T5 and monoT5, and a separate one, as in T5 v1.1, Flan and mT5."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    special = ["<pad>", "</s>", "<unk>"]
    pieces = special + [f"▁{word}" for word in WORDS] + ["▁", ":", "s", "<extra_id_10>"]
    fast = Tokenizer(Unigram([(piece, 0.0 if n < 3 else -1.0) for n, piece in enumerate(pieces)], unk_id=2))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<extra_id_10>"],
    )  # fmt: skip
    folders = {}
    for name, tied in (("tied", True), ("own head", False)):
        torch.manual_seed(2)
        options: dict[str, Any] = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 1, "num_heads": 2}
        options |= {"tie_word_embeddings": tied, "decoder_start_token_id": 0}
        config = T5Config(vocab_size=len(tokenizer), initializer_factor=1.0, **options)
        folder = tmp_path_factory.mktemp("t5") / name.replace(" ", "-")
        T5ForConditionalGeneration(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders[name] = str(folder)
    return folders


def one_at_a_time(folder, prompts, yes, no=None):
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = T5ForConditionalGeneration.from_pretrained(folder).eval()
    values = []
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        assert inputs["input_ids"][0, -1] == tokenizer.eos_token_id
        with torch.no_grad():
            first = model(input_ids=inputs["input_ids"], decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
        yes_logit = first[tokenizer.convert_tokens_to_ids(yes)]
        values.append(float(yes_logit - first[tokenizer.convert_tokens_to_ids(no)] if no else yes_logit))
    return values


@pytest.mark.parametrize("name", ["tied", "own head"])
@pytest.mark.parametrize("batch_tokens", [1, 30, 1000])
def test_monot5_is_true_minus_false_at_the_first_step(models, name, batch_tokens):
    prompts = [f"Query: {pair.query} Document: {pair.text} Relevant:" for pair in PAIRS]
    expected = one_at_a_time(models[name], prompts, "▁true", "▁false")
    assert np.ptp(expected) > 0.01
    teacher = opened(f"t5:{models[name]}", batch_tokens=batch_tokens)
    np.testing.assert_allclose(scores(teacher, PAIRS), expected, atol=1e-5)
    assert teacher.scale == "logit"


def test_rankt5_is_the_logit_of_its_extra_token(models):
    prompts = [f"Query: {pair.query} Document: {pair.text}" for pair in PAIRS]
    teacher = opened(f"t5:{models['own head']}", prompt=Prompt(preset="rankt5"))
    np.testing.assert_allclose(
        scores(teacher, PAIRS), one_at_a_time(models["own head"], prompts, "<extra_id_10>"), atol=1e-5
    )


def test_other_answers_and_prompts(models):
    """mT5 re-rankers answer yes and no to the prompt of monoT5."""
    prompts = [f"Query: {pair.query} Document: {pair.text} Relevant:" for pair in PAIRS]
    teacher = opened(f"t5:{models['tied']}", prompt=Prompt(preset="monot5", answers="yes,no"))
    np.testing.assert_allclose(
        scores(teacher, PAIRS), one_at_a_time(models["tied"], prompts, "▁yes", "▁no"), atol=1e-5
    )
    teacher = opened(f"t5:{models['tied']}", prompt=Prompt(template="{document} : {query}"))
    prompts = [f"{pair.text} : {pair.query}" for pair in PAIRS]
    np.testing.assert_allclose(
        scores(teacher, PAIRS), one_at_a_time(models["tied"], prompts, "▁true", "▁false"), atol=1e-5
    )


def test_a_long_document_is_truncated_and_the_prompt_stays(models):
    long = [TextPair("q", "d", "wing", "flow of air " * 100), TextPair("q", "e", "wing", "jet")]
    teacher = opened(f"t5:{models['tied']}", max_length=20)
    tokenizer = teacher._tokenizer
    text = long[0].text
    while len(tokenizer(f"Query: wing Document: {text} Relevant:")["input_ids"]) > 20:
        text = text[:-1]
    prompts = [f"Query: wing Document: {text} Relevant:", "Query: wing Document: jet Relevant:"]
    np.testing.assert_allclose(
        scores(teacher, long), one_at_a_time(models["tied"], prompts, "▁true", "▁false"), atol=1e-5
    )
    assert opened(f"t5:{models['tied']}")._tokens.limit == 512


def test_keys_and_names(models):
    settings: list[dict[str, Any]] = [
        {},
        {"max_length": 30},
        {"dtype": "bfloat16"},
        {"prompt": Prompt(preset="rankt5")},
    ]
    assert len({opened(f"t5:{models['tied']}", **each).key for each in settings}) == 4
    teacher = opened(f"t5:{models['tied']}")
    record: Any = {"query_id": "q", "query": "wing", "docs": [{"doc_id": "d", "text": "jet"}]}
    one = next(Labeler([teacher]).label([record]))
    assert (one["teacher"], one["score_scale"]) == (models["tied"], "logit")


def test_wrong_models_and_answers_are_one_line(models, tiny_ce):
    with pytest.raises(UsageError, match=r"^--teacher t5 needs a model: t5:MODEL$"):
        opened("t5")
    with pytest.raises(RdError, match=r"^model no/such: not a local folder.*t5:DIR"):
        opened("t5:no/such")
    with pytest.raises(RdError, match=r"^model .*: cannot load it: "):
        opened(f"t5:{tiny_ce}")
    with pytest.raises(
        UsageError, match=r": the answer 'jets' is not one token but '▁jet' 's' \(give others"
    ):
        opened(f"t5:{models['tied']}", prompt=Prompt(answers="jets,no"))
    with pytest.raises(UsageError, match=r": both answers are the same token"):
        opened(f"t5:{models['tied']}", prompt=Prompt(answers="no,no"))
    with pytest.raises(UsageError, match=r"^--prompt-preset qwen3-reranker is for llm:MODEL, not t5:MODEL$"):
        opened(f"t5:{models['tied']}", prompt=Prompt(preset="qwen3-reranker"))
