"""The shape of the package: rooms, names that stand once, files and functions that fit a screen or a few."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from rdtools.cli.completions import COMMANDS

PACKAGE = Path(__file__).parents[2] / "rdtools"
FILES = sorted(PACKAGE.rglob("*.py"))
Definition = ast.FunctionDef | ast.ClassDef


def definitions(path: Path) -> Iterator[Definition]:
    yield from (node for node in ast.parse(path.read_text()).body if isinstance(node, Definition))


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring, which may be a manual."""
    lines = lines_of(function)
    return lines - lines_of(function.body[0]) if ast.get_docstring(function) is not None else lines


def lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_package_has_at_most_a_dozen_entries():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "py.typed"}
    assert len(entries) <= 12, sorted(entries)


def test_no_public_name_is_defined_twice():
    places = defaultdict(list)
    for path in FILES:
        for node in definitions(path):
            if not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_files_and_functions_are_short():
    long_files = {str(path): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 350}
    assert long_files == {}
    functions = {
        f"{path.relative_to(PACKAGE)}:{node.name}": length(node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and length(node) > 80
    }
    assert functions == {}


def test_commands_are_thin():
    commands = [PACKAGE / "cli" / f"{name.removeprefix('rd-')}.py" for name in COMMANDS]
    assert {
        path.name: len(path.read_text().splitlines())
        for path in commands
        if len(path.read_text().splitlines()) >= 200
    } == {}


def test_rooms_do_not_import_private_names_of_each_other():
    found = {
        f"{path.relative_to(PACKAGE)}: {alias.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rdtools")
        for alias in node.names
        if alias.name.startswith("_") and alias.name != "__version__"
    }
    assert found == set()
