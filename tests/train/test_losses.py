"""Losses against loops that follow the formulas, against sentence-transformers, and at their edges."""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, logsumexp, rel_entr, softmax
from scipy.stats import rankdata

from rdtools.core.errors import UsageError
from rdtools.core.records import SCORE_SCALES
from rdtools.models.preprocessing import is_modular
from rdtools.train.losses.objective import Labels, explain_objective, objective
from rdtools.train.losses.table import LOSSES, PAPER, explain
from rdtools.train.options import LossOptions


@pytest.fixture(autouse=True, scope="module")
def _double_precision_here_only():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def tensors(groups):
    """Groups of (student, teacher, positive) rows -> padded student scores and labels; what pads is NaN."""
    width = max(map(len, groups))
    pad = (math.nan, math.nan, True)
    rows = [[*group, *[pad] * (width - len(group))] for group in groups]
    student, teacher, positive = (torch.tensor([[doc[k] for doc in row] for row in rows]) for k in range(3))
    mask = torch.tensor([[place < len(group) for place in range(width)] for group in groups])
    labels = Labels(teacher.double(), positive.bool(), mask, mask)
    return student.double().requires_grad_(), labels


def columns(group):
    return (np.array(column, float) for column in zip(*group, strict=True))


def ordered_pairs(group):
    return [(si, ti, sj, tj) for si, ti, _ in group for sj, tj, _ in group if ti > tj]


def lce(group):
    negatives = [s for s, _, positive in group if not positive]
    terms = [logsumexp([s, *negatives]) - s for s, _, positive in group if positive and negatives]
    return np.mean(terms) if terms else None


def ranknet(group, factor=1.0):
    terms = [np.logaddexp(0, factor * (sj - si)) for si, _, sj, _ in ordered_pairs(group)]
    return np.mean(terms) if terms else None


def ranknet_rankers(group):
    """Binary cross entropy with logits, as rankers calls it, on the pairs of the upper triangle."""
    s, t, _ = (torch.tensor(column) for column in columns(group))
    i, j = torch.triu_indices(len(s), len(s), offset=1)
    if not len(i):
        return None
    return torch.nn.BCEWithLogitsLoss()(s[i] - s[j], (t[i] - t[j] > 0).double()).item()


def margin_mse(group):
    terms = [
        ((sp - sn) - (tp - tn)) ** 2
        for sp, tp, positive in group
        for sn, tn, other in group
        if positive and not other
    ]
    return np.mean(terms) if terms else None


def margin_mse_lightning(group):
    terms = [((si - sj) - (ti - tj)) ** 2 for si, ti, sj, tj in ordered_pairs(group)]
    return np.mean(terms) if terms else None


def kl(group, temperature=1.0):
    student, teacher, _ = columns(group)
    divergence = rel_entr(softmax(teacher / temperature), softmax(student / temperature)).sum()
    return divergence if len(group) > 1 else None


def kl_pylate(group):
    student, teacher, positive = columns(group)
    shares = (student - student.min()) / (student.max() - student.min() + 1e-8)
    return kl(list(zip(shares, teacher, positive, strict=True)))


def listnet(group):
    student, teacher, _ = columns(group)
    return -(softmax(teacher) * log_softmax(student)).sum() if len(group) > 1 else None


def likelihoods(group):
    """−log probability of each choice of the teacher's ranking, one after another."""
    left = sorted(group, key=lambda document: -document[1])
    while left:
        yield logsumexp([s for s, _, _ in left]) - left[0][0]
        left = left[1:]


def listmle(group):
    return sum(likelihoods(group)) if len(group) > 1 else None


def plistmle(group):
    weights = 2.0 ** np.arange(len(group) - 1, -1, -1) - 1
    return np.dot(weights, list(likelihoods(group))) / weights.sum() if len(group) > 1 else None


