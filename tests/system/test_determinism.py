"""Same bytes whatever the hash seed of Python and however many processors: the installed commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BIN, WORDS

from rdtools.core.randomness import generator

CORPUS = "".join(
    f"d{n}\t{' '.join(generator(0, str(n), 'corpus').choices(WORDS[12:], k=6))}\n" for n in range(120)
)
QUERIES = "".join(f"q{n}\t{WORDS[12 + n]} {WORDS[20 + n]}\n" for n in range(12))
QRELS = "".join(f"q{n} 0 d{7 * n % 120} 1\n" for n in range(12))
RUN = "".join(f"q{n} Q0 d{m} 1 {n * m % 5}.5 tag\n" for n in range(12) for m in range(20))
RECORDS = "".join(
    json.dumps({
        "query_id": f"q{n}", "query": WORDS[n], "score_scale": "logit", "teacher": f"t{n % 3}",
        "docs": [{"doc_id": f"d{m}", "text": f"wing {m}", "relevance": int(m == n), "score": n * m % 7} for m in range(9)],
    }) + "\n"
    for n in range(12)
)  # fmt: skip
FILES = {
    "corpus": CORPUS, "queries": QUERIES, "qrels": QRELS, "records": RECORDS,
    "run": RUN, "again": RUN.replace(" 1 0.5", " 1 9.5"),
}  # fmt: skip
COMMANDS = [
    "rd-mine queries --corpus corpus --qrels qrels --from bm25 --from random --from run:run --depth 9 -n 7 "
    "--sampling log-random --pad --near-copies 0.5 --false-negatives relabel",
    "rd-mine queries --corpus corpus --qrels qrels --from graph -n 3 --sample 0.5",
    "rd-label records --teacher run:run --teacher qrels --qrels qrels --normalize minmax --noise 0.1 "
    "--augment-doc drop:0.5 --augmented-text both",
    "rd-eval qrels run again -m nDCG@10 -m AP --baseline run --test permutation",
    "rd-entropy records --compare --coverage run --check-against qrels --confidence 0.9",
    "rd-entropy records --cut middle --by margin",
]


def outcome(folder: Path, command: str, seed: str, processors: set[int]) -> tuple[int, bytes, bytes]:
    name, *words = command.split()
    done = subprocess.run(
        [BIN / name, *words], cwd=folder, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed},
        preexec_fn=lambda: os.sched_setaffinity(0, processors),
    )  # fmt: skip
    return (
        done.returncode,
        done.stdout,
        b"".join(line for line in done.stderr.splitlines(True) if b" indexed in " not in line),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="taskset is Linux's")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[:2]))
def test_no_byte_depends_on_the_hash_seed_or_the_processors(tmp_path, command):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    all_of_them = os.sched_getaffinity(0)
    status, out, err = outcome(tmp_path, command, "1", all_of_them)
    assert (status, bool(out)) == (0, True), err
    assert outcome(tmp_path, command, "2", {min(all_of_them)}) == (status, out, err)
