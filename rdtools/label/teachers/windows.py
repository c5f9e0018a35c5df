"""Listwise re-ranking: a model ranks windows of documents, from the end of a ranking to its beginning.

Windows, prompt and repair of answers are those of rank_llm (https://github.com/castorini/rank_llm), with the
words of its RankZephyr prompt, which such models are trained with. Sun et al.: Is ChatGPT good at search?
(2023); Pradeep et al.: RankZephyr (2023).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rdtools.core.arrival import batches
from rdtools.core.log import log, plural
from rdtools.core.randomness import generator, shuffled
from rdtools.core.records import Record
from rdtools.formats.records import dump
from rdtools.formats.runs import rank
from rdtools.label.score_cache import answer_key
from rdtools.label.teachers import RecordScores, TeacherResources

RECORDS_AT_ONCE = 64
"""The number of records whose windows are ranked side by side."""
_PATIENCE = 0.5
"""So many seconds a record may wait for others."""

_SYSTEM = (
    "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query"
)
_BEFORE = (
    "I will provide you with {count} passages, each indicated by a numerical identifier []. Rank the "
    "passages based on their relevance to the search query: {query}.\n"
)
_AFTER = (
    "Search Query: {query}.\nRank the {count} passages above based on their relevance to the search query. "
    "All the passages should be included and listed using identifiers, in descending order of relevance. "
    "The output format should be [] > [], e.g., [2] > [1], Answer concisely and directly and only respond "
    "with the ranking results, do not say any word or explain."
)
_DIGITS = str.maketrans(
    "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉①②③④⑤⑥⑦⑧⑨❶❷❸❹❺❻❼❽❾０１２３４５６７８９🄀🄁🄂🄃🄄🄅🄆🄇🄈🄉",
    "0123456789" * 2 + "123456789" * 2 + "0123456789" * 2,
)

Messages = list[dict[str, str]]


class Window(NamedTuple):
    """Some documents of a query, in the order of the ranking so far."""

    query_id: str
    query: str
    doc_ids: list[str]
    texts: list[str]

    def messages(self, words: int) -> Messages:
        """Return the request for a ranking, with the first `words` words of each document."""
        query, count = _without_identifiers(self.query), len(self.texts)
        passages = [_without_identifiers(" ".join(text.split()[:words])) for text in self.texts]
        listed = "".join(f"[{number}] {passage}\n" for number, passage in enumerate(passages, 1))
        before, after = _BEFORE.format(query=query, count=count), _AFTER.format(query=query, count=count)
        return [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": before + listed + after},
        ]


def _without_identifiers(text: str) -> str:
    """Write numbers in brackets, which look like identifiers of passages, in parentheses."""
    return re.sub(r"\[(\d+)\]", r"(\1)", text)


def spans(count: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Return where the windows over `count` documents begin and end, the last window of the ranking first.

    >>> spans(45, 20, 10)
    [(25, 45), (15, 35), (5, 25), (0, 15)]
    """
    found = [(max(0, count - window), count)]
    while (start := found[-1][0]) > 0:
        found.append((max(0, start - stride), found[-1][1] - stride))
    return found


def read_ranking(answer: str, count: int) -> tuple[list[int], str | None]:
    """Return the ranking that an answer gives to `count` documents, as places from 0, and what is wrong.

    Repair: numbers count, whatever stands between them; those that are repeated or of no document are left
    out, and the missing ones follow in their order.

    >>> read_ranking("[3] > [1] > [3] > [9]", 4)
    ([2, 0, 1, 3], 'repetition')
    """
    answer = answer.rpartition("</think>")[2].strip()
    problem = _problem(answer, count)
    text = "".join(sign if sign.isdigit() else " " for sign in answer.translate(_DIGITS))
    try:
        places = [int(number) - 1 for number in text.split()]
    except ValueError:  # digits that are not decimal, or thousands of them
        places = []
    ranked = dict.fromkeys(place for place in places if 0 <= place < count)
    return [*ranked, *(place for place in range(count) if place not in ranked)], problem


def _problem(answer: str, count: int) -> str | None:
    if not re.fullmatch(r"\[\d+\]( > \[\d+\])*", answer):
        return "wrong format"
    numbers = re.findall(r"\d+", answer)
    named = {number.lstrip("0") for number in numbers}
    if len(numbers) < count:
        return "missing documents"
    if len(numbers) > count or len(named) < count:
        return "repetition"
    return None if named == {str(number) for number in range(1, count + 1)} else "missing documents"


