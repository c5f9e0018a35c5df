"""rd-mine's room: queries and sources of candidates -> records, as training groups or as rankings."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from rdtools.collections import Corpus
from rdtools.log import log, plural
from rdtools.records import QRELS_SOURCE, Doc, Qrels, Record
from rdtools.sampling import generator, uniform
from rdtools.sources import Found, Source, Wanted

_SLACK = 16  # candidates asked for beyond those needed, in place of copies of a positive


@dataclass(frozen=True)
class Selection:
    """What is kept of the candidates. `num_negatives` None keeps all: retrieval, not a training group.

    A margin is measured from s⁺, the lowest score of a positive in the same source: `relative_margin` R
    keeps scores below s⁺ − R·|s⁺|, `absolute_margin` M those below s⁺ − M (2407.15831).
    """

    num_negatives: int | None = 15
    depth: int = 100
    range_min: int = 0
    sampling: Callable[[Sequence[Doc], int, random.Random], list[int]] = uniform
    relative_margin: float | None = None
    absolute_margin: float | None = None
    max_score: float | None = None
    min_score: float | None = None
    add_positives: bool = False
    with_text: bool = True
    seed: int = 0

    def keeps(self, score: float, lowest_positive: float | None) -> str | None:
        """Return the name of the filter that drops a score, or None where it is kept."""
        if self.max_score is not None and score > self.max_score:
            return "max-score"
        if self.min_score is not None and score < self.min_score:
            return "min-score"
        if lowest_positive is not None:
            if self.relative_margin is not None:
                if not score < lowest_positive - self.relative_margin * abs(lowest_positive):
                    return "relative-margin"
            if self.absolute_margin is not None and not score < lowest_positive - self.absolute_margin:
                return "absolute-margin"
        return None


@dataclass
class Account:
    """How many documents, and of how many queries, each source gave and each filter dropped."""

    queries: int = 0
    documents: Counter[tuple[str, str]] = field(default_factory=Counter)
    queries_of: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Add what was counted for one query."""
        self.queries += 1
        self.documents.update(counts)
        self.queries_of.update(counts.keys())

    def lines(self) -> Iterator[str]:
        """The account in words: a line for the whole, then one a source."""
        for source in dict.fromkeys(["", *(source for source, _ in self.documents)]):
            counts = [
                f"{self.documents[key]:,} {key[1]} of {plural(self.queries_of[key], 'query')}"
                for key in self.documents
                if key[0] == source
            ]
            yield ", ".join([f"{source}:" if source else plural(self.queries, "query"), *counts]).replace(
                ":,", ":", 1
            )


