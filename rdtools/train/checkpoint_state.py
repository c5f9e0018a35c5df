"""Checks of the state of a checkpoint, before any of it is used: unseen, it would crash or go on wrongly."""

from __future__ import annotations

from typing import Any

import torch


def check_state(state: dict[str, Any], optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Check that a state is one of a run with `steps` steps and this optimiser.

    Raises:
        ValueError: it is not.
    """
    progress = state["progress"]
    if any(not isinstance(value, int) or value < 0 for value in progress.values()):
        raise ValueError(f"its progress is {progress}")
    if not 0 < progress["step"] < steps:
        raise ValueError(f"it is of step {progress['step']:,}, and the run has {steps:,} steps")
    saved = state["optimizer"]
    own = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in saved["param_groups"]] != [group["params"] for group in own]:
        raise ValueError("its optimiser has other weights")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not saved["state"]:
        raise ValueError("its optimiser has no state")
    for number, moments in saved["state"].items():
        if not 0 < float(moments["step"]) <= progress["step"]:
            raise ValueError(f"its optimiser has made {float(moments['step']):g} steps")
        for name in ("exp_avg", "exp_avg_sq"):
            if moments[name].shape != weights[number].shape or moments[name].dtype != weights[number].dtype:
                raise ValueError(f"its optimiser has {name} of another shape or type than weight {number}")
