"""Experiment trackers (`--report-to`): the rows of standard output, sent to a library as well.

A tracker is a class that is made from (name of the run, options), with `log(values, step)` and `finish()`.
The libraries read their own settings from the environment, such as WANDB_MODE=offline.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rdtools.core.errors import RdError, first_line
from rdtools.core.log import log
from rdtools.core.registry import resolve
from rdtools.train.options import TRACKERS

PROJECT = "rdtools"


class Tracker(Protocol):
    def log(self, values: Mapping[str, float], step: int) -> None: ...
    def finish(self) -> None: ...


class Trackio:
    """Trackio: a local database, by default in the cache of Hugging Face (TRACKIO_DIR)."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        import trackio

        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._run: Any = trackio.init(project=project, name=name, config=dict(options), embed=False)
        self._finish: Any = trackio.finish

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        self._finish()


class WeightsAndBiases:
    """Weights & Biases; WANDB_MODE=offline writes into the folder wandb only."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        import wandb

        project = os.environ.get("WANDB_PROJECT", PROJECT)
        # Its capture of the console would stand between us and standard output.
        settings = wandb.Settings(console="off", silent=True)
        self._run: Any = wandb.init(project=project, name=name, config=dict(options), settings=settings)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        self._run.finish()


class TensorBoard:
    """TensorBoard: event files in runs/NAME, or in TENSORBOARD_LOGGING_DIR/NAME."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = Path(os.environ.get("TENSORBOARD_LOGGING_DIR", "runs"), name)
        self._writer: Any = SummaryWriter(str(folder))
        text = "\n".join(f"    {option}: {value}" for option, value in options.items())
        self._writer.add_text("options", text)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def finish(self) -> None:
        self._writer.close()


class Trackers:
    """The trackers of a run. One that fails during the run is left out from then on, with a warning."""

    def __init__(self, names: Sequence[str], run: str, options: Mapping[str, Any]) -> None:
        """
        Raises:
            RdError: a library is missing or refuses to start.
        """
        self._trackers: dict[str, Tracker] = {}
        for name in dict.fromkeys(names):
            kind = resolve(TRACKERS, name, "tracker")
            try:
                with _printed():
                    self._trackers[name] = kind(run, options)
            except ImportError:
                raise RdError(
                    f"--report-to {name} needs a library (pip install 'ranking-distillation-tools[{name}]')"
                ) from None
            except Exception as error:  # each library has errors of its own
                raise RdError(f"--report-to {name}: {first_line(error)}") from error

    def report(self, row: Mapping[str, Any]) -> None:
        """Send a row of standard output: numbers, a dev value under the name of its measure."""
        prefix = "run/" if "done" in row else ""
        names = {"dev": f"dev/{row.get('measure')}"}
        values = {
            names.get(name, prefix + name): float(value)
            for name, value in row.items()
            if type(value) in (int, float) and name not in ("step", "steps")
        }
        step = row["step"] if "step" in row else row["steps"]
        self._each("log", values, step)

    def finish(self) -> None:
        self._each("finish")

    def _each(self, method: str, *arguments: Any) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                with _printed():
                    getattr(tracker, method)(*arguments)
            except Exception as error:  # a tracker must not end a training
                log.warning("--report-to %s: %s (nothing more is sent to it)", name, first_line(error))
                del self._trackers[name]


@contextlib.contextmanager
def _printed() -> Iterator[None]:
    """Keep what libraries, and processes that they start, print off standard output; -v shows the former."""
    printed = io.StringIO()
    sys.stdout.flush()
    stdout = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)
        for line in printed.getvalue().splitlines():
            log.debug("%s", line)
