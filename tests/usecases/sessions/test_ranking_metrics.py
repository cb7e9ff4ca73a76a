"""Metrics of lists equal a count by hand, in one piece or in many."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.target import Target
from rtml.metrics.kinds import score_of
from rtml.usecases.sessions.ranking_metrics import RankingScore, by_segment, difference, gains, interval, ranks, value


@st.composite
def answers(draw):
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    lists = np.full((n, 6), np.nan)
    for row in lists:
        items = draw(st.lists(st.integers(0, 9), unique=True, max_size=6))
        row[: len(items)] = items
    y = np.array([draw(st.one_of(st.just(math.nan), st.integers(0, 9).map(float))) for _ in range(n)])
    return y, lists, k


def by_hand(y, lists, k):
    recall, mrr, ndcg, answered, listed, clicked = 0.0, 0.0, 0.0, 0, Counter(), Counter()
    for item, row in zip(y.tolist(), lists.tolist(), strict=True):
        row = [i for i in row[:k] if i == i]
        listed.update(row)
        if item != item:
            continue
        clicked[item] += 1
        answered += 1
        if item in row:
            rank = row.index(item) + 1
            recall, mrr, ndcg = recall + 1, mrr + 1 / rank, ndcg + 1 / math.log2(1 + rank)
    seen = set(listed) | set(clicked)
    shown = [clicked[i] for i in listed.elements()]
    came = [clicked[i] for i in clicked.elements()]
    bias = np.mean(shown) / np.mean(came) if shown and came else math.nan
    means = [total / answered if answered else math.nan for total in (recall, mrr, ndcg)]
    return [*means, len(listed) / len(seen) if seen else math.nan, bias, answered, len(y)]


@settings(max_examples=200, deadline=None)
@given(answers())
def test_every_metric_equals_a_count_by_hand(data):
    y, lists, k = data
    assert np.allclose(list(value(y, lists, k).values()), by_hand(y, lists, k), equal_nan=True, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(answers(), st.lists(st.integers(0, 30), max_size=4))
def test_a_running_score_does_not_depend_on_the_cutting(data, cuts):
    y, lists, k = data
    score, places = RankingScore(k), [0, *sorted(min(c, len(y)) for c in cuts), len(y)]
    for a, b in pairwise(places):
        score = RankingScore(k).load(score.state).update(y[a:b], lists[a:b])
    whole = RankingScore(k).update(y, lists)
    assert np.array_equal(list(score.get().values()), list(whole.get().values()), equal_nan=True)


def test_the_figures_of_a_target_are_the_same():
    rng = np.random.default_rng(3)
    lists = np.stack([rng.permutation(40)[:20] for _ in range(50)]).astype(float)
    y = rng.integers(0, 40, 50).astype(float)
    kept = score_of(Target("next", "ranking", size=20))
    kept.update(y, lists)
    ours, theirs = value(y, lists, 20), kept.get()
    assert all(ours[name] == pytest.approx(theirs[name]) for name in ("recall", "mrr", "ndcg"))


def test_an_interval_over_sessions_holds_what_it_says():
    """Sessions share a difficulty: 95 % intervals hold the mean in about 95 of 100 draws, naive ones far less often."""
    rng, held, naive = np.random.default_rng(5), 0, 0
    for _ in range(300):
        easy, length = rng.random(80), rng.integers(1, 12, 80)
        session = np.repeat(np.arange(80), length)
        hit = rng.random(len(session)) < easy[session] ** 2
        found = interval(np.where(hit, 7.0, 8.0), np.full((len(session), 1), 7.0), session, k=1).loc["recall"]
        held += found["low"] <= 1 / 3 <= found["high"]
        naive += abs(hit.mean() - 1 / 3) <= 1.96 * hit.std() / math.sqrt(len(hit))
    assert 0.91 <= held / 300 <= 0.98 and naive / 300 < 0.85


def test_a_difference_is_of_the_same_questions():
    y, a, b = np.array([1.0, 2, 3, 4]), np.array([[1.0], [2], [9], [4]]), np.array([[1.0], [9], [9], [9]])
    found = difference(y, a, b, session=[1, 2, 3, 4], k=1).loc["recall"]
    assert found["value"] == 0.5 and found["low"] < 0.0 < 0.5 < found["high"] <= 1.1
    assert difference(y, a, a, session=[1, 2, 3, 4], k=1)["high"].tolist() == [0, 0, 0]


def test_segments_are_scored_by_themselves():
    masks = {"short": np.array([True, True, False]), "none": np.zeros(3, bool)}
    table = by_segment([1.0, 2, 3], [[1.0], [9], [3]], masks, session=[1, 2, 3], k=1)
    assert (
        table.loc["short", "recall"] == 0.5
        and table.loc["none", "answered"] == 0
        and np.isnan(table.loc["none", "recall"])
    )


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="at least one, got k=0"):
        gains([1.0], [[1.0]], 0)
    with pytest.raises(ValueError, match=r"must be \(m,\) and lists \(m, k\), got \(2,\) and \(1, 1\)"):
        ranks([1.0, 2.0], [[1.0]])
    assert ranks([1.0], np.empty((1, 0))).tolist() == [0]
