"""Sources of candidates (`--from`): a class in a module of its own, and a line in SOURCES.

A source is made from its argument and a `Resources`. It gets several search requests at once and returns a
ranking for each, in order. `scale` names the scale of its scores, None if it gives none; `batch` is how many
requests it searches best together. This module imports no numpy, so that --help is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rdtools.core.errors import BadLine, RdError, UsageError
from rdtools.core.records import Record
from rdtools.core.registry import resolve, split_spec
from rdtools.core.scores import OneScale, floats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdtools.data.corpus import Corpus
    from rdtools.search import RankedRows
    from rdtools.search.resources import Resources

RECORDS = "records"
_BM25 = ("k1", "b")
_MODEL = ("device", "dtype", "batch_tokens", "max_length", "trust_remote_code")
_DENSE = (*_MODEL, "index_dtype", "ann", "ann_effort", "ann_oversample")
_SCALE = ("score_scale",)


class SourceEntry(NamedTuple):
    """One line of SOURCES."""

    path: str
    """MODULE:CLASS."""
    help: str
    options: Mapping[str, tuple[str, ...]] = {}
    """The options that not every source reads, by the form of `--from` that reads them."""
    needs_query_text: bool = False


SOURCES = {
    "bm25": SourceEntry("rdtools.mine.sources.bm25:Bm25Source", "bm25", {"bm25": _BM25}, True),
    "random": SourceEntry("rdtools.mine.sources.random_docs:RandomSource", "random (the whole corpus)"),
    "dense": SourceEntry(
        "rdtools.mine.sources.dense:DenseSource", "dense:MODEL", {"dense:MODEL": _DENSE}, True
    ),
    "sparse": SourceEntry(
        "rdtools.mine.sources.sparse:SparseSource", "sparse:MODEL", {"sparse:MODEL": _MODEL}, True
    ),
    "graph": SourceEntry(
        "rdtools.mine.sources.graph:GraphSource",
        "graph (the BM25 neighbours of the positives) or graph:dense:MODEL (their neighbours by embedding)",
        {"graph": _BM25, "graph:dense:MODEL": _DENSE},
    ),
    "run": SourceEntry(
        "rdtools.mine.sources.run_file:RunSource",
        "run:FILE (run:msmarco-run:FILE for ranks)",
        {"run:FILE": _SCALE},
    ),
    RECORDS: SourceEntry(
        "rdtools.mine.sources.records:RecordsSource",
        "records (the docs of the input, by score)",
        {RECORDS: _SCALE},
    ),
}


def idle_options(specs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each option that none of the sources reads: why it does nothing, and its field."""
    readers: dict[str, list[str]] = {}
    for entry in SOURCES.values():
        for form, fields in entry.options.items():
            for name in fields:
                readers.setdefault(name, []).append(form)
    used = {form for spec in specs for form in SOURCES[split_spec(spec)[0]].options if _matches(spec, form)}
    for name, forms in readers.items():
        if used.isdisjoint(forms):
            yield f"no source is {' or '.join(forms)}", name


def _matches(spec: str, form: str) -> bool:
    """Return whether `dense:all-MiniLM` is of the form `dense:MODEL`: both have an argument, or neither."""
    return bool(split_spec(spec)[1]) == bool(split_spec(form)[1])


@dataclass(frozen=True)
class SearchRequest:
    """A query to search for at most `depth` documents, and its positives, whose scores are wanted too."""

    record: Record
    depth: int
    positives: Sequence[str] = ()


@dataclass(frozen=True)
class SourceRanking:
    """The documents that a source returns for one query.

    Attributes:
        doc_ids: best first.
        scores: of these documents; None if the source gives none.
        positives: the scores of the positives, by doc_id.
        rows: the documents' rows in the corpus, if the source searches it.
        unscored: the number of documents that a ranking by score left out because they have none.
    """

    doc_ids: list[str]
    scores: list[float] | None = None
    positives: dict[str, float] = field(default_factory=dict)
    rows: list[int] | None = field(default=None, compare=False)
    unscored: int = 0


class Source(Protocol):
    name: str
    scale: str | None
    batch: int

    def search(self, requests: Sequence[SearchRequest]) -> Iterable[SourceRanking]: ...


class CorpusIndex(Protocol):
    """An index of a corpus; its queries are texts or vectors."""

    def search(self, queries: Any, depths: Sequence[int]) -> Iterable[RankedRows]: ...

    def score_rows(self, query: Any, rows: Sequence[int]) -> NDArray[np.float32]: ...


def search_index(
    index: CorpusIndex, corpus: Corpus, queries: Any, requests: Sequence[SearchRequest]
) -> Iterator[SourceRanking]:
    """Search an index of `corpus` for `queries`, one a request, and score the positives of each.

    Raises:
        RdError: a score is not finite.
    """
    found = index.search(queries, [request.depth for request in requests])
    return (
        _source_ranking(corpus, rows, scores, request.positives, partial(index.score_rows, query))
        for query, request, (rows, scores) in zip(queries, requests, found, strict=True)
    )


def _source_ranking(
    corpus: Corpus,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    positives: Sequence[str],
    score_rows: Callable[[list[int]], NDArray[np.float32]],
) -> SourceRanking:
    import numpy as np

    in_corpus = [doc_id for doc_id in positives if doc_id in corpus.row_of]
    own = score_rows([corpus.row_of[doc_id] for doc_id in in_corpus])
    if not (np.isfinite(scores).all() and np.isfinite(own).all()):
        raise RdError("a score of the model is not finite (try --dtype float32, or another model)")
    positive_scores = floats(own)
    return SourceRanking(
        corpus.doc_ids_at(rows),
        floats(scores),
        dict(zip(in_corpus, positive_scores, strict=True)),
        rows.tolist(),
    )


def open_source(spec: str, resources: Resources) -> Source:
    """Make the source that `--from SPEC` names."""
    name, argument = split_spec(spec)
    source: Source = resolve({known: entry.path for known, entry in SOURCES.items()}, name, "source")(
        argument, resources
    )
    source.name = spec
    return source


def refuse_argument(name: str, argument: str, hint: str) -> None:
    """Raise `UsageError` if a source that takes no argument has one."""
    if argument:
        raise UsageError(f"--from {name}:{argument}: {name} takes no argument ({hint})")


def query_check(
    specs: Iterable[str], limited: bool = False, score_scale: str | None = None
) -> Callable[[Record], None]:
    """Return a check that rejects queries that the sources cannot search.

    It rejects a query without text if a source needs the text. If the candidates of records are `limited` by
    their scores, it rejects scores on a second scale; `score_scale` is the scale of scores that do not say
    theirs.
    """
    kinds = {split_spec(spec)[0] for spec in specs}
    checks = [_check_text] if any(SOURCES[kind].needs_query_text for kind in kinds) else []
    if limited and RECORDS in kinds:
        checks.append(OneScale(score_scale, "no limit fits both: mine each scale by itself").check)

    def check(record: Record) -> None:
        for one in checks:
            one(record)

    return check


def _check_text(record: Record) -> None:
    if "query" not in record:
        raise BadLine(f'query "{record["query_id"]}" has no text', 'field "query" is missing')


def texts_to_search(requests: Sequence[SearchRequest]) -> list[str]:
    """Return the text of each query.

    Raises:
        RdError: one has no text.
    """
    for request in requests:
        if "query" not in request.record:
            raise RdError(f'query "{request.record["query_id"]}" has no text (field "query" is missing)')
    return [request.record["query"] for request in requests]
