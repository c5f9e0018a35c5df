"""Score the documents of records with teachers, a window of records at a time, in order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rdtools.core.arrival import batches
from rdtools.core.errors import RdError, UsageError
from rdtools.core.log import log, plural
from rdtools.core.records import Record
from rdtools.core.scores import floats, forget_scores
from rdtools.formats.records import is_score
from rdtools.formats.vectors import forget_embeddings, write_vector
from rdtools.label.augment import Augmentation
from rdtools.label.score_cache import ScoreCache, score_key
from rdtools.label.targets import MISSING, Scores, ScoreTarget, TeacherScores
from rdtools.label.teachers import EmbeddingTeacher, RecordTeacher, ReportingTeacher, Teacher, TextPair

WINDOW_PAIRS = 1024
"""A window of records is scored and written when it holds this many pairs."""
_PATIENCE = 0.5
"""So many seconds a record may wait for others; with more pairs a batch has texts of more equal length."""

_Item = tuple[Record, list[Any]]
"""A record, and for each teacher [scores, scale], or None if it has not scored the record yet."""


class Labeler:
    """Score records with `teachers` and make the `target` of their scores.

    Teachers read the texts after `augmentation`; `cache` keeps their scores. A model's score that is not
    finite is an error; if `on_error` is "skip", the document gets none. The embeddings of an `embedder`, one
    of the teachers, are written into the records.

    Raises:
        UsageError: the target or the augmentation does not fit the teachers, or two teachers have one name.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher | RecordTeacher],
        target: ScoreTarget = ScoreTarget(),
        cache: ScoreCache | None = None,
        augmentation: Augmentation = Augmentation(),
        on_error: str = "fail",
        embedder: EmbeddingTeacher | None = None,
    ) -> None:
        self._teachers = teachers
        self._embedder = embedder
        self._target = target
        self._cache = cache
        self._augmentation = augmentation
        self._skip = on_error == "skip"
        target.check(len(teachers))
        names = Counter(teacher.name for teacher in teachers)
        if repeated := [name for name, count in names.items() if count > 1]:
            raise UsageError(
                f"two teachers have the name {repeated[0]} (give one another path: scores are kept by name)"
            )
        if augmentation and not augmentation.in_record and not any(each.needs_text for each in teachers):
            raise UsageError(
                "no teacher reads the augmented texts (--augmented-text both gives them to the student)"
            )
        self._records = self._pairs = self._from_cache = self._computed = self._unscored = 0
        self._not_finite = self._unfit = 0
        self._pairwise = [
            (n, teacher) for n, teacher in enumerate(teachers) if not isinstance(teacher, RecordTeacher)
        ]
        if len(self._pairwise) == len(teachers):  # a RecordTeacher tells its scale with its first scores
            target.scale([TeacherScores(teacher.name, teacher.scale) for _, teacher in self._pairwise])

    @property
    def needs_text(self) -> bool:
        return bool(self._augmentation) or any(teacher.needs_text for teacher in self._teachers)

    def label(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records in order, each as soon as its window is scored."""
        if self._augmentation.in_record:
            records = map(self._augmented, records)
        items: Iterator[_Item] = ((record, [None] * len(self._teachers)) for record in records)
        for number, teacher in enumerate(self._teachers):
            if isinstance(teacher, RecordTeacher):
                items = self._score_records(number, teacher, items)
        # Without pairs to score a record need not wait for others. A RecordTeacher reads ahead.
        most = WINDOW_PAIRS if self._pairwise else 1
        patience = _PATIENCE if len(self._pairwise) == len(self._teachers) else None
        for window in batches(items, most, patience, lambda item: max(1, len(item[0]["docs"]))):
            yield from self._label(window)

    def report(self) -> None:
        """Print the counts of records, pairs and scores on stderr."""
        parts = [
            f"{plural(self._records, 'record')}, {plural(self._pairs, 'pair')}: {self._computed:,} scored"
        ]
        if self._cache is not None:
            parts.append(f"{self._from_cache:,} from the cache")
        if self._unscored:
            written = f", written as {MISSING:g}" if self._target.paper_compat else ""
            parts.append(f"{self._unscored:,} without a score{written}")
        log.info("%s", ", ".join(parts))
        if self._not_finite:
            scores, them = plural(self._not_finite, "score"), "it is" if self._not_finite == 1 else "they are"
            log.warning("%s skipped because %s not finite", scores, them)
        if self._unfit:
            log.warning("%s left out, which do not fit float16", plural(self._unfit, "embedding"))
        if self._records and not self._pairs:
            log.warning("no record has documents (mine candidates first: rd-mine)")
        for teacher in self._teachers:
            if isinstance(teacher, ReportingTeacher):
                teacher.report()

    def _augmented(self, record: Record) -> Record:
        """Return the record with augmented texts, and without embeddings of the former ones."""
        record = self._augmentation.apply(record)
        forget_embeddings(record)
        return record

    def _texts_for_teachers(self, record: Record) -> Record:
        return record if self._augmentation.in_record else self._augmentation.apply(record)

    def _score_records(self, number: int, teacher: RecordTeacher, items: Iterator[_Item]) -> Iterator[_Item]:
        """Pass items through a teacher that reads ahead; the items travel as plain JSON values."""
        fed = ((self._texts_for_teachers(record), [record, scored]) for record, scored in items)
        for (record, scored), scores, scale, cached in teacher.score_records(fed):
            scored[number] = [scores, scale]
            count = sum(score is not None for score in scores)
            self._computed += 0 if cached else count
            self._from_cache += count if cached else 0
            yield record, scored

    def _label(self, window: list[_Item]) -> Iterator[Record]:
        if self._pairwise:
            pairs = self._text_pairs(record for record, _ in window)
            self._score_pairs(window, pairs)
            if self._embedder is not None:  # it is one of them
                self._write_embeddings(self._embedder, [record for record, _ in window], pairs)
        for record, scored in window:
            self._write(
                record,
                [
                    TeacherScores(teacher.name, scale, scores)
                    for teacher, (scores, scale) in zip(self._teachers, scored, strict=True)
                ],
            )
            self._records += 1
            self._pairs += len(record["docs"])
            yield record

    def _score_pairs(self, window: list[_Item], pairs: list[TextPair]) -> None:
        for number, teacher in self._pairwise:
            scores = iter(self._scores(teacher, pairs))
            for record, scored in window:
                scored[number] = [[next(scores) for _ in record["docs"]], teacher.scale]

    def _text_pairs(self, records: Iterable[Record]) -> list[TextPair]:
        return [
            TextPair(
                record["query_id"],
                doc["doc_id"],
                record.get("query", ""),
                doc.get("text", ""),
                None if doc.get("relabelled") else doc.get("relevance"),
            )
            for record in map(self._texts_for_teachers, records)
            for doc in record["docs"]
        ]

    def _write_embeddings(
        self, embedder: EmbeddingTeacher, records: Sequence[Record], pairs: list[TextPair]
    ) -> None:
        """Write the embeddings of records with documents, instead of those that they have."""
        queries, documents = embedder.embeddings(pairs)
        left = iter(pairs)
        for record in records:
            forget_embeddings(record)
            for number, doc in enumerate(record["docs"]):
                pair = next(left)
                if number == 0:
                    record["embedding_teacher"] = embedder.name
                    if text := self._fitting(embedder, f'query "{pair.query_id}"', queries[pair.query]):
                        record["query_embedding"] = text
                place = f'query "{pair.query_id}", document "{pair.doc_id}"'
                if text := self._fitting(embedder, place, documents[pair.text]):
                    doc["embedding"] = text

    def _fitting(self, embedder: EmbeddingTeacher, place: str, vector: Any) -> str | None:
        """Return an embedding as it is written; refuse one that does not fit, or count it and leave it out.

        Raises:
            RdError: the model has gone wrong, and bad embeddings are not to be skipped.
        """
        text = write_vector(vector)
        if text is None:
            if not self._skip:
                raise RdError(
                    f"{place}: the embedding of {embedder.name} does not fit float16 (try --dtype float32; "
                    "--on-error skip leaves it out)"
                )
            self._unfit += 1
        return text

    def _write(self, record: Record, teachers: list[TeacherScores]) -> None:
        forget_scores(record)
        doc_ids = [doc["doc_id"] for doc in record["docs"]]
        targets = self._target.scores(teachers, record["query_id"], doc_ids)
        steps = self._target.transformations(teachers)
        written = iter(_finite(targets, steps, record))
        for place, (doc, target) in enumerate(zip(record["docs"], targets, strict=True)):
            raw = {teacher.name: teacher.scores[place] for teacher in teachers}
            self._unscored += None in raw.values()
            doc.pop("scores", None)
            if target is None:
                doc.pop("score", None)  # an old score would be on another scale
            else:
                doc["score"] = next(written)
            if steps:
                doc["scores"] = {name: score for name, score in raw.items() if score is not None}
        record["teacher"] = self._target.name(teachers)
        record["score_scale"] = self._target.scale(teachers)
        if steps:
            record["transformations"] = steps
        if self._augmentation:
            record["augmentation"] = self._augmentation.provenance(record.get("augmentation"))

    def _scores(self, teacher: Teacher, pairs: list[TextPair]) -> Scores:
        """Score each distinct pair once; pairs in the cache are not scored again."""
        distinct = list(dict.fromkeys(pairs))
        known: dict[TextPair, float | None] = {}
        keys: dict[TextPair, bytes] = {}
        if self._cache is not None and teacher.key is not None:
            keys = {pair: score_key(teacher.key, pair.query, pair.text) for pair in distinct}
            cached = self._cache.get(list(keys.values()))
            known.update((pair, cached[key]) for pair, key in keys.items() if key in cached)
            self._from_cache += len(known)
        missing = [pair for pair in distinct if pair not in known]
        if missing:
            for places, scores in teacher.score(missing):
                batch = [
                    (missing[place], self._finite_or_none(teacher, missing[place], score))
                    for place, score in zip(places, scores, strict=True)
                ]
                known.update(batch)
                if keys and self._cache is not None:
                    self._cache.put((keys[pair], score) for pair, score in batch if score is not None)
        self._computed += sum(known[pair] is not None for pair in missing)
        return [known[pair] for pair in pairs]

    def _finite_or_none(self, teacher: Teacher, pair: TextPair, score: float | None) -> float | None:
        """Refuse a score that is not finite, or count it and leave it out.

        Raises:
            RdError: the model has gone wrong, and bad scores are not to be skipped.
        """
        if score is None or math.isfinite(score):
            return score
        if not self._skip:
            raise RdError(
                f'query "{pair.query_id}", document "{pair.doc_id}": the score of {teacher.name} is {score} '
                "(try --dtype float32; --on-error skip leaves such scores out)"
            )
        self._not_finite += 1
        return None


def _finite(targets: Scores, steps: list[dict[str, Any]], record: Record) -> list[float]:
    """Return the targets that are not None as float32; raise `RdError` if one is out of its range."""
    for doc, target in zip(record["docs"], targets, strict=True):
        if target is not None and not is_score(target):
            names = ", ".join(next(iter(step)) for step in steps)
            raise RdError(
                f'query "{record["query_id"]}", document "{doc["doc_id"]}": the score {target:g} after '
                f"{names} is not a finite float32"
            )
    return floats([target for target in targets if target is not None])
