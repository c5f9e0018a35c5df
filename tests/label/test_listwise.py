"""Teachers that rank lists: windows, the repair of answers, local models and programs."""

from __future__ import annotations

import json
import shlex
import sys

import pytest
import torch
from settings import opened, teacher_resources

from rdtools.core.errors import RdError, UsageError
from rdtools.label.labeler import Labeler
from rdtools.label.score_cache import ScoreCache
from rdtools.label.targets import ScoreTarget
from rdtools.label.teacher_options import WindowOptions
from rdtools.label.teachers.windows import Window, read_ranking, spans


@pytest.mark.parametrize(
    ("count", "window", "stride", "expected"),
    [
        (1, 20, 10, [(0, 1)]),
        (20, 20, 10, [(0, 20)]),
        (21, 20, 10, [(1, 21), (0, 11)]),
        (30, 20, 10, [(10, 30), (0, 20)]),
        (45, 20, 10, [(25, 45), (15, 35), (5, 25), (0, 15)]),
        (5, 2, 2, [(3, 5), (1, 3), (0, 1)]),
        (4, 3, 1, [(1, 4), (0, 3)]),
    ],
)
def test_windows_slide_from_the_end_to_the_beginning(count, window, stride, expected):
    assert spans(count, window, stride) == expected


@pytest.mark.parametrize(
    ("answer", "order", "problem"),
    [
        ("[2] > [1] > [3]", [1, 0, 2], None),
        (" [3] > [2] > [1]\n", [2, 1, 0], None),
        ("<think>[1]? No: [2].</think>\n[2] > [3] > [1]", [1, 2, 0], None),
        ("[2]>[1]>[3]", [1, 0, 2], "wrong format"),
        ("The ranking is 3, 1, 2.", [2, 0, 1], "wrong format"),
        ("[②] > [³]", [1, 2, 0], "wrong format"),
        ("[٣] > [1] > [2]", [2, 0, 1], "missing documents"),  # Arabic digits are digits
        ("[⓵] > [3]", [0, 1, 2], "wrong format"),  # a digit without a decimal value: the order stays
        ("[3] > [1]", [2, 0, 1], "missing documents"),
        ("[3]", [2, 0, 1], "missing documents"),
        ("[3] > [3] > [1]", [2, 0, 1], "repetition"),
        ("[1] > [2] > [3] > [1]", [0, 1, 2], "repetition"),
        ("[3] > [1] > [7]", [2, 0, 1], "missing documents"),
        ("[0] > [2] > [1]", [1, 0, 2], "missing documents"),
        ("", [0, 1, 2], "wrong format"),
        ("I cannot rank these.", [0, 1, 2], "wrong format"),
        ("[" + "9" * 5000 + "]", [0, 1, 2], "missing documents"),
    ],
)
def test_answers_are_read_and_repaired_as_rank_llm_does(answer, order, problem):
    assert read_ranking(answer, 3) == (order, problem)


def test_the_prompt_is_that_of_rankzephyr():
    window = Window("q", "jet [2] engines", ["a", "b"], ["wing  [1]\n of a jet", "one two three four"])
    system, user = window.messages(3)
    assert system == {
        "role": "system",
        "content": "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query",
    }
    assert user["content"] == (
        "I will provide you with 2 passages, each indicated by a numerical identifier []. Rank the passages based on "
        "their relevance to the search query: jet (2) engines.\n[1] wing (1) of\n[2] one two three\n"
        "Search Query: jet (2) engines.\nRank the 2 passages above based on their relevance to the search query. All "
        "the passages should be included and listed using identifiers, in descending order of relevance. The output "
        "format should be [] > [], e.g., [2] > [1], Answer concisely and directly and only respond with the ranking "
        "results, do not say any word or explain."
    )


# programs

