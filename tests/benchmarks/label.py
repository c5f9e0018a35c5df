"""rd-label with a cross-encoder beside CrossEncoder.predict: passages, abstracts, and bf16 where the CPU has bfloat16."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import texts
from measuring import Options, Row, Side, compare, fastest, left_out, parts_in_turn, timed, worker

MINUTES = (0.6, 4)
GROUP = 16
TARGETS = {"passages": "≥ 1.5", "abstracts": "≥ 1.5"}


def make(options: Options) -> None:
    if not list(left_out("", Side("", [], needs=texts.NEEDS))):
        texts.make_cross_encoder(options)


def ours(model: str, out: str, queries: str, dtype: str) -> None:
    """The command's own loop: records in, scored records out."""
    from rdtools.data.collection import Collection
    from rdtools.label.labeler import Labeler
    from rdtools.label.teachers import TeacherResources, open_teacher
    from rdtools.models.options import ModelOptions

    resources = TeacherResources(Collection(), model=ModelOptions(device="cpu", dtype=dtype))
    teacher = open_teacher(f"ce:{model}", resources)
    for kind in TARGETS:
        records: Any = texts.records(kind, int(queries), GROUP)
        list(Labeler([teacher]).label(texts.records(kind, 1, 4)))  # type: ignore[arg-type]
        with timed(kind, int(queries) * GROUP):
            labelled = list(Labeler([teacher]).label(records))
        scores = [doc["score"] for record in labelled for doc in record["docs"]]
        Path(f"{out}-{kind}-{dtype}.json").write_text(json.dumps(scores))


def theirs(model: str, out: str, queries: str) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    encoder = CrossEncoder(model, device="cpu", activation_fn=torch.nn.Identity())
    for kind in TARGETS:
        records = texts.records(kind, int(queries), GROUP)
        pairs = [(record["query"], doc["text"]) for record in records for doc in record["docs"]]
        encoder.predict(pairs[:4])
        for batch in texts.BATCHES:
            with timed(f"{kind}, batches of {batch}", len(pairs)):
                scores = encoder.predict(pairs, batch_size=batch)
        Path(f"{out}-{kind}-theirs.json").write_text(json.dumps(scores.tolist()))


def agreement(out: str) -> None:
    """How far the scores of both sides are apart, and how their orders agree."""
    from scipy.stats import kendalltau

    for kind in TARGETS:
        reference = json.loads(Path(f"{out}-{kind}-theirs.json").read_text())
        for dtype in ("float32", "bfloat16"):
            file = Path(f"{out}-{kind}-{dtype}.json")
            if file.exists():
                with timed(f"{kind} {dtype}") as results:
                    own = json.loads(file.read_text())
                    results["apart"] = max(abs(a - b) for a, b in zip(own, reference, strict=True))
                    results["tau"] = float(kendalltau(own, reference).statistic)
                    results["ties"] = len(own) - len(set(own))


def rows(options: Options) -> Iterator[Row]:
    queries, model, out = options.size(24, 1), texts.cross_encoder(options), options.folder / "scores"
    dtypes = ["float32", *(["bfloat16"] if texts.has_bfloat16() else [])]
    sides = [
        Side(
            f"rd-label {dtype}",
            worker("label", "ours", model, out, queries, dtype),
            timed=True,
            needs=texts.NEEDS,
        )
        for dtype in dtypes
    ]
    peer = Side(
        "CrossEncoder.predict, fp32",
        worker("label", "theirs", model, out, queries),
        timed=True,
        needs=texts.NEEDS,
    )
    yield from left_out("rd-label ce, pairs", peer)
    parts = parts_in_turn([*sides, peer], options)
    if not parts:
        return
    agreed = parts_in_turn([Side("agreement", worker("label", "agreement", out), timed=True)], options)
    for dtype in dtypes:
        for kind in TARGETS:
            best, theirs = fastest(parts, kind, peer.name)
            found = agreed[f"{kind} {dtype}"]["agreement"].results
            target = TARGETS[kind] if dtype == "float32" else "≥ 4"
            shown = f"scores {found['apart']:.0e} apart, τ {found['tau']:.4f}, {found['ties']:.0f} ties"
            yield from compare(
                f"rd-label ce {dtype}, {kind} ({shown})", "pairs/s",
                parts[kind][f"rd-label {dtype}"], {f"{peer.name}, {best}": theirs}, {f"{peer.name}, {best}": target},
            )  # fmt: skip
    if "bfloat16" not in dtypes:
        yield Row("rd-label ce bfloat16", peer.name, "not measured: this CPU has no bfloat16", "", "", "≥ 4")
