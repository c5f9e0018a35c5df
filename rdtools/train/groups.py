"""Records -> training groups: spooled to disk once, drawn anew in each epoch."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from rdtools.core.calibration import Calibration, Judged, entropy_temperature
from rdtools.core.errors import RdError
from rdtools.core.log import log, plural
from rdtools.core.output import new_spool, spooling
from rdtools.core.provenance import CHANGES
from rdtools.core.randomness import sample_places, shuffle_in_place
from rdtools.core.records import Record, is_positive
from rdtools.train.losses.objective import Objective
from rdtools.train.options import GroupOptions
from rdtools.train.systematic_sample import SystematicSample
from rdtools.train.usable import HINTS, Document, Embeddings, can_use, check_labelled, lacks


@dataclass(frozen=True)
class Group:
    """A query, the documents that are compared for it, and the ids that are judged relevant to it."""

    query: str
    documents: list[Document]
    relevant: frozenset[str]
    in_batch_negatives: int = 0
    """The number of documents, the last ones, that come from other groups of the batch."""
    embedding: str | None = None
    """The teacher's, of the query."""

    @property
    def own(self) -> list[Document]:
        return self.documents[: len(self.documents) - self.in_batch_negatives]


_ALIGNED = 2**16
"""A multiple of the pages of all systems: where a part of a file that is mapped into memory begins."""