LONGEST_FIRST = """
import json, sys
log = open(sys.argv[1], "a") if sys.argv[1:] else None
for line in sys.stdin:
    asked = json.loads(line)
    assert asked["messages"][1]["content"].count("\\n[") == len(asked["docs"])
    order = sorted(range(len(asked["docs"])), key=lambda n: -len(asked["docs"][n]["text"]))
    if log: print(asked["query_id"], *(doc["doc_id"] for doc in asked["docs"]), file=log, flush=True)
    {then}
"""
ANSWER = 'print(json.dumps({"ranking": " > ".join(f"[{n + 1}]" for n in order)}), flush=True)'


def cmd(program, *arguments):
    return "listwise-cmd:" + shlex.join([sys.executable, "-I", "-S", "-c", program, *map(str, arguments)])


def record(lengths, query_id="q", **fields):
    docs = [{"doc_id": f"d{n}", "text": "x" * length} for n, length in enumerate(lengths)]
    for name, values in fields.items():
        for doc, value in zip(docs, values, strict=True):
            doc[name] = value
    return {"query_id": query_id, "query": "x", "docs": docs}


def labelled(spec, records, target=ScoreTarget(), cache=None, **options):
    setting = teacher_resources(cache=cache, **options)
    labeler = Labeler([opened(spec, setting)], target, cache)
    return list(labeler.label(json.loads(json.dumps(records))))


def scores(record):
    return [doc["score"] for doc in record["docs"]]


def ranked(lengths):
    """The scores that a full ranking by falling length gives."""
    order = sorted(range(len(lengths)), key=lambda n: -lengths[n])
    return [-float(order.index(n) + 1) for n in range(len(lengths))]


def test_windows_carry_the_best_to_the_top(tmp_path):
    """Six documents in windows of 4 by 2: the two best of the whole list come first, as one pass can tell."""
    program = LONGEST_FIRST.format(then=ANSWER)
    lengths = [3, 1, 2, 4, 9, 8]
    (done,) = labelled(
        cmd(program, tmp_path / "log"), [record(lengths, rank=range(1, 7))], windows=WindowOptions(size=4)
    )
    # (2, 6): 2 4 9 8 → 9 8 4 2; (0, 4): 3 1 9 8 → 9 8 3 1
    assert (tmp_path / "log").read_text() == "q d2 d3 d4 d5\nq d0 d1 d4 d5\n"
    assert scores(done) == [-3.0, -4.0, -6.0, -5.0, -1.0, -2.0]
    assert (done["score_scale"], done["teacher"]) == ("rank", cmd(program, tmp_path / "log"))
    (done,) = labelled(cmd(program), [record([5, 7, 6])], ScoreTarget(rank_targets="reciprocal"))
    assert scores(done) == pytest.approx([1 / 3, 1, 1 / 2])
    assert done["score_scale"] == "unknown"


def test_a_ranking_begins_by_scores_then_ranks_then_at_random(tmp_path):
    program, log = LONGEST_FIRST.format(then=ANSWER), tmp_path / "log"
    records = [
        record([1, 1, 1], "scores", score=[0.5, 2.0, 1.0], rank=[1, 2, 3]),
        record([1, 1, 1], "ranks", rank=[7, 3, 5]),
        record([1, 1, 1], "ties", score=[1.0, 1.0, 1.0 + 1e-9]),  # equal as float32
        {**record([], "none"), "docs": []},
        record([1], "one"),
        *(record([1] * 4, f"r{n}") for n in range(40)),
    ]
    records[1]["docs"][0]["score"] = 5.0  # of one document only: no ranking
    done = labelled(cmd(program, log), records)
    asked = [line.split() for line in log.read_text().splitlines()]
    assert asked[:3] == [
        ["scores", "d1", "d2", "d0"], ["ranks", "d1", "d2", "d0"], ["ties", "d2", "d1", "d0"]
    ]  # fmt: skip
    first = [line[1] for line in asked[3:]]
    assert {first.count(f"d{n}") for n in range(4)} <= set(range(3, 20))  # 10 expected
    assert [scores(one) for one in done[:5]] == [
        [-3.0, -1.0, -2.0], [-3.0, -1.0, -2.0], [-3.0, -2.0, -1.0], [], [-1.0]
    ]  # fmt: skip
    other = labelled(cmd(program), records[5:], seed=1)
    assert [scores(one) for one in done[5:]] != [scores(one) for one in other]