def lambda_loss(group):
    ranking = sorted(group, key=lambda document: -document[0])
    gains = [2 ** max(t, 0.0) - 1 for _, t, _ in ranking]
    best = sum(gain / math.log2(1 + r) for r, gain in enumerate(sorted(gains, reverse=True), 1)) or 1.0
    terms = []
    for i, (si, ti, _) in enumerate(ranking, 1):
        for j, (sj, tj, _) in enumerate(ranking, 1):
            if ti > tj:
                delta = 1 / math.log2(1 + abs(i - j)) - 1 / math.log2(2 + abs(i - j))
                change = abs(1 / math.log2(1 + i) - 1 / math.log2(1 + j))
                weight = (10 * delta + change) * abs(gains[i - 1] - gains[j - 1]) / best
                terms.append(weight * np.logaddexp(0, sj - si) / math.log(2))
    return np.mean(terms) if terms else None


def adr_mse(group):
    if len(group) < 2:
        return None
    student, teacher, _ = columns(group)
    ranks = rankdata(-teacher)
    guesses = [
        1 + sum(expit(sj - si) for j, sj in enumerate(student) if j != i) for i, si in enumerate(student)
    ]
    return np.mean((ranks - guesses) ** 2 / np.log2(1 + ranks))


def mse(group):
    return np.mean([(s - t) ** 2 for s, t, _ in group])


def bce(group):
    terms = [-expit(t) * np.log(expit(s)) - (1 - expit(t)) * np.log(expit(-s)) for s, t, _ in group]
    return np.mean(terms)


def bce_hard(group):
    terms = [-np.log(expit(s if positive else -s)) for s, _, positive in group]
    return np.mean(terms) if any(positive for _, _, positive in group) else None


REFERENCES = {
    "lce": lce, "infonce": lce, "ranknet": ranknet, "margin-mse": margin_mse, "kl": kl, "listnet": listnet,
    "listmle": listmle, "plistmle": plistmle, "lambda": lambda_loss, "adr-mse": adr_mse, "mse": mse, "bce": bce,
    "bce-hard": bce_hard,
    "kl:sentence-transformers": kl, "kl:rankers": kl, "kl:lightning-ir": kl, "kl:pylate": kl_pylate,
    "kl:tevatron": lambda group: kl(group, 0.02),
    "ranknet:sentence-transformers": lambda group: None if ranknet(group) is None else ranknet(group) / math.log(2),
    "ranknet:lightning-ir": ranknet, "ranknet:rankers": ranknet_rankers,
    "margin-mse:sentence-transformers": margin_mse, "margin-mse:rankers": margin_mse,
    "margin-mse:lightning-ir": margin_mse_lightning,
}  # fmt: skip


def look_up(table, key, where):
    """Return what a test expects of a loss; a loss that the test does not know fails it with advice."""
    return table[key] if key in table else pytest.fail(f"add {key} to {where} in {__file__}")


scores = st.integers(-6, 6).map(float)  # few values, so that ties are common
groups_of_docs = st.lists(
    st.lists(st.tuples(scores, scores, st.booleans()), min_size=1, max_size=6), min_size=1, max_size=4
)


OF_SCORES = [name for name, loss in LOSSES.items() if not loss.needs_embeddings]


def test_every_reference_is_that_of_a_loss():
    assert REFERENCES.keys() <= LOSSES.keys()


@pytest.mark.parametrize("name", OF_SCORES)
@given(groups=groups_of_docs)
@settings(max_examples=40)
def test_value_is_the_formula_and_the_gradient_finite(name, groups):
    reference = look_up(REFERENCES, name, "REFERENCES")
    student, labels = tensors(groups)
    value = objective(name)(student, labels)
    defined = [x for x in map(reference, groups) if x is not None]
    assert value.item() == pytest.approx(np.mean(defined) if defined else 0.0, abs=1e-9, rel=1e-6)
    value.backward()
    assert student.grad.isfinite().all()
    assert (student.grad[~labels.mask] == 0).all()


@pytest.mark.parametrize("name", OF_SCORES)
def test_gradient_is_that_of_the_value(name):
    generator = torch.Generator().manual_seed(3)
    teacher = torch.randn(2, 5, generator=generator)
    positive = torch.tensor([[True, False, False, True, False], [False, True, False, False, False]])
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    student = torch.randn(2, 5, generator=generator, requires_grad=True)
    labels = Labels(teacher, positive, mask, mask)
    assert torch.autograd.gradcheck(lambda s: objective(name)(s, labels), student)


