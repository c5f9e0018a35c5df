"""TAB completion: the words that may follow on a command line (`rdtools.cli.completions` has the scripts).

A script calls its command with `VARIABLE` in the environment. The command then prints candidates instead of
running: a line for each, the whole word and, after a tab, what it means. Status `WANTS_FILES` without output
tells the shell to complete the names of files.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rdtools.cli.options import help_of, is_repeated, spec_forms
from rdtools.core.flags import Flag, Option, OptionGroup, options_of

VARIABLE = "RDTOOLS_COMPLETE"
WANTS_FILES = 3
_FILES = re.compile("FILE|DIR|RUN|QRELS|METRICS|DATASET")
"""Metavars of values that may be files."""


class Candidate(NamedTuple):
    """A word that completes the last one, and what it means."""

    word: str
    about: str = ""


def print_candidates(groups: Sequence[type[OptionGroup]], arguments: Sequence[str], shell: str) -> int:
    """Print the candidates for the last word of a command line, and return the status.

    bash gives the line as one argument, because it splits words at colons; other shells give the words.
    """
    words = _words_of_line(arguments[0]) if shell == "bash" else list(arguments)
    found = candidates(groups, words or [""])
    for word, about in found or ():
        print(f"{word}\t{about}" if about else word)
    return WANTS_FILES if found is None else 0


def candidates(groups: Sequence[type[OptionGroup]], words: Sequence[str]) -> list[Candidate] | None:
    """Return what may be the last of `words`, which is begun; None if it may be the name of any file."""
    *before, begun = words
    by_name = {name: option for group in groups for option in options_of(group) for name in option.flag.names}
    if (option := _open_option(by_name, before)) is not None:
        return _values(option.flag, begun)
    if begun.startswith("-") and begun != "-" and "--" not in before:
        name, equals, value = begun.partition("=")
        if not equals:
            return _names(by_name, begun, before)
        option = by_name.get(name)
        found = None if option is None else _values(option.flag, value)
        return found and [Candidate(f"{name}={word}", about) for word, about in found]
    places = [option for option in by_name.values() if option.flag.is_argument]
    place = len(_positional(by_name, before))
    return _values(places[min(place, len(places) - 1)].flag, begun) if places else []


def _words_of_line(line: str) -> list[str]:
    """Split a line of bash up to the cursor into words, the command left out; a quote may be open."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words += lexer
    except ValueError:  # the quote of the last word is open: it holds what is left
        words.append(lexer.token)
    if not line or (line[-1].isspace() and not (words and words[-1].endswith(line[-1]))):
        words.append("")
    return words[1:]


def _open_option(by_name: dict[str, Option], before: Sequence[str]) -> Option | None:
    """Return the option whose value comes next."""
    if not before or "--" in before[:-1]:
        return None
    option = by_name.get(before[-1]) if before[-1].startswith("-") else None
    return None if option is None or option.type is bool else option


def _positional(by_name: dict[str, Option], before: Sequence[str]) -> list[str]:
    return [
        word
        for place, word in enumerate(before)
        if not word.startswith("-") and _open_option(by_name, before[:place]) is None
    ]


def _names(by_name: dict[str, Option], begun: str, before: Iterable[str]) -> list[Candidate]:
    """Return the long names of options that are not given yet, or may be repeated."""
    given = {by_name[name].field for word in before if (name := word.partition("=")[0]) in by_name}
    found: dict[str, Candidate] = {}
    for name, option in by_name.items():
        free = option.field not in given or is_repeated(option)
        if free and not option.flag.is_argument and name.startswith(begun):
            found.setdefault(option.field, Candidate(name, _first_sentence(help_of(option.flag))))
    return sorted(found.values())


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.:;]) ", text, maxsplit=1)[0].rstrip(".:;")


def _values(one: Flag, begun: str) -> list[Candidate] | None:
    if one.complete is not None:
        words = list(one.complete(begun))
        is_path = _FILES.search(one.metavar or "") is not None
        if is_path and words:
            words = list(dict.fromkeys([*words, *_paths(begun)]))
        return None if is_path and not words else [Candidate(word) for word in words]
    if one.spec:
        return _specs(one, begun)
    if one.choices or one.per:
        names = one.choices or [f"{name}=" for name in one.per]
        return [Candidate(name) for name in names if name.startswith(begun)]
    what = one.metavar or ("FILE" if one.is_argument else "")
    if what == "MODEL":
        return [Candidate(name) for name in _models(begun)]
    return None if one.is_argument or _FILES.search(what) else []


def _specs(one: Flag, begun: str) -> list[Candidate]:
    """Complete `ce:MODEL`: the name, a colon where an argument follows, then the argument."""
    found = []
    for name, what in spec_forms(one):
        form = f"{name}:" if what else name
        if what and begun.startswith(form):
            rest = begun[len(form) :]
            values = _models(rest) if what == "MODEL" else _paths(rest) if what in ("FILE", "DIR") else ()
            found += [Candidate(form + value) for value in values]
        elif form.startswith(begun):
            found.append(Candidate(form))
    return list(dict.fromkeys(found))


def _models(begun: str) -> Iterator[str]:
    """Yield folders, and the models in the cache of the Hugging Face hub."""
    yield from (path for path in _paths(begun) if path.endswith("/"))
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    for folder in sorted(cache.glob("models--*")):
        name = folder.name.removeprefix("models--").replace("--", "/")
        if name.startswith(begun):
            yield name


def _paths(begun: str) -> Iterator[str]:
    """Yield the paths that begin so, those of folders with a slash; hidden ones only if begun by a dot."""
    folder, slash, name = begun.rpartition("/")
    try:
        entries = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
