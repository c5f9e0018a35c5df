"""TAB completion: the words that may follow."""

from __future__ import annotations

import pytest

from rdtools.cli.completing import candidates, print_candidates
from rdtools.cli.completions import COMMANDS
from rdtools.cli.manual import open_entry_point
from rdtools.cli.options import spec_forms
from rdtools.core.flags import options_of
from rdtools.core.measure_names import WITH_CUTOFF, WITHOUT_CUTOFF
from rdtools.evaluate.measures import parse_measures


def words(line):
    """The candidates for the last word of a line, None if it is the name of a file."""
    command, *rest = line.split(" ")
    found = candidates(open_entry_point(command).groups, rest)
    return None if found is None else [candidate.word for candidate in found]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for path in (
        "tiny/config.json",
        "beir/corpus.jsonl.gz",
        "beir/qrels/dev.tsv",
        "beir/qrels/test.tsv",
        "a.run",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / ".hub/models--org--model").mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", ".hub")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rd-train --loss kl:py", ["kl:pylate"]),
        ("rd-train --loss=kl:py", ["--loss=kl:pylate"]),
        ("rd-train --loss kl+0.2*lc", ["kl+0.2*lce"]),
        ("rd-train --student ", ["be:", "ce:", "sparse:", "colbert:"]),
        ("rd-train --student be:", ["be:beir/", "be:tiny/", "be:org/model"]),
        ("rd-train --student be:t", ["be:tiny/"]),
        ("rd-train --student be:o", ["be:org/model"]),
        ("rd-train --stud", ["--student", "--student-temperature"]),
        ("rd-train --student be:m --stud", ["--student-temperature"]),
        ("rd-train --batch-size ", []),
        ("rd-train --resume ", None),
        ("rd-train x.jsonl -o ", None),
        ("rd-train --dev b", ["beir", "beir:", "beir/"]),
        ("rd-label --teacher c", ["ce", "ce:", "colbert:", "cmd:"]),
        ("rd-label --teacher ce --teach", ["--teacher"]),
        ("rd-label --teacher run:a", ["run:a.run"]),
        ("rd-label --teacher cmd:a", []),
        ("rd-mine --from graph", ["graph", "graph:dense:"]),
        ("rd-mine --min-score b", ["bm25="]),
        ("rd-mine --depth 5 --dept", ["--depth"]),
        ("rd-mine --from dense:o", ["dense:org/model"]),
        ("rd-mine --dataset ", ["pydoc", "pydoc:train", "pydoc:test", "irds:", "beir", "beir:"]),
        ("rd-mine --dataset beir:", ["beir:dev", "beir:test"]),
        ("rd-mine --dataset nowhere", []),
        ("rd-mine --device cu", ["cuda", *(f"cuda:{n}" for n in range(8))]),
        ("rd-mine -n ", []),
        ("rd-eval py", ["pydoc", "pydoc:train", "pydoc:test"]),
        ("rd-eval x", None),
        ("rd-eval qrels ", None),
        ("rd-eval qrels -m nDCG@10", ["nDCG@10", "nDCG@100", "nDCG@1000"]),
        ("rd-eval qrels -m R", ["RR", "Rprec", "RR@", "R@"]),
        ("rd-eval qrels --baseline ", None),
        ("rd-entropy --cut m", ["middle"]),
        ("rd-entropy --by pair", ["pairwise_entropy_bits"]),
        ("rd-entropy --by dia", ["diameter"]),
        ("rd-entropy -- --by", None),
        ("rd-entropy --encoder t", ["tiny/"]),
    ],
)  # fmt: skip
def test_the_words_that_may_follow(folder, line, expected):
    assert words(line) == expected


def test_bash_gives_a_line_with_an_open_quote(folder, capsys):
    groups = open_entry_point("rd-eval").groups
    assert print_candidates(groups, ['rd-eval "my qrels" -m "AP(rel=2) nDCG@10'], "bash") == 0
    assert capsys.readouterr().out.split("\n") == [f"AP(rel=2) nDCG@{k}" for k in (10, 100, 1000)] + [""]
    assert print_candidates(groups, ["rd-eval qrels "], "bash") == 3
    assert print_candidates(groups, ["rd-eval qrels --query"], "bash") == 0
    assert capsys.readouterr().out == ""
    assert print_candidates(groups, ["--by-q"], "zsh") == 0
    assert capsys.readouterr().out == "--by-query\tPrint the values of each query\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_spec_has_each_of_its_names(command):
    for group in open_entry_point(command).groups:
        for option in options_of(group):
            if option.flag.spec:
                assert {name.partition(":")[0] for name, _ in spec_forms(option.flag)} == set(
                    option.flag.choices
                )


def test_the_measures_that_tab_offers_can_be_computed():
    names = [*(f"{name}@10" for name in WITH_CUTOFF), *WITHOUT_CUTOFF]
    assert len(parse_measures(names)) == len(set(names))