def test_hand_worked_values():
    student, labels = tensors([[(2.0, 5.0, True), (1.0, 3.0, False), (0.0, 3.0, False)]])
    values = {name: objective(name)(student, labels).item() for name in OF_SCORES}
    # ranknet: the pairs (0, 1) and (0, 2), margins 1 and 2; the tie of 1 and 2 is left out
    softplus = {x: math.log(1 + math.exp(x)) for x in (-2, -1, 1, 0)}
    assert values["ranknet"] == pytest.approx((softplus[-1] + softplus[-2]) / 2)
    # rankers: the tie asks for 2 above 1, whose margin is 1
    assert values["ranknet:rankers"] == pytest.approx((softplus[-1] + softplus[-2] + softplus[1]) / 3)
    # margin-mse: margins 1 and 2 against 2 and 2
    assert values["margin-mse"] == pytest.approx((1 + 0) / 2)
    assert values["lce"] == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-2)))
    teacher_share = np.array([math.e**2, 1, 1]) / (math.e**2 + 2)
    expected = (teacher_share * (np.log(teacher_share) - log_softmax([2, 1, 0]))).sum()
    assert values["kl"] == pytest.approx(expected)
    assert values["listnet"] == pytest.approx(-(teacher_share * log_softmax([2, 1, 0])).sum())
    # listmle: 0 among all, then 1 (it comes before 2, which it ties) among two; plistmle: weights 3/4, 1/4, 0
    first, second = math.log(1 + math.exp(-1) + math.exp(-2)), softplus[-1]
    assert values["listmle"] == pytest.approx(first + second)
    assert values["plistmle"] == pytest.approx((3 * first + second) / 4)
    assert values["mse"] == pytest.approx((9 + 4 + 9) / 3)
    assert values["bce-hard"] == pytest.approx((softplus[-2] + softplus[1] + softplus[0]) / 3)
    # bce: log(1 + e^s) − σ(t)·s
    p5, p3 = 1 / (1 + math.exp(-5)), 1 / (1 + math.exp(-3))
    assert values["bce"] == pytest.approx((2 + softplus[-2] - 2 * p5 + softplus[1] - p3 + softplus[0]) / 3)
    # adr-mse: ranks 1, 2.5, 2.5; approximate ranks 1 + σ(−1) + σ(−2), 1 + σ(1) + σ(−1) = 2, 1 + σ(2) + σ(1)
    near = [1 + expit(-1) + expit(-2), 2.0, 1 + expit(2) + expit(1)]
    errors = [
        (1 - near[0]) ** 2,
        (2.5 - near[1]) ** 2 / math.log2(3.5),
        (2.5 - near[2]) ** 2 / math.log2(3.5),
    ]
    assert values["adr-mse"] == pytest.approx(sum(errors) / 3)
    # lambda: gains 31, 7, 7; maxDCG 31 + 7/log2(3) + 7/2; pairs (1, 2) and (1, 3) of ranks
    best = 31 + 7 / math.log2(3) + 3.5
    weights = [(10 * (1 - 1 / math.log2(3)) + 1 - 1 / math.log2(3)), (10 * (1 / math.log2(3) - 0.5) + 0.5)]
    pairs = [
        weight * 24 / best * softplus[x] / math.log(2) for weight, x in zip(weights, (-1, -2), strict=True)
    ]
    assert values["lambda"] == pytest.approx(sum(pairs) / 2)


@pytest.mark.parametrize("name", ["margin-mse", "kl", "kl:rankers", "kl:tevatron", "margin-mse:lightning-ir"])
def test_nothing_to_learn_from_oneself(name):
    student = torch.tensor([[3.0, -1.0, 0.5]], requires_grad=True)
    positive, mask = torch.tensor([[True, False, False]]), torch.ones(1, 3, dtype=torch.bool)
    labels = Labels(student.detach() + 7.0, positive, mask, mask)  # a shift changes nothing
    value = objective(name)(student, labels)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    torch.testing.assert_close(student.grad, torch.zeros(1, 3))