def test_repairs_are_counted(run, tmp_path):
    answers = ["[2] > [1]", "[2]", "2 1", "[2] > [2]", "[1] > [2]"]
    (tmp_path / "answers").write_text("".join(json.dumps({"ranking": each}) + "\n" for each in answers))
    (tmp_path / "rank.py").write_text(
        "import sys\nfor line, answer in zip(sys.stdin, open('answers')): print(end=answer, flush=True)"
    )
    spec = f"listwise-cmd:{sys.executable} rank.py"
    stdin = "".join(json.dumps(record([1, 2], str(n), rank=[1, 2])) + "\n" for n in range(5))
    done = run("rd-label", "--teacher", spec, "--cache", "db", stdin=stdin, check=True)
    rows = [scores(json.loads(line)) for line in done.stdout.splitlines()]
    assert rows == [[-2.0, -1.0]] * 4 + [[-1.0, -2.0]]
    repaired = "3 answers repaired: 1 missing documents, 1 wrong format, 1 repetition\n"
    assert done.stderr == (
        f"rd-label: 5 records, 10 pairs: 10 scored, 0 from the cache\nrd-label: {spec}: 5 windows, {repaired}"
    )
    again = run("rd-label", "--teacher", spec, "--cache", "db", stdin=stdin, check=True)
    assert again.stdout == done.stdout
    assert again.stderr == (
        "rd-label: 5 records, 10 pairs: 0 scored, 10 from the cache\n"
        f"rd-label: {spec}: 5 windows (5 from the cache), {repaired}"
    )


def test_after_a_failure_only_the_missing_windows_are_ranked(tmp_path):
    program, log = LONGEST_FIRST.format(then=ANSWER), tmp_path / "log"
    dies = LONGEST_FIRST.format(then=ANSWER + "\n    if asked['query_id'] == 'r2': sys.exit(3)")
    records = [record([n, 3, 5, 4, 9, 1], f"r{n}", rank=range(6)) for n in range(5)]
    windows = WindowOptions(size=4)

    def label(program):
        cache = ScoreCache(str(tmp_path / "db"))
        return labelled(cmd(program, log), records, cache=cache, windows=windows, cache_key="a")

    with pytest.raises(RdError, match=r"(?s)^listwise-cmd:.* wrote 3 of 5 answers and ended with status 3$"):
        label(dies)
    assert log.read_text().count("\n") == 3
    done = label(program)
    assert log.read_text().count("\n") == 10  # five records of two windows, each ranked once
    expected = labelled(cmd(program), records, windows=windows)
    assert [scores(one) for one in done] == [scores(one) for one in expected]
    assert label(program) == done
    assert log.read_text().count("\n") == 10


