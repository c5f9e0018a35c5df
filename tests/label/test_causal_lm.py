"""llm: tiny random causal models, against their own full vocabulary, one pair at a time."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from scoring import scores
from settings import opened

from rdtools.core.errors import RdError, UsageError
from rdtools.label.labeler import Labeler
from rdtools.label.prompts import DEFAULT_TEMPLATE, Prompt, Question, unescape
from rdtools.label.score_cache import ScoreCache
from rdtools.label.teachers import TextPair
from rdtools.models.loading import fingerprint

CHAT = (
    "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}{% if enable_thinking %}<think>{% endif %}"
)
TEXTS = ["the flow", "heat transfer in the boundary layer of a flat plate", "", "jet", "émigré 🙂 supersonic"]
PAIRS = [
    TextPair("q", str(n), query, text)
    for n, text in enumerate(TEXTS)
    for query in ("wing", "air flow of a jet")
]


def _tokenizer(chat: bool, bos: bool):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [
        "ye",
        "yes",
        "Ġyes",
        "no",
        "Ġno",
        "Ġy",
        "<|end|>",
        "<|user|>",
        "<|assistant|>",
        "<s>",
        "<|im_start|>",
        "<|im_end|>",
    ]
    vocabulary = {token: number for number, token in enumerate(letters + words)}
    merges = [("y", "e"), ("ye", "s"), ("Ġ", "yes"), ("n", "o"), ("Ġ", "no")]
    fast = Tokenizer(models.BPE(vocabulary, merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    if bos:
        fast.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="<|end|>", bos_token="<s>", chat_template=CHAT if chat else None,
        additional_special_tokens=["<|user|>", "<|assistant|>", "<|im_start|>", "<|im_end|>"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Tiny random causal models by name, each in a folder."""
    from transformers import (
        Gemma2Config,
        Gemma2ForCausalLM,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    kinds: dict[str, Any] = {
        # tied head, learned positions; rotary positions and a token of the beginning; capped logits
        "gpt2": (GPT2LMHeadModel, GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256}),
        "llama": (LlamaForCausalLM, LlamaConfig, {**size, "num_key_value_heads": 1, "max_position_embeddings": 256}),
        "qwen3": (Qwen3ForCausalLM, Qwen3Config, {**size, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 1024}),
        "gemma2": (
            Gemma2ForCausalLM, Gemma2Config,
            {**size, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 256, "final_logit_softcapping": 0.2},
        ),
    }  # fmt: skip
    folders = {}
    for name, (model, config, options) in kinds.items():
        folder = tmp_path_factory.mktemp(name)
        tokenizer = _tokenizer(chat=name == "llama", bos=name == "llama")
        torch.manual_seed(1)
        model(config(vocab_size=len(tokenizer), **options)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders[name] = str(folder)
    return folders


def one_at_a_time(folder, prompts, yes, no, special=True):
    """logit(yes) − logit(no) from the whole vocabulary at the last position."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder).eval(),
    )
    yes, no = (None if word is None else tokenizer.convert_tokens_to_ids(word) for word in (yes, no))
    values = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=special)["input_ids"]
        with torch.no_grad():  # not all that transformers 4 gives: GPT-2 adds embeddings of token types
            last = model(ids).logits[0, -1]
        values.append(float(last[yes] - last[no] if no is not None else last[yes]))
    return values


def test_the_vocabulary_is_never_computed(models):
    teacher = opened(f"llm:{models['gpt2']}")
    widths = []
    teacher._model.register_forward_hook(lambda model, inputs, output: widths.append(output.logits.shape[-1]))
    scores(teacher, PAIRS)
    assert set(widths) == {2}


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_scores_are_the_difference_of_two_logits_however_batched(models, name):
    prompts = [DEFAULT_TEMPLATE.format(query=pair.query, document=pair.text) for pair in PAIRS]
    expected = one_at_a_time(models[name], prompts, "Ġyes", "Ġno")
    assert np.ptp(expected) > 1e-3  # they tell documents apart
    for batch_tokens in (1, 500, 100_000):
        teacher = opened(f"llm:{models[name]}", batch_tokens=batch_tokens)
        np.testing.assert_allclose(scores(teacher, PAIRS), expected, atol=1e-5)
    one = next(
        Labeler([teacher]).label(
            [{"query_id": "q", "query": "wing", "docs": [{"doc_id": "d", "text": "jet"}]}]
        )
    )
    assert (one["teacher"], one["score_scale"]) == (models[name], "logit")


def test_the_chat_template_is_used_only_where_asked(models):
    prompt = Prompt(template="{query}? {document}", chat=True)
    teacher = opened(f"llm:{models['llama']}", prompt=prompt)
    prompts = [f"<|user|>{pair.query}? {pair.text}<|assistant|>" for pair in PAIRS]
    np.testing.assert_allclose(
        scores(teacher, PAIRS), one_at_a_time(models["llama"], prompts, "yes", "no", special=False), atol=1e-5
    )
    with pytest.raises(UsageError, match=r"^--chat: model .*gpt2.* has no chat template$"):
        opened(f"llm:{models['gpt2']}", prompt=prompt)


def test_other_prompts_and_answers(models):
    prompt = Prompt(template="{{}} {query}\n{document} ->", answers=" no, yes")
    teacher = opened(f"llm:{models['gpt2']}", prompt=prompt)
    prompts = [f"{{}} {pair.query}\n{pair.text} ->" for pair in PAIRS]
    np.testing.assert_allclose(
        scores(teacher, PAIRS), one_at_a_time(models["gpt2"], prompts, "Ġno", "Ġyes"), atol=1e-5
    )


def test_answers_that_are_not_one_token_are_named(models):
    with pytest.raises(
        UsageError,
        match=r"^model .*: the answer ' nope' after the prompt is not one token but 'Ġno' 'p' 'e' \(give others with --answers",
    ):
        opened(f"llm:{models['gpt2']}", prompt=Prompt(answers=" yes, nope"))


def test_answers_that_are_the_same_or_unknown_are_refused(models, monkeypatch):
    with pytest.raises(
        UsageError, match=r"^model .*: both answers are the same token \(give others with --answers"
    ):
        opened(f"llm:{models['gpt2']}", prompt=Prompt(answers=" yes, yes"))
    from transformers import PreTrainedTokenizerFast

    token = PreTrainedTokenizerFast.from_pretrained(models["gpt2"]).convert_tokens_to_ids("Ġno")
    monkeypatch.setattr(PreTrainedTokenizerFast, "unk_token_id", token, raising=False)
    with pytest.raises(UsageError, match="the answer ' no' after the prompt is not one token but 'Ġno' "):
        opened(f"llm:{models['gpt2']}")


@pytest.mark.parametrize("limit", [100, 130, 140])
def test_what_is_too_long_loses_the_end_of_the_document_then_of_the_query(models, limit):
    teacher = opened(f"llm:{models['gpt2']}", max_length=limit, batch_tokens=1)
    long = [
        TextPair("q", "d", "wing of a jet", "the flow of air 🙂 " * 40),
        TextPair("q", "e", "wing" * 90, "jet" * 90),
    ]
    prompts = []
    for pair in long:  # characters are bytes here, and tokens but for yes, no and letters beyond ASCII
        query, document = pair.query, pair.text
        while (
            len(teacher._tokenizer(DEFAULT_TEMPLATE.format(query=query, document=document))["input_ids"])
            > limit
        ):
            query, document = (query, document[:-1]) if document else (query[:-1], document)
        prompts.append(DEFAULT_TEMPLATE.format(query=query, document=document))
    np.testing.assert_allclose(
        scores(teacher, long), one_at_a_time(models["gpt2"], prompts, "Ġyes", "Ġno"), atol=1e-5
    )


def test_a_prompt_that_cannot_fit_is_one_line(models):
    teacher = opened(f"llm:{models['gpt2']}", max_length=20)
    with pytest.raises(RdError, match=r"^model .*: the prompt itself is longer than 20 tokens$"):
        scores(teacher, PAIRS)


def test_half_precision_makes_no_ties(models):
    pairs = [TextPair("q", str(n), "wing", f"model {n}") for n in range(40)]
    teacher = opened(f"llm:{models['gpt2']}", dtype="bfloat16")
    assert len(set(scores(teacher, pairs))) > 35


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('only\\ntwo roles') }}", "only two roles"),
        ("{{ nobody.knows }}", "'nobody' is undefined"),
        ("{% for n in range(99999999) %}x{% endfor %}", "Range too big. .*"),
        ("{{ messages.__class__.__mro__ }}", "access to attribute '__class__' of 'list' object is unsafe."),
        ("{% for", ".*"),
    ],
)
def test_a_chat_template_that_fails_is_one_line(models, tmp_path, template, says):
    folder = shutil.copytree(models["llama"], tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(RdError, match=rf"^model {folder}: its chat template fails: {says}$"):
        opened(f"llm:{folder}", prompt=Prompt(chat=True))


def test_keys_cover_prompt_answers_chat_length_and_precision(models):
    name = f"llm:{models['llama']}"
    prompts = [
        Prompt(), Prompt(template="{query}{document}:"), Prompt(answers=" no, yes"),
        Prompt(chat=True), Prompt(template="<|user|>" + DEFAULT_TEMPLATE, answers="yes,no"),
    ]  # fmt: skip
    keys = [opened(name, prompt=prompt).key for prompt in prompts]
    keys += [opened(name, **option).key for option in ({"max_length": 99}, {"dtype": "bfloat16"})]
    assert len(set(keys)) == len(keys)
    assert all(fingerprint(models["llama"]) in key for key in keys)
    assert opened(name, batch_tokens=7).key == keys[0]


def test_the_cache_serves_a_second_run(models, tmp_path):
    record = {"query_id": "q", "query": "wing", "docs": [{"doc_id": t, "text": t} for t in TEXTS]}

    def label():
        teacher = opened(f"llm:{models['gpt2']}")
        labeler = Labeler([teacher], cache=ScoreCache(str(tmp_path / "scores.db")))
        return next(labeler.label([json.loads(json.dumps(record))])), labeler._computed

    first, computed = label()
    assert computed == len(TEXTS)
    assert label() == (first, 0)


def test_other_heads_and_missing_models_are_one_line(models, tmp_path):
    with pytest.raises(RdError, match=r"^model no/such: not a local folder.*llm:DIR"):
        opened("llm:no/such")
    with pytest.raises(UsageError, match=r"^--teacher llm needs a model: llm:MODEL$"):
        opened("llm")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{query}", " must contain {query} and {document}, and nothing else in braces"),
        ("{query} {document} {other}", " must contain"),
        ("{query.__class__} {document}", " must contain"),
        ("{query:>9} {document}", " must contain"),
        ("{query!r} {document}", " must contain"),
        ("{} {query} {document}", " must contain"),
        ("{query} {document", ": expected '}' before end of string (write a literal brace twice)"),
        ("} {query} {document}", ": Single '}' encountered in format string (write"),
    ],
)
def test_prompts_are_checked(template, problem):
    with pytest.raises(UsageError) as caught:
        Prompt(template=template)
    assert str(caught.value).startswith(f"--prompt{problem}")


def test_braces_in_texts_are_text():
    assert (
        Prompt(template="{query}|{document}").question("llm")("{document}", "{0} }{") == "{document}|{0} }{"
    )


def test_a_prompt_of_the_command_line_has_line_ends_and_tabs(run, models, tmp_path):
    assert unescape(r"a\nb\tc\\nd\x {query}") == "a\nb\tc\\nd\\x {query}"
    line = json.dumps({"query_id": "q", "query": "wing", "docs": [{"doc_id": "d", "text": "jet"}]}) + "\n"
    label = ("rd-label", "--teacher", f"llm:{models['gpt2']}", "--device", "cpu", "--prompt")
    found = [
        json.loads(run(*label, prompt, stdin=line, check=True).stdout)["docs"][0]["score"]
        for prompt in (r"{query}\n\t{document}\\", "{query}\n\t{document}\\\\", "{query}n{document}")
    ]
    assert found[0] == pytest.approx(
        one_at_a_time(models["gpt2"], ["wing\n\tjet\\"], "Ġyes", "Ġno")[0], abs=1e-5
    )
    assert found[0] == found[1] != found[2]


def test_one_answer_alone_is_its_logit(models):
    teacher = opened(f"llm:{models['gpt2']}", prompt=Prompt(answers=" yes"))
    prompts = [DEFAULT_TEMPLATE.format(query=pair.query, document=pair.text) for pair in PAIRS]
    np.testing.assert_allclose(
        scores(teacher, PAIRS), one_at_a_time(models["gpt2"], prompts, "Ġyes", None), atol=1e-5
    )


@pytest.mark.parametrize("instruction", [None, "Find {what} is \n wanted"])
def test_qwen3_reranker_scores_as_its_model_card_says(models, instruction):
    """The card's code: prefix, pair and suffix tokenised apart, padding on the left, log-softmax of no and yes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models["qwen3"], padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token  # Qwen3 has one
    model = AutoModelForCausalLM.from_pretrained(models["qwen3"]).eval()
    before = tokenizer.encode(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
        add_special_tokens=False,
    )
    after = tokenizer.encode(
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", add_special_tokens=False
    )
    task = instruction or "Given a web search query, retrieve relevant passages that answer the query"
    texts = [f"<Instruct>: {task}\n<Query>: {pair.query}\n<Document>: {pair.text}" for pair in PAIRS]
    inputs = tokenizer(
        texts, padding=False, truncation="longest_first", return_attention_mask=False, max_length=900
    )
    ids = [before + each + after for each in inputs["input_ids"]]
    batch = tokenizer.pad({"input_ids": ids}, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits[:, -1]
    no, yes = (tokenizer.convert_tokens_to_ids(word) for word in ("no", "yes"))
    expected = torch.log_softmax(torch.stack([logits[:, no], logits[:, yes]], dim=1), dim=1)[:, 1].exp()
    prompt = Prompt(preset="qwen3-reranker", instruction=instruction)
    teacher = opened(f"llm:{models['qwen3']}", prompt=prompt, batch_tokens=3000)
    found = torch.sigmoid(torch.tensor(scores(teacher, PAIRS)))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)
    assert np.ptp(found.numpy()) > 1e-4


def test_a_preset_is_for_its_kind_of_model(models):
    with pytest.raises(UsageError, match=r"^--prompt-preset monot5 is for t5:MODEL, not llm:MODEL$"):
        opened(f"llm:{models['gpt2']}", prompt=Prompt(preset="monot5"))
    for wrong in (Prompt, lambda **options: Prompt(preset="monot5", **options)):
        with pytest.raises(UsageError, match=r"^--instruction: the prompt has no {instruction}"):
            wrong(instruction="x")
    own = Prompt(template="{instruction}: {query} {document}", instruction="{query}")
    assert own.question("llm")("a", "b") == "{query}: a b"


def test_answers_are_two():
    assert Prompt().question("llm") == Question(DEFAULT_TEMPLATE, (" yes", " no"))
    assert Prompt(answers="A,B").question("llm").answers == ("A", "B")
    assert Prompt(chat=True).question("llm") == Question(DEFAULT_TEMPLATE, ("yes", "no"), chat=True)
    assert Prompt().question("api") == Question(DEFAULT_TEMPLATE, ("yes", "no"), chat=True)
    for wrong in ("", "yes,", ",no", "a,b,c"):
        with pytest.raises(UsageError, match=r"give two answers separated by a comma, YES,NO, or one alone$"):
            Prompt(answers=wrong)
