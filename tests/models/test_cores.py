"""Several batches at a time on a CPU: the results are those of one after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from settings import opened

from rdtools.label.teachers import TextPair
from rdtools.models import cores
from rdtools.models.cores import run_batches

SECONDS = 20


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    assert torch.get_num_threads() == 4
    other: list[int] = []
    new = threading.Thread(target=lambda: other.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert other == [4]
    torch.set_num_threads(before)


@pytest.fixture
def module() -> torch.nn.Module:
    """A model that has run already."""
    linear = torch.nn.Linear(4, 3)
    list(run_batches(linear, lambda _: None, [[0]], inputs))
    return linear


def inputs(rows: list[int]) -> dict[str, Any]:
    return {"x": torch.full((2, 4), float(rows[0])), "place": rows[0]}


def batches(count):
    return [[place] for place in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17])
def test_results_come_in_order_with_their_rows(count):
    module = torch.nn.Linear(4, 3)
    found = list(run_batches(module, lambda batch: module(batch["x"]), batches(count), inputs))
    assert [rows for rows, _ in found] == batches(count)
    for rows, result in found:
        torch.testing.assert_close(result, module(inputs(rows)["x"]))
        assert result.is_inference()


def test_four_batches_run_at_a_time_and_each_on_one_core(module):
    all_four = threading.Barrier(4)

    def meet(_: Any) -> int:
        all_four.wait(SECONDS)  # broken, with an error, if the others do not come
        return torch.get_num_threads()

    assert [count for _, count in run_batches(module, meet, batches(8), inputs)] == [1] * 8


def test_few_batches_share_the_cores(module):
    def threads(_: Any) -> int:
        return torch.get_num_threads()

    assert [count for _, count in run_batches(module, threads, batches(2), inputs)] == [2, 2]
    assert [count for _, count in run_batches(module, threads, batches(1), inputs)] == [4]


def test_the_first_batch_of_a_model_runs_alone():
    module = torch.nn.Linear(4, 3)

    def where(_: Any) -> threading.Thread:
        return threading.current_thread()

    first, *others = [thread for _, thread in run_batches(module, where, batches(5), inputs)]
    assert first == threading.main_thread()
    assert threading.main_thread() not in others


class Own(torch.nn.Linear):
    """A class of code that came with a model."""


Own.__module__ = "transformers_modules.somebody.model"


def part(**attributes):
    linear = torch.nn.Linear(4, 3)
    for name, value in attributes.items():
        setattr(linear, name, value)
    return linear


def llama(**rope):
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    options: dict[str, Any] = {**size, "num_attention_heads": 1, "rope_scaling": rope or None}
    return LlamaForCausalLM(LlamaConfig(**options))


def big_bird():
    from transformers import BigBirdConfig, BigBirdModel

    return BigBirdModel(
        BigBirdConfig(
            vocab_size=70, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
        )
    )


@pytest.mark.parametrize(
    ("make", "workers"),
    [
        (lambda: part(), 4),
        (lambda: llama(), 4),
        (lambda: llama(rope_type="linear", factor=2.0), 4),
        (lambda: llama(rope_type="dynamic", factor=2.0), 1),
        (lambda: part(rope_type="longrope"), 1),
        (lambda: part(rope_type={"full_attention": "default", "sliding_attention": "dynamic"}), 1),
        (lambda: part(config=SimpleNamespace(output_hidden_states=True)), 1),
        (lambda: part(config=SimpleNamespace(output_router_logits=True)), 1),
        (lambda: Own(4, 3), 1),
        (lambda: big_bird(), 1),
    ],
)
def test_models_that_change_themselves_run_one_batch_at_a_time(make, workers):
    module = torch.nn.Sequential(make())
    found = list(run_batches(module, lambda _: threading.current_thread(), batches(9), inputs))
    threads = {thread for _, thread in found[1:]}
    assert (threads == {threading.main_thread()}) == (workers == 1)


def test_an_error_is_raised_in_its_turn_and_nothing_is_begun_after_it(module):
    asked: list[int] = []

    def fail_at_two(batch: dict[str, Any]) -> int:
        if batch["place"] == 2:
            raise ValueError("no memory")
        return int(batch["place"])

    def counted(rows: list[int]) -> dict[str, Any]:
        asked.extend(rows)
        return inputs(rows)

    results = run_batches(module, fail_at_two, batches(100), counted)
    assert [next(results)[1] for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match="no memory"):
        next(results)
    assert asked == [*range(7)]


def test_what_is_not_asked_for_is_not_prepared(module):
    asked: list[int] = []

    def counted(rows: list[int]) -> dict[str, Any]:
        asked.extend(rows)
        return inputs(rows)

    results = run_batches(module, lambda _: None, batches(100), counted)
    next(results)
    del results
    assert asked == [*range(5)]


@pytest.mark.parametrize("kind", ["ce", "be", "sparse"])
def test_a_teacher_scores_the_same_on_any_number_of_cores(kind, tiny_ce, tiny_be, tiny_sparse, monkeypatch):
    model = {"ce": tiny_ce, "be": tiny_be, "sparse": tiny_sparse}[kind]
    words = "wing flow of the jet and a plate in".split()
    pairs = [
        TextPair("q", f"d{n}", words[n % 3], " ".join(words[: 1 + n % 9] * (1 + n % 4))) for n in range(60)
    ]
    threads: set[threading.Thread] = set()
    on_cores = cores._on_cores

    def noted(*rest: Any) -> Any:
        threads.add(threading.current_thread())
        return on_cores(*rest)

    def scores(count: int) -> Any:
        torch.set_num_threads(count)
        teacher = opened(f"{kind}:{model}", batch_tokens=12)
        found = np.empty(len(pairs))
        for rows, part in teacher.score(pairs):
            found[rows] = part
        return found

    monkeypatch.setattr(cores, "_on_cores", noted)
    expected = scores(1)
    assert not threads
    assert np.ptp(expected) > 1e-4
    for _ in range(5):
        np.testing.assert_allclose(scores(4), expected, atol=2e-6)
    assert len(threads) > 1
