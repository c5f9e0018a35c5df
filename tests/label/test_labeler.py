"""Labelling: targets by hand, the cache, teachers against independent computations."""

from __future__ import annotations

import shlex
import signal
import sqlite3
import subprocess
import sys
from copy import deepcopy
from threading import Timer

import numpy as np
import pytest
import torch
from settings import opened, teacher_resources

from rdtools.core.errors import RdError, UsageError
from rdtools.data.collection import Collection
from rdtools.label.augment import Augmentation, Step
from rdtools.label.labeler import WINDOW_PAIRS, Labeler
from rdtools.label.score_cache import ScoreCache, score_key
from rdtools.label.targets import ScoreTarget
from rdtools.label.teachers import TEACHERS

CPU = teacher_resources()


class Fixed:
    """A teacher that knows some scores and counts what it was asked."""

    needs_text = True

    def __init__(self, scores, name="fixed", scale="logit", key="k"):
        self.scores, self.name, self.scale, self.key = scores, name, scale, key
        self.asked = []

    def score(self, pairs):
        self.asked += [pair.doc_id for pair in pairs]
        for place in reversed(range(len(pairs))):  # batches come in any order
            yield [place], [self.scores.get(pairs[place].doc_id)]


def record(*doc_ids, query_id="q", **fields):
    docs = [{"doc_id": doc_id, "text": f"text of {doc_id}"} for doc_id in doc_ids]
    return {"query_id": query_id, "query": "x", "docs": docs, **fields}


def test_a_teacher_writes_scores_and_says_what_they_are():
    one = record("a", "b", other=[1])
    one["docs"][0] |= {"score": 77.0, "rank": 3}
    one["docs"][1]["score"] = 5.0
    labelled = list(Labeler([Fixed({"a": 1 / 3})]).label([one]))
    assert labelled == [
        {
            "query_id": "q",
            "query": "x",
            "docs": [
                {"doc_id": "a", "text": "text of a", "score": 0.33333334, "rank": 3},
                {"doc_id": "b", "text": "text of b"},  # unscored: the old score was on another scale
            ],
            "other": [1],
            "teacher": "fixed",
            "score_scale": "logit",
        }
    ]


def test_each_pair_is_scored_once_and_the_order_is_kept():
    teacher = Fixed({"a": 1.0, "b": 2.0, "c": 3.0})
    records = [record("a", "b"), record("c", "a"), record(query_id="none")]
    labelled = list(Labeler([teacher]).label(records))
    assert sorted(teacher.asked) == ["a", "b", "c"]
    assert [[doc["score"] for doc in one["docs"]] for one in labelled] == [[1.0, 2.0], [3.0, 1.0], []]


