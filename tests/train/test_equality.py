"""Two processes train the model of one: what connects groups, shards of weights, groups left over."""

from __future__ import annotations

import pytest
import torch.distributed.fsdp
from processes import Case, check_equal, in_processes

SHARDS = hasattr(torch.distributed.fsdp, "fully_shard")
CASES: dict[str, Case] = {
    # 7 groups in batches of 3: the last batch has a group for one of the processes only
    # with embeddings of a teacher in another space
    "be kl+embedding": {"options": {"accumulate": 2}},
    "ce margin-mse": {"most_tokens": 1},  # a group at a time: two of a batch in one process, one in the other
    "be infonce+kl": {"options": {"mini_batch_size": 2}},
    "be infonce": {"options": {"batch_size": 1, "max_steps": 3, "epochs": None}},
    "ce kl+0.2*lce": {"fsdp": True},
    "be embedding": {"fsdp": True},
    "sparse kl": {"options": {"mini_batch_size": 3}},
    "sparse infonce": {"fsdp": True, "options": {"max_grad_norm": 1e-3}},
}


@pytest.fixture(scope="module")
def off(warm, tmp_path_factory, tiny_be, tiny_ce, tiny_sparse):
    models = {"be": tiny_be, "ce": tiny_ce, "sparse": tiny_sparse}
    cases = {name: case for name, case in CASES.items() if "fsdp" not in case or SHARDS}
    return in_processes(2, cases, models, warm, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_the_model_of_one(off, case):
    if case not in off:
        pytest.skip("shards need torch 2.6")
    check_equal(off[case], case)
