"""Names of runs to fields and systems."""

from __future__ import annotations

import pytest

from rdtools.core.errors import UsageError
from rdtools.evaluate.measures import Evaluator, parse_measures
from rdtools.evaluate.systems import Names, add_run, fill


def test_fields_are_read_from_the_end_of_a_path():
    names = Names(["{collection}/{loss}-{source}-s{seed}"])
    expected = {"collection": "dl19", "loss": "kl", "source": "bm25", "seed": "12", "run": "kl-bm25"}
    for path in ["/x/runs/dl19/kl-bm25-s12.trec.gz", "dl19/kl-bm25-s12.trec", "dl19/kl-bm25-s12"]:
        assert names.read(path) == expected
    assert names.shown == ["collection", "loss", "source"]
    assert Names(["{loss}/{source}/{seed}.run"]).read("x/kl/b.m25/3.run")["run"] == "kl-b.m25"
    assert Names(["{run}-s{seed}.trec"]).read("lce-splade-s0.trec") == {"run": "lce-splade", "seed": "0"}


def test_the_first_pattern_that_fits_counts_and_lacking_fields_are_empty():
    names = Names(["{loss}-{source}-s{seed}", "{source}"])
    assert names.read("x/bm25.run") == {"loss": "", "source": "bm25", "seed": "", "run": "bm25"}
    assert names.read("x/kl-bm25-s1.run")["run"] == "kl-bm25"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{loss}-s{seed}", "run x/margin-mse does not fit --fields {loss}-s{seed} (a further --fields may)"),
        (
            "{loss}-{source}-s{seed}",
            "run margin-mse-bm25-s1 fits --fields {loss}-{source}-s{seed} in more than one way "
            "(between fields, names need a mark that the fields do not have: / . _)",
        ),
        ("run", "--fields run: a field that tells systems apart is missing (such as {run})"),
        ("{collection}/{seed}", "--fields {collection}/{seed}: a field that tells systems apart is missing (such as {run})"),
        ("{value}", "--fields {value}: {value} is no name for a field here"),
        ("{a}{a}", "--fields {a}{a}: {a} is no name for a field here"),
        ("{1}", "--fields {1}: {1} is no name for a field here"),
    ],
)  # fmt: skip
def test_patterns_that_do_not_do(pattern, message):
    path = "x/margin-mse-bm25-s1" if "source" in pattern else "x/margin-mse"
    with pytest.raises(UsageError) as error:
        Names([pattern]).read(path)
    assert str(error.value) == message


def test_judgements_by_field():
    assert fill("qrels/{collection}.{split}", {"collection": "c", "split": "test"}) == "qrels/c.test"
    assert fill("qrels.txt", {}) == "qrels.txt"
    with pytest.raises(
        UsageError, match=r"^qrels/{c}: no field {c} \(--fields reads fields from names of runs\)$"
    ):
        fill("qrels/{c}", {"collection": "c"})


def test_runs_of_one_name_are_told_apart_by_seed_only():
    evaluator = Evaluator(parse_measures(["AP"]), {"q": {}})
    first = {"loss": "a-b", "source": "c", "run": "a-b-c", "seed": "0"}
    system = add_run([], first, evaluator, {"AP": {"q": 0.5}})
    assert add_run([system], {**first, "seed": "1"}, evaluator, {"AP": {"q": 1.0}}) is system
    assert system.by_seed("AP").tolist() == [[0.5], [1.0]]
    assert system.means("AP") == [0.5, 1.0]
    with pytest.raises(UsageError, match=r"^two runs are called a-b-c with seed 1$"):
        add_run([system], {**first, "seed": "1"}, evaluator, {})
    with pytest.raises(UsageError, match=r"^two runs are called a-b-c$"):
        add_run([system], {"loss": "a", "source": "b-c", "run": "a-b-c", "seed": "2"}, evaluator, {})
    other = add_run([system], {**first, "collection": "d"}, evaluator, {})
    assert other is not system
