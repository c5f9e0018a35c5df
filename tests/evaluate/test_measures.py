"""Values against trec_eval's library, hand-worked orders, and the parsing of names."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import ir_measures
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from rdtools.core.errors import InputError, UsageError
from rdtools.core.records import Qrels
from rdtools.evaluate import formulas
from rdtools.evaluate.measures import Evaluator, parse_measures
from rdtools.evaluate.rankings import Ranking, Run, read_rankings
from rdtools.evaluate.systems import run_names
from rdtools.formats import Reading

NAMES = {  # ir-measures -> trec_eval
    "nDCG@10": "ndcg_cut_10",
    "nDCG": "ndcg",
    "AP": "map",
    "AP@5": "map_cut_5",
    "RR": "recip_rank",
    "P@5": "P_5",
    "R@3": "recall_3",
    "Rprec": "Rprec",
    "Bpref": "bpref",
    "Success@1": "success_1",
    "NumRet": "num_ret",
    "NumRel": "num_rel",
}
doc_ids = st.text("abcé😀19", min_size=1, max_size=2)
# Few values, some of which are one float32 though they are two float64.
scores = st.sampled_from([0.0, 1.0, 1.000000001, 16777216.0, 16777217.0, -2.5, 1e-50])
runs = st.dictionaries(st.sampled_from("qrst"), st.dictionaries(doc_ids, scores, min_size=1, max_size=12))
judgements = st.dictionaries(
    st.sampled_from("qrsu"), st.dictionaries(doc_ids, st.integers(0, 3), min_size=1, max_size=8), min_size=1
)


def as_run(tmp_path: Path, run: dict[str, dict[str, float]], qrels: Qrels) -> Run:
    path = tmp_path / "run"
    path.write_text("".join(f"{q} Q0 {d} 0 {s!r} tag\n" for q, docs in run.items() for d, s in docs.items()))
    return read_rankings(str(path), qrels, Reading(input_format="trec"))


@settings(max_examples=150)
@given(run=runs, qrels=judgements)
def test_values_are_those_of_trec_eval_ties_included(tmp_path_factory, run, qrels):
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(NAMES.values())).evaluate(run)
    read = as_run(tmp_path_factory.mktemp("run"), run, qrels)
    ours = Evaluator(parse_measures(NAMES), qrels)(read)
    for name, trec_name in NAMES.items():
        assert list(ours[name]) == list(qrels)
        for query_id, value in ours[name].items():
            if query_id in theirs:
                assert value == theirs[query_id][trec_name], name
            elif name == "NumRel":
                assert value == sum(grade >= 1 for grade in qrels[query_id].values())
            else:
                assert value == 0


LEVEL_2 = {
    "RR(rel=2)": "recip_rank",
    "AP(rel=2)": "map",
    "AP(rel=2)@5": "map_cut_5",
    "P(rel=2)@5": "P_5",
    "R(rel=2)@3": "recall_3",
    "Success(rel=2)@1": "success_1",
}


@settings(max_examples=100)
@given(run=runs, qrels=judgements)
def test_values_at_a_higher_relevance_level_are_those_of_trec_eval(tmp_path_factory, run, qrels):
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(LEVEL_2.values()), relevance_level=2).evaluate(run)
    read = as_run(tmp_path_factory.mktemp("run"), run, qrels)
    measures = parse_measures(LEVEL_2)
    assert all(isinstance(measure, formulas.Measure) for measure in measures)
    ours = Evaluator(measures, qrels)(read)
    for query_id, values in theirs.items():
        assert {trec_name: ours[name][query_id] for name, trec_name in LEVEL_2.items()} == values


@settings(max_examples=60)
@given(run=runs, qrels=judgements)
def test_formulas_are_those_of_ir_measures_whoever_provides_them(tmp_path_factory, run, qrels):
    names = ["nDCG@5", "RR@2", "RR(rel=2)@3", "AP", "R@2", "P@3", "Success@2", "NumRet", "NumRel", "NumQ"]
    read = as_run(tmp_path_factory.mktemp("run"), run, qrels)
    ours = Evaluator(parse_measures(names), qrels)
    theirs = Evaluator([*map(ir_measures.parse_measure, names)], qrels)
    assert list(ours.measures) == list(theirs.measures) == names
    found, expected = ours(read, run_queries_only=True), theirs(read, run_queries_only=True)
    for name in names:
        assert found[name] == pytest.approx(expected[name]), name


@settings(max_examples=60)
@given(run=runs, qrels=judgements, depth=st.integers(1, 13))
def test_a_cut_run_is_evaluated_as_if_it_had_ended_there(tmp_path_factory, run, qrels, depth):
    read = as_run(tmp_path_factory.mktemp("run"), run, qrels)
    evaluator = Evaluator(parse_measures(["AP", "NumRet", "RR", "R@100"]), qrels)
    ours, whole = evaluator(read.truncate(depth)), evaluator(read)
    for query_id in qrels:
        assert ours["NumRet"][query_id] == min(depth, whole["NumRet"][query_id])
        rr = whole["RR"][query_id]
        assert ours["RR"][query_id] == (rr if rr >= 1 / depth else 0)
    at_depth = Evaluator(parse_measures([f"AP@{depth}", f"R@{depth}"]), qrels)(read)
    assert ours["AP"] == at_depth[f"AP@{depth}"]
    assert ours["R@100"] == at_depth[f"R@{depth}"]


@pytest.mark.parametrize(
    ("name", "written"),
    [("MAP", "AP"), ("MRR@10", "RR@10"), ("AP(rel=1)", "AP"), ("Recall@5", "R@5"), ("NDCG@10", "nDCG@10")],
)
def test_other_names_of_a_formula(name, written):
    (measure,) = parse_measures([name])
    assert isinstance(measure, formulas.Measure)
    assert str(measure) == written


@pytest.mark.parametrize(
    "name", ["nDCG(dcg='exp-log2')@10", "P(judged_only=True)@3", "Rprec", "NumRet(rel=2)"]
)
def test_what_is_no_formula_is_left_to_ir_measures(name):
    (measure,) = parse_measures([name])
    assert not isinstance(measure, formulas.Measure)


@settings(max_examples=60)
@given(run=runs, qrels=judgements)
def test_a_provider_with_other_ties_sees_the_order_of_trec_eval(tmp_path_factory, run, qrels):
    """ir-measures has RR@12 from MS MARCO's script, which prefers the smaller doc_id; all ranks are below 13."""
    read = as_run(tmp_path_factory.mktemp("run"), run, qrels)
    values = Evaluator([*parse_measures(["RR"]), ir_measures.parse_measure("RR@12")], qrels)(read)
    assert values["RR@12"] == pytest.approx(values["RR"])


