"""The teacher's scores on the student's scale: the temperature that is fitted, and what is said of a mismatch."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rdtools.core.errors import RdError, UsageError
from rdtools.train.groups import Groups
from rdtools.train.losses.objective import Labels, objective
from rdtools.train.scales import fit_teacher
from rdtools.train.systematic_sample import SystematicSample

COSINE = SimpleNamespace(cosine=True, scale=20.0, reach=40.0)
LOGIT: Any = SimpleNamespace(cosine=False, scale=1.0, reach=None)


def record(number, scores, relevant=(0,), **fields):
    docs = [
        {
            "doc_id": f"d{place}",
            "text": f"text {place}",
            "score": score,
            **({"relevance": 1} if place in relevant else {}),
        }
        for place, score in enumerate(scores)
    ]
    return {
        "query_id": f"q{number}",
        "query": "wing",
        "docs": docs,
        "teacher": "t",
        "score_scale": "logit",
        **fields,
    }


def fitted(records, spec, student, **temperatures):
    chosen = objective(spec)
    if temperatures:
        chosen = chosen.with_temperatures(temperatures.get("teacher"), temperatures.get("student"))
    return fit_teacher(chosen, Groups(records, chosen), student)


COSINES = [record(n, (0.9, 0.5, 0.4), score_scale="cosine") for n in range(3)]


@pytest.mark.parametrize("spec", ["kl", "listnet", "margin-mse", "mse"])
def test_cosines_of_both_get_one_unit(spec):
    (loss,), found = fitted(COSINES, spec, COSINE)[0].losses, fitted(COSINES, spec, COSINE)[1]
    assert loss.options["teacher_temperature"] == 1 / 20
    assert found["teacher"]["method"] == "1/scale"
    assert found["teacher"]["temperature"] == 1 / 20


@pytest.mark.parametrize("spec", ["margin-mse", "mse", "kl"])
def test_a_cosine_student_equal_to_its_teacher_has_no_loss(spec):
    """Scale 20 on the student's side is temperature 1/20 on the teacher's: equal cosines, no loss."""
    chosen, _ = fitted(COSINES, spec, COSINE)
    cosines = torch.tensor([[0.9, 0.5, 0.4]])
    positive = torch.tensor([[True, False, False]])
    there = torch.ones(1, 3, dtype=torch.bool)
    labels = Labels(cosines, positive, there, there)
    assert chosen(20 * cosines, labels).item() == pytest.approx(0, abs=1e-5)
    assert chosen(20 * cosines.flip(1), labels).item() > 0.1


@pytest.mark.parametrize("relevant", [(), (0,), (2,)])
def test_other_scores_get_the_temperature_of_the_target_entropy(caplog, relevant):
    """Judgements do not matter: a teacher that ranks all positives first, or last, gets the same T."""
    caplog.set_level("INFO", "rdtools")
    records = [record(n, (3.0, 1.0, 0.0), relevant=relevant) for n in range(4)]
    chosen, found = fitted(records, "kl", LOGIT)
    temperature = chosen.losses[0].options["teacher_temperature"]
    p = torch.softmax(torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64) / temperature, 0)
    assert found["teacher"] == {"temperature": temperature, "method": "entropy"}
    assert -(p * p.log()).sum().item() / math.log(3) == pytest.approx(0.35, abs=1e-6)
    words = f"teacher temperature {temperature:.4g} (entropy share 0.35 over 4 groups; --teacher-temperature states another)"
    assert words in caplog.messages


@pytest.mark.parametrize(
    ("scores", "found", "reason"),
    [
        ((1.0, 1.0), {"temperature": 1.0, "method": "none"}, "no group has two different scores"),
        (
            (1.0, 1.0, 0.0),
            {"temperature": pytest.approx(0.01), "method": "entropy"},
            "entropy share 0.63 over 4 groups",
        ),
    ],
)
def test_where_the_entropy_is_out_of_reach_the_reason_says_so(caplog, scores, found, reason):
    caplog.set_level("INFO", "rdtools")
    assert fitted([record(n, scores) for n in range(4)], "kl", LOGIT)[1]["teacher"] == found
    assert any(f"({reason}; --teacher-temperature" in message for message in caplog.messages)


def test_cosines_of_a_teacher_for_a_student_of_logits_get_the_target_entropy():
    assert fitted(COSINES, "kl", LOGIT)[1]["teacher"]["method"] == "entropy"


@pytest.mark.parametrize(
    "spec", ["lce", "ranknet", "kl:rankers", "kl:tevatron", "margin-mse:lightning-ir", "bce"]
)
def test_losses_of_order_and_of_other_libraries_are_left_as_they_are(spec):
    chosen = objective(spec)
    records = [record(n, (2.0, 0.0)) for n in range(3)]
    assert fit_teacher(chosen, Groups(records, chosen), LOGIT) == (chosen, {})


def test_a_stated_temperature_is_kept():
    chosen, found = fitted(COSINES, "margin-mse", COSINE, teacher=0.5)
    assert chosen.losses[0].options["teacher_temperature"] == 0.5
    assert found == {}
    with pytest.raises(UsageError, match="--loss ranknet has no temperature"):
        objective("ranknet").with_temperatures(0.5, None)


@pytest.mark.parametrize(
    ("spec", "temperature", "student", "message"),
    [
        (
            "margin-mse", 1.0, COSINE,
            "margin-mse: at teacher temperature 1 the scores of the median group differ by at most 0.4, so there is little "
            "to learn (rd-entropy --calibrate finds a temperature)",
        ),
        (
            "mse", 0.01, COSINE,
            "mse: at teacher temperature 0.01 the scores of the median group differ by up to 50, those of the student by "
            "at most 40 (raise --teacher-temperature or --scale)",
        ),
        ("mse", 0.01, LOGIT, None),
        ("kl", 0.05, COSINE, None),
    ],
)  # fmt: skip
def test_a_mismatch_of_scales_is_said_before_training(caplog, spec, temperature, student, message):
    records = [record(n, (0.9, 0.5, 0.4 if spec == "mse" else 0.5), score_scale="cosine") for n in range(3)]
    fitted(records, spec, student, teacher=temperature)
    assert [text for text in caplog.messages if "at teacher temperature" in text] == (
        [message] if message else []
    )


def test_the_command_says_and_records_the_temperature(run, tiny_be, tmp_path):
    lines = "".join(json.dumps(one) + "\n" for one in COSINES)
    arguments = ["--student", f"be:{tiny_be}", "--max-steps", 1, "-o", "out"]
    done = run("rd-train", *arguments, "--loss", "margin-mse", stdin=lines, check=True)
    words = "(1/--scale: teacher and student have cosines; --teacher-temperature states another)"
    assert f"rd-train: teacher temperature 0.05 {words}\n" in done.stderr
    about = json.loads((tmp_path / "out/rd-train.json").read_text())
    assert about["teacher"] == {"temperature": 0.05, "method": "1/scale"}
    assert about["options"]["teacher-temperature"] is None


def test_the_command_says_and_records_the_fitted_entropy(run, tiny_ce, tmp_path):
    """Scores 2 and 0, by judgements T = 2/ln 3: p = σ(2/T) has 0.35 bits at T = 0.7538."""
    lines = [record(n, (2.0, 0.0)) for n in range(3)] + [record(3, (0.0, 2.0))]
    arguments = ["--student", f"ce:{tiny_ce}", "--max-steps", 1, "--loss", "kl", "-o", "out"]
    done = run("rd-train", *arguments, stdin="".join(json.dumps(one) + "\n" for one in lines), check=True)
    about = json.loads((tmp_path / "out/rd-train.json").read_text())["teacher"]
    p = 1 / (1 + math.exp(-2 / about["temperature"]))
    assert -(p * math.log2(p) + (1 - p) * math.log2(1 - p)) == pytest.approx(0.35)
    assert about["method"] == "entropy"
    assert about["temperature"] == pytest.approx(0.7538, abs=1e-4)
    assert (
        "rd-train: teacher temperature 0.7538 (entropy share 0.35 over 4 groups; --teacher-temperature states another)\n"
    ) in done.stderr


def test_scores_of_a_search_are_not_taken_for_a_teachers(run, tiny_be, tmp_path):
    mined = record(1, (3.0, 1.0), score_scale="bm25")
    del mined["teacher"]
    for doc in mined["docs"]:
        doc["source"] = "bm25"
    with pytest.raises(RdError, match="no teacher named"):
        Groups([mined], objective("kl"))
    arguments = ["rd-train", "--student", f"be:{tiny_be}", "--loss", "kl", "--max-steps", 1, "-o", "out"]
    done = run(*arguments, stdin=json.dumps(mined))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'rd-train: query "q1": no teacher named; its bm25 scores are those of the source (label the records with '
        "rd-label, or state --score-scale bm25 to train on them)\n"
    )
    assert not (tmp_path / "out").exists()
    run(*arguments, "--score-scale", "bm25", stdin=json.dumps(mined), check=True)
    run(
        *arguments[:4], "lce", *arguments[5:], "--overwrite", stdin=json.dumps(mined), check=True
    )  # needs no teacher


def test_the_sample_is_every_kth_group():
    sample: Any = SystematicSample(size=4)
    for number in range(100):
        sample.add([number])
    assert [item for (item,) in sample.items] == [0, 16, 32, 48, 64, 80, 96]
