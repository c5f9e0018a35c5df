"""A model without its kind is told the kinds it may be."""

from __future__ import annotations

import pytest

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("rd-label --teacher cross-encoder/stsb", "unknown teacher 'cross-encoder/stsb'; did you mean 'ce:cross-encoder/stsb'? "),
        ("rd-label --teacher BAAI/bge-reranker-v2", "unknown teacher 'BAAI/bge-reranker-v2'; did you mean 'ce:BAAI/bge-reranker-v2'? "),
        ("rd-label --teacher crossencoder:org/m", "unknown teacher 'crossencoder:org/m'; did you mean 'ce:org/m'? "),
        (f"rd-label --teacher {MINILM}", f"unknown teacher '{MINILM}'; did you mean 'be:{MINILM}'? "),
        (f"rd-mine --from {MINILM}", f"unknown source '{MINILM}'; did you mean 'dense:{MINILM}'? "),
        ("rd-mine --from naver/splade-v3", "unknown source 'naver/splade-v3'; did you mean 'sparse:naver/splade-v3'? "),
        ("rd-label --teacher lightonai/colbertv2.0", "unknown teacher 'lightonai/colbertv2.0'; did you mean 'colbert:lightonai/colbertv2.0'? "),
        ("rd-train --loss kl -o x --student bert-base", "unknown student 'bert-base'; did you mean 'be:bert-base' or 'ce:bert-base'"),
        ("rd-train --loss kl -o x --student ba:x", "unknown student 'ba'; did you mean 'be'? "),
        ("rd-label --teacher bm52", "unknown teacher 'bm52'; did you mean 'bm25'? "),
    ],
)  # fmt: skip
def test_the_kind_that_is_missing(run, line, meant):
    command, *arguments = line.split()
    done = run(command, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{command}: {meant}")
    assert done.stderr.endswith(f")\nTry '{command} --help' for help.\n")
