"""Dense mining: encoding passages beside SentenceTransformer.encode, exact search beside faiss's flat index."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import texts
from measuring import Options, Row, Side, compare, fastest, in_turn, left_out, parts_in_turn, timed, worker

MINUTES = (0.5, 3)
DIMENSION, DEPTH = 384, 100


def make(options: Options) -> None:
    """Vectors and passages are made by the sides themselves."""


def encode(side: str, count: str) -> None:
    passages = texts.documents("passages", int(count))
    if side == "SentenceTransformer.encode":
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(texts.bi_encoder(), device="cpu")
        model.encode(passages[:8])
        for batch in texts.BATCHES:
            with timed(f"encode, batches of {batch}", len(passages)):
                model.encode(passages, batch_size=batch)
    else:
        from rdtools.models.encoding import BiEncoder
        from rdtools.models.loading import load_bi_encoder
        from rdtools.models.options import ModelOptions

        encoder = BiEncoder(load_bi_encoder(texts.bi_encoder(), ModelOptions(device="cpu")))
        encoder.encode_documents(passages[:8])
        with timed(count=len(passages)):
            encoder.encode_documents(passages)


def search(side: str, rows: str, queries: str, device: str = "cpu") -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((int(rows), DIMENSION), np.float32)
    asked = rng.standard_normal((int(queries), DIMENSION), np.float32)
    if side == "faiss flat":
        import faiss

        flat = faiss.IndexFlatIP(DIMENSION)
        flat.add(vectors)

        def work(part: Any) -> Any:
            return flat.search(part, DEPTH)
    else:
        from rdtools.search.dense import DenseSearch

        search = DenseSearch(indexed(vectors, device))  # type: ignore[arg-type]

        def work(part: Any) -> Any:
            return search.search(part, [DEPTH] * len(part))

    work(asked[:2])
    with timed(count=len(asked)):
        for start in range(0, len(asked), 64):  # as many at a time as rd-mine asks for
            work(asked[start : start + 64])


def indexed(vectors: Any, device: str) -> SimpleNamespace:
    """What a search needs of an index, without a model and texts: each row is a text of its own."""
    import numpy as np
    import torch

    from rdtools.search.dense import DenseIndex

    return SimpleNamespace(
        embeddings=vectors,
        is_finite=DenseIndex.is_finite,
        places=SimpleNamespace(size=len(vectors), rows_at=lambda place: np.array([place])),
        encoder=SimpleNamespace(model=SimpleNamespace(device=torch.device(device))),
        scores=lambda query, places: (vectors[places].astype(np.float64) @ query.astype(np.float64)).astype(
            np.float32
        ),
    )


def rows(options: Options) -> Iterator[Row]:
    passages = options.size(2048, 64)
    sides = [
        Side(name, worker("dense", "encode", name, passages), timed=True, needs=texts.NEEDS)
        for name in ("rd-mine", "SentenceTransformer.encode")
    ]
    yield from left_out("dense, encoding passages", *sides[:1])
    if parts := parts_in_turn(sides, options):
        best, theirs = fastest(parts, "encode", "SentenceTransformer.encode")
        peer = f"SentenceTransformer.encode, {best}"
        yield from compare(
            "dense, encoding passages", "docs/s", parts[""]["rd-mine"], {peer: theirs}, {peer: "≥ 1.5"}
        )
    places, queries = options.size(200_000, 10_000), options.size(512, 64)
    sides = [
        Side(name, worker("dense", "search", name, places, queries), timed=True)
        for name in ("rd-mine", "faiss flat")
    ]
    taken = in_turn(sides, options)
    ours = taken.pop("rd-mine")
    job = f"dense, exact search, {places:,} x {DIMENSION}, k={DEPTH}"
    yield from compare(job, "q/s", ours, taken, {"faiss flat": "≥ 1"})
