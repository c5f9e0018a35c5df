"""`pydoc[:train|:test]`: the docstrings of the running Python's standard library; no download.

The sources are parsed, never imported. A docstring with a summary line and a body gives a query (the
summary) and its relevant document (the body); any other docstring is a document as a whole. Equal
summaries make one query with several relevant documents. A hash of the query id decides its split.

Two trivial leaks are removed: a summary that its body repeats gives no query, and a docstring that only
repeats the summary of another one gives no document.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from rdtools.core.errors import RdError, UsageError
from rdtools.core.records import Qrels, Record

_SKIPPED_FOLDERS = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "turtledemo",
}
_TEST_PERCENT = 30
_MIN_SUMMARY_WORDS = 3
_SIGNATURE = re.compile(r"^[\w.]+\(|->")  # `detach() -> file descriptor` is a signature, not a question


class Pydoc:
    """The queries of `split` ("train", "test", or empty for both); the corpus is always the whole."""

    def __init__(self, split: str = "") -> None:
        if split not in ("", "train", "test"):
            raise UsageError(f"dataset pydoc: no split {split!r} (choose from train, test)")
        self._split = split

    def documents(self) -> Iterator[tuple[str, str]]:
        yield from self._collection[0].items()

    def queries(self) -> Iterator[Record]:
        for query_id, (summary, _) in self._in_split():
            yield {"query_id": query_id, "query": summary, "docs": []}

    def qrels(self) -> Qrels:
        return {query_id: dict.fromkeys(relevant, 1) for query_id, (_, relevant) in self._in_split()}

    def _in_split(self) -> Iterator[tuple[str, tuple[str, list[str]]]]:
        for query_id, query in self._collection[1].items():
            if self._split in ("", split_of(query_id)):
                yield query_id, query

    @cached_property
    def _collection(self) -> tuple[dict[str, str], dict[str, tuple[str, list[str]]]]:
        root = Path(sysconfig.get_path("stdlib"))
        collection = build(docstrings(root))
        if not collection[1]:
            raise RdError(f"dataset pydoc: the standard library in {root} has no sources with docstrings")
        return collection


def split_of(query_id: str) -> str:
    """Return "train" or "test"; the answer for an id never changes."""
    digest = hashlib.blake2b(query_id.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % 100 < _TEST_PERCENT else "train"


def build(docs: dict[str, str]) -> tuple[dict[str, str], dict[str, tuple[str, list[str]]]]:
    """Return documents (doc_id -> text) and queries (id -> summary, relevant ids) from docstrings by name."""
    documents: dict[str, str] = {}
    queries: dict[str, tuple[str, list[str]]] = {}
    id_of_summary: dict[str, str] = {}
    for name, docstring in docs.items():
        summary, body = split_summary(docstring)
        documents[name] = body if summary else " ".join(docstring.split())
        if summary:
            query_id = id_of_summary.setdefault(summary.casefold(), name)
            queries.setdefault(query_id, (summary, []))[1].append(name)
    documents = {name: text for name, text in documents.items() if text.casefold() not in id_of_summary}
    return documents, {
        query_id: (summary, found)
        for query_id, (summary, relevant) in queries.items()
        if (found := [name for name in relevant if name in documents])
    }


def split_summary(docstring: str) -> tuple[str, str]:
    """Return (summary line, body), with single spaces; both are empty if the docstring gives no query."""
    first, _, rest = docstring.partition("\n\n")
    summary, body = " ".join(first.split()), " ".join(rest.split())
    gives_query = (
        body
        and "\n" not in first.strip()
        and len(summary.split()) >= _MIN_SUMMARY_WORDS
        and not _SIGNATURE.search(summary)
        and summary.rstrip(".").casefold() not in body.casefold()
    )
    return (summary, body) if gives_query else ("", "")


def docstrings(root: Path) -> dict[str, str]:
    """Return the docstrings of all sources under `root`, by `module.Class.function`, in order of path.

    Repeated names (overloads, setters of properties) get `#2`, `#3`, ….
    """
    found: dict[str, str] = {}
    collecting = gc.isenabled()
    gc.disable()  # reference counts free syntax trees; the collector would take a third more time
    try:
        for file in sorted(root.rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            if _SKIPPED_FOLDERS.isdisjoint(parts[:-1]) and not parts[0].startswith("_sysconfigdata"):
                try:
                    tree = ast.parse(file.read_bytes())
                except (SyntaxError, ValueError):  # templates and deliberately broken sources
                    continue
                module = ".".join(part for part in parts if part != "__init__")
                for name, docstring in _walk(tree, module):
                    found[_unused(name, found)] = docstring
    finally:
        if collecting:
            gc.enable()
    return found


def _walk(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node)
        if docstring:
            yield name, docstring
    for block in ("body", "orelse", "finalbody", "handlers"):
        for child in getattr(node, block, ()):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _walk(child, f"{name}.{child.name}")
            elif hasattr(child, "body"):
                yield from _walk(child, name)


def _unused(name: str, taken: dict[str, str]) -> str:
    if name not in taken:
        return name
    return next(numbered for number in range(2, 10_000) if (numbered := f"{name}#{number}") not in taken)