class Miner:
    """Turns queries into records with candidates from `sources`; counts what it does in `account`."""

    def __init__(
        self, sources: Sequence[Source], selection: Selection, qrels: Qrels, corpus: Corpus | None
    ) -> None:
        self.account = Account()
        self._sources = sources
        self._selection = selection
        self._qrels = qrels
        self._corpus = corpus
        scoring = [source for source in sources if source.scale is not None]
        self._scoring = scoring[0] if len(scoring) == 1 else None
        self._batch = max(source.batch for source in sources)

    def mine(self, queries: Iterable[Record]) -> Iterator[Record]:
        """Yield one record for each query, in order."""
        queries = iter(queries)
        while batch := list(islice(queries, self._batch)):
            yield from self._mine_batch(batch)

    def _mine_batch(self, batch: list[Record]) -> Iterator[Record]:
        queries = [_Query(record, self._qrels.get(record["query_id"], {}), self._corpus) for record in batch]
        group = self._selection.num_negatives is not None
        answers = []
        for number, source in enumerate(self._sources):
            wanted = []
            for query in queries:
                # Enough to fill the depth after what an earlier source may have given already.
                depth = self._selection.depth * (number + 1)
                positives = list(query.positives)
                if group:
                    depth += len(positives) + _SLACK
                wanted.append(Wanted(query.record, depth, positives))
            answers.append(source.search(wanted))
        for place, query in enumerate(queries):
            found = [answer[place] for answer in answers]
            yield self._group(query, found) if group else self._ranking(query, found)

    def _group(self, query: _Query, answers: list[Found]) -> Record:
        """Positives, then the negatives chosen from the pool that the sources and filters leave."""
        counts: Counter[tuple[str, str]] = Counter()
        positive_texts = {_folded(query.text(doc_id)) for doc_id in query.positives} - {None}
        rank_of_positive: dict[str, tuple[str, int]] = {}
        pool: list[Doc] = []
        given: set[str] = set()
        for source, found in zip(self._sources, answers, strict=True):
            lowest = min(found.judged.values(), default=None)
            kept: list[Doc] = []
            for rank, doc_id in enumerate(found.doc_ids, start=1):
                if len(kept) == self._selection.depth:
                    break
                if doc_id in query.positives:
                    rank_of_positive.setdefault(doc_id, (source.name, rank))
                    counts[source.name, "positives by id"] += 1
                elif doc_id in given:
                    counts[source.name, "given by an earlier source"] += 1
                elif positive_texts and _folded(query.text(doc_id)) in positive_texts:
                    counts[source.name, "copies of a positive"] += 1
                elif not query.knows(doc_id):
                    counts[source.name, "not in the corpus"] += 1
                else:
                    kept.append(self._candidate(query, source, doc_id, rank, found))
            given.update(doc["doc_id"] for doc in kept)
            pool += self._filtered(kept[self._selection.range_min :], source, found, lowest, counts)
        n = self._selection.num_negatives or 0
        rng = generator(self._selection.seed, query.record["query_id"], "negatives")
        negatives = [pool[place] for place in self._selection.sampling(pool, n, rng)]
        positives = self._positives(query, answers, rank_of_positive, counts)
        counts["", "positives"] = len(positives)
        counts["", "negatives"] = len(negatives)
        if len(negatives) < n:
            counts["", "negatives missing"] = n - len(negatives)
        self.account.add(+counts)
        return self._record(query, positives + negatives)

    def _ranking(self, query: _Query, answers: list[Found]) -> Record:
        """What the sources found, in order."""
        counts: Counter[tuple[str, str]] = Counter()
        docs: list[Doc] = []
        given: set[str] = set()
        for source, found in zip(self._sources, answers, strict=True):
            kept = []
            for rank, doc_id in enumerate(found.doc_ids, start=1):
                if len(kept) == self._selection.depth:
                    break
                if doc_id in given:
                    counts[source.name, "given by an earlier source"] += 1
                elif not query.knows(doc_id):
                    counts[source.name, "not in the corpus"] += 1
                else:
                    kept.append(self._candidate(query, source, doc_id, rank, found))
            given.update(doc["doc_id"] for doc in kept)
            lowest = min(found.judged.values(), default=None)
            docs += self._filtered(kept[self._selection.range_min :], source, found, lowest, counts)
        counts["", "documents"] = len(docs)
        if self._selection.add_positives:
            there = {doc["doc_id"] for doc in docs}
            added = [doc for doc in self._positives(query, answers, {}, counts) if doc["doc_id"] not in there]
            counts["", "positives added"] = len(added)
            docs += added
        self.account.add(+counts)
        return self._record(query, docs)

    def _candidate(self, query: _Query, source: Source, doc_id: str, rank: int, found: Found) -> Doc:
        if doc_id in query.own and source.name == "records":
            return query.own[doc_id]
        score = found.scores[rank - 1] if found.scores and source is self._scoring else None
        return self._doc(query, doc_id, score, rank, source.name)

    def _filtered(
        self,
        docs: list[Doc],
        source: Source,
        found: Found,
        lowest: float | None,
        counts: Counter[tuple[str, str]],
    ) -> list[Doc]:
        selection = self._selection
        margins = selection.relative_margin is not None or selection.absolute_margin is not None
        if margins and (lowest is None or found.scores is None):
            counts[source.name, "not filtered, no scored positive"] += len(docs)
        kept = docs
        if found.scores is not None:
            scores = dict(zip(found.doc_ids, found.scores, strict=True))
            kept = []
            for doc in docs:
                dropped_by = selection.keeps(scores[doc["doc_id"]], lowest)
                if dropped_by is None:
                    kept.append(doc)
                else:
                    counts[source.name, f"dropped by --{dropped_by}"] += 1
        counts[source.name, "candidates"] += len(kept)
        return kept

    def _positives(
        self,
        query: _Query,
        answers: list[Found],
        rank_of: dict[str, tuple[str, int]],
        counts: Counter[tuple[str, str]],
    ) -> list[Doc]:
        """All judged positives, best grade first as the judgements have them, with their score where there is one."""
        scores: dict[str, float] = {}
        for source, found in zip(self._sources, answers, strict=True):
            if source is self._scoring:
                scores = found.judged
        docs = []
        for doc_id in query.positives:
            if doc_id in query.own and self._keeps_own_docs:
                docs.append(query.own[doc_id])
            elif query.knows(doc_id):
                name, rank = rank_of.get(doc_id, (QRELS_SOURCE, None))
                docs.append(self._doc(query, doc_id, scores.get(doc_id), rank, name))
            else:
                counts["", "positives not in the corpus"] += 1
        return docs

    def _doc(self, query: _Query, doc_id: str, score: float | None, rank: int | None, source: str) -> Doc:
        doc: Doc = {"doc_id": doc_id}
        text = query.text(doc_id) if self._selection.with_text else None
        if text is not None:
            doc["text"] = text
        if doc_id in query.grades:
            doc["relevance"] = query.grades[doc_id]
        if score is not None:
            doc["score"] = score
        if rank is not None:
            doc["rank"] = rank
        doc["source"] = source
        return doc

    @property
    def _keeps_own_docs(self) -> bool:
        return any(source.name == "records" for source in self._sources)

    def _record(self, query: _Query, docs: list[Doc]) -> Record:
        record = query.record.copy()
        if not self._selection.with_text:
            docs = [{key: value for key, value in doc.items() if key != "text"} for doc in docs]  # type: ignore[misc]
        record["docs"] = docs
        if not self._keeps_own_docs:  # the scores of the input, if any, are gone
            record.pop("teacher", None)
            record.pop("score_scale", None)
            if self._scoring is not None and self._scoring.scale is not None:
                record["score_scale"] = self._scoring.scale
        return record