@pytest.mark.parametrize("name", OF_SCORES)
def test_an_undefined_group_is_not_in_the_mean(name):
    defined = [(2.0, 5.0, True), (1.0, 3.0, False)]
    undefined = [(math.nan, math.nan, False)] if len(LOSSES[name].needs) == 1 else [(9.0, 9.0, True)]
    if name == "bce-hard":
        undefined = [(9.0, 9.0, False)]
    alone = objective(name)(*tensors([defined])).item()
    assert objective(name)(*tensors([defined, undefined])).item() == pytest.approx(alone)


@pytest.mark.parametrize("name", OF_SCORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_scores_stay_finite(name, dtype):
    student, labels = tensors([[(-1e4, 1e3, True), (1e4, -1e3, False), (0.0, 0.0, False)]])
    student = student.detach().to(dtype).requires_grad_()
    value = objective(name)(student, labels._replace(teacher=labels.teacher.to(dtype)))
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_long_groups_stay_finite():
    student = torch.randn(1, 200, dtype=torch.float32, requires_grad=True)
    mask = torch.ones(1, 200, dtype=torch.bool)
    labels = Labels(torch.randn(1, 200, dtype=torch.float32), mask.cumsum(-1) == 1, mask, mask)
    for name in OF_SCORES:
        value = objective(name)(student, labels)
        (gradient,) = torch.autograd.grad(value, student)
        assert value.isfinite(), name
        assert gradient.isfinite().all(), name


def test_targets_of_bce_follow_the_scale():
    student, labels = tensors([[(0.7, 0.25, True), (-1.0, 0.5, False)]])
    as_probability = objective("bce").with_options("bce", scale="probability")(student, labels)
    as_logit = objective("bce")(student, labels._replace(teacher=labels.teacher.logit()))
    log_probability = objective("bce").with_options("bce", scale="log-probability")
    expected = torch.nn.functional.binary_cross_entropy_with_logits(student, labels.teacher)
    for value in (
        as_probability,
        as_logit,
        log_probability(student, labels._replace(teacher=labels.teacher.log())),
    ):
        torch.testing.assert_close(value, expected)


# In-batch negatives: two own documents, then three of other groups.
FOREIGN = Labels(
    torch.full((1, 5), math.nan),
    torch.tensor([[True, False, False, False, False]]),
    torch.ones(1, 5, dtype=torch.bool),
    torch.tensor([[True, True, False, False, False]]),
)


def test_only_infonce_sees_documents_of_other_groups():
    student = torch.tensor([[2.0, 2.5, 1.0, 2.05, 3.0]])
    assert objective("infonce")(student, FOREIGN).item() == pytest.approx(-log_softmax(student.numpy()[0])[0])
    assert objective("lce")(student, FOREIGN).item() == pytest.approx(-log_softmax([2.0, 2.5])[0])


def test_suspected_false_negatives_are_no_negatives():
    student = torch.tensor([[2.0, 2.5, 1.0, 2.05, 3.0]], requires_grad=True)
    masked = objective("infonce").with_options("infonce", false_negative_margin=0.1)(student, FOREIGN)
    # 3.0 is above 2.0 + 0.1; 2.05 is not; 2.5 is the group's own
    assert masked.item() == pytest.approx(-log_softmax([2.0, 2.5, 1.0, 2.05])[0])
    masked.backward()
    assert student.grad is not None
    assert student.grad[0, 4] == 0


def test_the_lowest_of_several_positives_says_who_is_suspected():
    labels = FOREIGN._replace(positive=torch.tensor([[True, True, False, False, False]]))
    student = torch.tensor([[2.0, 1.0, 0.5, 1.05, 1.5]])
    masked = objective("infonce").with_options("infonce", false_negative_margin=0.1)(student, labels)
    # 1.5 is above 1.0 + 0.1, though not above 2.0 + 0.1; positives are no negatives of each other
    expected = [-log_softmax([positive, 0.5, 1.05])[0] for positive in (2.0, 1.0)]
    assert masked.item() == pytest.approx(sum(expected) / 2)


def test_the_mask_is_that_of_gistembed_with_the_student_as_guide():
    class Embeds(FixedEmbeddings):
        tokenizer, max_seq_length, device = object(), 1, "cpu"

    model = Embeds()
    torch.manual_seed(1)
    query, doc = torch.randn(6, 4), torch.randn(6, 4)
    kind = library_losses().GISTEmbedLoss
    loss = kind.__new__(kind)
    torch.nn.Module.__init__(loss)
    loss.model = loss.guide = model
    loss.must_retokenize = loss.contrast_anchors = loss.contrast_positives = loss.gather_across_devices = (
        False
    )
    loss.similarity_fct, loss.temperature = torch.nn.CosineSimilarity(dim=-1), 0.05
    loss.margin_strategy, loss.margin = "absolute", -0.1
    loss.cross_entropy_loss = torch.nn.CrossEntropyLoss()
    theirs = loss([{"x": query}, {"x": doc}], torch.zeros(6))
    similarity = torch.nn.functional.normalize(query, dim=-1) @ torch.nn.functional.normalize(doc, dim=-1).T
    # Ours has the own documents first.
    order = torch.stack([torch.tensor([i, *[j for j in range(6) if j != i]]) for i in range(6)])
    first = torch.zeros(6, 6, dtype=torch.bool)
    first[:, 0] = True
    labels = Labels(torch.full((6, 6), math.nan), first, torch.ones_like(first), first)
    ours = objective("infonce").with_options("infonce", false_negative_margin=0.1 * 20)
    assert ours(20 * similarity.gather(1, order), labels).item() == pytest.approx(theirs.item())
    assert ours(20 * similarity.gather(1, order), labels) < objective("infonce")(
        20 * similarity.gather(1, order), labels
    )


def assert_same_value_and_gradient(ours, theirs, our_leaf, their_leaf, rel=1e-6):
    assert ours.item() == pytest.approx(theirs.item(), rel=rel)
    (our_slope,) = torch.autograd.grad(ours, our_leaf)
    (their_slope,) = torch.autograd.grad(theirs, their_leaf)
    torch.testing.assert_close(
        our_slope.reshape(-1), their_slope.double().reshape(-1), rtol=rel, atol=rel * their_slope.abs().max()
    )


def library_losses() -> Any:
    """The losses of sentence-transformers, which were in another module before version 5.5."""
    module = "sentence_transformers.sentence_transformer"
    return import_module(f"{module if find_spec(module) else 'sentence_transformers'}.losses")


def library_losses_of_pairs() -> Any:
    from sentence_transformers.cross_encoder import CrossEncoder, losses

    if not is_modular(CrossEncoder):
        pytest.skip("needs sentence-transformers 5.5, whose losses call a model as FixedScores is called")
    return losses


class FixedEmbeddings(torch.nn.Module):
    """Stands for a SentenceTransformer in its losses: the features already are the embeddings."""

    similarity_fn_name = "dot"

    def forward(self, features):
        return {"sentence_embedding": features["x"]}


@pytest.mark.parametrize("name", ["kl", "kl:sentence-transformers"])
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.05, 1.0), (2.0, 4.0)])
def test_kl_is_that_of_sentence_transformers(name, temperatures):
    from sentence_transformers.util import pairwise_dot_score

    query, docs, teacher = torch.randn(3, 8), torch.randn(4, 3, 8, requires_grad=True), torch.rand(3, 4)
    kind = library_losses().DistillKLDivLoss
    if "teacher_temperature" not in signature(kind.__init__).parameters:
        pytest.skip("needs a later sentence-transformers, with a temperature for each side")
    theirs = kind(
        FixedEmbeddings(), similarity_fct=pairwise_dot_score,
        teacher_temperature=temperatures[0], student_temperature=temperatures[1],
    )([{"x": query}, *({"x": doc} for doc in docs)], teacher)  # fmt: skip
    student = torch.einsum("bd,gbd->bg", query, docs)
    ones = torch.ones(3, 4, dtype=torch.bool)
    ours = objective(name).with_temperatures(*temperatures)(student, Labels(teacher, ~ones, ones, ones))
    assert_same_value_and_gradient(ours, theirs, docs, docs)


