"""Conformal intervals hold their share through drift, for any cutting, and say nothing before they can."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.core.state import dumps, loads
from rtml.models.conformal import Conformal, static


def jumping(seed=0, n=10_000, delay=1):
    """A stream of heavy-tailed errors whose size jumps every thousand questions."""
    r = np.random.default_rng(seed)
    size = np.repeat(np.exp(r.normal(0, 1, n // 1000)), 1000)
    y, moment = size * r.standard_t(4, n), np.arange(n, dtype=np.int64)
    return Questions(moment, moment, np.empty((n, 0)), y, moment + delay, ()), size


@pytest.mark.parametrize("delay", [1, 20])
def test_nine_in_ten_truths_lie_within_through_jumps_of_variance(delay):
    for seed in range(6):
        questions, _ = jumping(seed, delay=delay)
        low, high = Conformal(0.9).replay(questions, np.zeros(len(questions)))
        within = ((low <= questions.y) & (questions.y <= high))[200:]
        assert 0.89 <= within.mean() <= 0.91, (seed, within.mean())
        assert within[: len(within) // 500 * 500].reshape(-1, 500).mean(axis=1).min() > 0.84


def test_an_interval_fitted_once_does_not_hold():
    shares = []
    for seed in range(6):
        questions, _ = jumping(seed)
        half = static(questions.y, np.zeros(len(questions)), questions.known, questions.moment)
        shares.append((np.abs(questions.y) <= half)[np.isfinite(half)].mean())
    assert max(abs(share - 0.9) for share in shares) > 0.05


def test_a_known_scale_makes_it_narrower():
    questions, size = jumping(3)
    width = {}
    for name, scale in (("alone", None), ("with scale", size)):
        low, high = Conformal(0.9).replay(questions, np.zeros(len(questions)), scale)
        width[name] = np.mean((high - low)[200:])
        assert 0.89 <= ((low <= questions.y) & (questions.y <= high))[200:].mean() <= 0.91
    assert width["with scale"] < width["alone"]


def test_a_scale_that_only_widens_is_left_out():
    """Within 5 % of the width without it, where a scale taken at its word costs far more."""
    questions, _ = jumping(4)
    misleading = np.exp(np.random.default_rng(9).normal(0, 1, len(questions)))
    width = {}
    for name, scale in (("alone", None), ("misled", misleading)):
        low, high = Conformal(0.9).replay(questions, np.zeros(len(questions)), scale)
        width[name] = np.mean((high - low)[500:])
        assert 0.89 <= ((low <= questions.y) & (questions.y <= high))[200:].mean() <= 0.91
    believed = np.quantile(np.abs(questions.y) / misleading, 0.9) * misleading.mean() * 2.0
    assert width["misled"] < 1.05 * width["alone"] < believed


def test_every_key_has_widths_of_its_own():
    r = np.random.default_rng(2)
    key = np.where(r.random(6000) < 0.5, "calm", "wild")
    y = r.normal(size=6000) * np.where(key == "calm", 1.0, 20.0)
    moment = np.arange(6000, dtype=np.int64)
    stream = Questions(moment, moment, np.empty((6000, 0)), y, moment + 1, ())
    low, high = Conformal().replay(stream, np.zeros(6000), key=key)
    within = (low <= y) & (y <= high)
    for name, size in (("calm", 1.0), ("wild", 20.0)):
        part = (key == name) & (moment > 500)
        assert 0.88 < within[part].mean() < 0.92, name
        assert (high - low)[part].mean() < 2 * 1.645 * size * 1.1, name


@given(cuts=st.lists(st.integers(0, 300), max_size=8), seed=st.integers(0, 99), delay=st.integers(1, 60))
def test_any_cutting_gives_the_same_intervals_and_state(cuts, seed, delay):
    r = np.random.default_rng(seed)
    moment = np.cumsum(r.integers(0, 3, 300))
    known = np.where(r.random(300) < 0.1, NEVER, moment + 1 + r.integers(0, delay, 300))
    y = np.where((known == NEVER) | (r.random(300) < 0.1), np.nan, r.normal(size=300))
    stream = Questions(np.arange(300), moment, np.empty((300, 0)), y, known, ())
    said, scale, key = r.normal(size=300), r.random(300) + 0.1, r.choice(["a", "b"], 300)
    whole, parts = Conformal(), Conformal()
    expected = np.stack(whole.replay(stream, said, scale, key))
    found = []
    for a, b in pairwise([0, *sorted(cuts), 300]):
        found.append(np.stack(parts.replay(stream[a:b], said[a:b], scale[a:b], key[a:b])))
        parts.load(loads(dumps(parts.state)))
    assert np.concatenate(found, axis=1).tobytes() == expected.tobytes()
    assert dumps(parts.state) == dumps(whole.state)


def test_asking_and_telling_one_by_one_is_the_same():
    questions, _ = jumping(1, n=1000, delay=3)
    by_hand, told = Conformal(), 0
    expected = np.stack(Conformal().replay(questions, np.zeros(1000)), axis=1)
    for i in range(1000):
        while questions.known[told] < i:
            by_hand.answer(told, questions.y[told])
            told += 1
        assert by_hand.ask(i, 0.0) == tuple(expected[i])


def test_nothing_known_is_the_whole_line_and_an_unknown_question_is_refused():
    intervals = Conformal()
    assert intervals.ask(1, 5.0) == (-np.inf, np.inf)
    assert np.isnan(intervals.share)
    with pytest.raises(LookupError, match="question 2 has no open interval: it was never asked"):
        intervals.answer(2, 1.0)
    with pytest.raises(ValueError, match="coverage must lie between 0 and 1, got 90"):
        Conformal(90)
