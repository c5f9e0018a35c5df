"""Tables of plug-ins. A table maps a name to `"module:attribute"`, imported on first use.

Names can so be listed, completed and checked without importing torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from rdtools.core.errors import UsageError


def check_name(names: Iterable[str], name: str, kind: str) -> str:
    """Return `name` if it is one of `names`; otherwise say which one was probably meant."""
    names = list(names)
    if name in names:
        return name
    near = close_name(names, name)
    meant = f"; did you mean {near!r}?" if near else ""
    raise UsageError(f"unknown {kind} {name!r}{meant} (choose from {', '.join(names)})")


def close_name(names: Iterable[str], name: str, cutoff: float = 0.5) -> str | None:
    """Return the one of `names` that is most like `name`, if one is."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)), None)


def resolve(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Import and return what `table` registers under `name`."""
    module, attribute = table[check_name(table, name, kind)].split(":")
    return getattr(import_module(module), attribute)


def split_spec(spec: str) -> tuple[str, str]:
    """Split `dense:MODEL` into its name and its argument; the argument is empty without a colon."""
    name, _, argument = spec.partition(":")
    return name, argument


def any_of(names: Sequence[str]) -> str:
    """Return `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)}{' or ' if most else ''}{last}"