def test_a_window_leaves_before_the_next_is_read():
    read = []

    def records():
        for number in range(5):
            read.append(number)
            yield record(*(str(n) for n in range(WINDOW_PAIRS // 2)), query_id=str(number))

    labelled = Labeler([Fixed({})]).label(records())
    assert next(labelled)["query_id"] == "0"
    assert read == [0, 1]


def test_records_without_documents_fill_a_window_too():
    read = []

    def records():
        for number in range(2 * WINDOW_PAIRS):
            read.append(number)
            yield record(query_id=str(number))

    assert next(Labeler([Fixed({})]).label(records()))["query_id"] == "0"
    assert len(read) == WINDOW_PAIRS


def test_teachers_of_one_name_are_refused():
    with pytest.raises(UsageError, match=r"^two teachers have the name x \("):
        Labeler([Fixed({}, "x"), Fixed({}, "y"), Fixed({}, "x")])


def test_several_teachers_combine_and_keep_their_own_scores():
    a, b = Fixed({"d": 1.0, "e": 3.0}, "a"), Fixed({"d": 2.0, "e": 10.0, "f": 9.0}, "b")
    one = next(Labeler([a, b], ScoreTarget(normalize=("minmax",))).label([record("d", "e", "f")]))
    assert one["teacher"] == "mean(a,b)"
    assert one["score_scale"] == "unknown"
    assert one["transformations"] == [{"normalize": "minmax"}, {"combine": "mean"}]
    assert [doc.get("score") for doc in one["docs"]] == [0.0, 1.0, None]
    assert one["docs"][1]["scores"] == {"a": 3.0, "b": 10.0}
    assert one["docs"][2]["scores"] == {"b": 9.0}


def test_labelling_again_forgets_what_was_said_of_the_old_scores():
    one = record("a", transformations=[{"temperature": 2.0}], augmentation={"text": "teacher"})
    one["docs"][0]["scores"] = {"old": 1.0}
    again = next(Labeler([Fixed({"a": 1.0})]).label([one]))
    assert not {"transformations", "augmentation"} & again.keys()
    assert again["docs"] == [{"doc_id": "a", "text": "text of a", "score": 1.0}]


def test_what_was_done_to_scores_is_listed_and_the_raw_scores_stay():
    a, b = Fixed({"d": 1.0, "e": 3.0, "f": 3.0}, "a"), Fixed({"d": 2.0, "e": 10.0, "f": 9.0}, "b", "cosine")
    target = ScoreTarget(normalize=("none", "zscore"), temperature=2.0, rank_targets="log", noise=0.5, seed=7)
    one = next(Labeler([a, b], target).label([record("d", "e", "f")]))
    assert one["transformations"] == [
        {"rank_targets": "log"},
        {"normalize": ["none", "zscore"]},
        {"combine": "mean"},
        {"temperature": 2.0},
        {"noise": 0.5, "seed": 7},
    ]
    assert [doc["scores"] for doc in one["docs"]] == [
        {"a": 1.0, "b": 2.0},
        {"a": 3.0, "b": 10.0},
        {"a": 3.0, "b": 9.0},
    ]
    plain = next(Labeler([Fixed({"d": 1.0})]).label([record("d")]))
    assert "transformations" not in plain
    assert "scores" not in plain["docs"][0]


def test_one_teacher_keeps_its_raw_scores_too():
    one = next(Labeler([Fixed({"a": 3.0})], ScoreTarget(temperature=2.0)).label([record("a", "b")]))
    assert (one["docs"][0]["score"], one["docs"][0]["scores"]) == (1.5, {"fixed": 3.0})
    assert (one["docs"][1].get("score"), one["docs"][1]["scores"]) == (None, {})
    assert one["transformations"] == [{"temperature": 2.0}]


def test_a_score_beyond_float32_is_an_error_not_a_null():
    labeler = Labeler([Fixed({"a": 1.5})], ScoreTarget(temperature=1e-39))
    with pytest.raises(
        RdError,
        match=r'^query "q", document "a": the score 1\.5e\+39 after temperature is not a finite float32$',
    ):
        list(labeler.label([record("a")]))


def test_missing_scores_are_zero_as_in_the_paper_only_where_asked():
    """The paper's scores are a defaultdict of 0: what the file lacks has that score."""
    scores = {"a": -1.5, "c": -0.25}
    paper = next(Labeler([Fixed(scores)], ScoreTarget(paper_compat=True)).label([record("a", "b", "c")]))
    assert [doc["score"] for doc in paper["docs"]] == [scores.get(doc_id, 0) for doc_id in "abc"]
    assert paper["transformations"] == [{"missing": 0.0}]
    assert [doc["scores"] for doc in paper["docs"]] == [{"fixed": -1.5}, {}, {"fixed": -0.25}]
    whole = next(Labeler([Fixed(scores)], ScoreTarget(paper_compat=True)).label([record("a", "c")]))
    assert "transformations" not in whole


def test_unscored_documents_are_counted_however_they_are_written(caplog, monkeypatch):
    from rdtools.core.log import log

    monkeypatch.setattr(log, "propagate", True)
    for compat, words in [(False, "1 without a score"), (True, "1 without a score, written as 0")]:
        labeler = Labeler([Fixed({"a": 1.0})], ScoreTarget(paper_compat=compat))
        list(labeler.label([record("a", "b")]))
        with caplog.at_level("INFO", "rdtools"):
            labeler.report()
        assert caplog.messages[-1] == f"1 record, 2 pairs: 1 scored, {words}"


def test_a_query_of_which_the_teacher_scored_nothing_is_no_ranking():
    from rdtools.formats.runs import ranking

    assert ranking(next(Labeler([Fixed({})]).label([record("a", "b")]))) == []


def test_input_beyond_the_models_positions_is_cut(tiny_be, tiny_ce):
    setting = teacher_resources(max_length=1000)
    for teacher in (f"be:{tiny_be}", f"ce:{tiny_ce}"):
        long = record("wing " * 500)
        assert "score" in next(Labeler([opened(teacher, setting)]).label([long]))["docs"][0]


# augmentation


class Echo(Fixed):
    """Keeps the texts that it reads."""

    def score(self, pairs):
        self.asked += [(pair.query, pair.text) for pair in pairs]
        yield range(len(pairs)), [1.0] * len(pairs)


@pytest.mark.parametrize("readers", ["teacher", "both"])
def test_the_teacher_reads_augmented_texts_and_the_record_says_so(readers):
    steps = Augmentation(
        query=(Step("shuffle", 1.0),), doc=(Step("drop", 0.5),), seed=5, augmented_text=readers
    )
    one = record("a b c", "d e f") | {"query": "1 2 3 4 5"}
    seen = steps.apply(deepcopy(one))
    teacher = Echo({})
    labelled = next(Labeler([teacher], augmentation=steps).label([deepcopy(one)]))
    assert (
        teacher.asked
        == [(seen["query"], doc["text"]) for doc in seen["docs"]]
        != [(one["query"], doc["text"]) for doc in one["docs"]]
    )
    read = seen if readers == "both" else one
    assert (labelled["query"], [doc["text"] for doc in labelled["docs"]]) == (
        read["query"], [doc["text"] for doc in read["docs"]],
    )  # fmt: skip
    assert labelled["augmentation"] == {
        "query": ["shuffle:1.0"], "doc": ["drop:0.5"], "text": readers, "seed": 5,
    }  # fmt: skip
    again = next(Labeler([Fixed({})]).label([labelled]))
    assert ("augmentation" in again) == (readers == "both")  # it still is what the texts are


def test_what_texts_went_through_before_stays_with_them():
    def labelled(one, *steps, readers="teacher"):
        augmentation = Augmentation(doc=steps, augmented_text=readers)
        return next(Labeler([Echo({})], augmentation=augmentation).label([one]))

    cropped = {"doc": ["crop:0.5"], "text": "both", "seed": 0}
    one = labelled(record("a b c"), Step("crop", 0.5), readers="both")
    assert one["augmentation"] == cropped
    one = labelled(one, Step("drop", 0.5))
    assert one["augmentation"] == {"doc": ["drop:0.5"], "text": "teacher", "seed": 0, "before": cropped}
    one = labelled(one, Step("shuffle", 1.0), readers="both")
    assert one["augmentation"] == {"doc": ["shuffle:1.0"], "text": "both", "seed": 0, "before": cropped}
    both = one["augmentation"]
    one = labelled(labelled(one, Step("drop", 0.5)))
    assert one["augmentation"] == both


def test_cached_embeddings_keep_no_other_rows_alive(tiny_be):
    teacher = opened(f"be:{tiny_be}", CPU)
    list(Labeler([teacher]).label([record("a", "b", "c")]))
    assert len(teacher._embed_texts._known) == 3
    assert all(embedding.base is None for embedding in teacher._embed_texts._known.values())


def test_programs_read_augmented_texts_too(tmp_path):
    code = "import json, sys\nfor line in sys.stdin: print(line, end=''); print(json.loads(line)['docs'][0]['text'], file=open(sys.argv[1], 'a'))"
    teacher = opened(f"cmd:{shlex.join([sys.executable, '-I', '-c', code, str(tmp_path / 'seen')])}", CPU)
    steps = Augmentation(doc=(Step("crop", 1.0),))
    done = list(
        Labeler([teacher], augmentation=steps).label([record("a b c d", query_id=str(n)) for n in range(9)])
    )
    assert {doc["text"] for one in done for doc in one["docs"]} == {"text of a b c d"}
    seen = (tmp_path / "seen").read_text().split()
    assert len(seen) == 9
    assert set(seen) <= {"text", "of", "a", "b", "c", "d"}
    assert len(set(seen)) > 1


def test_augmentation_needs_texts_whatever_the_teacher():
    teacher = opened("qrels", CPU)
    assert not Labeler([teacher]).needs_text
    steps = (Step("drop", 0.1),)
    assert Labeler([teacher], augmentation=Augmentation(query=steps, augmented_text="both")).needs_text
    with pytest.raises(UsageError, match=r"^no teacher reads the augmented texts \("):
        Labeler([teacher], augmentation=Augmentation(query=steps))
    both = [teacher, Fixed({}, scale="unknown")]
    assert Labeler(
        both, ScoreTarget(normalize=("zscore",)), augmentation=Augmentation(query=steps)
    ).needs_text


def test_the_cache_tells_augmented_texts_apart(tmp_path):
    path = str(tmp_path / "scores.db")
    steps = Augmentation(doc=(Step("crop", 0.9),))
    for augmentation, asked in [(Augmentation(), 1), (steps, 1), (steps, 0)]:
        teacher = Fixed({"one two three": 1.0})
        labeler = Labeler([teacher], cache=ScoreCache(path), augmentation=augmentation)
        list(labeler.label([record("one two three")]))
        assert len(teacher.asked) == asked


# the cache


def test_the_cache_saves_all_work_the_second_time(tmp_path):
    path = str(tmp_path / "scores.db")
    first = list(Labeler([Fixed({"a": 1.5, "b": 2.5})], cache=ScoreCache(path)).label([record("a", "b")]))
    teacher = Fixed({"c": 3.5})
    second = list(Labeler([teacher], cache=ScoreCache(path)).label([record("a", "b"), record("c")]))
    assert teacher.asked == ["c"]
    assert second[0] == first[0]


def test_a_crash_loses_only_the_batch_in_flight(tmp_path):
    class Crashing(Fixed):
        def score(self, pairs):
            for count, batch in enumerate(super().score(pairs)):
                if count == 2:
                    raise KeyboardInterrupt
                yield batch

    path = str(tmp_path / "scores.db")
    scores = dict.fromkeys("abcde", 1.0)
    with pytest.raises(KeyboardInterrupt):
        list(Labeler([Crashing(scores)], cache=ScoreCache(path)).label([record(*scores)]))
    teacher = Fixed(scores)
    list(Labeler([teacher], cache=ScoreCache(path)).label([record(*scores)]))
    assert sorted(teacher.asked) == ["a", "b", "c"]  # d and e were done, from the end


def test_a_killed_process_loses_only_what_it_was_writing(tmp_path):
    code = """
import os, signal, sys
from rdtools.label.score_cache import ScoreCache
cache = ScoreCache(sys.argv[1])
cache.put((bytes([n]), float(n)) for n in range(100))
def dying():
    yield from ((bytes([n]), float(n)) for n in range(100, 150))
    os.kill(os.getpid(), signal.SIGKILL)
cache.put(dying())
"""
    path = str(tmp_path / "scores.db")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert ScoreCache(path).get([bytes([n]) for n in range(200)]) == {
        bytes([n]): float(n) for n in range(100)
    }


def test_keys_tell_apart_teachers_queries_and_texts():
    keys = [
        score_key(*parts)
        for parts in [("t", "q", "d"), ("u", "q", "d"), ("t", "qd", ""), ("t", "", "qd"), ("tq", "", "d")]
    ]
    assert len(set(keys)) == 5
    assert all(len(key) == 16 for key in keys)


def test_other_files_are_not_taken_for_a_cache(tmp_path):
    (tmp_path / "text").write_text("not a database, by any means" * 100)
    with pytest.raises(RdError, match=r"cache .*text: file is not a database"):
        ScoreCache(str(tmp_path / "text"))
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE scores (key, score)")
    other.close()
    with pytest.raises(RdError, match=r"not a score cache of this version \(give another --cache\)"):
        ScoreCache(str(tmp_path / "other.db"))
    with pytest.raises(RdError, match="unable to open database file"):
        ScoreCache(str(tmp_path / "no" / "folder.db"))


def test_two_processes_share_a_cache(tmp_path):
    path = str(tmp_path / "scores.db")
    one, two = ScoreCache(path), ScoreCache(path)
    one.put([(b"a", 1.0)])
    two.put([(b"b", 2.0), (b"a", 1.0)])
    assert one.get([b"a", b"b", b"c"]) == {b"a": 1.0, b"b": 2.0}
    assert two.get([bytes([n]) for n in range(256)] * 4) == {b"a": 1.0, b"b": 2.0}


def test_a_cache_that_another_process_is_writing_is_waited_for(tmp_path):
    path = str(tmp_path / "scores.db")
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")  # as a process that has just made the file does
    Timer(0.2, writer.execute, ["COMMIT"]).start()
    cache = ScoreCache(path)
    assert not writer.in_transaction
    cache.put([(b"a", 1.0)])
    assert cache.get([b"a"]) == {b"a": 1.0}


def test_a_cache_waits_until_another_process_has_written(tmp_path):
    path = str(tmp_path / "scores.db")
    cache = ScoreCache(path)
    assert cache.get([b"a", b"b"]) == {}
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO scores VALUES (?, 1.0)", (b"a",))
    Timer(0.2, writer.execute, ["COMMIT"]).start()
    cache.put([(b"b", 2.0)])
    assert not writer.in_transaction
    assert cache.get([b"a", b"b"]) == {b"a": 1.0, b"b": 2.0}


# teachers

PAIRS = record("the flow of air over a wing", "jet", "a shock wave", "the flow")


def test_cross_encoder_scores_are_the_raw_logits(tiny_ce):
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    expected = CrossEncoder(tiny_ce).predict(
        [("x", doc["text"]) for doc in PAIRS["docs"]], activation_fn=Identity()
    )
    for batch_tokens in (1, 40, 4096):
        setting = teacher_resources(batch_tokens=batch_tokens)
        one = next(
            Labeler([opened(f"ce:{tiny_ce}", setting)]).label([record(*(d["doc_id"] for d in PAIRS["docs"]))])
        )
        np.testing.assert_allclose([doc["score"] for doc in one["docs"]], expected, atol=1e-5)
        assert (one["score_scale"], one["teacher"]) == ("logit", tiny_ce)


def test_half_precision_makes_no_ties(tiny_ce):
    setting = teacher_resources(dtype="bfloat16")
    letters = "abcdefgh"
    names = [f"wing {a} of model {b}" for a in letters for b in letters]
    one = next(Labeler([opened(f"ce:{tiny_ce}", setting)]).label([record(*names)]))
    assert len({doc["score"] for doc in one["docs"]}) > 60  # logits in bfloat16: about 3


@pytest.fixture(scope="module")
def labels(tiny_ce, tmp_path_factory):
    """Cross-encoders with two and with three labels, otherwise as tiny_ce."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folders = {}
    for count in (2, 3):
        torch.manual_seed(2)
        folders[count] = str(tmp_path_factory.mktemp(f"labels-{count}"))
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny_ce, num_labels=count, ignore_mismatched_sizes=True
        )
        model.classifier.weight.data.mul_(100)  # so that the log-softmax is far from ln ½
        model.save_pretrained(folders[count])
        AutoTokenizer.from_pretrained(tiny_ce).save_pretrained(folders[count])
    return folders


def two_logits(folder):
    """The two logits of each of PAIRS, by another library."""
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    pairs = [("x", doc["text"]) for doc in PAIRS["docs"]]
    return CrossEncoder(folder, num_labels=2).predict(pairs, activation_fn=Identity())


def test_two_labels_score_as_the_difference_of_their_logits(labels):
    expected = two_logits(labels[2])
    one = next(Labeler([opened(f"ce:{labels[2]}", CPU)]).label([deepcopy(PAIRS)]))
    np.testing.assert_allclose(
        [doc["score"] for doc in one["docs"]], expected[:, 1] - expected[:, 0], atol=1e-5
    )
    assert one["score_scale"] == "logit"


def test_more_than_two_labels_are_refused(labels):
    with pytest.raises(RdError, match=r"^model .*: it has 3 labels; a cross-encoder has 1 or 2$"):
        opened(f"ce:{labels[3]}", CPU)


def test_paper_compat_takes_the_log_softmax_of_the_second_label(labels, tiny_ce):
    """rankers' cross-encoder: F.log_softmax(logits, dim=-1)[:, 1]; here log(e^b / (e^a + e^b)) in float64."""
    paper = teacher_resources(paper_compat=True)
    teacher = opened(f"ce:{labels[2]}", paper)
    one = next(Labeler([teacher]).label([deepcopy(PAIRS)]))
    a, b = two_logits(labels[2]).astype(np.float64).T
    np.testing.assert_allclose(
        [doc["score"] for doc in one["docs"]], b - np.log(np.exp(a) + np.exp(b)), atol=1e-5
    )
    assert one["score_scale"] == "log-probability"
    assert teacher.key != opened(f"ce:{labels[2]}", CPU).key
    single = opened(f"ce:{tiny_ce}", paper)  # of one label there is nothing to normalise
    assert (single.scale, single.key) == ("logit", opened(f"ce:{tiny_ce}", CPU).key)


def test_an_index_and_a_cache_hash_the_weights_once(tiny_be, tmp_path, monkeypatch):
    from rdtools.label.teachers import bi_encoder
    from rdtools.search import embeddings

    hashed = []

    def fingerprint(name):
        hashed.append(name)
        return "hash"

    for module in (embeddings, bi_encoder):
        monkeypatch.setattr(module, "fingerprint", fingerprint)
    (tmp_path / "corpus.tsv").write_text("jet\ttext of jet\n")
    collection = Collection(corpus_path=str(tmp_path / "corpus.tsv"))
    teacher = opened(f"be:{tiny_be}", teacher_resources(collection, index=str(tmp_path / "index")))
    assert teacher.key.startswith("be hash ")
    assert opened(f"be:{tiny_be}", CPU).key == teacher.key
    assert hashed == [tiny_be, tiny_be]  # once for each of the two teachers


@pytest.mark.parametrize("indexed", [False, True])
def test_bi_encoder_scores_are_the_similarity(tiny_be, tmp_path, indexed):
    from sentence_transformers import SentenceTransformer

    setting = CPU
    if indexed:  # the corpus holds two of the four texts, one of them changed
        (tmp_path / "corpus.tsv").write_text("jet\ttext of jet\nthe flow\tanother text\n")
        collection = Collection(corpus_path=str(tmp_path / "corpus.tsv"))
        setting = teacher_resources(collection, index=str(tmp_path / "index"))
    model = SentenceTransformer(tiny_be)
    texts = [doc["text"] for doc in PAIRS["docs"]]
    expected = model.similarity(model.encode(["x"]), model.encode(texts))[0]
    teacher = opened(f"be:{tiny_be}", setting)
    for _ in range(2):  # the second time from memory
        one = next(Labeler([teacher]).label([record(*(doc["doc_id"] for doc in PAIRS["docs"]))]))
        np.testing.assert_allclose([doc["score"] for doc in one["docs"]], expected, atol=1e-6)
    assert one["score_scale"] == "cosine"


def test_teachers_without_a_network(tmp_path):
    (tmp_path / "run.trec").write_text("q Q0 a 1 2.5 t\n")
    (tmp_path / "qrels").write_text("q 0 a 2\n")
    (tmp_path / "corpus.tsv").write_text("a\twing flow\nb\tjet\n")
    collection = Collection(corpus_path=str(tmp_path / "corpus.tsv"), qrels_path=str(tmp_path / "qrels"))
    setting = teacher_resources(collection, index=str(tmp_path / "index"), score_scale="dot")

    def scores(spec, setting=setting):
        one = record("a", "b") | {"query": "flow"}
        one["docs"][0]["text"], one["docs"][1]["text"] = "the flow", "jet"
        labelled = next(Labeler([opened(spec, setting)]).label([one]))
        return labelled["score_scale"], [doc.get("score") for doc in labelled["docs"]]

    assert scores(f"run:{tmp_path}/run.trec") == ("dot", [2.5, None])
    (tmp_path / "run.tsv").write_text("q\tb\t1\nq\tz\t2\nq\ta\t3\n")
    assert scores(f"run:msmarco-run:{tmp_path}/run.tsv", CPU) == ("rank", [-3.0, -1.0])
    assert scores("qrels") == ("dot", [2.0, 0.0])
    assert scores("qrels", teacher_resources(collection))[0] == "unknown"
    # idf = ln(1 + 1.5/1.5) = ln 2; |d| = 1 where the mean is 1.5: tf/(tf + 1.2·(1 − 0.75 + 0.75/1.5)) = 1/1.9
    assert scores("bm25") == ("bm25", [pytest.approx(0.6931472 / 1.9, rel=1e-6), 0.0])
    assert scores("bm25", teacher_resources(index=str(tmp_path / "index")))[1] == scores("bm25")[1]


@pytest.mark.parametrize("name", TEACHERS)
def test_every_teacher_refuses_a_wrong_argument_in_one_line(name):
    bare = {"be": "be", "llm": "llm", "run": "run", "cmd": "cmd", "ce": "ce:no/such", "api": "api", "listwise-cmd": "listwise-cmd",
            "listwise-api": "listwise-api"}  # fmt: skip
    wrong = bare.get(name, f"{name}:argument")
    with pytest.raises(RdError) as caught:
        opened(wrong, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_is_an_error_or_counted(wrong, caplog):
    teacher = Fixed({"a": 1.0, "b": wrong})
    says = (
        f'^query "q", document "b": the score of fixed is {wrong} '
        r"\(try --dtype float32; --on-error skip leaves such scores out\)$"
    )
    with pytest.raises(RdError, match=says):
        list(Labeler([teacher]).label([record("a", "b")]))
    labeler = Labeler([teacher], on_error="skip")
    (labelled,) = labeler.label([record("a", "b", "c")])
    assert [doc.get("score") for doc in labelled["docs"]] == [1.0, None, None]
    with caplog.at_level("INFO", logger="rdtools"):
        labeler.report()
    assert caplog.messages == [
        "1 record, 3 pairs: 1 scored, 2 without a score",
        "1 score skipped because it is not finite",
    ]


def test_a_score_that_is_not_finite_is_not_cached(tmp_path):
    cache = ScoreCache(str(tmp_path / "cache"))
    list(Labeler([Fixed({"a": float("nan")})], cache=cache, on_error="skip").label([record("a")]))
    (labelled,) = Labeler([Fixed({"a": 2.0})], cache=cache).label([record("a")])
    assert labelled["docs"][0]["score"] == 2.0
