"""Augmentation of the texts that a teacher reads: KIND:P, a function (words, share, rng) -> words.

Words are what stands between white space; an augmented text has single spaces. Only `rng.random()` is
used, whose sequence Python guarantees, so that a seed gives the same texts on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rdtools.core.errors import UsageError
from rdtools.core.randomness import generator
from rdtools.core.records import Record
from rdtools.core.registry import check_name, split_spec

Words = list[str]


def drop(words: Words, share: float, rng: random.Random) -> Words:
    """Leave out each word with probability `share`; one of them, any, stays where none would."""
    kept = [word for word in words if rng.random() >= share]
    return kept or [words[int(rng.random() * len(words))]]


def crop(words: Words, share: float, rng: random.Random) -> Words:
    """Keep a run of adjacent words that begins anywhere: ⌊share · n⌋ are left out, but one stays."""
    length = max(1, len(words) - int(share * len(words)))
    start = int(rng.random() * (len(words) - length + 1))
    return words[start : start + length]


def shuffle(words: Words, share: float, rng: random.Random) -> Words:
    """Permute ⌊share · n⌋ of the words, any, among their places."""
    keys = [rng.random() for _ in words]
    chosen = sorted(range(len(words)), key=lambda place: keys[place])[: int(share * len(words))]
    shuffled = list(words)
    for place, origin in zip(sorted(chosen), chosen, strict=True):
        shuffled[place] = words[origin]
    return shuffled


AUGMENTATIONS: dict[str, Callable[[Words, float, random.Random], Words]] = {
    "drop": drop,
    "crop": crop,
    "shuffle": shuffle,
}


class Step(NamedTuple):
    """One augmentation: its kind and its share P, 0 < P ≤ 1."""

    kind: str
    share: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.share}"


def parse_step(flag: str, text: str) -> Step:
    """Read `KIND:P`; `flag` names the option in the error."""
    kind, number = split_spec(text)
    check_name(AUGMENTATIONS, kind, "augmentation")
    try:
        share = float(number)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{flag} {text}: a share above 0 and at most 1 is needed, such as {kind}:0.1")
    return Step(kind, share)


@dataclass(frozen=True)
class Augmentation:
    """What happens to the texts of queries and documents, step by step.

    A query's text depends on (seed, query_id), a document's on (seed, query_id, doc_id), besides itself.

    Attributes:
        in_record: whether the record carries the augmented texts on, so that a student reads them too;
            else only the teacher does.
    """

    query: Sequence[Step] = ()
    doc: Sequence[Step] = ()
    seed: int = 0
    in_record: bool = False

    def __bool__(self) -> bool:
        return bool(self.query or self.doc)

    def apply(self, record: Record) -> Record:
        """Return the record with augmented texts, a copy; the record itself where there are no steps."""
        if not self:
            return record
        augmented, query_id = record.copy(), record["query_id"]
        if self.query:
            augmented["query"] = self._augmented(record["query"], self.query, query_id, "augment query")
        if self.doc:
            augmented["docs"] = [doc.copy() for doc in record["docs"]]
            for doc in augmented["docs"]:
                purpose = f"augment document\t{doc['doc_id']}"
                doc["text"] = self._augmented(doc["text"], self.doc, query_id, purpose)
        return augmented

    def provenance(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the record says of it, and of what the texts in it went through `before`."""
        steps = {"query": [*map(str, self.query)], "doc": [*map(str, self.doc)]}
        return {
            **{part: names for part, names in steps.items() if names},
            "text": "both" if self.in_record else "teacher",
            "seed": self.seed,
            **({"before": before} if before else {}),
        }

    def _augmented(self, text: str, steps: Sequence[Step], query_id: str, purpose: str) -> str:
        words = text.split()
        if not words:
            return text
        rng = generator(self.seed, query_id, purpose)
        for kind, share in steps:
            words = AUGMENTATIONS[kind](words, share, rng)
        return " ".join(words)
