"""The documents: each command in them runs, or is at least parsed; each link, option and file in them exists."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import WORDS, _tiny_config_and_tokenizer

from rdtools.cli.completions import COMMANDS
from rdtools.cli.manual import open_entry_point
from rdtools.core.flags import options_of
from rdtools.core.records import SCORE_SCALES
from rdtools.data.datasets import DATASETS
from rdtools.diagnose.columns import DIAGNOSTICS
from rdtools.formats import Reading, Writing
from rdtools.label.teachers import TEACHERS
from rdtools.mine.sampling import SAMPLING
from rdtools.mine.sources import SOURCES
from rdtools.train.losses.table import LOSSES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])
DOCUMENTS = [str(page.relative_to(ROOT)) for page in PAGES]
CONTRIBUTING = "CONTRIBUTING.md"
PAPER = "examples/paper.md"  # its commands run in test_examples.py

ONLY_PARSED = {
    "irds:": "downloads a collection",
    "llm:MODEL": "needs a causal model (tests/label/test_causal_lm.py has tiny ones)",
    "api:MODEL": "needs a server (tests/label/test_api.py has one)",
    "pyserini.search": "needs Java and pyserini",
    "make -j2 table": "hours; test_examples.py runs the Makefile in small",
    "make -s entropy": "reads what the line before made",
    "python -m pytest": "the tests themselves",
    "pre-commit install": "changes the checkout",
    "python -m rdtools.cli.manual": "writes into the checkout; a test of it compares",
    "python tests/": "minutes of measuring; the files exist",
    "ruff check": "a check of its own",
    "sbatch --array": "needs Slurm; the next block runs its script",
    "ranknet --fsdp": "needs several processes (test_many_processes.py has them)",
    "sbatch --nodes": "needs Slurm; test_many_processes.py runs its script",
    "spark-submit --master": "needs Spark (test_cluster.py runs it where there is one)",
    "ray_label.py": "needs Ray (test_cluster.py runs it where there is one)",
}
"""Parts of blocks that are not run, and why. Commands of rdtools in these blocks are parsed all the same."""

STAND_INS = (
    (r"\bpydoc\b", "DIR"),
    (r"--teacher ce(?![:\w])", "--teacher ce:CE"),
    (r"\bce:(MODEL|student|google/electra-base-discriminator)", "ce:CE"),
    (r"\b(be|dense):(MODEL|DIR|bert-base-uncased|(sentence-transformers/)?all-MiniLM-L6-v2)", r"\1:BE"),
    (r"--encoder (MODEL|\S*all-MiniLM-L6-v2)", "--encoder BE"),
    (r"--layers 0,(4,)?5", "--layers 0,3"),
    (r"--max-steps \d+", "--max-steps 2"),
    (r"(\brd-train\b(?:(?!--max-|--epochs|\n|\|).)*?) -o ", r"\1 --max-steps 2 -o "),
    (r"--sample 0\.0\d", "--sample 1"),
    (r"in 0 1 2; do", "in 0; do"),
    (r"tests/benchmarks small", "tests/benchmarks/small.py"),
)
"""Big models and collections, and the tiny ones of the tests in their place."""

FOREIGN = set(
    "--index-url --nproc-per-node --no-python --pipe --keep-order --topics --hits --bm25 --output-format --use_random --name --option --joblog --resume-failed --array --export --master --partitions --max-restarts --nodes --nnodes --rdzv-backend --rdzv-endpoint --rdzv-id --shards --gpus".split()
)
"""Options of other programs."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def page(document: str) -> str:
    return (ROOT / document).read_text()


def is_generated(document: str) -> bool:
    return Path(document).stem in COMMANDS


def reason_not_to_run(block: str) -> str | None:
    return next((why for part, why in ONLY_PARSED.items() if part in block), None)


def commands(script: str) -> Iterator[list[str]]:
    """Yield the command lines of rdtools in a script, without redirections."""
    script = re.sub(
        r"\$\w+|\{\}", "1", re.sub(r"#.*", "", script.replace("\\\n", " "))
    )  # a variable may be a number
    for stage in re.split(r"\||&&|;|\n", re.sub(r"\|\s*\n", "|", script)):
        if found := re.search(rf"\b({'|'.join(COMMANDS)}) .*", stage, re.DOTALL):
            yield shlex.split(re.sub(r"(:::|[<>]).*", "", found[0]))