@settings(max_examples=60)
@given(data=st.data(), qrels=judgements)
def test_aggregates_are_those_of_ir_measures_without_ties(tmp_path_factory, data, qrels):
    lists = st.lists(doc_ids, unique=True, min_size=1, max_size=12)
    ranked = data.draw(st.dictionaries(st.sampled_from("qrst"), lists, min_size=1))
    run = {
        query_id: {d: float(99 - place) for place, d in enumerate(ids)} for query_id, ids in ranked.items()
    }
    names = [
        "nDCG@10",
        "RR@10",
        "AP(rel=2)",
        "R@100",
        "Judged@5",
        "P(judged_only=True)@3",
        "NumRet",
        "Compat",
    ]
    evaluator = Evaluator(parse_measures(names), qrels)
    ours = evaluator.aggregate(evaluator(as_run(tmp_path_factory.mktemp("run"), run, qrels)))
    theirs = {}
    for measure in map(ir_measures.parse_measure, names):  # together, one's judged_only holds for NumRet too
        theirs[str(measure)] = ir_measures.calc_aggregate([measure], qrels, run)[measure]
    assert ours == pytest.approx(theirs)


def test_a_tie_by_hand(tmp_path):
    """d1 and d2 tie, the larger id goes first, so that the relevant d1 stands second."""
    qrels = {"q": {"d1": 1}, "missing": {"d1": 1}}
    run = as_run(tmp_path, {"q": {"d1": 1.0, "d2": 1.0}, "unjudged": {"d1": 1.0}}, qrels)
    assert run == Run({"q": Ranking({"d1": 2}, 2)}, "tag", 1)
    evaluator = Evaluator(parse_measures(["RR", "nDCG@10", "NumQ", "NumRel"]), qrels)
    assert evaluator.aggregate(evaluator(run)) == pytest.approx(
        {"RR": 0.25, "nDCG@10": 1 / math.log2(3) / 2, "NumQ": 2, "NumRel": 2}
    )
    assert evaluator.aggregate(evaluator(run, run_queries_only=True)) == pytest.approx(
        {"RR": 0.5, "nDCG@10": 1 / math.log2(3), "NumQ": 1, "NumRel": 1}
    )


