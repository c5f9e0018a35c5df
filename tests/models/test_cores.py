"""Several batches at a time on a CPU: the results are those of one after another."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from rdtools.models.cores import run_batches

MODULE = torch.nn.Linear(4, 3)
SECONDS = 20


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def batches(count):
    return [([place], {"x": torch.full((2, 4), float(place))}) for place in range(count)]


def run(inputs):
    return MODULE(inputs["x"])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17])
def test_results_come_in_order_with_their_rows(count):
    found = list(run_batches(MODULE, run, iter(batches(count))))
    assert [rows for rows, _ in found] == [[place] for place in range(count)]
    for (_, result), (_, inputs) in zip(found, batches(count), strict=True):
        assert torch.equal(result, MODULE(inputs["x"]))
        assert result.is_inference()


def test_two_batches_run_at_a_time_and_each_on_one_core():
    both = threading.Barrier(2)

    def meet(_inputs):
        both.wait(SECONDS)  # broken, with an error, if the other one does not come
        return torch.get_num_threads()

    assert [cores for _, cores in run_batches(MODULE, meet, batches(6))] == [1] * 6


def test_a_single_batch_has_all_cores():
    assert [cores for _, cores in run_batches(MODULE, lambda _: torch.get_num_threads(), batches(1))] == [2]


def test_code_that_came_with_a_model_runs_one_batch_at_a_time():
    class Own(torch.nn.Linear):
        pass

    Own.__module__ = "transformers_modules.somebody.model"
    module = torch.nn.Sequential(Own(4, 3))
    running = threading.Lock()

    def alone(inputs):
        assert running.acquire(blocking=False)
        try:
            return threading.current_thread(), module(inputs["x"])
        finally:
            running.release()

    assert {thread for _, (thread, _) in run_batches(module, alone, batches(6))} == {threading.main_thread()}


def test_an_error_is_raised_in_its_turn_and_nothing_is_begun_after_it():
    begun = []

    def fail_at_two(inputs):
        begun.append(int(inputs["x"][0, 0]))
        if begun[-1] == 2:
            raise ValueError("no memory")
        return begun[-1]

    results = run_batches(MODULE, fail_at_two, batches(100))
    assert [next(results)[1] for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match="no memory"):
        next(results)
    assert max(begun) <= 5


def test_what_is_not_asked_for_is_not_computed():
    begun = []
    results = run_batches(MODULE, lambda inputs: begun.append(int(inputs["x"][0, 0])), batches(100))
    next(results)
    del results
    assert max(begun) <= 3
