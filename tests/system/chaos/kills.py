"""Commands killed and interrupted at random moments, and started again: is anything lost?

    python tests/system/chaos/kills.py --label 50 --train 20 --signals 20

Each command runs in a fork of this process, which has imported what is slow to import. A series starts anew,
is killed up to four times and then runs to its end; its outcome must be that of an undisturbed run. The
last line counts what survived. The moments are drawn from --seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
sys.path.insert(0, str(Path(__file__).parents[2]))

import warm
from conftest import WORDS, _tiny_config_and_tokenizer

KILLS_A_SERIES = 4
TOLERANCE = 1e-5  # what batches of other pairs may change in a score, as README has it


class Attempt:
    """A command in a fork of this process, which logs what its teachers scored, batch by batch."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self.folder, self.log = folder, folder / f"scored-{time.monotonic_ns()}"
        self.start = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            if words[0] == "rd-label":
                _log_scores(self.log)
            command, *arguments = map(str, words)
            streams = [os.open(os.devnull, os.O_RDONLY)]
            streams += [
                os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("stdout", "stderr")
            ]
            warm.become(command, arguments, folder, dict(os.environ), streams)

    def wait(self) -> float:
        """Wait for the end, which must be a good one; return how long it took."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert status == 0, (status, self.stderr)
        return time.monotonic() - self.start

    def end(self, after: float, number: int) -> int | None:
        """Send a signal after so many seconds; return the status, or None where it had ended before."""
        time.sleep(max(0, after - (time.monotonic() - self.start)))
        over, status = os.waitpid(self.pid, os.WNOHANG)
        if over:
            assert os.waitstatus_to_exitcode(status) == 0, self.stderr
            return None
        os.kill(self.pid, number)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def heeds(self) -> None:
        """Wait until the command minds SIGTERM, as it does from its first line on (Linux)."""
        status = Path(f"/proc/{self.pid}/status")
        while "State:\tZ" not in (text := status.read_text()):
            if int(text.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGTERM - 1) & 1:
                return
            time.sleep(0.001)

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def scored(self) -> list[list[str]]:
        """The batches of pairs that were scored, the last one maybe half written."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("]")]


def _log_scores(path: Path) -> None:
    from rdtools.label.teachers.cross_encoder import CrossEncoderTeacher as Teacher

    score = Teacher.score

    def logged(self: Any, pairs: Any) -> Any:
        with open(path, "a", buffering=1) as log:
            for places, scores in score(self, pairs):
                print(json.dumps([f"{pairs[place].query}|{pairs[place].text}" for place in places]), file=log)
                yield places, scores

    Teacher.score = logged  # type: ignore[method-assign]


def label_words(room: Path) -> list[str]:
    """A command that scores a few pairs at a time, so that there are many moments to end it at."""
    return f"rd-label --teacher ce:{room}/ce --batch-tokens 64 records.jsonl --cache cache -o out".split()


def kill_label(count: int, room: Path, rng: random.Random) -> int:
    """Kill rd-label --cache `count` times; return how many times nothing was lost and nothing done twice."""
    words = label_words(room)
    whole = _folder(room)
    seconds = Attempt(words, whole).wait()
    expected = _scores(whole / "out")
    survived = killed = 0
    while killed < count:
        folder, twice, kills = _folder(room), Counter[str](), 0
        while kills < min(KILLS_A_SERIES, count - killed):
            attempt = Attempt(words, folder)
            status = attempt.end(rng.uniform(0, seconds), signal.SIGKILL)
            batches = attempt.scored()
            twice.update(pair for batch in (batches if status is None else batches[:-1]) for pair in batch)
            if status is None:
                break
            kills += 1
            if (folder / "out").exists():  # killed after its last word: it must be whole
                break
        else:
            last = Attempt(words, folder)
            last.wait()
            twice.update(pair for batch in last.scored() for pair in batch)
        scores = _scores(folder / "out")
        assert max(twice.values()) == 1, f"scored twice: {twice.most_common(3)}"
        assert scores.keys() == expected.keys()
        assert all(abs(scores[pair] - expected[pair]) <= TOLERANCE for pair in expected)
        assert _whole(folder / "cache", len(expected))
        killed, survived = killed + kills, survived + kills
        shutil.rmtree(folder)
    return survived


def kill_train(count: int, room: Path, rng: random.Random) -> int:
    """Kill rd-train `count` times and resume it; return how many times the weights were those of one run."""
    words = ["rd-train", "--student", f"be:{room}/be", "--loss", "kl", "--max-steps", "24", "--save-steps", "2",
             "--batch-size", "4", "--device", "cpu", "records.jsonl", "-o", "out", "--resume", "--score-scale", "logit"]  # fmt: skip
    whole = _folder(room)
    seconds = Attempt(words, whole).wait()
    expected = (whole / "out" / "model.safetensors").read_bytes()
    survived = killed = 0
    while killed < count:
        folder, kills = _folder(room), 0
        while kills < min(KILLS_A_SERIES, count - killed):
            if Attempt(words, folder).end(rng.uniform(0, seconds), signal.SIGKILL) is None:
                break
            kills += 1
            if (folder / "out" / "rd-train.json").exists():  # killed after its last word
                break
        else:
            Attempt(words, folder).wait()
        assert (folder / "out" / "model.safetensors").read_bytes() == expected
        assert not (folder / "out" / "checkpoints").exists()
        killed, survived = killed + kills, survived + kills
        shutil.rmtree(folder)
    return survived