def test_counts_beside_a_measure_of_judged_documents_only():
    """ir-measures would count the judged ones where such a measure stands first."""
    evaluator = Evaluator(parse_measures(["P(judged_only=True)@1", "NumRet"]), {"q": {"d1": 1}})
    values = evaluator(Run({"q": Ranking({"d1": 3}, 5)}, "", 0))
    assert values == {"P(judged_only=True)@1": {"q": 1}, "NumRet": {"q": 5}}


@pytest.mark.skipif(shutil.which("perl") is None, reason="gdeval is a Perl script")
def test_numbered_queries_reach_gdeval(tmp_path):
    """ERR of a first document of the highest grade 4 is (2^4 − 1) / 2^4; gdeval's queries are numbers."""
    qrels = {"some query": {"d1": 4}}
    evaluator = Evaluator(parse_measures(["ERR@10"]), qrels)
    assert evaluator(Run({"some query": Ranking({"d1": 1}, 1)}, "", 0)) == {"ERR@10": {"some query": 0.9375}}


def test_records_of_one_query_are_merged_and_added_positives_ignored(tmp_path):
    path = tmp_path / "records"
    path.write_text(
        '{"query_id":"q","docs":[{"doc_id":"p","score":9,"source":"qrels"},{"doc_id":"a","score":1}]}\n'
        '{"query_id":"r","docs":[]}\n'
        '{"query_id":"s","docs":[{"doc_id":"x","rank":9},{"doc_id":"b","rank":1}]}\n'
        '{"query_id":"q","docs":[{"doc_id":"b","score":2},{"doc_id":"unscored"}]}\n'
    )
    run = read_rankings(str(path), {"q": {"a": 1}, "r": {}, "s": {"b": 0}}, Reading())
    assert run.rankings == {"q": Ranking({"a": 2}, 2), "s": Ranking({"b": 2}, 2)}


def test_a_run_of_ranks_goes_by_rank(tmp_path):
    path = tmp_path / "run"
    path.write_text("q\tc\t3\nr\tz\t1\nq\ta\t1\nq\tb\t2\n")
    run = read_rankings(str(path), {"q": {"c": 1, "a": 0}}, Reading(input_format="msmarco-run"))
    assert run.rankings == {"q": Ranking({"a": 1, "c": 3}, 3)}


def test_a_teacher_that_scored_no_document_has_no_ranking(tmp_path):
    record = '{"query_id":"q","docs":[{"doc_id":"a","rank":1},{"doc_id":"b","rank":2}],"teacher":"t"'
    for scale in ("rank", "unknown"):
        (tmp_path / "run").write_text(f'{record},"score_scale":"{scale}"}}\n')
        assert read_rankings(str(tmp_path / "run"), {"q": {"a": 1}}, Reading()).rankings == {}


def test_ranks_of_another_source_do_not_stand_beside_negated_ranks(tmp_path):
    """A teacher of ranks scored b; the rank of a is BM25's."""
    docs = '[{"doc_id":"a","rank":1,"source":"bm25"},{"doc_id":"b","rank":2,"score":-7,"source":"bm25"}]'
    (tmp_path / "run").write_text(f'{{"query_id":"q","docs":{docs},"teacher":"t","score_scale":"rank"}}\n')
    run = read_rankings(str(tmp_path / "run"), {"q": {"a": 1, "b": 0}}, Reading())
    assert run.rankings == {"q": Ranking({"b": 1}, 1)}


