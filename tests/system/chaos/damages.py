"""Indexes damaged at random, and searched: is one refused, or is the result the same?

    python tests/system/chaos/damages.py --count 300
    python tests/system/chaos/damages.py --count 300 --forged

Files are truncated, extended, emptied, removed, zeroed, filled with NaN, exchanged, or get a flipped bit. With
--forged the manifest is made to fit the damage: another result is then possible, but a command must end with
its own status, and not with a signal or an internal error. The last line counts the outcomes. The damages are
drawn from --seed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
sys.path.insert(0, str(Path(__file__).parents[2]))

from conftest import WORDS, _tiny_config_and_tokenizer

COMMANDS = {
    "bm25": "rd-mine queries.tsv --corpus corpus.tsv --index index --from bm25 -n all --depth 50 -f trec",
    "teacher": "rd-label records.jsonl --teacher bm25 --index index",
    "dense": "rd-mine queries.tsv --corpus corpus.tsv --index index --from dense:be -n all --depth 50 -f trec",
}


def flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def extend(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.randint(1, 64))


def zero(data: bytearray, rng: random.Random) -> None:
    fill(data, rng, b"\0")


def nan(data: bytearray, rng: random.Random) -> None:
    fill(data, rng, b"\xff")


def noise(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randint(1, 4096))
    data[start:end] = rng.randbytes(end - start)


def fill(data: bytearray, rng: random.Random, byte: bytes) -> None:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randint(1, 4096))
    data[start:end] = byte * (end - start)


def empty(data: bytearray, rng: random.Random) -> None:
    data.clear()


IN_PLACE = (flip, truncate, extend, zero, nan, noise, empty)


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one file of an index, or exchange two; return the name of the damage."""
    files = sorted(path for path in folder.iterdir() if path.stat().st_size)
    file = rng.choice(files)
    kind: Any = rng.choice([*IN_PLACE, "remove", "exchange"])
    if kind == "remove":
        file.unlink()
    elif kind == "exchange":
        other = rng.choice([path for path in files if path != file])
        one, two = file.read_bytes(), other.read_bytes()
        file.write_bytes(two)
        other.write_bytes(one)
    else:
        data = bytearray(file.read_bytes())
        kind(data, rng)
        file.write_bytes(data)
        kind = kind.__name__
    return f"{kind} {file.name}"


def forge(folder: Path) -> None:
    """Make the manifest fit the files, as somebody who shares a folder could."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, told in manifest["files"].items():
            data = (folder / name).read_bytes() if (folder / name).exists() else b""
            told.update(bytes=len(data), crc32=zlib.crc32(data))
        del manifest["checksum"]
    except (OSError, ValueError, KeyError, AttributeError):
        return  # the manifest itself is what was damaged
    manifest["checksum"] = zlib.crc32(json.dumps(manifest, sort_keys=True).encode())
    (folder / "manifest.json").write_text(json.dumps(manifest))


def run(command: str, room: Path) -> tuple[int, bytes, str]:
    """Run a command in a fork of this process; return its status (negative: a signal), stdout and stderr."""
    words = [*command.split(), "--quiet"]
    pid = os.fork()
    if pid == 0:
        os.chdir(room)
        for place, name in enumerate((os.devnull, "stdout", "stderr")):
            os.dup2(os.open(name, os.O_RDWR | (os.O_CREAT | os.O_TRUNC if place else 0), 0o644), place)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        status = 1
        try:
            sys.argv = words
            importlib.import_module(f"rdtools.cli.{words[0].removeprefix('rd-')}").main()
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, (room / "stdout").read_bytes(), (room / "stderr").read_text()


def outcome(found: tuple[int, bytes, str], expected: bytes) -> str:
    status, out, err = found
    if status < 0:
        return "ended by a signal"
    if status == 0:
        return "the same result" if out == expected else "another result"
    one_line = err.count("\n") == 1 and (": index " in err or "not finite" in err)
    return "refused" if status == 1 and one_line else f"another error: {err}"


def prepare(room: Path) -> None:
    """Write a corpus, queries, records and a tiny model, in a process of its own."""
    rng = random.Random(0)
    letters = [chr(97 + n) for n in range(26)]
    words = [*WORDS, *(a + b + c for a in letters for b in letters[:5] for c in letters[:3])]
    texts = [" ".join(rng.choices(words, k=rng.randint(3, 30))) for _ in range(2000)]
    (room / "corpus.tsv").write_text("".join(f"d{n}\t{text}\n" for n, text in enumerate(texts)))
    queries = [" ".join(rng.choices(words, k=6)) for _ in range(40)]
    (room / "queries.tsv").write_text("".join(f"q{n}\t{text}\n" for n, text in enumerate(queries)))
    with open(room / "records.jsonl", "w") as file:
        for n, query in enumerate(queries):
            docs = [{"doc_id": f"d{m}", "text": texts[m]} for m in range(8 * n, 8 * n + 8)]
            print(json.dumps({"query_id": f"q{n}", "query": query, "docs": docs}), file=file)
    child = os.fork()
    if child == 0:
        from sentence_transformers import SentenceTransformer
        from transformers import BertModel

        config, tokenizer = _tiny_config_and_tokenizer(room / "plain", None)
        config.num_hidden_layers = 1
        BertModel(config).save_pretrained(room / "plain")
        tokenizer.save_pretrained(room / "plain")
        SentenceTransformer(str(room / "plain"), device="cpu").save_pretrained(str(room / "be"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=120, metavar="N", help="damages of each index")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--forged", action="store_true", help="make the manifest fit the damage")
    parser.add_argument("--only", choices=COMMANDS, action="append")
    given = parser.parse_args()
    for name in ("faiss", "numba", "sentence_transformers", "rdtools.cli.mine", "rdtools.cli.label"):
        importlib.import_module(name)
    importlib.import_module("rdtools.search.bm25")
    rng = random.Random(given.seed)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="rdtools-damages-") as name:
        room = Path(name)
        prepare(room)
        for kind in given.only or COMMANDS:
            if kind == "teacher":  # it searches the index that rd-mine builds
                run(COMMANDS["bm25"], room)
            status, _, err = run(COMMANDS[kind], room)  # builds
            assert status == 0, err
            expected = run(COMMANDS[kind], room)[1]
            folder = next((room / "index").iterdir())
            whole = Path(shutil.copytree(folder, room / "whole"))
            for _ in range(given.count):
                what = damage(folder, rng)
                if given.forged:
                    forge(folder)
                found = outcome(run(COMMANDS[kind], room), expected)
                outcomes[found.split(":")[0]] += 1
                if found not in ("refused", "the same result"):
                    print(f"{kind}: {what}: {found}", file=sys.stderr)
                shutil.rmtree(folder)
                shutil.copytree(whole, folder)
            shutil.rmtree(whole)
            shutil.rmtree(room / "index")
    total = sum(outcomes.values())
    sound = outcomes["refused"] + outcomes["the same result"]
    if given.forged:
        sound += outcomes["another result"]
    print(f"{dict(outcomes)}\nharmless: {sound}/{total}")


if __name__ == "__main__":
    main()
