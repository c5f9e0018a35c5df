"""rd-mine: queries -> records with candidates."""

from __future__ import annotations

from rdtools.cli.command import EntryPoint, need_input
from rdtools.cli.options import Given, refuse_idle
from rdtools.core.shards import Sharding
from rdtools.data.options import CollectionOptions
from rdtools.formats import Reading, Writing
from rdtools.formats.table import RUNS
from rdtools.mine.options import Candidates, Selection
from rdtools.mine.sources import RECORDS, idle_options
from rdtools.models.options import ModelOptions
from rdtools.search.options import AnnOptions, SearchOptions


def mine(
    candidates: Candidates,
    selection: Selection,
    where: CollectionOptions,
    search: SearchOptions,
    ann: AnnOptions,
    model: ModelOptions,
    reading: Reading,
    sharding: Sharding,
    writing: Writing,
    given: Given,
) -> None:
    """Mine candidates for queries: negatives to train with, or a ranking.

    \b
    Examples:
      rd-mine --dataset pydoc:train | rd-label --teacher be:MODEL > train.jsonl
      rd-mine --dataset DIR:test --from bm25 -n all --depth 1000 -f trec > bm25.trec
      rd-mine queries.tsv --corpus corpus.tsv --from bm25 --from dense:MODEL -n 7

    With -n N each record is a training group: all judged positives, then N negatives chosen by --sampling
    from the first --depth candidates of each source. Positives are never among the negatives, by id or by
    equal text. With -n all each record holds what the sources found, in order. With several sources, a
    run keeps this order and has no source scores. "Random" negatives come from the whole corpus (--from
    random) or from a deep pool (--from bm25 --depth 10000 --sampling random).

    A limit with [SOURCE=] may be repeated: a number alone is for all sources, bm25=20 for one. SOURCE is a
    value of --from, or its part before the colon.

    Margins and limits compare a source's own scores, written or not (with several scoring sources none is
    written). Candidates of a source without scores pass, and are counted. --from records with a limit or
    --absolute-margin refuses records on a second scale.

    If --dataset or --queries brings the queries, standard input is read only if - is given; --from records
    takes no queries from --dataset.

    \b
    Reads   queries (BEIR JSONL, query_id TAB text, or records), in batches of those that come within 0.1 s
    Holds   the corpus, its index, the judgements, and the runs of run:FILE
    Writes  each record once its batch is searched; then counts, on stderr
    """
    from rdtools.core.log import track
    from rdtools.core.output import open_output
    from rdtools.core.scores import state_scale
    from rdtools.core.streams import STDIN, unless_empty
    from rdtools.data.collection import open_collection
    from rdtools.formats import encode, encode_runs, expected
    from rdtools.mine.retrieval import Retrieval
    from rdtools.mine.sources import open_source, query_check
    from rdtools.mine.training_groups import TrainingGroups
    from rdtools.search.resources import Resources

    selection.check_sources(candidates.sources)
    _refuse_idle(given, candidates, selection)
    scale = candidates.score_scale
    collection = open_collection(where, reading, search.index, search.memory_bytes)
    brings_queries = where.queries is not None if RECORDS in candidates.sources else collection.has_queries
    paths = candidates.queries_files if brings_queries else need_input(candidates.queries_files) or (STDIN,)
    limited = selection.limits_of(RECORDS).fits_one_scale
    check = query_check(candidates.sources, limited, scale)
    read = sharding.select(expected(collection.queries(paths, check), reading))
    records = unless_empty(state_scale(read, scale))
    with open_output(writing.output) as out:
        if records is not None:
            resources = Resources(collection, search, model, reading, scale, selection.seed, ann=ann)
            sources = [open_source(spec, resources) for spec in candidates.sources]
            corpus = collection.corpus if collection.has_corpus else None
            as_run = writing.format in RUNS
            kind = TrainingGroups if selection.is_group else Retrieval
            miner = kind(sources, selection, collection.qrels, corpus, as_run)
            if as_run:
                runs = track(miner.runs(records), "mining", "query")
                lines = encode_runs(runs, writing.format, reading.strict)
            else:
                lines = encode(track(miner.mine(records), "mining", "query"), writing, reading.strict)
            for data in lines:
                out.write(data)
            miner.report()


def _refuse_idle(given: Given, candidates: Candidates, selection: Selection) -> None:
    """Refuse options of sources that are not used, and options that another makes useless."""
    if not selection.is_group:
        refuse_idle(given, "-n all keeps what the sources found", "sampling")
    if candidates.queries_files:
        refuse_idle(given, f"{candidates.queries_files[0]} brings the queries", "queries")
    for because, field in idle_options(candidates.sources):
        refuse_idle(given, because, field)


main = EntryPoint("rd-mine", mine)