class _Query:
    """A query with its judgements and the texts of its documents, wherever they are."""

    def __init__(self, record: Record, grades: Mapping[str, int], corpus: Corpus | None) -> None:
        self.record = record
        self.own = {doc["doc_id"]: doc for doc in record["docs"]}
        self.grades = {
            doc_id: doc["relevance"] for doc_id, doc in self.own.items() if "relevance" in doc
        } | dict(grades)
        self.positives = {doc_id: grade for doc_id, grade in self.grades.items() if grade > 0}
        self._corpus = corpus

    def knows(self, doc_id: str) -> bool:
        """Whether there is such a document: in the record, or in the corpus if one is given."""
        return self._corpus is None or doc_id in self.own or doc_id in self._corpus.row_of

    def text(self, doc_id: str) -> str | None:
        text = self.own.get(doc_id, {}).get("text")
        if text is None and self._corpus is not None and (row := self._corpus.row_of.get(doc_id)) is not None:
            text = self._corpus.texts[row]
        return text


@lru_cache(maxsize=2**17)
def _folded(text: str | None) -> str | None:
    """Equal for texts that differ in case, white space and compatibility characters only (NFKC)."""
    return None if text is None else " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def report(account: Account) -> None:
    for line in account.lines():
        log.info("%s", line)