def test_margin_mse_is_that_of_sentence_transformers():
    query, docs, teacher = torch.randn(3, 8), torch.randn(4, 3, 8, requires_grad=True), torch.randn(3, 4)
    margins = teacher[:, :1] - teacher[:, 1:]
    theirs = library_losses().MarginMSELoss(FixedEmbeddings())(
        [{"x": query}, *({"x": doc} for doc in docs)], margins
    )
    student = torch.einsum("bd,gbd->bg", query, docs)
    ones = torch.ones(3, 4, dtype=torch.bool)
    labels = Labels(teacher, ones.cumsum(-1) == 1, ones, ones)
    assert_same_value_and_gradient(objective("margin-mse")(student, labels), theirs, docs, docs)


class FixedScores:
    """Stands for a CrossEncoder in its losses: the document of a pair is the place of its logit."""

    num_labels = 1
    device: Any = "cpu"
    logits: torch.Tensor

    def preprocess(self, inputs, prompt=None, **options):
        return {"scores": self.logits[[int(document) for _, document in inputs]]}

    def __call__(self, features):
        return features


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("listnet", ("ListNetLoss", {})),
        ("listmle", ("ListMLELoss", {"respect_input_order": False})),
        ("plistmle", ("PListMLELoss", {"respect_input_order": False})),
        ("lambda", ("LambdaLoss", {})),
        ("adr-mse", ("ADRMSELoss", {})),
        ("ranknet:sentence-transformers", ("RankNetLoss", {})),
    ],
)
def test_listwise_losses_are_those_of_sentence_transformers(name, theirs):
    """Groups of unequal size, one by one: over a batch the library averages over pairs or documents."""
    losses = library_losses_of_pairs()
    rng = np.random.default_rng(4)
    for size in (2, 3, 7, 16):
        student = rng.normal(size=size).astype(np.float32)
        teacher = rng.normal(size=size).astype(np.float32)
        if name in ("adr-mse", "lambda"):
            teacher = np.round(teacher)  # ties, and grades below 0
        rows = [(float(s), float(t), False) for s, t in zip(student, teacher, strict=True)]
        model = FixedScores()
        model.logits = torch.tensor(student, requires_grad=True)
        loss = getattr(losses, theirs[0])(model, **theirs[1])
        torch.set_default_dtype(torch.float32)  # they fill a float32 matrix
        expected = loss([["q"], [[*map(str, range(size))]]], [torch.tensor(teacher)])
        torch.set_default_dtype(torch.float64)
        scores, labels = tensors([rows])
        assert_same_value_and_gradient(objective(name)(scores, labels), expected, scores, model.logits, 1e-4)


