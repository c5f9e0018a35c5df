"""Groups: what is drawn, what is left out, and that it depends on the seed alone."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

from rdtools.core.errors import RdError, UsageError
from rdtools.core.randomness import sample_places
from rdtools.train.groups import Group, Groups
from rdtools.train.in_batch import add_in_batch_negatives
from rdtools.train.losses.objective import objective
from rdtools.train.options import GroupOptions
from rdtools.train.usable import Document


def record(query_id="q1", positives=1, negatives=5, **fields):
    docs = [
        {
            "doc_id": f"d{i}",
            "text": f"text {i} of {query_id}",
            "score": float(i),
            "relevance": int(i < positives),
        }
        for i in range(positives + negatives)
    ]
    return {
        "query_id": query_id,
        "query": f"query {query_id}",
        "docs": docs,
        "score_scale": "logit",
        **fields,
    }


def ids(group):
    return [document.doc_id for document in group.documents]


def test_a_group_is_one_positive_and_distinct_negatives():
    groups = Groups([record(positives=3, negatives=9)], objective("lce"), GroupOptions(group_size=4))
    seen = set()
    for group in groups.slice(0, 60):  # 60 epochs of one group
        assert [document.positive for document in group.documents] == [True, False, False, False]
        assert len(set(ids(group))) == 4
        assert group.relevant == {"d0", "d1", "d2"}
        seen.update(ids(group))
    assert seen == {f"d{i}" for i in range(12)}


def test_all_positives_together_leave_room_for_a_negative():
    groups = Groups(
        [record(positives=3, negatives=2)], objective("lce"), GroupOptions(group_size=4, positives="all")
    )
    assert sorted(ids(groups.slice(0, 1)[0]))[:3] == ["d0", "d1", "d2"]
    groups = Groups(
        [record(positives=9, negatives=2)], objective("lce"), GroupOptions(group_size=4, positives="all")
    )
    assert [document.positive for document in groups.slice(0, 1)[0].documents] == [True, True, True, False]


def test_distillation_takes_groups_without_a_positive():
    groups = Groups([record(positives=0, negatives=6)], objective("ranknet"), GroupOptions(group_size=4))
    assert len(ids(groups.slice(0, 1)[0])) == 4
    with pytest.raises(RdError, match=r"^nothing to train on \(this loss needs documents with relevance > 0"):
        Groups([record(positives=0)], objective("lce"))


def test_what_is_drawn_depends_on_seed_epoch_and_query():
    records = [record(f"q{i}", negatives=20) for i in range(7)]
    make = lambda seed, some=records: Groups(some, objective("kl"), GroupOptions(group_size=4, seed=seed))  # noqa: E731
    first = make(0).slice(0, 21)
    assert first == make(0).slice(0, 21)
    assert first == [group for i in range(21) for group in make(0).slice(i, i + 1)]
    assert first != make(1).slice(0, 21)
    for epoch in range(3):
        queries = [group.query for group in first[7 * epoch : 7 * epoch + 7]]
        assert sorted(queries) == [f"query q{i}" for i in range(7)]
    assert [g.query for g in first[:7]] != [g.query for g in first[7:14]]
    by_query = [{g.query: ids(g) for g in first[7 * e : 7 * e + 7]} for e in range(2)]
    assert by_query[0] != by_query[1]


def test_the_draw_is_pinned():
    """If this changes, so does what every user's seed means."""
    assert sample_places(range(10), 4, random.Random("0\t0\tq1\t0")) == [2, 1, 9, 4]
    counts = dict.fromkeys(range(4), 0)
    rng = random.Random(5)
    for _ in range(4000):
        for item in sample_places(range(4), 2, rng):
            counts[item] += 1
    assert all(abs(count - 2000) < 150 for count in counts.values())


