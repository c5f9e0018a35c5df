"""Make a collection of Debian's packages, in BEIR layout: from the one-line summary find the description.

    xzcat Translation-en.xz | python debian.py FOLDER

Translation-en.xz is in dists/bookworm/main/i18n of every mirror of Debian 12. 20,000 packages are drawn; the
summaries of 1,000 are the train queries, those of 600 others the test queries.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PARTS_OF_OTHERS = re.compile("-(dev|doc|dbg|data|common|perl|locale|l10n)")
DOCUMENTS, TRAIN, TEST = 20_000, 1_000, 600


class Package(NamedTuple):
    name: str
    summary: str
    description: str


def packages(lines: Iterable[str]) -> Iterator[Package]:
    """Yield the packages of a file of translations; an empty line ends each."""
    name = summary = ""
    description: list[str] = []
    for line in [*map(str.rstrip, lines), ""]:
        if line.startswith("Package: "):
            name = line.removeprefix("Package: ")
        elif line.startswith("Description-en: "):
            summary = line.removeprefix("Description-en: ")
        elif line.startswith(" "):
            description += [line.strip()] if line.strip() != "." else []
        elif not line and description:
            yield Package(name, summary, " ".join(description))
            description = []


def chosen(all_packages: Iterable[Package]) -> list[Package]:
    """Return packages with enough to say, each text once, in a random order that is always the same."""
    seen: set[str] = set()
    found = []
    for package in all_packages:
        texts = {package.summary, package.description[:150]}
        enough = len(package.description) >= 120 and len(package.summary.split()) >= 4
        if enough and not texts & seen and not PARTS_OF_OTHERS.search(package.name):
            seen |= texts
            found.append(package)
    random.Random(7).shuffle(found)
    return found[:DOCUMENTS]


def write(folder: Path, documents: list[Package]) -> None:
    (folder / "qrels").mkdir(parents=True)
    queries = documents[: TRAIN + TEST]
    corpus = [{"_id": one.name, "title": "", "text": one.description} for one in documents]
    asked = [{"_id": f"q-{one.name}", "text": one.summary} for one in queries]
    for name, rows in (("corpus", corpus), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for split, part in (("train", queries[:TRAIN]), ("test", queries[TRAIN:])):
        judged = "".join(f"q-{one.name}\t{one.name}\t1\n" for one in part)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")


if __name__ == "__main__":
    write(Path(sys.argv[1]), chosen(packages(sys.stdin)))
