"""What rd-train says of a teacher with little to teach: one that judgements beat, and the student itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rdtools.train.groups import Groups
from rdtools.train.losses.objective import objective
from rdtools.train.options import StudentOptions
from rdtools.train.teacher import check_teacher

OWN = (
    "the student is its own teacher, so its scores have nothing to teach (give --layers, a smaller student, or another "
    "teacher)"
)


def weak(share: int, groups: str, loss: str = "kl") -> str:
    return (
        f"the teacher ranks a positive first in only {share} % of {groups} judged groups: judgements may teach more than "
        f"its scores (--loss lce, or a sum such as {loss}+lce, or another teacher)"
    )


def record(number: int, first: bool = True, scores=(0.9, 0.5, 0.4), **fields):
    docs = [
        {
            "doc_id": f"d{place}",
            "text": f"text {place}",
            "score": score,
            "relevance": int((place == 0) == first),
        }
        for place, score in enumerate(scores)
    ]
    if not first:
        docs[2]["relevance"] = 0
    return {
        "query_id": f"q{number}",
        "query": "wing",
        "docs": docs,
        "teacher": "t",
        "score_scale": "cosine",
        **fields,
    }


def records(first: int, total: int, **fields):
    return [record(number, number < first, **fields) for number in range(total)]


def said(caplog, data, spec="kl", student="be:other", **options) -> list[str]:
    caplog.clear()
    chosen = objective(spec)
    check_teacher(chosen, Groups(data, chosen), StudentOptions(student=student, **options))
    return list(caplog.messages)


@pytest.mark.parametrize(
    ("first", "total", "share"),
    [(9, 20, 45), (0, 25, 0), (399, 800, 49), (10, 20, None), (8, 19, None), (20, 20, None)],
)
def test_a_teacher_that_puts_fewer_than_half_of_the_positives_first_is_weak(caplog, first, total, share):
    """Of 399 in 800, 49.875 %, the message must not say 50; fewer than 20 groups are too few to tell."""
    assert said(caplog, records(first, total)) == ([] if share is None else [weak(share, str(total))])


def test_large_counts_have_a_comma(caplog):
    assert said(caplog, records(429, 1225)) == [weak(35, "1,225")]


@pytest.mark.parametrize(
    ("spec", "warned"),
    [
        ("ranknet", True), ("margin-mse", True), ("kl+ranknet", True), ("kl:tevatron", True),
        ("lce", False), ("bce-hard", False), ("kl+lce", False), ("kl+0.2*infonce", False),
        ("kl:flagembedding", False),
    ],
)  # fmt: skip
def test_losses_that_learn_from_judgements_too_are_not_warned_of(caplog, spec, warned):
    data = records(3, 30, teacher="m")
    expected = [OWN, weak(10, "30", spec)] if warned else []
    assert said(caplog, data, spec, "be:m") == expected


def test_groups_without_judgements_or_with_ties_do_not_count(caplog):
    tied = records(0, 30, scores=(0.5, 0.5, 0.5))
    unjudged = [
        record(n, docs=[{"doc_id": f"{d}", "text": "x", "score": float(d)} for d in range(3)])
        for n in range(30)
    ]
    assert said(caplog, [*tied, *unjudged, *records(0, 19)]) == []


@pytest.mark.parametrize(
    ("student", "fields", "own"),
    [
        ("be:m", {"teacher": "m"}, True),
        ("be:m", {"teacher": "be:m"}, True),
        ("be:m", {"teacher": "m", "score_scale": "dot"}, True),
        ("be:m", {"teacher": "m", "transformations": [{"temperature": 2.0}]}, True),
        ("be:m", {"teacher": "sentence-transformers/m"}, True),
        ("be:sentence-transformers/m", {"teacher": "m"}, True),
        ("ce:m", {"teacher": "m", "score_scale": "logit"}, True),
        ("ce:m", {"teacher": "ce:m", "score_scale": "log-probability"}, True),
        ("be:m", {"teacher": "n"}, False),
        ("be:m", {"teacher": "mean(m,bm25)"}, False),
        ("be:m", {"teacher": "ce:m", "score_scale": "logit"}, False),
        # The kind of model is not in a teacher's name, but its scale tells it.
        ("be:m", {"teacher": "m", "score_scale": "logit"}, False),
        ("ce:m", {"teacher": "m"}, False),
        (
            "ce:m",
            {"teacher": "m", "score_scale": "logit", "transformations": [{"normalize": "zscore"}]},
            False,
        ),
        ("be:m", {"teacher": "m", "augmentation": {"query": "drop:0.1"}}, False),
    ],
)
def test_the_student_is_its_own_teacher(caplog, student, fields, own):
    assert said(caplog, records(3, 3, **fields), student=student) == ([OWN] if own else [])
    assert said(caplog, records(3, 3, **fields), student=student, layers="2") == []


def test_folders_are_compared_by_their_path(caplog, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to("model")
    monkeypatch.chdir(tmp_path)
    for name in ("model", "./model/", "link", str(tmp_path / "model")):
        assert said(caplog, records(3, 3, teacher=name), student="be:model") == [OWN]
    assert said(caplog, records(3, 3, teacher=str(tmp_path)), student="be:model") == []


def test_records_of_another_teacher_too_or_of_none(caplog):
    data = records(3, 3, teacher="m")
    assert said(caplog, [*data, record(4, teacher="n")], student="be:m") == []
    for one in data:
        del one["teacher"]
    assert said(caplog, data, student="be:m") == []


def test_the_installed_commands_warn_before_training(run, tiny_be, tmp_path):
    """Labels of rd-label by the student itself; then those of the worst teacher of positives."""
    mined = tmp_path / "mined.jsonl"
    mined.write_text("".join(json.dumps(one) + "\n" for one in records(0, 20)))
    run("rd-label", "mined.jsonl", "--teacher", f"be:{tiny_be}", "-o", "labelled.jsonl", check=True)
    arguments = ["rd-train", "--student", f"be:{tiny_be}", "--max-steps", 1, "--overwrite", "-o", "out"]
    own = run(*arguments, "--loss", "kl", "labelled.jsonl", check=True).stderr
    assert own.splitlines()[1] == f"rd-train: warning: {OWN}"
    assert (
        "own teacher"
        not in run(*arguments, "--loss", "kl", "--layers", 2, "labelled.jsonl", check=True).stderr
    )
    assert "own teacher" not in run(*arguments, "--loss", "kl+lce", "labelled.jsonl", check=True).stderr
    Path(tmp_path / "weak.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records(7, 20)))
    lines = run(*arguments, "--loss", "kl", "weak.jsonl", check=True).stderr.splitlines()
    assert lines[1] == f"rd-train: warning: {weak(35, '20')}"
    assert lines[2].startswith("rd-train: teacher temperature 0.05 ")
    assert "judged groups" not in run(*arguments, "--loss", "kl", "--quiet", "weak.jsonl", check=True).stderr


def test_the_share_is_said_of_a_good_teacher_too(run, tiny_be, tmp_path):
    lines = "".join(json.dumps(each) + "\n" for each in records(15, 20))
    done = run(
        "rd-train",
        "--student",
        f"be:{tiny_be}",
        "--loss",
        "kl",
        "--max-steps",
        1,
        "-o",
        "out",
        stdin=lines,
        check=True,
    )
    assert (
        "rd-train: the teacher ranks a positive first in 75 % of 20 judged groups" in done.stderr.splitlines()
    )
