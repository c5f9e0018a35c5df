"""rd-label's room: records -> the same records with teacher scores, window by window, order kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rdtools.cache import ScoreCache, score_key
from rdtools.errors import UsageError
from rdtools.log import log, plural
from rdtools.records import Record
from rdtools.scores import floats, forget_scores
from rdtools.teachers import Pair, Teacher

WINDOW_PAIRS = 1024
"""A window of records is labelled and written when it holds this many pairs."""

RRF_K = 60
Scores = list[float | None]


def minmax(scores: list[float]) -> list[float]:
    """(s − min)/(max − min) within the record; 0 where all are equal."""
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 0.0 for score in scores]


def zscore(scores: list[float]) -> list[float]:
    """(s − mean)/deviation within the record (population deviation); 0 where all are equal."""
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return [(score - mean) / deviation if deviation > 0 else 0.0 for score in scores]


def sigmoid(scores: list[float]) -> list[float]:
    """1/(1 + e^−s) of each."""
    return [1 / (1 + math.exp(-s)) if s >= 0 else math.exp(s) / (1 + math.exp(s)) for s in scores]


NORMALIZE: dict[str, Callable[[list[float]], list[float]]] = {
    "none": lambda scores: scores,
    "minmax": minmax,
    "zscore": zscore,
    "sigmoid": sigmoid,
}


def reciprocal_ranks(scores: Scores) -> Scores:
    """1/(60 + rank) within the record (Cormack et al., 2009); equal scores share the mean of their ranks."""
    ranked = sorted(score for score in scores if score is not None)
    ranks = {
        score: len(ranked) - (ranked.index(score) + (ranked.count(score) - 1) / 2) for score in set(ranked)
    }
    return [None if score is None else 1 / (RRF_K + ranks[score]) for score in scores]


COMBINE: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda scores: math.fsum(scores) / len(scores),
    "max": max,
    "min": min,
    "rrf": math.fsum,
}


@dataclass(frozen=True)
class Target:
    """How teachers' scores become the score of a document: normalised, combined, divided by a temperature."""

    combine: str = "mean"
    normalize: str = "none"
    temperature: float = 1.0

    def scale(self, teachers: Sequence[Teacher]) -> str:
        """Return the scale of the result.

        Raises:
            UsageError: the teachers' scales do not allow what is asked for.
        """
        scales = {teacher.scale for teacher in teachers}
        if self.combine == "rrf" and len(teachers) > 1:
            return "rank"
        if self.normalize == "sigmoid":
            if scales != {"logit"}:
                raise UsageError(
                    f"--normalize sigmoid takes logits, not {' and '.join(sorted(scales - {'logit'}))}"
                )
            return "probability"
        if self.normalize != "none":
            return "unknown"
        if len(scales) > 1:
            names = ", ".join(f"{teacher.name} ({teacher.scale})" for teacher in teachers)
            raise UsageError(
                f"teachers of different scales: {names} (--normalize minmax or zscore, or --combine rrf)"
            )
        return scales.pop()

    def name(self, teachers: Sequence[Teacher]) -> str:
        if len(teachers) == 1:
            return teachers[0].name
        return f"{self.combine}({','.join(teacher.name for teacher in teachers)})"

    def scores(self, by_teacher: Sequence[Scores]) -> Scores:
        """Combine the scores of one record's documents; a document that a teacher did not score gets none."""
        if self.combine == "rrf" and len(by_teacher) > 1:
            parts = [reciprocal_ranks(scores) for scores in by_teacher]
        else:
            parts = [self._normalized(scores) for scores in by_teacher]
        combined: Scores = []
        for document in zip(*parts, strict=True):
            there = [score for score in document if score is not None]
            whole = len(there) == len(document)
            combined.append(COMBINE[self.combine](there) / self.temperature if whole else None)
        return combined

    def _normalized(self, scores: Scores) -> Scores:
        there = [score for score in scores if score is not None]
        if not there:
            return scores
        normal = iter(NORMALIZE[self.normalize](there))
        return [None if score is None else next(normal) for score in scores]