class Groups:
    """All groups of a training run, as one endless sequence of epochs, each in its own random order.

    A temporary file holds the records and, mapped into memory, where each begins; memory holds 8 bytes for
    each, the order of an epoch. The group of a record depends only on (seed, epoch, query_id, number of the
    record). A pickled copy holds no file: another process `open`s the same one, or a copy of it.

    Args:
        records: the records to learn from, read once.
        objective: decides which documents and records are usable; the others are left out and counted.
        score_scale: the scale of records that do not say theirs.
        shared: keep the file's name, which is `path`, for other processes.
        embeddings: what has checked those of the records; None if nothing has.

    Raises:
        RdError: nothing is left to learn from, or the records mix scales.
        UsageError: a loss cannot learn from scores on this scale.
    """

    def __init__(
        self,
        records: Iterable[Record],
        objective: Objective,
        options: GroupOptions = GroupOptions(),
        score_scale: str | None = None,
        shared: bool = False,
        embeddings: Embeddings | None = None,
    ) -> None:
        self._options = options
        self.scales: set[str] = set()
        self.teachers: set[str] = set()
        self._changes: dict[str, set[bytes]] = {field: set() for field in CHANGES}
        self._objective = objective
        self._score_scale = score_scale
        self.embedders: set[str] = set()
        self._embeddings = Embeddings() if embeddings is None else embeddings
        if embeddings is None and objective.needs_embeddings:
            records = self._embeddings.checked(records)
        self._left_out: Counter[str] = Counter()
        self._unused: Counter[tuple[str, str]] = Counter()  # (loss, why it cannot use a record)
        self.path = new_spool()
        self._file = self.path.open("w+b")
        if not shared:
            self.path.unlink()
        self._sample = SystematicSample()
        self._order: tuple[int, Sequence[int]] = (-1, [])
        try:
            self.fingerprint = self._spool(records)
            self._map()
            self._report()
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise

    def _spool(self, records: Iterable[Record]) -> str:
        """Write the usable records, then int64: where each begins, and int32: its documents in a group.

        Returns:
            The hash of the records.
        """
        digest = hashlib.blake2b(digest_size=16)
        starts, sizes = array("q", [0]), array("i")
        for record in records:
            documents = self._usable(record)
            if documents is not None:
                rows = [list(document[: 4 + bool(self.dimension)]) for document in documents]
                own = [record["query_embedding"]] if self.dimension and "query_embedding" in record else []
                line = orjson.dumps([record["query_id"], record["query"], rows, *own])
                digest.update(line)
                with spooling():
                    self._file.write(line)
                starts.append(starts[-1] + len(line))
                sizes.append(sum(self._counts(documents)))
                self._sample.add([(document.score, document.positive) for document in documents])
        self._count, self._tables = len(sizes), -(-starts[-1] // _ALIGNED) * _ALIGNED
        with spooling():
            self._file.seek(self._tables)
            starts.tofile(self._file)
            sizes.tofile(self._file)
            self._file.flush()
        return digest.hexdigest()

    def _map(self) -> None:
        starts = 8 * (self._count + 1)
        size = starts + 4 * self._count
        tables = memoryview(
            mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ, offset=self._tables)
        )
        self._starts, self._sizes = tables[:starts].cast("q"), tables[starts:].cast("i")

    def open(self, path: Path) -> None:
        """Read the records from this file, which is that of `path` or a copy of it."""
        self._file = path.open("r+b")
        self._map()

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in vars(self).items() if name not in ("_file", "_starts", "_sizes")
        }

    def __len__(self) -> int:
        """Groups in an epoch."""
        return self._count

    @property
    def provenance(self) -> dict[str, Any]:
        """The data: its hash, number of groups, teachers, score scales, and changes of scores and texts."""
        return {
            "fingerprint": self.fingerprint,
            "groups": len(self),
            "teachers": sorted(self.teachers | self.embedders),
            "score_scales": sorted(self.scales),
            **{field: [*map(orjson.loads, sorted(found))] for field, found in self._changes.items() if found},
        }

    def slice(self, start: int, stop: int) -> list[Group]:
        """Return the groups `start` to `stop` − 1 of the endless sequence."""
        places = (divmod(place, len(self)) for place in range(start, stop))
        return [self._draw(self._epoch_order(epoch)[place], epoch) for epoch, place in places]

    def count_within(self, max_docs: int) -> int:
        """Return how many groups, from the first on, have at most `max_docs` documents together."""
        epochs, left = divmod(max_docs, sum(self._sizes))
        count = epochs * len(self)
        for index in self._epoch_order(epochs):
            left -= self._sizes[index]
            if left < 0:
                break
            count += 1
        return count

    def documents_of(self, count: int) -> float:
        """Return about how many documents `count` groups have."""
        return count * sum(self._sizes) / len(self)

    @property
    def dimension(self) -> int:
        """The dimension of the teacher's embeddings; 0 if no loss needs them."""
        return self._embeddings.dimension

    @property
    def score_scale(self) -> str:
        """The scale of the scores; "unknown" if there are several, which only losses of order allow."""
        return next(iter(self.scales)) if len(self.scales) == 1 else "unknown"

    @cached_property
    def calibration(self) -> Calibration | None:
        """The temperature at which a sample of the groups has the target entropy.

        None if no group has two different scores.
        """
        return entropy_temperature(self.judged_sample)

    @property
    def judged_sample(self) -> list[Judged]:
        """The scores of a sample of the groups, and which of their documents are positive."""
        scored = [
            [(score, positive) for score, positive in group if score is not None]
            for group in self._sample.items
        ]
        return [([score for score, _ in group], [positive for _, positive in group]) for group in scored]

    def _usable(self, record: Record) -> list[Document] | None:
        """Return the documents that the objective can use, or None if no loss can."""
        if not record.get("query"):
            self._left_out["query without text"] += 1
            return None
        scale = record.get("score_scale", "unknown")
        scale = self._score_scale if self._score_scale and scale == "unknown" else scale
        needs_teacher = self._objective.needs_teacher
        if needs_teacher and self._score_scale is None:
            check_labelled(record, scale)
        needs_embeddings = self._objective.needs_embeddings
        documents = []
        for doc in record["docs"]:
            # A ranking without scores (an MS MARCO run) teaches its order.
            score = doc.get("score", -doc["rank"] if scale == "rank" and "rank" in doc else None)
            if "text" not in doc:
                self._left_out["document without text"] += 1
                continue
            vector = doc.get("embedding") if needs_embeddings else None
            if not any(can_use(loss, score, vector) for loss in self._objective.losses):
                lacking = "score" if needs_teacher else "embedding"
                self._left_out[f"document without {lacking}"] += 1
                continue
            used = float(score) if needs_teacher and score is not None else None
            documents.append(Document(doc["doc_id"], doc["text"], used, is_positive(doc), vector))
        missing = [lacks(loss, record, documents, self._counts) for loss in self._objective.losses]
        if all(missing):
            self._left_out[str(missing[0])] += 1
            return None
        names = (loss.name for loss in self._objective.losses)
        self._unused.update((name, lack) for name, lack in zip(names, missing, strict=True) if lack)
        if scale not in self.scales and (
            not needs_teacher or any(doc.score is not None for doc in documents)
        ):
            self._objective.check_scale(scale)
            self.scales.add(scale)
        if "teacher" in record and not self._objective.only_embeddings:
            self.teachers.add(record["teacher"])
        if needs_embeddings:
            self.embedders.add(record.get("embedding_teacher", "unknown"))
        for field, found in self._changes.items():
            if field in record:
                found.add(orjson.dumps(record[field]))  # type: ignore[literal-required]
        return documents

    def _report(self) -> None:
        for what, count in self._left_out.items():
            noun, _, rest = what.partition(" ")
            log.warning("%s %s left out", plural(count, noun), rest)
        if not len(self):
            hint = "the input is empty"
            if self._left_out:
                hint = HINTS[self._left_out.most_common(1)[0][0]]
            raise RdError(f"nothing to train on ({hint})")
        for (loss, what), count in self._unused.items():
            noun, _, rest = what.partition(" ")
            if count == len(self):
                raise RdError(f"nothing to train {loss} on, of --loss {self._objective.name} ({HINTS[what]})")
            log.warning("%s %s not used by %s", plural(count, noun), rest, loss)
        if len(self.embedders) > 1:
            models = " and of ".join(sorted(self.embedders))
            raise RdError(f"the records mix embeddings of {models} (label them with one of the models)")
        if len(self.scales) > 1 and self._objective.needs_teacher and not self._objective.ordinal:
            scales = ", ".join(sorted(self.scales))
            raise RdError(f"the records mix score scales: {scales} (label them with one teacher)")
        log.info("%s of up to %s", plural(len(self), "group"), plural(max(self._sizes), "document"))

    def _counts(self, documents: list[Document]) -> tuple[int, int]:
        """Return the numbers of positives and negatives in a group of these documents."""
        positives = sum(document.positive for document in documents)
        negatives = len(documents) - positives
        if self._options.positives == "one":
            positives = min(positives, 1)
        else:  # leave room for a negative
            positives = min(positives, self._options.group_size - min(negatives, 1))
        return positives, min(negatives, self._options.group_size - positives)

    def _draw(self, index: int, epoch: int) -> Group:
        start, end = self._starts[index], self._starts[index + 1]
        query_id, query, rows, *own = orjson.loads(os.pread(self._file.fileno(), end - start, start))
        documents = [Document(*row) for row in rows]
        rng = random.Random(f"{self._options.seed}\t{epoch}\t{query_id}\t{index}")
        positives = [document for document in documents if document.positive]
        negatives = [document for document in documents if not document.positive]
        n_positives, n_negatives = self._counts(documents)
        drawn = sample_places(positives, n_positives, rng) + sample_places(negatives, n_negatives, rng)
        relevant = frozenset(document.doc_id for document in positives)
        return Group(query, drawn, relevant, embedding=own[0] if own else None)

    def _epoch_order(self, epoch: int) -> Sequence[int]:
        if self._order[0] != epoch:
            order = array("q", range(len(self)))
            shuffle_in_place(order, random.Random(f"{self._options.seed}\t{epoch}"))
            self._order = (epoch, order)
        return self._order[1]