def test_unusable_documents_and_queries_are_left_out_and_counted(caplog):
    scoreless, textless = record("q2", negatives=3), record("q3")
    del scoreless["docs"][1]["score"]
    del textless["docs"][2]["text"]
    no_positive = record("q4", positives=0)
    no_negative = record("q5", negatives=0)
    positive_without_score = record("q6")
    del positive_without_score["docs"][0]["score"]
    no_query = record("q7")
    del no_query["query"]
    everything = [record(), scoreless, textless, no_positive, no_negative, positive_without_score, no_query]
    caplog.set_level("INFO", logger="rdtools")
    groups = Groups(everything, objective("margin-mse"))
    assert sorted(len(group.documents) for group in groups.slice(0, len(groups))) == [3, 5, 6]
    assert caplog.messages == [
        "2 documents without score left out",
        "1 document without text left out",
        "2 queries without a positive left out",
        "1 query without a negative left out",
        "1 query without text left out",
        "3 groups of up to 6 documents",
    ]


@pytest.mark.parametrize(
    ("records", "loss", "message"),
    [
        ([], "lce", "nothing to train on (the input is empty)"),
        (
            [{"query_id": "1", "query": "a", "docs": [{"doc_id": "x"}, {"doc_id": "y"}]}],
            "lce",
            'nothing to train on (give --corpus or --dataset, or records with "text")',
        ),
        (
            [{"query_id": "1", "query": "a", "docs": [{"doc_id": x, "text": x} for x in "abc"]}],
            "ranknet",
            "nothing to train on (label the records with rd-label first)",
        ),
        (
            [record(), record("q2", score_scale="cosine")],
            "kl",
            "the records mix score scales: cosine, logit (label them with one teacher)",
        ),
    ],
)
def test_nothing_to_train_on_is_an_error_with_a_hint(records, loss, message):
    with pytest.raises(RdError) as error:
        Groups(records, objective(loss))
    assert str(error.value) == message


def test_score_scale_speaks_for_records_that_do_not_say():
    silent = record()
    del silent["score_scale"]
    with pytest.raises(UsageError, match="scores of unknown scale"):
        Groups([silent], objective("kl"))
    assert Groups([silent], objective("kl"), score_scale="logit").scales == {"logit"}
    with pytest.raises(UsageError, match="probabilities"):
        Groups([record(score_scale="probability")], objective("kl"), score_scale="logit")


def test_cosine_teachers_at_temperature_1_are_warned_about_once(caplog):
    records = [record(f"q{i}", score_scale="cosine") for i in range(3)]
    Groups(records, objective("kl").with_temperatures(1.0, None))
    assert [message for message in caplog.messages if "nearly uniform" in message] == [
        "softmax over cosines is nearly uniform at temperature 1, so there is little to learn "
        "(--teacher-temperature 0.05 may suit)"
    ]
    caplog.clear()
    Groups(records, objective("kl"))  # its temperature is fitted later
    Groups(records, objective("kl").with_temperatures(0.05, None))
    Groups(records, objective("margin-mse"))
    assert not caplog.messages


def test_ranks_without_scores_teach_their_order():
    docs: list[Any] = [{"doc_id": f"d{r}", "text": f"t{r}", "rank": r} for r in (2, 1, 3)]
    groups = Groups(
        [{"query_id": "1", "query": "a", "docs": docs, "score_scale": "rank"}], objective("ranknet")
    )
    assert {document.doc_id: document.score for document in groups.slice(0, 1)[0].documents} == {
        "d1": -1.0, "d2": -2.0, "d3": -3.0,
    }  # fmt: skip


def test_count_within_stops_before_the_limit():
    records = [record(f"q{i}", negatives=1 + i) for i in range(4)]  # groups of 2, 3, 4, 5
    groups = Groups(records, objective("lce"))
    for limit in range(1, 40):
        count = groups.count_within(limit)
        assert sum(len(group.documents) for group in groups.slice(0, count)) <= limit
        assert sum(len(group.documents) for group in groups.slice(0, count + 1)) > limit


