"""rd-mine's room: queries and sources of candidates -> records, as training groups or as rankings."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

from rdtools.collections import Corpus
from rdtools.log import log, plural
from rdtools.records import QRELS_SOURCE, Doc, Qrels, Record
from rdtools.sampling import generator, uniform
from rdtools.scores import forget_scores
from rdtools.sources import Found, Source, Wanted

RECORDS = "records"
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

    def drops(self, score: float, lowest_positive: float | None) -> str | None:
        """Return the name of the filter that drops a score, or None where it is kept."""
        if self.max_score is not None and score > self.max_score:
            return "max-score"
        if self.min_score is not None and score < self.min_score:
            return "min-score"
        if lowest_positive is not None:
            relative, absolute = self.relative_margin, self.absolute_margin
            if relative is not None and not score < lowest_positive - relative * abs(lowest_positive):
                return "relative-margin"
            if absolute is not None and not score < lowest_positive - absolute:
                return "absolute-margin"
        return None

    @property
    def margins(self) -> bool:
        return self.relative_margin is not None or self.absolute_margin is not None


class Account:
    """How many documents, of how many queries, each source gave and each filter dropped."""

    def __init__(self) -> None:
        self.queries = 0
        self._documents: Counter[tuple[str, str]] = Counter()
        self._queries_of: Counter[tuple[str, str]] = Counter()

    def add(self, counts: Counter[tuple[str, str]]) -> None:
        """Add what was counted for one query, by (source, what happened)."""
        self.queries += 1
        self._documents.update(counts)
        self._queries_of.update(key for key, count in counts.items() if count)

    def lines(self) -> Iterator[str]:
        """The account in words: a line for the whole, then one a source."""
        for source in dict.fromkeys(["", *(source for source, _ in self._documents)]):
            counts = [
                f"{count:,} {key[1]} ({plural(self._queries_of[key], 'query')})"
                for key, count in self._documents.items()
                if key[0] == source and count
            ]
            yield ": ".join([source or plural(self.queries, "query"), *filter(None, [", ".join(counts)])])


class Miner:
    """Turns queries into records with candidates from `sources`; counts what it does in `account`."""

    def __init__(
        self, sources: Sequence[Source], selection: Selection, qrels: Qrels, corpus: Corpus | None
    ) -> None:
        self.account = Account()
        self._sources = sources
        self._selection = selection
        self._group = selection.num_negatives is not None
        self._qrels = qrels
        self._corpus = corpus
        self._batch = max(source.batch for source in sources)
        scoring = [source for source in sources if source.scale is not None]
        self._keeps_docs = any(source.name == RECORDS for source in sources)
        # The scores that records bring along are on a scale of their own: no other may stand beside them.
        self._scoring = scoring[0] if len(scoring) == 1 and not self._keeps_docs else None

    def mine(self, queries: Iterable[Record]) -> Iterator[Record]:
        """Yield one record for each query, in order."""
        queries = iter(queries)
        while records := list(islice(queries, self._batch)):
            batch = [
                _Query(record, self._qrels.get(record["query_id"], {}), self._corpus) for record in records
            ]
            answers = [self._search(source, number, batch) for number, source in enumerate(self._sources, 1)]
            for query, *found in zip(batch, *answers, strict=True):
                yield self._mine(query, found)

    def _search(self, source: Source, number: int, batch: list[_Query]) -> list[Found]:
        """Ask for as many as fill the depth once positives and what earlier sources gave are left out."""
        depth = self._selection.depth * number
        return source.search(
            [
                Wanted(
                    query.record, depth + self._group * (len(query.positives) + _SLACK), list(query.positives)
                )
                for query in batch
            ]
        )

    def _mine(self, query: _Query, answers: list[Found]) -> Record:
        counts: Counter[tuple[str, str]] = Counter()
        pool: list[Doc] = []
        given: set[str] = set()
        for source, found in zip(self._sources, answers, strict=True):
            candidates = self._candidates(query, source, found, given, counts)
            given.update(doc["doc_id"] for doc in candidates)
            pool += self._filtered(candidates[self._selection.range_min :], source, found, counts)
        docs = self._training_group(query, answers, pool, counts) if self._group else pool
        if self._selection.add_positives and not self._group:
            there = {doc["doc_id"] for doc in docs}
            added = [doc for doc in self._positives(query, answers, counts) if doc["doc_id"] not in there]
            counts["", "positives added"] = len(added)
            docs = docs + added
        self.account.add(counts)
        return self._record(query, docs)

    def _training_group(
        self, query: _Query, answers: list[Found], pool: list[Doc], counts: Counter[tuple[str, str]]
    ) -> list[Doc]:
        """All positives, then the negatives that the sampling chooses in the pool."""
        n = self._selection.num_negatives or 0
        rng = generator(self._selection.seed, query.record["query_id"], "negatives")
        negatives = [pool[place] for place in self._selection.sampling(pool, n, rng)]
        positives = self._positives(query, answers, counts)
        counts["", "positives"] = len(positives)
        counts["", "negatives"] = len(negatives)
        counts["", "negatives missing"] = n - len(negatives)
        return positives + negatives

    def _candidates(
        self, query: _Query, source: Source, found: Found, given: set[str], counts: Counter[tuple[str, str]]
    ) -> list[Doc]:
        """The first `depth` documents that may be candidates."""
        kept: list[Doc] = []
        for place, doc_id in enumerate(found.doc_ids):
            if len(kept) == self._selection.depth:
                break
            if doc_id in given:
                counts[source.name, "left out, given by an earlier source"] += 1
            elif not query.knows(doc_id):
                counts[source.name, "left out, not in the corpus"] += 1
            elif self._group and doc_id in query.positives:
                counts[source.name, "left out, positives by id"] += 1
            elif self._group and query.copies_a_positive(doc_id):
                counts[source.name, "left out, copies of a positive"] += 1
            else:
                score = found.scores[place] if found.scores and source is self._scoring else None
                kept.append(self._doc(query, doc_id, score, source.name, place + 1))
        return kept

    def _filtered(
        self, docs: list[Doc], source: Source, found: Found, counts: Counter[tuple[str, str]]
    ) -> list[Doc]:
        lowest = min(found.judged.values(), default=None)
        kept = docs
        if found.scores is not None:
            scores = dict(zip(found.doc_ids, found.scores, strict=True))
            dropped_by = {doc["doc_id"]: self._selection.drops(scores[doc["doc_id"]], lowest) for doc in docs}
            counts.update((source.name, f"dropped by --{name}") for name in dropped_by.values() if name)
            kept = [doc for doc in docs if not dropped_by[doc["doc_id"]]]
        if self._selection.margins and (lowest is None or found.scores is None):
            counts[source.name, "passed unfiltered, no scored positive"] += len(docs)
        counts[source.name, "candidates"] += len(kept)
        return kept

    def _positives(self, query: _Query, answers: list[Found], counts: Counter[tuple[str, str]]) -> list[Doc]:
        """All judged positives, with the rank and score that a source gives them."""
        docs = []
        for doc_id in query.positives:
            if not query.knows(doc_id):
                counts["", "positives not in the corpus"] += 1
                continue
            name, rank, score = QRELS_SOURCE, None, None
            for source, found in zip(self._sources, answers, strict=True):
                if source is self._scoring:
                    score = found.judged.get(doc_id)
                in_depth = found.doc_ids[: self._selection.depth]
                if rank is None and doc_id in in_depth:
                    name, rank = source.name, in_depth.index(doc_id) + 1
            docs.append(self._doc(query, doc_id, score, name, rank))
        return docs

    def _doc(self, query: _Query, doc_id: str, score: float | None, source: str, rank: int | None) -> Doc:
        keep = self._keeps_docs and doc_id in query.own
        doc = query.own[doc_id].copy() if keep else Doc(doc_id=doc_id)
        text = query.text(doc_id)
        if not self._selection.with_text:
            doc.pop("text", None)
        elif text is not None:
            doc["text"] = text
        if doc_id in query.grades:
            doc["relevance"] = query.grades[doc_id]
        if keep:
            return doc
        if score is not None:
            doc["score"] = score
        if rank is not None:
            doc["rank"] = rank
        doc["source"] = source
        return doc

    def _record(self, query: _Query, docs: list[Doc]) -> Record:
        record = query.record.copy()
        record["docs"] = docs
        if not self._keeps_docs:  # the scores of the input, if any, are gone
            forget_scores(record)
            if self._scoring is not None and self._scoring.scale is not None:
                record["score_scale"] = self._scoring.scale
        return record


class _Query:
    """A query with its judgements and the texts of its documents, wherever they are."""

    def __init__(self, record: Record, judged: Mapping[str, int], corpus: Corpus | None) -> None:
        self.record = record
        self.own = {doc["doc_id"]: doc for doc in record["docs"]}
        graded = {doc_id: doc["relevance"] for doc_id, doc in self.own.items() if "relevance" in doc}
        self.grades = graded | dict(judged)
        self.positives = [doc_id for doc_id, grade in self.grades.items() if grade > 0]
        self._corpus = corpus

    def knows(self, doc_id: str) -> bool:
        """Whether there is such a document: in the record, or in the corpus if one is given."""
        return self._corpus is None or doc_id in self.own or doc_id in self._corpus.row_of

    def text(self, doc_id: str) -> str | None:
        doc = self.own.get(doc_id)
        if doc is not None and "text" in doc:
            return doc["text"]
        row = self._corpus.row_of.get(doc_id) if self._corpus is not None else None
        return None if self._corpus is None or row is None else self._corpus.texts[row]

    def copies_a_positive(self, doc_id: str) -> bool:
        """Whether the text is that of a positive, but for case, white space and compatibility forms."""
        text = self.text(doc_id)
        return text is not None and _folded(text) in self._positive_texts

    @cached_property
    def _positive_texts(self) -> set[str]:
        texts = map(self.text, self.positives)
        return {_folded(text) for text in texts if text is not None}


@lru_cache(maxsize=2**17)
def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def report(account: Account) -> None:
    for line in account.lines():
        log.info("%s", line)