class _Ranked:
    """A record whose ranking windows change. `order` has the places of its documents, the best first."""

    def __init__(self, record: Record, companion: Any, resources: TeacherResources) -> None:
        self.record, self.companion = record, companion
        self.order = _first_order(record, resources.seed)
        windows = resources.windows
        self.spans = spans(len(self.order), windows.size, windows.step) if len(self.order) > 1 else []
        self.cached = bool(self.spans)

    def window(self) -> Window:
        """Return the next window."""
        start, end = self.spans[0]
        docs = [self.record["docs"][place] for place in self.order[start:end]]
        ids, texts = [doc["doc_id"] for doc in docs], [doc.get("text", "") for doc in docs]
        return Window(self.record["query_id"], self.record.get("query", ""), ids, texts)

    def rank(self, ranking: Sequence[int]) -> None:
        """Give the documents of the next window the order `ranking`."""
        start, end = self.spans.pop(0)
        part = self.order[start:end]
        self.order[start:end] = [part[place] for place in ranking]

    def scores(self) -> RecordScores:
        scores: list[float | None] = [None] * len(self.order)
        for number, place in enumerate(self.order, 1):
            scores[place] = -float(number)
        return RecordScores(self.companion, scores, "rank", self.cached)


def _first_order(record: Record, seed: int) -> list[int]:
    """Return the places of the documents in the ranking that a record has; without one, in random order.

    The order of documents in a record is no ranking: in training groups the positive comes first.
    """
    docs, places = record["docs"], range(len(record["docs"]))
    if all("score" in doc for doc in docs):
        place_of = {doc["doc_id"]: place for place, doc in enumerate(docs)}
        return [place_of[doc_id] for doc_id, _ in rank({doc["doc_id"]: doc["score"] for doc in docs})]
    if len({doc.get("rank") for doc in docs} - {None}) == len(docs):
        return sorted(places, key=lambda place: docs[place]["rank"])
    return list(shuffled(places, generator(seed, record["query_id"], "listwise")))


class ListwiseTeacher(ABC):
    """Score by the negated rank of a document after all windows: −1 is the best.

    Attributes:
        key: names all that an answer depends on besides the window and the words of its documents.
    """

    needs_text = True
    key: str

    def __init__(self, name: str, resources: TeacherResources) -> None:
        self.name = name
        self._resources = resources
        self._words = resources.windows.words
        self._windows = self._from_cache = 0
        self._problems: Counter[str] = Counter()

    @abstractmethod
    def answers(self, windows: Sequence[Window]) -> Iterator[tuple[int, str]]:
        """Yield the place of each window, and the answer to it, in any order."""

    def score_records(self, records: Iterable[tuple[Record, Any]]) -> Iterator[RecordScores]:
        for some in batches(records, RECORDS_AT_ONCE, _PATIENCE):
            lists = [_Ranked(record, companion, self._resources) for record, companion in some]
            while unfinished := [each for each in lists if each.spans]:
                self._rank_windows(unfinished)
            yield from (each.scores() for each in lists)

    def _rank_windows(self, lists: Sequence[_Ranked]) -> None:
        """Rank the next window of each list."""
        cache = self._resources.cache
        new: list[tuple[_Ranked, Window, bytes]] = []
        for each in lists:
            window = each.window()
            key = (
                b""
                if cache is None
                else answer_key(self.key, dump([window.query_id, window.messages(self._words)]))
            )
            known = None if cache is None else cache.answer(key)
            if known is None:
                new.append((each, window, key))
            else:
                self._from_cache += 1
                self._take(each, window, known.decode())
        for place, answer in self.answers([window for _, window, _ in new]) if new else ():
            each, window, key = new[place]
            each.cached = False
            if cache is not None:
                cache.put_answer(key, answer.encode(errors="replace"))
            self._take(each, window, answer)

    def _take(self, each: _Ranked, window: Window, answer: str) -> None:
        ranking, problem = read_ranking(answer, len(window.texts))
        each.rank(ranking)
        self._windows += 1
        if problem is not None:
            self._problems[problem] += 1

    def report(self) -> None:
        cached = f" ({self._from_cache:,} from the cache)" if self._from_cache else ""
        kinds = ", ".join(f"{count:,} {problem}" for problem, count in self._problems.most_common())
        repaired = (
            f"{plural(self._problems.total(), 'answer')} repaired: {kinds}" if kinds else "no answer repaired"
        )
        log.info("%s: %s%s, %s", self.name, plural(self._windows, "window"), cached, repaired)
