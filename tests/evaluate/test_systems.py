"""NamePatterns of runs to fields and systems."""

from __future__ import annotations

import pytest

from rdtools.core.errors import UsageError
from rdtools.evaluate.measures import Evaluator, parse_measures
from rdtools.evaluate.systems import NamePatterns, add_run, fill_fields


def test_fields_are_read_from_the_end_of_a_path():
    names = NamePatterns(["{collection}/{loss}-{source}-s{seed}"])
    expected = {"collection": "dl19", "loss": "kl", "source": "bm25", "seed": "12", "run": "kl-bm25"}
    for path in ["/x/runs/dl19/kl-bm25-s12.trec.gz", "dl19/kl-bm25-s12.trec", "dl19/kl-bm25-s12"]:
        assert names.read(path, "x") == expected
    assert names.shown == ["collection", "loss", "source"]
    assert NamePatterns(["{loss}/{source}/{seed}.run"]).read("x/kl/b.m25/3.run", "3")["run"] == "kl-b.m25"
    assert NamePatterns(["{run}-s{seed}.trec"]).read("lce-splade-s0.trec", "x") == {
        "run": "lce-splade",
        "seed": "0",
    }


def test_the_first_pattern_that_fits_counts_and_lacking_fields_are_empty():
    names = NamePatterns(["{loss}-{source}-s{seed}", "{source}"])
    assert names.read("x/bm25.run", "bm25") == {"loss": "", "source": "bm25", "seed": "", "run": "bm25"}
    assert names.read("x/kl-bm25-s1.run", "kl-bm25-s1")["run"] == "kl-bm25"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{loss}-s{seed}", "run x/margin-mse does not fit --fields {loss}-s{seed} (add a pattern with --fields)"),
        (
            "{loss}-{source}-s{seed}",
            "run margin-mse-bm25-s1 fits --fields {loss}-{source}-s{seed} in more than one way "
            "(separate fields by a character that they do not contain: / . _)",
        ),
        ("run", "--fields run: no field distinguishes systems (add one, such as {run})"),
        ("{collection}/{seed}", "--fields {collection}/{seed}: no field distinguishes systems (add one, such as {run})"),
        ("{value}", "--fields {value}: {value}: invalid, repeated or reserved field name"),
        ("{a}{a}", "--fields {a}{a}: {a}: invalid, repeated or reserved field name"),
        ("{1}", "--fields {1}: {1}: invalid, repeated or reserved field name"),
    ],
)  # fmt: skip
def test_patterns_that_do_not_do(pattern, message):
    path = "x/margin-mse-bm25-s1" if "source" in pattern else "x/margin-mse"
    with pytest.raises(UsageError) as error:
        NamePatterns([pattern]).read(path, "x")
    assert str(error.value) == message


def test_judgements_by_field():
    assert fill_fields("qrels/{collection}.{split}", {"collection": "c", "split": "test"}) == "qrels/c.test"
    assert fill_fields("qrels.txt", {}) == "qrels.txt"
    with pytest.raises(UsageError, match=r"^qrels/{c}: unknown field {c} \(name it in a --fields pattern\)$"):
        fill_fields("qrels/{c}", {"collection": "c"})


def test_runs_of_one_name_are_told_apart_by_seed_only():
    evaluator = Evaluator(parse_measures(["AP"]), {"q": {}})
    first = {"loss": "a-b", "source": "c", "run": "a-b-c", "seed": "0"}
    system = add_run([], first, evaluator, {"AP": {"q": 0.5}})
    assert add_run([system], {**first, "seed": "1"}, evaluator, {"AP": {"q": 1.0}}) is system
    assert system.by_seed("AP").tolist() == [[0.5], [1.0]]
    assert system.means("AP") == [0.5, 1.0]
    with pytest.raises(UsageError, match=r"^two runs have the name a-b-c with seed 1$"):
        add_run([system], {**first, "seed": "1"}, evaluator, {})
    with pytest.raises(UsageError, match=r"^two runs have the name a-b-c$"):
        add_run([system], {"loss": "a", "source": "b-c", "run": "a-b-c", "seed": "2"}, evaluator, {})
    other = add_run([system], {**first, "collection": "d"}, evaluator, {})
    assert other is not system
