"""A process of several that train together: `ranks.py CASES`; process 0 prints how far each case is off.

A case trains a student in all processes, and again in a single one with the same batches.
"""

from __future__ import annotations

import json
import sys

import torch
from test_trainer import CPU, records

from rdtools.core.registry import resolve
from rdtools.train import gradient_cache
from rdtools.train.flops import Flops
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import objective
from rdtools.train.options import STUDENTS, GroupOptions, StudentOptions, TrainingOptions
from rdtools.train.torchrun import Processes, join
from rdtools.train.trainer import Trainer

WHOLE = gradient_cache.CPU_GRAPHS
OPTIONS = {"batch_size": 3, "epochs": 1, "lr": 1e-3, "seed": 3, "no_dropout": True}


def train(case, processes, fsdp=False):
    """Return the rows of a run, weights before and after it, and the gradient of each step.

    If the case says so, one of several processes encodes few tokens at a time.
    """
    gradient_cache.CPU_GRAPHS = case.get("most_tokens", WHOLE) if processes.world_size > 1 else WHOLE
    kind, model = case["student"].split(":", 1)
    student = resolve(STUDENTS, kind, "student")(
        StudentOptions(student=f"{kind}:{model}", layers="1", **case.get("shape", {})), CPU
    )
    if kind == "ce":  # of random weights so small, gradients are nearly nothing, which AdamW makes steps of
        with torch.no_grad():
            for weight in student.module.parameters():
                weight *= 4
    goal = objective(case["loss"])
    groups = Groups(records(**case.get("records", {"count": 7})), goal, GroupOptions(group_size=4))
    goal = goal.with_options("bce", scale="logit")
    flops = Flops(1e-2, 2e-2) if kind == "sparse" else None
    options = TrainingOptions(**{**OPTIONS, **case.get("options", {})})
    one = Trainer(student, groups, goal, options, processes, flops, fsdp)
    one.fit_projection()
    gradients, untrained = [], weights_of(one)
    one.optimizer.register_step_pre_hook(lambda *_: gradients.append(gradient_of(one)))
    rows = list(one.run())
    return rows, untrained, weights_of(one), gradients


def weights_of(one):
    """Return the weights in the main process, without those that have no influence on a difference of scores.

    Their gradient is rounding, of which AdamW makes steps.
    """
    return {
        name: weight
        for name, weight in one.weights.state().items()
        if "key.bias" not in name and "classifier.bias" not in name
    }


def gradient_of(one):
    """Return the whole gradient, clipped, that AdamW sees."""
    parts = [p.grad for p in one.student.module.parameters() if p.grad is not None]
    wholes = [part.full_tensor() if hasattr(part, "full_tensor") else part for part in parts]
    return torch.cat([whole.reshape(-1) for whole in wholes])


def off(case, processes):
    """Return the largest difference of weights, losses and gradients between the two runs; the latter as shares."""
    rows, _, weights, gradients = train(case, processes, case.get("fsdp", False))
    if not processes.is_main:
        return {}
    expected, untrained, same, right = train(case, Processes())
    assert [row["docs"] for row in rows] == [row["docs"] for row in expected]
    gradients = [
        float((found - one).norm() / one.norm()) for found, one in zip(gradients, right, strict=True)
    ]
    return {
        "weights": max(float((weights[name] - same[name]).abs().max()) for name in weights),
        "moved": max(float((weights[name] - untrained[name]).abs().max()) for name in weights),
        "losses": max(abs(row["loss"] / one["loss"] - 1) for row, one in zip(rows, expected, strict=True)),
        "first": gradients[0],
        "gradients": max(gradients),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join("cpu", 60) as processes:
        found = {name: off(case, processes) for name, case in json.loads(sys.argv[1]).items()}
        if processes.is_main:
            print(json.dumps(found))
            import time

            print(time.process_time(), file=sys.stderr)