@pytest.mark.parametrize(("name", "theirs"), [("mse", "MSELoss"), ("bce", "BinaryCrossEntropyLoss")])
def test_pointwise_losses_are_those_of_sentence_transformers(name, theirs):
    from sentence_transformers.cross_encoder import CrossEncoder

    losses = library_losses_of_pairs()

    class Model(FixedScores, CrossEncoder):
        def __init__(self):
            torch.nn.Module.__init__(self)

    model, teacher = Model(), torch.rand(5)
    model.logits = torch.randn(5, requires_grad=True)
    expected = getattr(losses, theirs)(model)([["q"] * 5, [*map(str, range(5))]], teacher)
    rows = [(s.item(), t.item(), False) for s, t in zip(model.logits, teacher, strict=True)]
    scores, labels = tensors([rows])
    ours = objective(name).with_options("bce", scale="probability")(scores, labels)
    assert_same_value_and_gradient(ours, expected, scores, model.logits, 1e-5)


@pytest.mark.parametrize(("name", "temperatures", "expected"), [
    ("kl:rankers", (2.0, 2.0), lambda group: kl(group, 2.0)),
    ("kl:tevatron", (0.5, 0.5), lambda group: kl(group, 0.5)),
    ("ranknet:lightning-ir", (None, 3.0), lambda group: ranknet(group, 3.0)),
    ("listnet", (2.0, None), lambda group: listnet([(s, t / 2, positive) for s, t, positive in group])),
])  # fmt: skip
def test_temperatures(name, temperatures, expected):
    group = [(2.0, 5.0, True), (1.0, 3.0, False), (0.0, 4.0, False)]
    value = objective(name).with_temperatures(*temperatures)(*tensors([group]))
    assert value.item() == pytest.approx(expected(group))


