"""Teachers without a network: BM25, a run that is there already, and the judgements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdtools.bm25 import open_bm25
from rdtools.errors import UsageError
from rdtools.records import Record
from rdtools.runs import read_run, scores_of
from rdtools.scores import floats
from rdtools.setting import Setting
from rdtools.teachers import Pair, Scored


class Bm25Teacher:
    """`bm25`: the texts of the stream by the statistics of --corpus, --dataset or --index."""

    name = "bm25"
    scale = "bm25"
    key = None
    needs_text = True

    def __init__(self, argument: str, setting: Setting) -> None:
        if argument:
            raise UsageError(f"--teacher bm25:{argument}: bm25 takes no argument (--k1 and --b set it)")
        self._bm25 = open_bm25(setting)

    def score(self, pairs: Sequence[Pair]) -> Iterator[Scored]:
        yield range(len(pairs)), floats([self._bm25.score_text(pair.query, pair.text) for pair in pairs])


class RunTeacher:
    """`run:FILE`: the scores of a run, or the negated ranks of one that has no scores (MS MARCO).

    A document that is not in it gets no score.
    """

    key = None
    needs_text = False

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise UsageError("--teacher run: it needs a file, run:FILE")
        self.name = f"run:{argument}"
        run = read_run(argument, setting)
        of_record = scores_of if run.scale else _negated_ranks
        self.scale = run.scale or "rank"
        self._scores = {query_id: of_record(record) for query_id, record in run.records.items()}
        if not any(self._scores.values()):
            raise UsageError(f"--teacher {self.name}: its documents have neither scores nor ranks")

    def score(self, pairs: Sequence[Pair]) -> Iterator[Scored]:
        yield range(len(pairs)), [self._scores.get(pair.query_id, {}).get(pair.doc_id) for pair in pairs]


def _negated_ranks(record: Record) -> dict[str, float]:
    return {doc["doc_id"]: -float(doc["rank"]) for doc in record["docs"] if "rank" in doc}


class QrelsTeacher:
    """`qrels`: the judged grade, from --qrels, --dataset or the record; 0 for what nobody judged."""

    name = "qrels"
    key = None
    needs_text = False

    def __init__(self, argument: str, setting: Setting) -> None:
        if argument:
            raise UsageError(f"--teacher qrels:{argument}: qrels takes no argument (--qrels names the file)")
        self.scale = setting.score_scale or "unknown"
        self._qrels = setting.collection.qrels

    def score(self, pairs: Sequence[Pair]) -> Iterator[Scored]:
        grades = [self._qrels.get(pair.query_id, {}).get(pair.doc_id, pair.relevance or 0) for pair in pairs]
        yield range(len(pairs)), [float(grade) for grade in grades]