def test_a_document_twice_is_bad(tmp_path):
    path = tmp_path / "run"
    record = '{"query_id":"q","docs":[{"doc_id":"d"}]}\n'
    path.write_text(record + record)
    with pytest.raises(InputError, match=r'run:2: document "d" is repeated for query "q"$'):
        read_rankings(str(path), {"q": {}}, Reading())


def test_a_query_without_a_grade_of_zero_or_more_counts_as_zero():
    """trec_eval's library does not end, or says anything, for such a query."""
    names = ["Rprec", "Bpref", "IPrec@0.1", "Judged@1"]
    evaluator = Evaluator(parse_measures(names), {"q": {"d1": -1, "d2": -2}, "r": {"d1": 1}})
    for _ in range(20):
        values = evaluator(Run({"q": Ranking({"d1": 1}, 3), "r": Ranking({"d1": 1}, 3)}, "", 0))
        assert {name: list(values[name].values()) for name in names[:3]} == {
            name: [0, 1] for name in names[:3]
        }


def test_no_query_at_all():
    evaluator = Evaluator(parse_measures(["AP"]), {"q": {"d": 1}})
    assert evaluator.aggregate(evaluator(Run({}, "", 0))) == {"AP": 0.0}
    assert math.isnan(evaluator.aggregate(evaluator(Run({}, "", 0), run_queries_only=True))["AP"])


def test_names_are_split_at_blanks_outside_parentheses():
    names = ["nDCG@10  AP(rel=2, judged_only=True)", "nDCG@10", "MAP"]
    assert list(map(str, parse_measures(names))) == ["nDCG@10", "AP(rel=2,judged_only=True)", "AP"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@10", "unknown measure 'ndgc@10'; did you mean 'nDCG@10'?"),
        ("nDCG10", "unknown measure 'nDCG10'; did you mean 'nDCG@10'?"),
        ("ndcg10", "unknown measure 'ndcg10'; did you mean 'nDCG@10'?"),
        ("p5", "unknown measure 'p5'; did you mean 'P@5'?"),
        ("ndcg_10", "unknown measure 'ndcg_10'; did you mean 'nDCG@10'?"),
        ("recall@100", "unknown measure 'recall@100'; did you mean 'R@100'?"),
        ("mrr@10", "unknown measure 'mrr@10'; did you mean 'RR@10'?"),
        ("hit@1", "unknown measure 'hit@1'; did you mean 'Success@1'?"),
        ("map@10", "unknown measure 'map@10'; did you mean 'AP@10'?"),
        ("xyzzy", "unknown measure 'xyzzy'"),
        ("P", "measure 'P': it needs cutoff"),
        ("P@0", "measure 'P@0': the cutoff must be at least 1"),
        ("AP(foo=1)", "measure 'AP(foo=1)': unsupported params found: ['foo']"),
    ],
)
def test_names_that_do_not_do(name, message):
    with pytest.raises(UsageError) as error:
        parse_measures([name])
    assert str(error.value) == message


@pytest.mark.parametrize(
    "name",
    [
        *("ndcg_cut_10", "ndcg_cut.5,10", "recall_100", "P_5", "map_cut_100", "success_1"),
        *("iprec_at_recall_0.1", "map", "ndcg", "recip_rank", "Rprec", "bpref", "infAP", "num_q", "num_ret"),
        *("num_rel", "num_rel_ret", "set_P", "set_recall", "set_F", "set_map", "set_relative_P"),
    ],
)
def test_names_of_trec_eval_are_those_of_ir_measures(name):
    assert list(map(str, parse_measures([name]))) == list(map(str, ir_measures.parse_trec_measure(name)))


def test_runs_are_named_by_stem_or_in_full():
    assert run_names(["x/bm25.run.gz", "a.b.run", "-"]) == ["bm25", "a.b", ""]
    assert run_names(["x/bm25.run", "y/bm25.run", "z.run"]) == ["x/bm25.run", "y/bm25.run", "z"]
