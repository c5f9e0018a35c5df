"""The comparison with trec_eval in a short form, and that it can tell."""

from __future__ import annotations

from agreement import disagreements

from rdtools.evaluate import rankings


def test_random_runs_have_the_values_of_trec_eval():
    assert disagreements(40, seed=1) == 0


def test_another_order_of_ties_would_be_found(monkeypatch):
    def by_smaller_id(scores):
        return sorted(scores.items(), key=lambda item: (-(item[1] or 0), item[0]))

    monkeypatch.setattr(rankings, "rank", by_smaller_id)
    assert disagreements(40, seed=1) > 0