def parse(words: list[str]) -> None:
    """Let the parser of the command itself read a command line."""
    with contextlib.suppress(typer.Exit):  # --explain-loss has done its work
        typer.main.get_command(open_entry_point(words[0]).app()).make_context(words[0], words[1:])


# Scratch folders


def record(rng: random.Random, query: int, docs: list[int], texts: list[str], scored: bool) -> str:
    fields: dict[str, Any] = {
        "query_id": f"q{query}",
        "query": " ".join(texts[query].split()[:3]),
        "docs": [],
    }
    for rank, number in enumerate(docs, start=1):
        doc = {"doc_id": f"d{number}", "text": texts[number], "rank": rank, "source": "bm25"}
        if number == query:
            doc["relevance"] = 1
        if scored:
            doc["score"] = round(rng.gauss(0, 2) + 2 * (number == query), 3)
        fields["docs"].append(doc)
    if scored:
        fields |= {"teacher": "ce", "score_scale": "logit"}
    return json.dumps(fields) + "\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documents name: 12 train queries and 4 test queries over 60 documents."""
    from transformers import BertForMaskedLM

    folder = tmp_path_factory.mktemp("files")
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=12)) for _ in range(60)]
    train, test = range(12), range(12, 16)

    def write(name: str, text: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    def documents(query: int) -> list[int]:
        return [
            query,
            *((query * 7 + step) % 60 for step in range(1, 10) if (query * 7 + step) % 60 != query),
        ]

    rows = [{"_id": f"d{number}", "title": "", "text": text} for number, text in enumerate(texts)]
    write("DIR/corpus.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    queries = [{"_id": f"q{n}", "text": " ".join(texts[n].split()[:3])} for n in (*train, *test)]
    write("DIR/queries.jsonl", "".join(json.dumps(query) + "\n" for query in queries))
    for split, numbers in (("train", train), ("dev", test), ("test", test)):
        judged = "".join(f"q{n}\td{n}\t1\n" for n in numbers)
        write(f"DIR/qrels/{split}.tsv", f"query-id\tcorpus-id\tscore\n{judged}")
    write("corpus.tsv", "".join(f"d{number}\t{text}\n" for number, text in enumerate(texts)))
    write("queries.tsv", "".join(f"{query['_id']}\t{query['text']}\n" for query in queries[:12]))
    write("test-queries.tsv", "".join(f"{query['_id']}\t{query['text']}\n" for query in queries[12:]))
    for name in ("qrels.txt", "qrels/robust.txt", "qrels/dl.txt"):
        write(name, "".join(f"q{n} 0 d{n} 1\n" for n in test))

    for name in "mined part-1 part-2".split():
        write(f"{name}.jsonl", "".join(record(rng, n, documents(n), texts, False) for n in train))
    for name in "labelled train bm25 random dense bm25-labelled".split():
        write(f"{name}.jsonl", "".join(record(rng, n, documents(n), texts, True) for n in train))
    write("test-labelled.jsonl", "".join(record(rng, n, documents(n), texts, True) for n in test))
    with open(folder / "labelled.jsonl.zst", "wb") as compressed:
        import zstandard

        compressed.write(zstandard.compress((folder / "labelled.jsonl").read_bytes()))

    def run(numbers: range) -> str:
        return "".join(
            f"q{n} Q0 d{doc} {rank} {round(rng.gauss(9 - rank, 1), 3)} tag\n"
            for n in numbers
            for rank, doc in enumerate(documents(n), start=1)
        )

    for name in "A.trec B.trec pyserini-train.trec".split():
        write(name, run(train))
    for name in (
        "bm25.trec reranked.trec student.trec pyserini-test.trec pyterrier.trec bm25.run student.run".split()
    ):
        write(name, run(test))
    for loss in ("lce", "kl"):
        for seed in (0, 1):
            write(f"runs/{loss}-bm25-s{seed}.run", run(test))
            for collection in ("robust", "dl"):
                for source in ("bm25", "random"):
                    write(f"runs/{collection}/{loss}_{source}_be_s{seed}.trec", run(test))
    config, tokenizer = _tiny_config_and_tokenizer(folder / "MASKED", None)  # for sparse: and colbert:
    config.num_hidden_layers = 1
    BertForMaskedLM(config).save_pretrained(folder / "MASKED")
    tokenizer.save_pretrained(folder / "MASKED")
    for alias in ("data", "scifact"):
        (folder / alias).symlink_to("DIR")
    return folder


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, warm_bin: Path) -> Path:
    """Commands for PATH: those of rdtools, and other programs as far as a script needs them."""
    folder = tmp_path_factory.mktemp("programs")
    others = {
        "pip": "exit 0\n",
        "python": f'exec {sys.executable} "$@"\n',
        "torchrun": 'while [ "$1" != --no-python ]; do shift; done\nshift\nexec "$@"\n',
        "parallel": f'exec {sys.executable} {folder}/parallel.py "$@"\n',
        "sqlite3": f"exec {sys.executable} -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])' \"$@\"\n",
    }
    for name, script in others.items():
        if name not in ("parallel", "sqlite3") or shutil.which(name) is None:
            (folder / name).write_text(f"#!/bin/sh\n{script}")
            (folder / name).chmod(0o755)
    (folder / "parallel.py").write_text(
        "import subprocess, sys\n"
        "words = [word for word in sys.argv[1:] if word not in ('--pipe', '--keep-order', '--resume-failed')]\n"
        "words = words[2:] if words[0] == '--joblog' else words\n"
        "if '-N' in words[:1]:\n"
        "    sys.exit(subprocess.run(words[2:]).returncode)\n"
        "place = words.index(':::')\n"
        "for one in words[place + 1:]:\n"
        "    subprocess.run([word.replace('{}', one) for word in words[:place]], check=True)\n"
    )
    for command in warm_bin.iterdir():
        (folder / command.name).symlink_to(command)
    return folder


def stand_in(script: str, be: str, ce: str) -> str:
    for pattern, replacement in STAND_INS:
        script = re.sub(pattern, replacement, script)
    return re.sub(r"\bce:CE\b", f"ce:{ce}", re.sub(r"\b(be:|dense:|encoder )BE\b", rf"\1{be}", script))


def scripts(document: str) -> dict[str, str]:
    """The scripts of a document by name: the blocks of a section in turn; of a generated page each example."""
    found: dict[str, str] = {}
    for section in re.split(r"^##+ ", page(document), flags=re.MULTILINE):
        name = section.partition("\n")[0]
        texts = [block for block in blocks(section, "sh") if reason_not_to_run(block) is None]
        if is_generated(document):
            found |= {line: line for text in texts for line in text.splitlines()}
        elif texts:
            found[name] = "\n".join(texts)
    return found


def run_script(script: str, folder: Path, programs: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr[-2000:]}\nin:\n{script}"


def in_copies(script: str) -> str:
    """The quick start beside a script that calls it, and files that it sources."""
    return script.replace("examples/", "checkout/examples/").replace(
        "source completions", "source checkout/completions"
    )


@pytest.mark.parametrize(
    ("document", "section"),
    [
        (document, section)
        for document in DOCUMENTS
        if document not in (PAPER, CONTRIBUTING)
        for section in scripts(document)
    ],
)
def test_commands_run(document, section, files, programs, tiny_be, tiny_ce, tmp_path):
    if "colbert:" in scripts(document)[section] and int(version("sentence-transformers").split(".")[0]) < 6:
        pytest.skip("colbert needs sentence-transformers 6.1")
    folder = tmp_path / "scratch"
    shutil.copytree(files, folder, symlinks=True)
    for language in ("python", "make"):
        for block in blocks(page(document), language):
            if name := re.match(r"# (\S+?):?(?: .*)?\n", block):
                (folder / name[1]).write_text(stand_in(block, tiny_be, tiny_ce))
    checkout = folder / "checkout"
    shutil.copytree(ROOT / "examples", checkout / "examples")
    shutil.copytree(ROOT / "completions", checkout / "completions")
    quickstart = checkout / "examples" / "quickstart.sh"
    quickstart.write_text(stand_in(quickstart.read_text().replace("$minilm", "MODEL"), tiny_be, tiny_ce).replace(
        'mkdir "$folder"\n', 'mkdir "$folder"\nln -s ../DIR "$folder"/DIR\n'
    ))  # fmt: skip
    run_script(in_copies(stand_in(scripts(document)[section], tiny_be, tiny_ce)), folder, programs)


def test_the_quick_start_writes_into_a_new_folder_only(tmp_path):
    (tmp_path / "quickstart").mkdir()
    script = ROOT / "examples" / "quickstart.sh"
    found = subprocess.run(
        ["sh", script], cwd=tmp_path, capture_output=True, text=True, timeout=30,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert found.returncode != 0
    assert "quickstart" in found.stderr
    assert [*tmp_path.rglob("*")] == [tmp_path / "quickstart"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_are_parsed(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page(document), "sh"):
        for words in commands(block):
            if not (document == CONTRIBUTING and {"adjacent", "hinge", "--positive-rank"} & set(words)):
                parse(words)


def test_what_is_not_run_still_exists():
    texts = {document: page(document) for document in DOCUMENTS}
    for part in ONLY_PARSED:
        assert any(part in text for text in texts.values()), f"{part}: no document has it any more"
    for document, text in texts.items():
        for block in blocks(text, "sh"):
            for path in re.findall(r"(?<!\S)(tests/\S+)", block):
                new = {"tests/mine/test_adjacent.py", "tests/diagnose/test_positive_rank.py"}
                assert (ROOT / path).exists() or path in new, f"{document}: {path}"


# Links, options, names


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = re.sub(r"^```.*?^```", "", page(document), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), f"{document}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), f"{document}: {link}"


@pytest.fixture(scope="module")
def known_options() -> dict[str, set[str]]:
    return {
        command: {name for group in open_entry_point(command).groups for o in options_of(group) for name in o.flag.names}
        | {"--help"}
        for command in COMMANDS
    }  # fmt: skip


@pytest.mark.parametrize("document", [document for document in DOCUMENTS if document != "CHANGELOG.md"])
def test_options_exist(document, known_options):
    text = re.sub(r"^```(python|make|diff)\n.*?^```", "", page(document), flags=re.MULTILINE | re.DOTALL)
    everywhere = set.union(*known_options.values()) | FOREIGN
    added = {"--positive-rank"} if document == CONTRIBUTING else set()
    for option in re.findall(r"(?<![\w-])(--[a-z][a-z0-9_-]+)", text):
        assert option in everywhere | added, f"{document}: {option}"
    for command, line in re.findall(r"\b(rd-[a-z]+)((?: [^|`\n]*)?)", text.replace("\\\n", " ")):
        for option in re.findall(r"(?<=\s)--[a-z][a-z0-9-]+", line) if command in known_options else ():
            assert option in known_options[command] | added | FOREIGN, (
                f"{document}: {command} has no {option}"
            )


def test_the_index_lists_every_page():
    links = set(re.findall(r"\]\(([\w-]+\.md)", page("docs/index.md")))
    assert {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"} <= links


def test_the_readme_fits_two_screens():
    assert len(page("README.md").splitlines()) <= 95


def test_formats_are_all_described():
    named = set(re.findall(r"`([\w-]+)`", page("docs/formats.md")))
    for group, field in ((Reading, "input_format"), (Writing, "format")):
        [choices] = [option.flag.choices for option in options_of(group) if option.field == field]
        assert set(choices) <= named


def test_losses_and_the_scales_that_they_accept_are_described():
    text = page("docs/choosing-settings.md")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ((?:yes|–)(?: \| (?:yes|–)){7}) \|$", text, re.MULTILINE))
    own = {name: loss for name, loss in LOSSES.items() if ":" not in name}
    assert {name for name, loss in own.items() if loss.needs_teacher} == rows.keys()
    for name, cells in rows.items():
        accepted = [
            scale for scale, cell in zip(SCORE_SCALES, cells.split(" | "), strict=True) if cell == "yes"
        ]
        assert accepted == [scale for scale in SCORE_SCALES if scale in own[name].scales], name
    assert all(f"`{name}`" in text for name in own)


@pytest.mark.parametrize(
    ("document", "heading", "names"),
    [
        ("docs/data.md", "--dataset", DATASETS),
        ("docs/data.md", "source", SOURCES),
        ("docs/data.md", "--sampling", SAMPLING),
        ("docs/teachers.md", "teacher", TEACHERS),
    ],
)
def test_every_name_has_a_row_in_its_table(document, heading, names):
    """Rows may have several forms of a name, such as `pydoc:train`, `ce:MODEL` and `random` (default)."""
    [table] = re.findall(rf"^\| `?{heading}`? \|.*\n((?:\|.*\n)+)", page(document), re.MULTILINE)
    first_cells = "".join(row.split(" | ")[0] for row in table.splitlines())
    missing = names.keys() - set(re.findall(r"`([\w-]+)[:`]", first_cells))
    assert not missing, f"{document}: add {missing} to the table of {heading}"


def test_every_column_of_a_diagnostic_is_described():
    described = set(re.findall(r"`(\w+)`", page("docs/reading-rd-entropy.md")))
    missing = {column.name for one in DIAGNOSTICS for column in one.columns} - described
    assert not missing, f"docs/reading-rd-entropy.md: add {missing}"


def test_the_columns_of_rd_entropy_are_described(run, files, tiny_be):
    described = set(re.findall(r"`([\w]+)`", page("docs/reading-rd-entropy.md")))
    options = (
        f"--encoder {tiny_be} --coverage {files}/A.trec --student {files}/A.trec --score-scale logit --compare"
        f" --pairs-per-second 9 --check-against {files}/DIR:test --confidence 0.9 --dataset {files}/DIR --paper-compat"
    )
    row = json.loads(
        run("rd-entropy", f"{files}/bm25.jsonl", *options.split(), "-f", "jsonl", check=True).stdout
    )
    assert {name for name in row if not name.endswith(("_low", "_high"))} - {"file", "queries"} <= described


def test_files_that_contributing_names_exist():
    text = re.sub(r"^```(python|diff|sh)\n.*?^```", "", page(CONTRIBUTING), flags=re.MULTILINE | re.DOTALL)
    for path in re.findall(r"`((?:rdtools|tests|docs)/[\w./-]+)`", text):
        assert "NAME" in path or (ROOT / path).exists(), path


def test_the_changelog_has_this_version_and_the_next():
    from rdtools import __version__

    text = page("CHANGELOG.md")
    assert "## [Unreleased]" in text
    assert f"## [{__version__}]" in text


# The worked examples of CONTRIBUTING.md


def apply(diff: str, tree: Path) -> None:
    """Apply a diff without line numbers: each addition goes after, or else before, the line that it stands at."""
    head, *lines = diff.splitlines()
    path = tree / head.removeprefix("--- ")
    text = path.read_text()
    for hunk in "\n".join(lines).split("\n@@\n"):
        kept = "\n".join(line[1:] for line in hunk.splitlines() if not line.startswith("+"))
        changed = "\n".join(line[1:] for line in hunk.splitlines() if not line.startswith("-"))
        assert text.count(f"{kept}\n") == 1, f"{path}: {kept}"
        text = text.replace(f"{kept}\n", f"{changed}\n")
    path.write_text(text)


@pytest.mark.slow
def test_the_worked_examples_of_contributing(files, tiny_be, tiny_ce, tmp_path):
    tree = tmp_path / "tree"
    for folder in ("rdtools", "tests", "docs"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*(path.name for path in ROOT.glob("*.md")), "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    text = page(CONTRIBUTING)
    for block in blocks(text, "python"):
        if file := re.match(r"# (\S+\.py)\n", block):
            (tree / file[1]).write_text(block.partition("\n")[2])
    for diff in blocks(text, "diff"):
        apply(diff, tree)
    (tree / "DIR").symlink_to(files / "DIR")
    examples = text.partition("### Example: a loss")[2].partition("## How options")[0]
    script = stand_in("\n".join(blocks(examples, "sh")), tiny_be, tiny_ce)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-3000:]
    assert "Score scales: any." in done.stdout
    assert "positive_rank" in done.stdout
    assert "q0\td" in done.stdout  # what the source found
    tables = "described or row_in_its_table"
    command = [sys.executable, "-m", "pytest", "tests/system/test_docs.py", "-k", tables]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
