"""Samplings of a pool: by hand, by their distribution, and pinned for ever."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest

from rdtools.core.errors import RdError
from rdtools.core.randomness import generator, shuffle_in_place, shuffled
from rdtools.mine.sampling import SAMPLING, log_random, stratified, stratified_width, top, uniform

POOL: list[Any] = [{"doc_id": str(n), "score": float(100 - n)} for n in range(100)]
RANKS = range(1, 101)


@pytest.mark.parametrize("name", SAMPLING)
def test_samplings_choose_n_distinct_places_repeatably(name):
    sample = SAMPLING[name]
    for size, n in [(100, 7), (5, 7), (0, 3), (4, 0)]:
        places = sample(POOL[:size], RANKS[:size], n, generator(1, "q", "t"))
        assert places == sorted(set(places)) == sample(POOL[:size], RANKS[:size], n, generator(1, "q", "t"))
        assert len(places) == min(size, n)
        assert all(0 <= place < size for place in places)
    if name != "top":
        assert sample(POOL, RANKS, 7, generator(1, "q", "t")) != sample(
            POOL, RANKS, 7, generator(2, "q", "t")
        )


PINNED = {
    "random": [8, 23, 27, 47, 94],
    "log-random": [22, 52, 53, 60, 84],
    "stratified": [15, 36, 43, 75, 89],
    "stratified-width": [15, 36, 43, 75, 89],  # these scores lie evenly
}


def test_random_choices_are_pinned_for_ever():
    assert uniform(POOL, RANKS, 5, generator(0, "q1", "negatives")) == PINNED["random"]
    assert log_random(POOL, RANKS, 5, generator(0, "q1", "negatives")) == PINNED["log-random"]
    assert stratified(POOL, RANKS, 5, generator(0, "q1", "negatives")) == PINNED["stratified"]
    assert stratified_width(POOL, RANKS, 5, generator(0, "q1", "negatives")) == PINNED["stratified-width"]


def test_log_random_weights_are_one_over_log_of_one_plus_rank():
    counts = Counter(log_random(POOL[:3], RANKS[:3], 1, random.Random(n))[0] for n in range(20000))
    weights = [1 / 0.6931, 1 / 1.0986, 1 / 1.3863]
    for place, weight in enumerate(weights):
        assert counts[place] / 20000 == pytest.approx(weight / sum(weights), abs=0.015)


def test_ranks_of_two_sources_count_alike():
    """The first documents of both sources are drawn as often, wherever they stand in the pool."""
    pool, ranks = POOL[:4], [1, 2, 1, 2]
    assert [top(pool, ranks, n, random.Random(0)) for n in range(5)] == [
        [], [0], [0, 2], [0, 1, 2], [0, 1, 2, 3],
    ]  # fmt: skip
    counts = Counter(log_random(pool, ranks, 1, random.Random(n))[0] for n in range(20000))
    weights = [1 / math.log(1 + rank) for rank in ranks]
    for place, weight in enumerate(weights):
        assert counts[place] / 20000 == pytest.approx(weight / sum(weights), abs=0.015)


def test_stratified_takes_one_of_each_quantile_of_the_scores():
    shuffled = random.Random(0).sample(POOL, 100)
    places = stratified(shuffled, RANKS, 10, generator(0, "q", "t"))
    scores = sorted(shuffled[place]["score"] for place in places)
    assert [int((score - 1) // 10) for score in scores] == list(range(10))
    with pytest.raises(RdError, match="stratified needs scores"):
        stratified([{"doc_id": "a"}], [1], 1, generator(0, "q", "t"))


def pool_of(*scores):
    return [{"doc_id": str(place), "score": score} for place, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("n", "from_the_top_three", "from_the_last_two"),
    [
        (2, 1, 1),
        (3, 2, 1),  # 10 to 6.7: three, 6.7 to 3.3: none, 3.3 to 0: two; the share of none goes to the first
        (4, 2, 2),
        (5, 3, 2),
        (9, 3, 2),
    ],
)
def test_equal_widths_give_the_share_of_an_empty_stratum_to_the_others(
    n, from_the_top_three, from_the_last_two
):
    for seed in range(20):
        places = stratified_width(pool_of(10, 9, 8, 1, 0), RANKS, n, random.Random(seed))
        counts = sum(place < 3 for place in places), sum(place >= 3 for place in places)
        assert counts == (from_the_top_three, from_the_last_two)


def test_equal_widths_draw_any_of_a_stratum():
    counts = Counter(
        place
        for seed in range(3000)
        for place in stratified_width(pool_of(10, 9, 8, 1, 0), RANKS, 2, random.Random(seed))
    )
    assert [round(counts[place] / 3000, 1) for place in range(5)] == [0.3, 0.3, 0.3, 0.5, 0.5]


def test_a_score_on_an_edge_belongs_to_the_lower_stratum_and_equal_scores_make_one():
    for seed in range(20):  # width 2: 4 and 3 above, 2 (on the edge), 1 and 0 below
        above, _ = stratified_width(pool_of(4, 3, 2, 1, 0), RANKS, 2, random.Random(seed))
        assert above < 2
        assert len(set(stratified_width(pool_of(7, 7, 7, 7), RANKS, 3, random.Random(seed)))) == 3


def test_quantiles_follow_the_density_of_the_scores_and_widths_their_range():
    scores = [float(score) for score in range(10, 0, -1)] + [0.09 - place / 1000 for place in range(90)]
    shuffling = random.Random(0).sample(scores, 100)

    def high(sampling):
        places = sampling(pool_of(*shuffling), RANKS, 10, generator(0, "q", "t"))
        return sorted(shuffling[place] for place in places if shuffling[place] >= 2)

    assert high(stratified_width) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert len(high(stratified)) == 1


def test_stratified_width_needs_scores():
    with pytest.raises(RdError, match="--sampling stratified-width needs scores: one source that gives them"):
        stratified_width([{"doc_id": "a"}], [1], 1, generator(0, "q", "t"))


def test_a_shuffle_is_fisher_and_yates():
    for size in (0, 1, 2, 50):
        array, rng = list(range(size)), random.Random(size)
        for place in range(size):
            other = place + int(rng.random() * (size - place))
            array[place], array[other] = array[other], array[place]
        assert list(shuffled(range(size), random.Random(size))) == array
        in_place = list(range(size))
        shuffle_in_place(in_place, random.Random(size))
        assert in_place == array


def test_a_shuffle_is_drawn_as_far_as_it_is_asked_for():
    rng, asked = random.Random(0), random.Random(0)
    assert next(shuffled(range(10**9), rng)) == int(asked.random() * 10**9)
    assert rng.random() == asked.random()
