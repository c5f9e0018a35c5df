"""Augmentation of the texts that a teacher reads: KIND:P, a function (words, share, rng) -> words.

Words are separated by white space; an augmented text has single spaces. Only `rng.random()` is used,
whose sequence Python guarantees, so that a seed gives the same texts on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

from rdtools.core.errors import UsageError
from rdtools.core.flags import OptionGroup, flag
from rdtools.core.randomness import generator
from rdtools.core.records import Record
from rdtools.core.registry import check_name, split_spec

Words = list[str]


def drop(words: Words, share: float, rng: random.Random) -> Words:
    """Remove each word with probability `share`; if all would go, one random word stays."""
    kept = [word for word in words if rng.random() >= share]
    return kept or [words[int(rng.random() * len(words))]]


def crop(words: Words, share: float, rng: random.Random) -> Words:
    """Keep a random run of adjacent words, without ⌊share · n⌋ of the n words; at least one stays."""
    length = max(1, len(words) - int(share * len(words)))
    start = int(rng.random() * (len(words) - length + 1))
    return words[start : start + length]


def shuffle(words: Words, share: float, rng: random.Random) -> Words:
    """Permute ⌊share · n⌋ random words among their positions."""
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


def parse_step(title: str, text: str) -> Step:
    """Read `KIND:P`; `title` names the option in the error."""
    kind, number = split_spec(text)
    check_name(AUGMENTATIONS, kind, "augmentation")
    try:
        share = float(number)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{title} {text}: give a share above 0 and at most 1, such as {kind}:0.1")
    return Step(kind, share)


@dataclass(frozen=True)
class Augmentation(OptionGroup):
    """The changes to the texts of queries and documents, step by step.

    The text of a query depends on itself and (seed, query_id), that of a document on itself and
    (seed, query_id, doc_id).
    """

    heading: ClassVar[str] = "Augmentation"

    query: tuple[Step, ...] = flag(
        "--augment-query", default=(), metavar="KIND:P", parse=partial(parse_step, "--augment-query"),
        help="Change the query that the teacher reads: drop:P removes each word with probability P, "
        "crop:P keeps 1-P of the words, all adjacent, shuffle:P permutes P of them. May be repeated; applied "
        "in order.",
    )  # fmt: skip
    doc: tuple[Step, ...] = flag(
        "--augment-doc", default=(), metavar="KIND:P", parse=partial(parse_step, "--augment-doc"),
        help="Change each document that the teacher reads: KIND:P as above.",
    )  # fmt: skip
    augmented_text: str = flag(
        "--augmented-text", default="teacher", metavar="teacher|both", choices=("teacher", "both"),
        kind="reader", needs=("--augment-query", "--augment-doc"),
        help="Who reads the augmented texts: the teacher alone, or the student too (the record then carries "
        "them instead of its own).",
    )  # fmt: skip
    seed: int = 0

    def __bool__(self) -> bool:
        return bool(self.query or self.doc)

    @property
    def in_record(self) -> bool:
        """True if the record carries the augmented texts, so that a student reads them too."""
        return self.augmented_text == "both"

    def apply(self, record: Record) -> Record:
        """Return a copy of the record with augmented texts; the record itself if there are no steps."""
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
        """Return the `augmentation` field of a record; `before` is that of the texts as they were read."""
        steps = {"query": [*map(str, self.query)], "doc": [*map(str, self.doc)]}
        return {
            **{part: names for part, names in steps.items() if names},
            "text": self.augmented_text,
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
