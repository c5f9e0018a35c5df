"""The objective of a training run: a loss, or a weighted sum of losses such as `kl+0.2*lce`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from rdtools.core.errors import UsageError
from rdtools.core.registry import check_name
from rdtools.train.losses.table import LOSSES, PAPER, SUMS, Loss, explain

if TYPE_CHECKING:
    from torch import Tensor


class Labels(NamedTuple):
    """The targets of B groups of up to G documents, all (B, G)."""

    teacher: Tensor
    """Float; NaN where a document has no score, or where there is no document."""
    positive: Tensor
    mask: Tensor
    """Bool: there is a document."""
    own: Tensor
    """Bool: it is of this group, not of another one of the batch."""
    vectors: Tensor | None = None
    """The teacher's embeddings of the query, then of the first n documents, (B, 1 + n, dimension); NaN where
    there is none. n is the largest number of a group's own documents. None if no loss needs them."""

    def to(self, device: object) -> Labels:
        return self._each(lambda part: part.to(device, non_blocking=True))  # type: ignore[call-overload]

    def rows(self, which: slice) -> Labels:
        """Return the targets of some of the groups."""
        return self._each(lambda part: part[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Labels:
        teacher, positive, mask, own = map(change, self[:4])
        return Labels(teacher, positive, mask, own, None if self.vectors is None else change(self.vectors))


@dataclass(frozen=True)
class Objective:
    """Losses and their weights. Each loss uses the groups and documents that have what it needs."""

    name: str
    losses: tuple[Loss, ...]
    weights: tuple[float, ...]

    @property
    def needs_teacher(self) -> bool:
        return any(loss.needs_teacher for loss in self.losses)

    @property
    def needs_embeddings(self) -> bool:
        return any(loss.needs_embeddings for loss in self.losses)

    @property
    def only_embeddings(self) -> bool:
        return all(loss.needs_embeddings for loss in self.losses)

    @property
    def of_scores(self) -> Objective:
        """The losses that look at scores, perhaps none."""
        terms = zip(self.losses, self.weights, strict=True)
        kept = [(loss, weight) for loss, weight in terms if not loss.needs_embeddings]
        return Objective(self.name, tuple(loss for loss, _ in kept), tuple(weight for _, weight in kept))

    @property
    def fits_teacher(self) -> bool:
        """Whether a teacher's temperature is to be fitted to the scores, since none is stated."""
        return any(loss.fits_teacher for loss in self.losses)

    @property
    def in_batch(self) -> bool:
        return any(loss.in_batch for loss in self.losses)

    @property
    def ordinal(self) -> bool:
        """True if the records may mix score scales."""
        return all(loss.ordinal for loss in self.losses)

    @property
    def equal_scores_name(self) -> str:
        """The name of the loss of equal scores, where it has one: `, ln G` for lce."""
        return ", ln G" if [loss.name for loss in self.losses] == ["lce"] else ""

    def check_scale(self, scale: str) -> None:
        """Raise `UsageError` if one of the losses cannot learn from scores on this scale."""
        for loss in self.losses:
            loss.check_scale(scale)

    def with_temperatures(self, teacher: float | None, student: float | None) -> Objective:
        """Return a copy with these temperatures, in the losses that have them.

        Raises:
            UsageError: none has.
        """
        for side, value in (("teacher", teacher), ("student", student)):
            if value is not None and not any(side in loss.temperatures for loss in self.losses):
                has_other = any(loss.temperatures for loss in self.losses)
                kind = f"--{side}-temperature" if has_other else "temperature"
                raise UsageError(f"--loss {self.name} has no {kind} (--loss kl has)")
        return self._each(lambda loss: loss.with_temperatures(teacher=teacher, student=student))

    def with_fitted_teacher(self, temperature: float) -> Objective:
        """Return a copy whose losses have this temperature of the teacher where none is stated."""
        return self._each(
            lambda loss: loss.with_temperatures(teacher=temperature) if loss.fits_teacher else loss
        )

    def with_options(self, name: str, **options: object) -> Objective:
        """Return a copy with these keyword arguments of the loss called `name`."""
        return self._each(
            lambda loss: replace(loss, options={**loss.options, **options}) if loss.name == name else loss
        )

    def counts(self, labels: Labels) -> list[int]:
        """Return the number of groups that each loss is defined for."""
        return [int(loss.defined(*_targets(loss, labels)).sum()) for loss in self.losses]

    def parts(
        self, student: Tensor, labels: Labels, counts: Sequence[int], vectors: Tensor | None = None
    ) -> list[Tensor]:
        """Return for each loss its sum over the groups that it is defined for, divided by its count.

        With the counts of a whole step, the parts of the batches add up to the means of the step. `vectors`
        are the student's embeddings, (B, 1 + n, dimension), if a loss needs them.
        """
        return [
            _sum(loss, student, vectors, labels) / max(count, 1)
            for loss, count in zip(self.losses, counts, strict=True)
        ]

    def total(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of the parts."""
        weighted = [weight * part for weight, part in zip(self.weights, parts, strict=True)]
        return sum(weighted[1:], weighted[0])

    def __call__(self, student: Tensor, labels: Labels) -> Tensor:
        """Return the weighted sum of the losses; each is the mean over the groups that it is defined for."""
        return self.total(self.parts(student, labels, self.counts(labels)))

    def _each(self, change: Callable[[Loss], Loss]) -> Objective:
        return replace(self, losses=tuple(map(change, self.losses)))


def _sum(loss: Loss, student: Tensor, vectors: Tensor | None, labels: Labels) -> Tensor:
    teacher, positive, mask, own = _targets(loss, labels)
    defined = loss.defined(teacher, positive, mask, own)
    if loss.needs_embeddings:
        assert vectors is not None
        assert labels.vectors is not None
        student, teacher = vectors, labels.vectors
    return loss.values(student, teacher, positive, mask, own).masked_fill(~defined, 0.0).sum()


def _targets(loss: Loss, labels: Labels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the targets of scores, with a mask of the documents that have what the loss needs of each."""
    teacher, positive, mask, own, vectors = labels
    if loss.needs_teacher:
        mask = mask & ~teacher.isnan()
    if loss.needs_embeddings and vectors is not None:
        there = ~vectors.isnan().any(-1)
        there = there[:, :1] & there[:, 1:]  # (B, n)
        teacher, positive, mask, own = (part[:, : there.shape[1]] for part in (teacher, positive, mask, own))
        mask = mask & there
    return teacher, positive, mask, own


def objective(spec: str, *, paper_compat: bool = False, in_batch_negatives: bool = False) -> Objective:
    """Read `kl`, `kl:tevatron` or a sum such as `kl+0.2*lce`.

    Args:
        paper_compat: take the losses as the library of arXiv 2505.21058 computes them, see PAPER.
        in_batch_negatives: replace lce by infonce.

    Raises:
        UsageError: a name or a weight is wrong.
    """
    changes = {**(PAPER if paper_compat else {}), **({"lce": "infonce"} if in_batch_negatives else {})}
    weights: dict[str, float] = {}
    for weight, name in _terms(spec):
        for inner_weight, inner in _terms(SUMS.get(name, name)):
            inner = changes.get(inner, inner)
            if inner in weights:
                raise UsageError(f"--loss {spec}: {inner} is repeated (give it one weight)")
            weights[inner] = weight * inner_weight
    return Objective(spec, tuple(LOSSES[name] for name in weights), tuple(weights.values()))


def complete_loss(incomplete: str) -> list[str]:
    """Complete the last term of a sum."""
    end = max(incomplete.rfind("+"), incomplete.rfind("*")) + 1
    before, begun = incomplete[:end], incomplete[end:]
    return [before + name for name in (*LOSSES, *SUMS) if name.startswith(begun)]


def explain_objective(spec: str) -> str:
    """Return what `rd-train --explain-loss` prints: the meaning of a sum, then each of its losses."""
    chosen = objective(spec)
    texts = [explain(loss.name) for loss in chosen.losses]
    if len(texts) > 1 or spec in SUMS:
        terms = zip(chosen.weights, chosen.losses, strict=True)
        formula = " + ".join(f"{weight:g} · {loss.name}" for weight, loss in terms)
        texts.insert(0, f"{spec} = {formula}, each over the groups that have what it needs.")
    return "\n\n".join([*texts, _NOTATION])


_NOTATION = """\
s are the student's scores, those of a bi-encoder times --scale; t are the teacher's. The loss is the mean
over groups where it is defined."""


def _terms(spec: str) -> list[tuple[float, str]]:
    """Split a sum into weights and names."""
    terms = []
    for term in spec.split("+"):
        weight, star, name = term.strip().rpartition("*")
        name = name.strip()
        if not name:
            raise UsageError(f"--loss {spec}: a loss is missing (a sum is written kl+0.2*lce)")
        if name not in SUMS:
            known = [*LOSSES, *SUMS]
            plain = [other for other in known if ":" not in other]
            check_name(known if ":" in name else plain, name, "loss")
        terms.append((_weight(spec, weight.strip()) if star else 1.0, name))
    return terms


def _weight(spec: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise UsageError(f"--loss {spec}: the weight {text!r} is not a number above 0")
    return weight