def test_fingerprint_is_of_the_data():
    fingerprint = Groups([record()], objective("lce")).fingerprint
    assert fingerprint == Groups([record()], objective("lce"), GroupOptions(seed=1)).fingerprint
    assert fingerprint != Groups([record("q2")], objective("lce")).fingerprint


def test_what_was_done_to_the_scores_is_remembered():
    halved = {"transformations": [{"temperature": 2.0}]}
    groups = Groups(
        [record("q1", **halved), record("q2", **halved), record("q3", teacher="ce")], objective("kl")
    )
    about = groups.provenance
    assert about["transformations"] == [[{"temperature": 2.0}]]
    assert (about["teachers"], about["score_scales"], "augmentation" in about) == (["ce"], ["logit"], False)


def test_in_batch_negatives_are_never_known_positives():
    def doc(doc_id, text, positive=False):
        return Document(doc_id, text, 0.0, positive)

    one = Group("a", [doc("p", "P", True), doc("n", "N")], frozenset({"p", "z"}))
    two = Group("b", [doc("z", "Z", True), doc("p2", "P"), doc("m", "M"), doc("n", "N")], frozenset({"z"}))
    shared = add_in_batch_negatives([one, two])
    assert [(d.doc_id, d.positive) for d in shared[0].documents] == [("p", True), ("n", False), ("m", False)]
    assert [d.doc_id for d in shared[1].documents] == ["z", "p2", "m", "n"]


def test_folded_texts_of_other_groups_are_the_same_text():
    one = Group("a", [Document("p", "The Wing", None, True)], frozenset({"p"}))
    two = Group(
        "b", [Document("q", "the  wing", None, True), Document("r", "jet", None, False)], frozenset({"q"})
    )
    shared = add_in_batch_negatives([one, two])
    assert [ids(group) for group in shared] == [["p", "r"], ["q", "r"]]
    assert [(group.in_batch_negatives, len(group.own)) for group in shared] == [(1, 1), (0, 2)]


def test_each_loss_of_a_sum_takes_what_it_can_use(caplog):
    scoreless, unjudged = record("q2", negatives=3), record("q3", positives=0)
    for doc in scoreless["docs"]:
        del doc["score"]
    neither = record("q4", positives=0)
    for doc in neither["docs"]:
        del doc["score"]
    groups = Groups([record(), scoreless, unjudged, neither], objective("kl+lce"))
    assert sorted(group.query for group in groups.slice(0, 3)) == ["query q1", "query q2", "query q3"]
    (group,) = (group for group in groups.slice(0, 3) if group.query == "query q2")
    assert [document.score for document in group.documents] == [None] * 4
    assert caplog.messages == [
        "1 query without two documents to compare left out",
        "1 query without two documents to compare not used by kl",
        "1 query without a positive not used by lce",
    ]


def test_a_loss_of_a_sum_that_has_nothing_is_an_error():
    with pytest.raises(RdError) as error:
        Groups([record(positives=0)], objective("kl+lce"))
    hint = "this loss needs documents with relevance > 0; ranknet and kl do not"
    assert str(error.value) == f"nothing to train lce on, of --loss kl+lce ({hint})"


def test_what_a_loss_needs_decides_which_groups_there_are():
    lonely = record("q2", positives=1, negatives=0)
    for loss, count in (("lce", 1), ("kl", 1), ("infonce", 2), ("mse", 2), ("bce-hard", 2)):
        assert len(Groups([record(), lonely], objective(loss))) == count, loss


def test_another_process_draws_the_same_groups():
    groups = Groups(
        [record(f"q{i}", negatives=9) for i in range(5)],
        objective("kl"),
        GroupOptions(group_size=4),
        shared=True,
    )
    sent = pickle.dumps(groups)
    assert b"negative" not in sent  # no text
    copy = pickle.loads(sent)
    copy.open(groups.path)
    groups.path.unlink()
    assert copy.slice(0, 12) == groups.slice(0, 12)
    assert copy.provenance == groups.provenance
