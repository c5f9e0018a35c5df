"""stderr: counts, warnings and progress bars. stdout carries data only."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger("rdtools")
T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class _StderrLines(logging.Handler):
    """Write `rd-X: message`, above a progress bar if one is drawn."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command

    def emit(self, record: logging.LogRecord) -> None:
        mark = "warning: " if record.levelno == logging.WARNING else ""
        line = f"{self.command}: {mark}{one_line(record.getMessage())}"
        tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
        if tqdm is not None:
            tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


def _all_words(words: str) -> str | None:
    return words


last_words: Callable[[str], str | None] = _all_words
"""Return what a command says when it fails; nothing where another process has said why all of them end."""


def configure(command: str, *, quiet: bool = False, verbose: bool = False) -> None:
    """Send the messages of this process to stderr under the name of `command`."""
    log.handlers[:] = [_StderrLines(command)]
    log.propagate = False
    log.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)


def printable(text: str) -> str:
    """Write the control characters of a text, and those that turn its direction, as escapes.

    Ids and texts are other people's: what a terminal would obey must not reach it.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(message: str) -> str:
    """A message, of libraries too, as one line that is safe to show."""
    return printable(" ".join(message.split("\n")))


def bars_shown() -> bool:
    """Progress bars show on a terminal only, and never under --quiet."""
    return log.isEnabledFor(logging.INFO) and sys.stderr is not None and sys.stderr.isatty()


def bar(total: int | None, description: str, unit: str) -> tqdm[Any]:
    """Return a tqdm bar to `update`; it draws nothing where bars are not shown."""
    from tqdm import tqdm

    return tqdm(
        total=total, desc=description, unit=unit, unit_scale=True, disable=not bars_shown(),
        file=sys.stderr, leave=False, dynamic_ncols=True,
    )  # fmt: skip


def track(items: Iterable[T], description: str, unit: str) -> Iterator[T]:
    """Yield `items`, counting them on a progress bar of unknown length."""
    with bar(None, description, unit) as progress:
        for item in items:
            yield item
            progress.update()


def plural(count: int, noun: str) -> str:
    """`1 document`, `1,234 documents`, `2 queries`."""
    if count != 1:
        noun = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun}"
