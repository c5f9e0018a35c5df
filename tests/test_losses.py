"""Losses against loops that follow the formulas, against sentence-transformers, and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp, rel_entr, softmax

from rdtools.errors import UsageError
from rdtools.losses import LOSSES, explain
from rdtools.records import SCORE_SCALES


@pytest.fixture(autouse=True, scope="module")
def _double_precision_here_only():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def tensors(groups):
    """Groups of (student, teacher, positive) rows -> padded tensors; what pads them is NaN."""
    width = max(map(len, groups))
    pad = (math.nan, math.nan, True)
    rows = [[*group, *[pad] * (width - len(group))] for group in groups]
    student, teacher, positive = (torch.tensor([[doc[k] for doc in row] for row in rows]) for k in range(3))
    mask = torch.tensor([[place < len(group) for place in range(width)] for group in groups])
    return student.double().requires_grad_(), teacher.double(), positive.bool(), mask


def lce(group):
    negatives = [s for s, _, positive in group if not positive]
    terms = [logsumexp([s, *negatives]) - s for s, _, positive in group if positive and negatives]
    return np.mean(terms) if terms else None


def ranknet(group):
    terms = [np.logaddexp(0, sj - si) for si, ti, _ in group for sj, tj, _ in group if ti > tj]
    return np.mean(terms) if terms else None


def margin_mse(group):
    terms = [
        ((sp - sn) - (tp - tn)) ** 2
        for sp, tp, positive in group
        for sn, tn, other in group
        if positive and not other
    ]
    return np.mean(terms) if terms else None


def kl(group):
    student, teacher, _ = (np.array(column, float) for column in zip(*group, strict=True))
    return rel_entr(softmax(teacher), softmax(student)).sum() if len(group) > 1 else None


REFERENCES = {"lce": lce, "ranknet": ranknet, "margin-mse": margin_mse, "kl": kl}

scores = st.integers(-6, 6).map(float)  # few values, so that ties are common
groups_of_docs = st.lists(
    st.lists(st.tuples(scores, scores, st.booleans()), min_size=1, max_size=6), min_size=1, max_size=4
)


def test_every_loss_is_tested():
    assert REFERENCES.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", LOSSES)
@given(groups=groups_of_docs)
@settings(max_examples=60, deadline=None)
def test_value_is_the_formula_and_the_gradient_finite(name, groups):
    student, *others = tensors(groups)
    value = LOSSES[name].function(student, *others)
    defined = [x for x in map(REFERENCES[name], groups) if x is not None]
    assert value.item() == pytest.approx(np.mean(defined) if defined else 0.0, abs=1e-9)
    value.backward()
    assert student.grad.isfinite().all()
    assert (student.grad[~others[-1]] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_that_of_the_value(name):
    generator = torch.Generator().manual_seed(3)
    teacher = torch.randn(2, 5, generator=generator)
    positive = torch.tensor([[True, False, False, True, False], [False, True, False, False, False]])
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    student = torch.randn(2, 5, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: LOSSES[name].function(s, teacher, positive, mask), student)


def test_hand_worked_values():
    student, teacher, positive, mask = tensors([[(2.0, 5.0, True), (1.0, 3.0, False), (0.0, 3.0, False)]])
    values = {name: loss.function(student, teacher, positive, mask).item() for name, loss in LOSSES.items()}
    # ranknet: the pairs (0, 1) and (0, 2), margins 1 and 2; the tie of 1 and 2 is left out
    assert values["ranknet"] == pytest.approx((math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))) / 2)
    # margin-mse: margins 1 and 2 against 2 and 2
    assert values["margin-mse"] == pytest.approx((1 + 0) / 2)
    assert values["lce"] == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-2)))
    teacher_share = np.array([math.e**2, 1, 1]) / (math.e**2 + 2)
    expected = (teacher_share * (np.log(teacher_share) - log_softmax([2, 1, 0]))).sum()
    assert values["kl"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["margin-mse", "kl"])
def test_nothing_to_learn_from_oneself(name):
    student = torch.tensor([[3.0, -1.0, 0.5]], requires_grad=True)
    positive, mask = torch.tensor([[True, False, False]]), torch.ones(1, 3, dtype=torch.bool)
    value = LOSSES[name].function(student, student.detach() + 7.0, positive, mask)  # a shift changes nothing
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    torch.testing.assert_close(student.grad, torch.zeros(1, 3))


def test_an_undefined_group_is_not_in_the_mean():
    defined = [(2.0, 5.0, True), (1.0, 3.0, False)]
    for name, loss in LOSSES.items():
        alone = loss.function(*tensors([defined])).item()
        assert loss.function(*tensors([defined, [(9.0, 9.0, True)]])).item() == pytest.approx(alone), name


def test_extreme_scores_stay_finite():
    for name, loss in LOSSES.items():
        student, *others = tensors([[(-1e4, 1e3, True), (1e4, -1e3, False)]])
        value = loss.function(student, *others)
        value.backward()
        assert value.isfinite(), name
        assert student.grad.isfinite().all(), name


class FixedEmbeddings(torch.nn.Module):
    """Stands for a SentenceTransformer in its losses: the features already are the embeddings."""

    similarity_fn_name = "dot"

    def forward(self, features):
        return {"sentence_embedding": features["x"]}


@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.05, 1.0), (2.0, 4.0)])
def test_kl_is_that_of_sentence_transformers(temperatures):
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
    from sentence_transformers.util import pairwise_dot_score

    query, docs, teacher = torch.randn(3, 8), torch.randn(4, 3, 8), torch.rand(3, 4)
    theirs = DistillKLDivLoss(
        FixedEmbeddings(), similarity_fct=pairwise_dot_score,
        teacher_temperature=temperatures[0], student_temperature=temperatures[1],
    )([{"x": query}, *({"x": doc} for doc in docs)], teacher)  # fmt: skip
    student = torch.einsum("bd,gbd->bg", query, docs)
    ones = torch.ones(3, 4, dtype=torch.bool)
    ours = LOSSES["kl"].with_temperatures(*temperatures).function(student, teacher, ~ones, ones)
    assert ours.item() == pytest.approx(theirs.item())


def test_margin_mse_is_that_of_sentence_transformers():
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    query, docs, teacher = torch.randn(3, 8), torch.randn(4, 3, 8), torch.randn(3, 4)
    margins = teacher[:, :1] - teacher[:, 1:]
    theirs = MarginMSELoss(FixedEmbeddings())([{"x": query}, *({"x": doc} for doc in docs)], margins)
    student = torch.einsum("bd,gbd->bg", query, docs)
    ones = torch.ones(3, 4, dtype=torch.bool)
    positive = torch.zeros(3, 4, dtype=torch.bool)
    positive[:, 0] = True
    assert LOSSES["margin-mse"].function(student, teacher, positive, ones).item() == pytest.approx(
        theirs.item()
    )


@pytest.mark.parametrize("name", LOSSES)
def test_scales(name):
    refused = set()
    for scale in SCORE_SCALES:
        try:
            LOSSES[name].check_scale(scale)
        except UsageError:
            refused.add(scale)
    assert refused == ({"probability", "rank", "unknown"} if name in ("margin-mse", "kl") else set())


def test_refusals_say_what_would_help():
    with pytest.raises(
        UsageError, match=r"^--loss kl does not fit scores of unknown scale \(.*--score-scale logit\)"
    ):
        LOSSES["kl"].check_scale("unknown")
    with pytest.raises(
        UsageError, match=r"^--loss margin-mse does not fit scores that are probabilities \(label"
    ):
        LOSSES["margin-mse"].check_scale("probability")
    with pytest.raises(UsageError, match=r"^--loss lce has no temperature"):
        LOSSES["lce"].with_temperatures(1.0, 2.0)


@pytest.mark.parametrize("name", LOSSES)
def test_explanations_have_formula_scales_and_source(name):
    text = explain(name)
    assert text.startswith(f"{name}: ")
    assert "Source: " in text
    assert "Score scales: " in text
    assert "Undefined: " in text
    assert "mean over" in text or "Σ" in text