class Labeler:
    """Scores records with `teachers`; remembers scores in `cache`, where one is given."""

    def __init__(
        self, teachers: Sequence[Teacher], target: Target = Target(), cache: ScoreCache | None = None
    ) -> None:
        self._teachers = teachers
        self._target = target
        self._cache = cache
        self._scale = target.scale(teachers)
        self._records = self._pairs = self._from_cache = self._computed = self._unscored = 0

    @property
    def needs_text(self) -> bool:
        return any(teacher.needs_text for teacher in self._teachers)

    def label(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, in order, as soon as their window is scored."""
        window: list[Record] = []
        pairs = 0
        for record in records:
            window.append(record)
            pairs += len(record["docs"])
            if pairs >= WINDOW_PAIRS:
                yield from self._label(window)
                window, pairs = [], 0
        yield from self._label(window)

    def report(self) -> None:
        """Say on stderr what was scored."""
        parts = [
            f"{plural(self._records, 'record')}, {plural(self._pairs, 'pair')}: {self._computed:,} scored"
        ]
        if self._cache is not None:
            parts.append(f"{self._from_cache:,} from the cache")
        if self._unscored:
            parts.append(f"{self._unscored:,} without a score")
        log.info("%s", ", ".join(parts))

    def _label(self, window: list[Record]) -> Iterator[Record]:
        pairs = [
            Pair(
                record["query_id"],
                doc["doc_id"],
                record.get("query", ""),
                doc.get("text", ""),
                doc.get("relevance"),
            )
            for record in window
            for doc in record["docs"]
        ]
        columns = [self._scores(teacher, pairs) for teacher in self._teachers]
        start = 0
        for record in window:
            end = start + len(record["docs"])
            self._write(record, [column[start:end] for column in columns])
            start = end
            yield record
        self._records += len(window)
        self._pairs += len(pairs)

    def _write(self, record: Record, by_teacher: list[Scores]) -> None:
        forget_scores(record)
        combined = self._target.scores(by_teacher)
        written = iter(floats([score for score in combined if score is not None]))
        for place, (doc, score) in enumerate(zip(record["docs"], combined, strict=True)):
            doc.pop("scores", None)
            if score is None:
                doc.pop("score", None)  # it was on another scale
                self._unscored += 1
            else:
                doc["score"] = next(written)
            if len(self._teachers) > 1:
                own = {t.name: column[place] for t, column in zip(self._teachers, by_teacher, strict=True)}
                doc["scores"] = {name: score for name, score in own.items() if score is not None}
        record["teacher"] = self._target.name(self._teachers)
        record["score_scale"] = self._scale
        for key, value, default in (
            ("normalize", self._target.normalize, "none"),
            ("temperature", self._target.temperature, 1.0),
        ):
            if value != default:
                record[key] = value  # type: ignore[literal-required]

    def _scores(self, teacher: Teacher, pairs: list[Pair]) -> Scores:
        """Score each distinct pair once, and none that the cache knows."""
        distinct = list(dict.fromkeys(pairs))
        known: dict[Pair, float | None] = {}
        keys: dict[Pair, bytes] = {}
        if self._cache is not None and teacher.key is not None:
            keys = {pair: score_key(teacher.key, pair.query, pair.text) for pair in distinct}
            remembered = self._cache.get(list(keys.values()))
            known.update((pair, remembered[key]) for pair, key in keys.items() if key in remembered)
            self._from_cache += len(known)
        missing = [pair for pair in distinct if pair not in known]
        if missing:
            for places, scores in teacher.score(missing):
                batch = [(missing[place], score) for place, score in zip(places, scores, strict=True)]
                known.update(batch)
                if keys and self._cache is not None:
                    self._cache.put((keys[pair], score) for pair, score in batch if score is not None)
        self._computed += len(missing)
        return [known[pair] for pair in pairs]
