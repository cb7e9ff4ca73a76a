"""What a duel may claim: at most one stream in twenty ever sees a false promotion, however often one looks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtml.kernels import betting
from rtml.registry.promotion.rules import Rules
from rtml.registry.promotion.sequential_test import SequentialTest, Terms

ALPHA, STREAMS, LENGTH, DELAY = 0.05, 1000, 5000, 30
NEEDED = np.array([Rules(alpha=ALPHA).needed(number) for number in range(1, 500)])
MANY = (math.log(20), 1000)


def falsely(draw, bound=0.0, streams=STREAMS, alpha=NEEDED):
    """Share of streams on which a candidate that is not better is promoted at any of 5,000 looks, labels delayed."""
    won = [betting.first_win(draw(np.random.default_rng(s)), DELAY, alpha, *MANY, bound) for s in range(streams)]
    return np.mean(np.array(won) >= 0)


def brier(rng):
    """Two forecasters of the same quality, one of them overconfident now and then, the other at other times."""
    p, q = rng.beta(2, 5, (2, LENGTH))
    y = rng.random(LENGTH) < (p + q) / 2
    return (p - y) ** 2 - (q - y) ** 2


NULLS = {
    "normal": lambda rng: rng.normal(0, 1, LENGTH),
    "heavy tails": lambda rng: rng.standard_t(2.5, LENGTH),
    "wandering volatility": lambda rng: rng.normal(0, 1, LENGTH) * np.exp(np.cumsum(rng.normal(0, 0.05, LENGTH))),
    "skewed": lambda rng: np.exp(0.5) - rng.lognormal(0, 1, LENGTH),
    "mostly the same": lambda rng: (rng.random(LENGTH) < 0.05) * rng.choice([-1.0, 1.0], LENGTH),
}
BOUNDED = {
    "two forecasters": brier,
    "coins": lambda rng: rng.choice([-1.0, 1.0], LENGTH),
    "small gains, rare ruin": lambda rng: 0.02 - (rng.random(LENGTH) < 0.02),
}


@pytest.mark.parametrize("null", NULLS)
def test_at_most_one_stream_in_twenty_ever_sees_a_false_promotion(null):
    assert falsely(NULLS[null]) <= ALPHA


@pytest.mark.parametrize("null", BOUNDED)
def test_of_probabilities_it_holds_without_any_assumption(null):
    assert falsely(BOUNDED[null], bound=1.0) <= ALPHA


def test_without_spending_alpha_over_the_contests_it_would_not_hold():
    assert falsely(NULLS["normal"], alpha=np.full(500, math.log(1 / 0.05))) > ALPHA


def test_answers_that_overlap_are_bet_on_as_blocks():
    """Horizons of ten questions: one by one the evidence would be counted ten times, block by block it is not."""

    def overlapping(rng):
        return np.convolve(rng.normal(0, 1, LENGTH + 9), np.ones(10), "valid")

    def blocks(rng):
        each = overlapping(rng)
        return np.array([each[start : start + 30].mean() for start in range(0, LENGTH - 40, 40)])

    assert falsely(overlapping, streams=300) > 0.3
    assert falsely(blocks) <= ALPHA


def test_a_better_candidate_is_promoted_the_sooner_the_better_it_is():
    def median(gain):
        streams = [np.random.default_rng(s).normal(gain, 1, LENGTH) for s in range(100)]
        won = np.array([betting.first_win(d, DELAY, NEEDED, *MANY, 0.0) for d in streams])
        assert (won >= 0).mean() > 0.95
        return np.median(won)

    assert median(0.5) < 150 and median(0.3) < 250 and median(0.2) < 450


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_a_bet_on_bounded_differences_is_fair(differences):
    """The mean of the two capitals after a difference and after its opposite is never more than the capital before."""
    state = np.zeros(betting.SIZE)
    for difference in differences:
        after = []
        for sign in (1, -1):
            other = state.copy()
            betting.bet(other, sign * difference, 1.0)
            after.append(math.exp(betting.log_capital(other, betting.BETTER)))
        assert np.mean(after) <= math.exp(betting.log_capital(state, betting.BETTER)) * (1 + 1e-9)
        betting.bet(state, difference, 1.0)


class Guess:
    def __init__(self, p):
        self.p = p

    def predict(self, x):
        return self.p if np.isscalar(self.p) else float(x @ self.p)


def test_questions_of_overlapping_answers_make_blocks_with_gaps():
    sequential_test = SequentialTest(Terms(("return",), (False,), 10), [Guess(0.0)], [Guess(1.0)])
    for moment in range(0, 200, 2):
        sequential_test.ask(moment, moment, None)
    taken = np.array(list(sequential_test._open))
    starts = taken[np.flatnonzero(np.diff(taken, prepend=-99) > 2)]
    assert starts.tolist() == [0, 38, 76, 114, 152, 190] and taken[:15].tolist() == list(range(0, 30, 2))
    for moment in taken.tolist():
        moved = sequential_test.tell(moment, (3.0,))
        assert moved == (moment + 2 not in taken)
    assert sequential_test.lanes[0, betting.N] == 6 and sequential_test.lanes[0, betting.SUM] == 6 * (9.0 - 4.0)


def test_answers_without_overlap_are_a_unit_each():
    for horizon in (0, 10):
        sequential_test = SequentialTest(Terms(("return",), (False,), horizon), [Guess(0.0)], [Guess(1.0)])
        for moment in range(0, 100, 10):
            sequential_test.ask(moment, moment, None)
            assert moment == 0 or sequential_test.tell(moment - 10, (1.0,))
        assert sequential_test.lanes[0, betting.N] == 9


def test_an_answer_that_stays_unknown_counts_against_the_coverage_and_moves_nothing():
    sequential_test = SequentialTest(Terms(("up",), (True,), 0), [Guess(0.2)], [Guess(0.9)])
    for id in range(10):
        sequential_test.ask(id, id, None)
        assert sequential_test.tell(id, (math.nan,)) is False
    assert sequential_test.counts == {"asked": 10, "answered": 0, "unanswered": 10} and not sequential_test.lanes.any()
    assert Rules().broken(sequential_test, 0.0) == ["only 0% of the questions were answered, 50% are needed"]
    assert sequential_test.tell(99, (1.0,)) is False  # never asked here


def driven(second, n=400, first=0.5, y=lambda x: float(x[0] > 0)):
    sequential_test, rng = (
        SequentialTest(Terms(("up", "size"), (True, False), 0), [Guess(first), Guess(1.0)], second),
        np.random.default_rng(7),
    )
    for id in range(n):
        x = rng.normal(size=2)
        sequential_test.ask(id, id, x)
        sequential_test.tell(id, (y(x), 1.0))
    return sequential_test


def test_probabilities_that_are_further_from_the_truth_break_a_guard():
    sequential_test = driven([Guess(0.9), Guess(1.0)])
    assert Rules().broken(sequential_test, 0.0)[0].startswith("its probabilities are off by 0.4")
    assert not [text for text in Rules(calibration=0.5).broken(sequential_test, 0.0) if "probabilities" in text]


def test_another_target_that_is_lost_breaks_a_guard():
    assert Rules().broken(driven([Guess(0.5), Guess(3.0)]), 0.0) == ["it loses more on 'size'"]


def test_a_segment_that_is_lost_breaks_a_guard():
    rng = np.random.default_rng(7)
    sequential_test = SequentialTest(Terms(("y",), (False,), 0), [Guess(np.array([1.0]))], [Guess(np.array([0.0]))])
    for id in range(900):
        x = rng.uniform(-1, 1, 1)
        sequential_test.ask(id, id, x)
        sequential_test.tell(id, (x[0] + rng.normal(0, 0.05) if x[0] > 0.4 else rng.normal(0, 0.05),))
    assert Rules().broken(sequential_test, 0.0) == ["it loses more where the champion's prediction is high"]


def test_a_newcomer_goes_on_with_the_evidence_but_must_show_something_of_its_own():
    sequential_test = driven([Guess(0.5), Guess(1.0)])
    assert sequential_test.own == [0, 400, 0.0] and sequential_test.proven
    sequential_test.renew([Guess(0.9), Guess(1.0)])
    assert not sequential_test.proven and sequential_test.lanes[0, betting.N] == 400
    for id in range(1000, 1030):
        sequential_test.ask(id, id, np.zeros(2))
        sequential_test.tell(id, (0.0, 1.0))
    assert sequential_test.own[:2] == [1, 30] and not sequential_test.proven


@given(st.integers(0, 60), st.sampled_from([0, 3, 10]))
def test_a_state_round_trip_in_the_middle_changes_nothing(cut, horizon):
    from rtml.core.state import dumps, loads

    def sides():
        return [Guess(np.array([0.5, 0.1])), Guess(1.0)], [Guess(np.array([0.4, 0.3])), Guess(2.0)]

    rng, terms = np.random.default_rng(3), Terms(("up", "size"), (True, False), horizon)
    X, y = rng.normal(size=(90, 2)), rng.random((90, 2))
    whole, halves = SequentialTest(terms, *sides()), SequentialTest(terms, *sides())
    for i in range(90):
        if i == cut:
            blob = dumps(halves.state)
            halves = SequentialTest(terms, *sides())
            halves.load(loads(blob))
        for sequential_test in (whole, halves):
            sequential_test.ask(i, i * 2, X[i])
            if i >= 5:
                sequential_test.tell(i - 5, tuple(y[i - 5]))
    assert dumps(whole.state) == dumps(halves.state)