def test_flagembedding_adds_a_contrastive_loss():
    group = [(2.0, 5.0, True), (1.0, 3.0, False), (0.0, 4.0, False)]
    student, teacher, _ = columns(group)
    expected = -(softmax(teacher) * log_softmax(student)).sum() - log_softmax(student)[0]
    assert objective("kl:flagembedding")(*tensors([group])).item() == pytest.approx(expected)


@given(groups=groups_of_docs)
@settings(max_examples=40)
def test_a_sum_is_the_weighted_sum_of_means_of_its_own(groups):
    student, labels = tensors(groups)
    value = objective("kl+0.2*lce")(student, labels)
    expected = objective("kl")(student, labels) + 0.2 * objective("lce")(student, labels)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert student.grad.isfinite().all()


def test_a_document_without_score_counts_where_no_score_is_needed():
    group = [(2.0, 5.0, True), (1.0, math.nan, False), (0.0, 3.0, False)]
    student, labels = tensors([group])
    value = objective("kl+lce")(student, labels)
    assert value.item() == pytest.approx(kl([group[0], group[2]]) + lce(group))
    value.backward()
    assert student.grad.isfinite().all()


def test_parts_of_batches_add_up_to_the_mean_of_all():
    groups = [
        [(2.0, 5.0, True), (1.0, 3.0, False)],
        [(0.5, 1.0, False), (1.0, 3.0, False)],
        [(1.0, 1.0, True)],
    ]
    goal = objective("kl+lce")
    student, labels = tensors(groups)
    counts = goal.counts(labels)
    assert counts == [2, 1]
    rows = [goal.parts(student[[row]], labels.rows(slice(row, row + 1)), counts) for row in range(3)]
    torch.testing.assert_close(sum(map(goal.total, rows)), goal(student, labels))


def test_paper_compat_takes_the_papers_library():
    assert PAPER == {"kl": "kl:rankers", "ranknet": "ranknet:rankers"}
    names = [loss.name for loss in objective("kl+2*ranknet+lce", paper_compat=True).losses]
    assert names == ["kl:rankers", "ranknet:rankers", "lce"]
    # The paper's formula, re-computed: a tie is "second preferred".
    group = [(2.0, 3.0, True), (1.0, 3.0, False)]
    value = objective("ranknet", paper_compat=True)(*tensors([group])).item()
    assert value == pytest.approx(math.log(1 + math.exp(2.0 - 1.0)))
    assert objective("ranknet")(*tensors([group])).item() == 0.0


def test_in_batch_negatives_is_infonce_for_lce():
    names = [loss.name for loss in objective("kl:flagembedding", in_batch_negatives=True).losses]
    assert names == ["listnet", "infonce"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("klo", "unknown loss 'klo'; did you mean 'kl'? (choose from lce, infonce,"),
        ("kl:tevatrn", "unknown loss 'kl:tevatrn'; did you mean 'kl:tevatron'? (choose from lce,"),
        ("kl+", "--loss kl+: a loss is missing (a sum is written kl+0.2*lce)"),
        ("", "--loss : a loss is missing (a sum is written kl+0.2*lce)"),
        ("x*lce", "--loss x*lce: the weight 'x' is not a number above 0"),
        ("-1*lce", "--loss -1*lce: the weight '-1' is not a number above 0"),
        ("inf*lce", "--loss inf*lce: the weight 'inf' is not a number above 0"),
        ("nan*lce", "--loss nan*lce: the weight 'nan' is not a number above 0"),
        ("kl+0.5*kl", "--loss kl+0.5*kl: kl is repeated (give it one weight)"),
        ("lce+kl:flagembedding", "--loss lce+kl:flagembedding: lce is repeated (give it one weight)"),
    ],
)
def test_what_is_no_sum_of_losses(spec, message):
    with pytest.raises(UsageError) as error:
        objective(spec)
    assert str(error.value).startswith(message)


