"""What AdamW gets in each step: parameters, learning rates, the seed of dropout."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from rdtools.train.students import Student

SCALE_RATE = 100.0
"""The learning rate of a learned scale's logarithm, as a multiple of --lr. AdamW moves a parameter by about
the learning rate in a step: at --lr 1e-4, the rate of the weights would change the scale by 0.01 % a step,
this one changes it by 1 %."""


def parameter_groups(student: Student) -> list[dict[str, Any]]:
    """Return the parameters for AdamW: the weights, and a learned scale with its `rate` and no decay."""
    scale = student.ln_scale
    groups: list[dict[str, Any]] = [{"params": [p for p in student.module.parameters() if p is not scale]}]
    if scale is not None:
        groups.append({"params": [scale], "weight_decay": 0.0, "rate": SCALE_RATE})
    return groups


def schedule(step: int, steps: int, warmup: float) -> float:
    """Return the share of the learning rate at `step` of 0 … steps − 1: a linear rise, then a linear fall.

    No step has 0: with 2 of 6 steps as warm-up, the shares are 1/3, 2/3, 1, 3/4, 2/4, 1/4.
    """
    rise = math.ceil(warmup * steps) if warmup < 1 else steps - 1
    return (step + 1) / (rise + 1) if step < rise else (steps - step) / (steps - rise)


def seed_of(seed: int, step: int, rank: int) -> int:
    """Return the seed of dropout in a step, different in each process."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\t{step}\t{rank}".encode(), digest_size=4).digest(), "big")