def every_command(room: Path) -> list[list[str]]:
    """A command line of each, which reads what `prepare` wrote and writes `out`."""
    train = "--loss kl --max-steps 12 --save-steps 2 --batch-size 4 --device cpu --score-scale logit"
    lines = (
        f"rd-mine --corpus {room}/corpus.tsv --index index --from dense:{room}/be records.jsonl -o out",
        f"rd-train --student be:{room}/be {train} records.jsonl -o out",
        f"rd-eval {room}/qrels {room}/run {room}/other --baseline run --test permutation -o out",
        "rd-entropy --cut middle --score-scale logit records.jsonl -o out",
    )
    return [label_words(room), *map(str.split, lines)]


def interrupt(count: int, room: Path, rng: random.Random) -> int:
    """Send SIGINT or SIGTERM `count` times, to the commands in turn; return how often it was one line, the
    right status and no half file.
    """
    undisturbed = []
    for words in every_command(room)[:count]:
        quiet, folder = [*words, "--quiet"], _folder(room)
        undisturbed.append((quiet, folder, Attempt(quiet, folder).wait()))
    survived = 0
    for number in range(count):
        words, whole, seconds = undisturbed[number % len(undisturbed)]
        folder = _folder(room)
        sent, says = rng.choice([(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
        attempt = Attempt(words, folder)
        attempt.heeds()
        status = attempt.end(rng.uniform(0, seconds), sent)
        if status not in (None, 0, -sent):  # in these it had done its work
            assert (status, attempt.stderr) == (128 + sent, f"{words[0]}: {says}\n"), (words[0], status)
            for file in ("out", "out/model.safetensors"):  # there: the signal came after its last word
                if (folder / file).is_file():
                    assert (folder / file).read_bytes() == (whole / file).read_bytes(), (words, file)
            left = [path for path in folder.rglob(".*") if path.suffix in (".part", ".lock", ".old")]
            assert not left, (words, left)
            assert _whole(folder / "cache")
        survived += 1
        shutil.rmtree(folder)
    return survived


def _folder(room: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=room))
    shutil.copy(room / "records.jsonl", folder)
    return folder


def _scores(path: Path) -> dict[tuple[str, str], float]:
    records = map(json.loads, path.read_text().splitlines())
    return {(record["query_id"], doc["doc_id"]): doc["score"] for record in records for doc in record["docs"]}


def _whole(path: Path, rows: int | None = None) -> bool:
    """Whether a cache, if there is one, is no damaged database, and has so many scores."""
    if not path.exists():
        return rows is None
    with sqlite3.connect(path) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return sound and (
            rows is None or connection.execute("SELECT count(*) FROM scores").fetchone() == (rows,)
        )


def prepare(room: Path) -> None:
    """Write records and two tiny models, in a process of its own: torch has not computed before a fork."""
    child = os.fork()
    if child == 0:
        from sentence_transformers import SentenceTransformer
        from transformers import BertForSequenceClassification, BertModel

        config, tokenizer = _tiny_config_and_tokenizer(room / "ce", 1)
        BertForSequenceClassification(config).save_pretrained(room / "ce")
        tokenizer.save_pretrained(room / "ce")
        config, tokenizer = _tiny_config_and_tokenizer(room / "plain", None)
        BertModel(config).save_pretrained(room / "plain")
        tokenizer.save_pretrained(room / "plain")
        SentenceTransformer(str(room / "plain"), device="cpu").save_pretrained(str(room / "be"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    rng = random.Random(0)
    with open(room / "records.jsonl", "w") as file:
        for n in range(40):
            docs = [
                {
                    "doc_id": f"d{m}",
                    "text": f"{' '.join(rng.choices(WORDS, k=rng.randint(3, 12)))} {n} {m}",
                    "score": rng.gauss(0, 3),
                }
                for m in range(8)
            ]
            print(json.dumps({"query_id": f"q{n}", "query": f"flow {n}", "docs": docs}), file=file)
    pairs = [(n, m) for n in range(40) for m in range(100)]
    for name, line in (
        ("qrels", "q{n} 0 d{m} {grade}"), ("run", "q{n} Q0 d{m} 1 {score} a"), ("other", "q{n} Q0 d{m} 1 {score} b")
    ):  # fmt: skip
        rows = [line.format(n=n, m=m, grade=rng.randint(0, 1), score=rng.gauss(0, 1)) for n, m in pairs]
        (room / name).write_text("\n".join(rows))
    texts = (" ".join(rng.choices(WORDS, k=rng.randint(3, 12))) for _ in range(400))
    (room / "corpus.tsv").write_text("".join(f"d{m}\t{text}\n" for m, text in enumerate(texts)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for what, default in (("label", 50), ("train", 20), ("signals", 20), ("seed", 0)):
        parser.add_argument(f"--{what}", type=int, default=default, metavar="N")
    given = parser.parse_args()
    warm.import_all()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="rdtools-chaos-") as name:
        room = Path(name)
        prepare(room)
        label = kill_label(given.label, room, rng)
        train = kill_train(given.train, room, rng)
        signals = interrupt(given.signals, room, rng)
    print(
        f"survived: rd-label {label}/{given.label} kills, rd-train {train}/{given.train} kills, "
        f"{signals}/{given.signals} interrupts"
    )


if __name__ == "__main__":
    main()
