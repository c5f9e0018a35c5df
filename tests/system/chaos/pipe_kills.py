"""rd-mine | rd-label --cache | rd-train --resume --expect, with one command killed at a random moment.

    python tests/system/chaos/pipe_kills.py --count 20

After a kill there must be no model; the same pipe is then started again, and killed again, up to three times.
The model of the last start must be that of an unbroken pipe, byte for byte. The last line counts the kills
that were survived. The moments and the victims are drawn from --seed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
sys.path.insert(0, str(Path(__file__).parents[2]))

import warm
from kills import prepare

QUERIES = 40
PIPE = (
    "rd-mine queries.tsv --corpus {room}/corpus.tsv --from bm25 -n 7",
    "rd-label --teacher be:{room}/be --batch-tokens 64 --cache scores.db",
    "rd-train --student be:{room}/be --layers 1 --loss kl --max-steps 16 --save-steps 2 --lr 1e-3 --resume "
    f"--no-dropout --batch-size 4 --device cpu -o out --expect {QUERIES}",
)
STARTS = 3


def start(room: Path, folder: Path) -> list[int]:
    """Start the pipe in forks of this process; return their numbers."""
    pids = []
    source = os.open(os.devnull, os.O_RDONLY)
    for number, line in enumerate(PIPE):
        last = number == len(PIPE) - 1
        outlet = (0, os.open(folder / "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)) if last else os.pipe()
        pid = os.fork()
        if pid == 0:
            if not last:
                os.close(outlet[0])
            errors = os.open(folder / f"stderr-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            command, *arguments = [*line.format(room=room).split(), "--quiet"]
            warm.become(command, arguments, folder, dict(os.environ), (source, outlet[1], errors))
        pids.append(pid)
        os.close(source)
        os.close(outlet[1])
        source = outlet[0]
    return pids


def wait(pids: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    given = parser.parse_args()
    warm.import_all()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="rdtools-pipes-") as name:
        room = Path(name)
        prepare(room)
        queries = "".join(f"q{n}\tflow wing {n} {n % 7}\n" for n in range(QUERIES))

        def new_folder() -> Path:
            folder = Path(tempfile.mkdtemp(dir=room))
            (folder / "queries.tsv").write_text(queries)
            return folder

        whole = new_folder()
        begin = time.monotonic()
        statuses = wait(start(room, whole))
        seconds = time.monotonic() - begin
        assert statuses == [0, 0, 0], [(whole / f"stderr-{n}").read_text() for n in range(3)]
        expected = (whole / "out" / "model.safetensors").read_bytes()
        killed = survived = 0
        ends: Counter[str] = Counter()
        while killed < given.count:
            folder, kills = new_folder(), 0
            for _ in range(min(STARTS, given.count - killed)):
                pids = start(room, folder)
                victim = rng.randrange(len(pids))
                time.sleep(rng.uniform(0, seconds) / (1 if victim else 5))  # rd-mine ends first
                os.kill(pids[victim], signal.SIGKILL)  # a process that has ended is not yet waited for
                statuses = wait(pids)
                if statuses[-1] == 0:  # it came too late
                    ends["too late"] += 1
                    break
                kills += 1
                ends[PIPE[victim].split()[0]] += 1
                if (folder / "out" / "rd-train.json").exists():  # rd-train was killed after its last word
                    assert statuses == [0, 0, -signal.SIGKILL]
                    ends["saved before"] += 1
                    break
                if statuses[-1] > 0:
                    ends["rd-train refused"] += 1
                    says = (folder / "stderr-2").read_text()
                    assert f"not the {QUERIES} of --expect" in says, says
            else:
                assert wait(start(room, folder)) == [0, 0, 0], (folder / "stderr-2").read_text()
            assert (folder / "out" / "model.safetensors").read_bytes() == expected
            killed, survived = killed + kills, survived + kills
            shutil.rmtree(folder)
    print(f"{dict(ends)}\nsurvived: {survived}/{killed} kills of a pipe of three")


if __name__ == "__main__":
    main()
