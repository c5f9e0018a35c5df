"""The learning rate and the length of a run that states none.

They were chosen on queries held back from the training queries of SciFact and pydoc, with MiniLM and parts of
it as students; docs/choosing-settings.md has the figures.
"""

from __future__ import annotations

import math
from dataclasses import replace

from rdtools.core.log import log, plural
from rdtools.train.options import TrainingOptions
from rdtools.train.students import Student

RATE = 1e-4
"""The best learning rate of the grid for 6 layers that are 384 wide, bi-encoder or cross-encoder."""
HIGHEST_RATE = 3e-4
"""That for 2 layers. A smaller model gets no higher one."""
LEAST_STEPS = 100
"""A run over few records reads them until it has made so many steps. After 100 steps students of the grid had
at least 79 % of the gain in nDCG@10 that they had after 300."""


def with_defaults(options: TrainingOptions, student: Student, groups: int) -> TrainingOptions:
    """Return the options with a learning rate and a limit, and say on stderr what was chosen.

    Args:
        groups: the number of groups in an epoch.
    """
    words = []
    if options.lr is None:
        options = replace(options, lr=default_rate(student))
        words.append(f"--lr {options.lr:g}")
    if (options.epochs, options.max_steps, options.max_docs) == (None, None, None):
        per_step = options.groups_per_step
        epochs = math.ceil(LEAST_STEPS * per_step / groups)
        options = replace(options, epochs=epochs)
        words.append(f"--epochs {epochs} ({plural(math.ceil(epochs * groups / per_step), 'step')})")
    if words:
        log.info("by default %s", ", ".join(words))
    return options


def default_rate(student: Student) -> float:
    """Return 1e-4 · (6 / layers) · (384 / width), rounded to two digits, and at most 3e-4.

    The rule fits the grid in depth. For wider models it gives what is usual: 2.5e-5 for BERT-base (12 layers,
    768), 9.4e-6 for BERT-large. For Adam, the best rate falls as 1 / width (Yang et al., 2022, arXiv
    2203.03466). A model whose configuration does not say its size gets 1e-4.
    """
    layers, width = student.size
    if not layers or not width:
        return RATE
    return min(HIGHEST_RATE, float(f"{RATE * (6 / layers) * (384 / width):.2g}"))