def test_spaces_and_weights_of_a_sum():
    goal = objective(" kl + 1e-1 * lce")
    assert [loss.name for loss in goal.losses] == ["kl", "lce"]
    assert goal.weights == (1.0, 0.1)


UNFIT = {
    "lce": set(), "infonce": set(), "bce-hard": set(), "ranknet": set(), "listmle": set(), "plistmle": set(),
    "adr-mse": set(), "margin-mse": {"probability", "rank", "unknown"}, "kl": {"probability", "rank", "unknown"},
    "listnet": {"probability", "rank", "unknown"}, "mse": {"probability", "rank", "unknown"},
    "embedding": set(), "lambda": {"log-probability", "rank", "unknown"}, "bce": {"cosine", "dot", "bm25", "rank", "unknown"},
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_scales(name):
    refused = set()
    for scale in SCORE_SCALES:
        try:
            objective(name).check_scale(scale)
        except UsageError:
            refused.add(scale)
    assert refused == look_up(UNFIT, name.partition(":")[0], "UNFIT")


def test_refusals_say_what_would_help():
    with pytest.raises(
        UsageError, match=r"^--loss kl does not fit scores of unknown scale \(.*--score-scale logit\)"
    ):
        objective("kl").check_scale("unknown")
    with pytest.raises(
        UsageError, match=r"^--loss margin-mse does not fit scores that are probabilities \(label"
    ):
        objective("lce+margin-mse").check_scale("probability")
    with pytest.raises(UsageError, match=r"^--loss ranknet\+lce has no temperature \(--loss kl has\)$"):
        objective("ranknet+lce").with_temperatures(1.0, 2.0)
    with pytest.raises(UsageError, match=r"^--loss ranknet:lightning-ir has no --teacher-temperature"):
        objective("ranknet:lightning-ir").with_temperatures(1.0, 2.0)
    with pytest.raises(UsageError, match=r"^--student-temperature must be above 0, not 0$"):
        LossOptions(loss="kl", student_temperature=0.0)


def test_temperatures_go_to_the_losses_that_have_them():
    goal = objective("kl+ranknet").with_temperatures(0.5, None)
    assert dict(goal.losses[0].options) == {"teacher_temperature": 0.5, "student_temperature": 1.0}
    assert goal.losses[1] == LOSSES["ranknet"]


@pytest.mark.parametrize("name", LOSSES)
def test_explanations_have_formula_scales_and_source(name):
    text = explain(name)
    assert text.startswith(f"{name}: ")
    assert "Source: " in text
    assert "Score scales: " in text
    assert "Ties: " in text
    assert "Undefined: " in text
    assert "mean over" in text or "Σ" in text
    assert text in explain_objective(name)


def test_the_explanation_of_a_sum_names_its_weights():
    first = explain_objective("kl+0.2*lce").partition("\n")[0]
    assert first == "kl+0.2*lce = 1 · kl + 0.2 · lce, each over the groups that have what it needs."
    assert explain_objective("kl:flagembedding").startswith(
        "kl:flagembedding = 1 · listnet + 1 · lce, each over"
    )


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("kl:rankers", "(--teacher-temperature 0.05 may suit)"),
        ("kl:pylate", "(--loss kl with --teacher-temperature 0.05 may suit)"),
        ("kl", None),
        ("listnet+lce", None),
        ("kl:tevatron", None),
        ("ranknet", None),
        ("lambda", None),
    ],
)
def test_distributions_over_cosines_are_warned_about(caplog, spec, advice):
    objective(spec).check_scale("cosine")
    nearly = "softmax over cosines is nearly uniform at temperature 1, so there is little to learn "
    assert caplog.messages == ([] if advice is None else [nearly + advice])