FAILURES = {
    "no JSON": ("print('x', flush=True)", r': the answer to query "q": not valid JSON: .*'),
    "no ranking": ("print('{}', flush=True)", r': the answer to query "q": "ranking" must be a string, not null \(.*'),
    "dies": ("sys.exit(4)", r" wrote 0 of 1 answer and ended with status 4"),
    "too many": ("print('{\"ranking\": \"\"}\\n' * 2, flush=True)", r" wrote more .*"),
    "keeps its answer": ("pass", r": neither read nor wrote for 0.3 seconds, which --timeout allows \(.*"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_programs_that_go_wrong_end_in_one_line(name):
    then, problem = FAILURES[name]
    program = "import json, sys\nfor line in sys.stdin:\n    " + then
    with pytest.raises(RdError, match=rf"^listwise-cmd:(?s:.*){problem}$"):
        labelled(cmd(program), [record([1, 2])], timeout=0.3 if name == "keeps its answer" else 20)


def test_a_stride_skips_no_document():
    assert WindowOptions(size=7).step == 3
    with pytest.raises(UsageError, match=r"^--stride 8 skips documents: it is above --window 7$"):
        WindowOptions(size=7, stride=8)


# local models


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny random Llama whose tokens are single bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Tokenizer(models.BPE({token: n for n, token in enumerate([*letters, "<s>", "<end>"])}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", len(letters))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token="<s>", eos_token="<end>",
        chat_template="{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}answer: ",
    )  # fmt: skip
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=2048, initializer_range=0.3, bos_token_id=len(letters), eos_token_id=len(letters) + 1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    built = LlamaForCausalLM(config)
    built.generation_config.update(do_sample=True, temperature=3.0, repetition_penalty=5.0)  # ignored here
    built.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def written(folder, ids, count):
    """The likeliest next token, `count` times, without a cache, a batch or `generate`."""
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    new: list[int] = []
    while len(new) < count and new[-1:] != [network.config.eos_token_id]:
        with torch.no_grad():
            new.append(int(network(torch.tensor([ids + new])).logits[0, -1].argmax()))
    return new


def test_a_model_writes_the_likeliest_ranking_in_any_batch(model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    windows = [
        Window("q", "wing", ["a", "b"], ["jet", "flow of air"]),
        Window("r", "air flow", ["a", "b", "c"], ["wing", "", "émigré"]),
    ]
    for batch_tokens in (1, 100_000):
        teacher = opened(f"listwise-llm:{model}", batch_tokens=batch_tokens)
        found = dict(teacher.answers(windows))
        for place, (window, answer) in enumerate(zip(windows, ["[1] > [2]", "[1] > [2] > [3]"], strict=True)):
            system, user = window.messages(300)
            ids = tokenizer(f"system: {system['content']}\nuser: {user['content']}\nanswer: ")["input_ids"]
            assert ids[0] == tokenizer.bos_token_id
            new = written(model, ids, len(answer) + 1)
            assert found[place] == tokenizer.decode(new, skip_special_tokens=True)
            assert len(set(new)) > 2


def test_the_answers_of_a_model_rank(model, monkeypatch, tmp_path):
    records = [record([9, 1, 5], str(n), rank=[1, 2, 3]) for n in range(3)]
    spec = f"listwise-llm:{model}"
    teacher = opened(spec)
    monkeypatch.setattr(
        type(teacher),
        "answers",
        lambda self, windows: ((n, "[3] > [1] > [2]") for n in reversed(range(len(windows)))),
    )
    done = labelled(spec, records)
    assert [scores(one) for one in done] == [[-2.0, -3.0, -1.0]] * 3
    assert {(one["teacher"], one["score_scale"]) for one in done} == {(spec, "rank")}


def test_long_documents_lose_words_until_the_window_fits(model):
    window = Window("q", "wing", ["a", "b"], ["jet " * 200, "flow " * 200])
    teacher = opened(f"listwise-llm:{model}", max_length=1200)
    ids = teacher._fitted(window, 10)
    assert 1000 < len(ids) <= 1190
    text = teacher._tokenizer.decode(ids)
    shown = text.count("jet ") + text.count("jet\n")
    assert shown == text.count("flow ") + text.count("flow\n") > 10
    assert text.endswith("explain.\nanswer: ")
    small = opened(f"listwise-llm:{model}", max_length=300)
    with pytest.raises(
        RdError, match=r"2 documents with one word each .* the limit is 300 \(a smaller --window\)$"
    ):
        small._fitted(window, 10)


def test_a_model_without_a_chat_template_or_a_system_role_is_refused(model, tmp_path):
    from transformers import AutoTokenizer

    setting = teacher_resources()
    with pytest.raises(UsageError, match=r"^--teacher listwise-llm needs a model: listwise-llm:MODEL$"):
        opened("listwise-llm", setting)
    teacher = opened(f"listwise-llm:{model}", setting)
    teacher._tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(RdError, match=r": its chat template refuses the messages: no system role$"):
        list(teacher.answers([Window("q", "x", ["a", "b"], ["x", "y"])]))
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = None
    teacher._model.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    with pytest.raises(UsageError, match=r": the model has no chat template$"):
        opened(f"listwise-llm:{tmp_path}/plain", setting)
