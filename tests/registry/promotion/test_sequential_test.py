"""What a comparison may claim: at most one stream in twenty ever sees a false promotion, however often one looks."""

import math

import numpy as np
import pytest
from first_win import first_win as first_win_of
from hypothesis import given
from hypothesis import strategies as st

from rtml.kernels import betting
from rtml.registry.promotion.rules import Rules
from rtml.registry.promotion.sequential_test import SequentialTest, Terms

ALPHA, STREAMS, LENGTH, DELAY = 0.05, 1000, 5000, 30
SHARES = np.array([Rules.share(number) for number in range(1, 5001)])


def first_win(first, second, y, probability, shares=SHARES):
    """Answer at which the second of two models is promoted, or -1; labels delayed."""
    columns = (np.ascontiguousarray(column, dtype=np.float64) for column in (first, second, y))
    return first_win_of(*columns, probability, DELAY, ALPHA, shares, 1000.0)


def falsely(draw, streams=STREAMS, shares=SHARES):
    """Share of streams on which a candidate that is not better is promoted at any of 5,000 looks."""
    won = [first_win(*draw(np.random.default_rng(s)), shares) for s in range(streams)]
    return np.mean(np.array(won) >= 0)


def apart(differences):
    """Predictions and answers of which the squared errors differ by this."""
    half = np.full(len(differences), 0.5)
    return half, -half, -0.5 * differences, False


def brier(rng):
    """Two forecasters of the same quality, one of them overconfident now and then, the other at other times."""
    p, q = rng.beta(2, 5, (2, LENGTH))
    return p, q, rng.random(LENGTH) < (p + q) / 2, True


def coins(rng):
    """Two forecasters who are always certain, and right half of the time."""
    p = rng.integers(0, 2, LENGTH)
    return p, 1 - p, rng.integers(0, 2, LENGTH), True


def ruin(rng):
    """A candidate that says never; the champion says 4 % of what happens in 2 %."""
    return np.full(LENGTH, 0.04), np.zeros(LENGTH), rng.random(LENGTH) < 0.02, True


def rare(rng):
    """One in a hundred happens; the candidate says half as much again as is true, or half, the champion the other."""
    truth, above = rng.beta(1, 99, LENGTH), rng.random(LENGTH) < 0.5
    candidate = np.where(above, 1.5, 0.5)
    return truth * (2 - candidate), truth * candidate, rng.random(LENGTH) < truth, True


NULLS = {
    "normal": lambda rng: rng.normal(0, 1, LENGTH),
    "heavy tails": lambda rng: rng.standard_t(2.5, LENGTH),
    "wandering volatility": lambda rng: rng.normal(0, 1, LENGTH) * np.exp(np.cumsum(rng.normal(0, 0.05, LENGTH))),
    "skewed": lambda rng: np.exp(0.5) - rng.lognormal(0, 1, LENGTH),
    "rare losses": lambda rng: np.exp(1.125) - rng.lognormal(0, 1.5, LENGTH),
    "mostly the same": lambda rng: (rng.random(LENGTH) < 0.05) * rng.choice([-1.0, 1.0], LENGTH),
}
NEAR = ("rare losses", "small gains, rare ruin")  # 4.2 % and 4.4 % of 4,000 streams: 1,000 would say little
BOUNDED = {"two forecasters": brier, "coins": coins, "small gains, rare ruin": ruin, "rare class": rare}


@pytest.mark.parametrize("null", NULLS)
def test_at_most_one_stream_in_twenty_ever_sees_a_false_promotion(null):
    assert falsely(lambda rng: apart(NULLS[null](rng)), 4 * STREAMS if null in NEAR else STREAMS) <= ALPHA


@pytest.mark.parametrize("null", BOUNDED)
def test_of_probabilities_it_holds_without_any_assumption(null):
    assert falsely(BOUNDED[null], 4 * STREAMS if null in NEAR else STREAMS) <= ALPHA


def test_without_spending_alpha_over_the_contests_it_would_not_hold():
    assert falsely(lambda rng: apart(NULLS["normal"](rng)), shares=np.ones(5000)) > ALPHA


def test_answers_that_overlap_are_bet_on_as_blocks():
    """Horizons of ten questions: one by one the evidence would be counted ten times, block by block it is not."""

    def overlapping(rng):
        return np.convolve(rng.normal(0, 1, LENGTH + 9), np.ones(10), "valid")

    def blocks(rng):
        each = overlapping(rng)
        return np.array([each[start : start + 30].mean() for start in range(0, LENGTH - 40, 40)])

    assert falsely(lambda rng: apart(overlapping(rng)), streams=300) > 0.15
    assert falsely(lambda rng: apart(blocks(rng))) <= ALPHA


def test_a_better_candidate_is_promoted_the_sooner_the_better_it_is():
    def median(gain):
        streams = [np.random.default_rng(s).normal(gain, 1, LENGTH) for s in range(100)]
        won = np.array([first_win(*apart(d)) for d in streams])
        assert (won >= 0).mean() > 0.95
        return np.median(won)

    assert median(0.5) < 150 and median(0.3) < 250 and median(0.2) < 450


def test_a_challenger_that_still_learns_costs_little_capital_and_is_bet_on_once_it_has_caught_up():
    state, rng = np.zeros(betting.SIZE), np.random.default_rng(7)
    for difference in rng.normal(-0.2, 0.5, 240):
        betting.bet(state, difference, 1.0)
    assert betting.held(state) and betting.log_capital(state, betting.BETTER) > betting.BEHIND
    assert betting.verdict(state, math.inf, math.inf, 1000.0) == betting.GO_ON
    assert betting.verdict(state, math.inf, math.inf, 900.0) == betting.GIVEN_UP
    for difference in rng.normal(0.2, 0.5, 480):
        betting.bet(state, difference, 1.0)
    assert not betting.held(state) and betting.log_capital(state, betting.BETTER) > 2.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_bet_on_probabilities_is_fair(rows):
    """Where the mean of both is the truth the capital after a question is on average at most the capital before."""
    state = np.zeros(betting.SIZE)
    for first, second, happened in rows:
        q, after = (first + second) / 2, []
        for y in (0.0, 1.0):
            other = state.copy()
            betting.bet_bounded(other, 0.0, betting.standardised(first, second, y))
            after.append(math.exp(betting.log_capital(other, betting.BETTER)))
        assert (1 - q) * after[0] + q * after[1] <= math.exp(betting.log_capital(state, betting.BETTER)) * (1 + 1e-9)
        betting.bet_bounded(state, 0.0, betting.standardised(first, second, float(happened)))


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.booleans())
def test_at_a_stake_of_one_the_bet_is_the_likelihood_ratio_of_the_second_and_the_mean_of_both(first, second, y):
    q = (first + second) / 2
    ratio = second / q if y else (1 - second) / (1 - q)
    assert 1 + betting.standardised(first, second, float(y)) == pytest.approx(ratio, abs=1e-9)


def test_questions_of_overlapping_answers_make_blocks_with_gaps_and_those_of_a_gap_are_scored_too():
    sequential_test = SequentialTest(Terms(("return",), (False,), 10))
    moments = range(0, 200, 2)
    for moment in moments:
        sequential_test.ask(moment, moment, [0.0], [1.0])
    taken = np.array([id for id, asked in sequential_test._open.items() if asked.block >= 0])
    starts = taken[np.flatnonzero(np.diff(taken, prepend=-99) > 2)]
    assert starts.tolist() == [0, 38, 76, 114, 152, 190] and taken[:15].tolist() == list(range(0, 30, 2))
    for moment in moments:
        moved = sequential_test.answer(moment, (3.0,))
        assert moved == (moment in taken and moment + 2 not in taken)
    assert sequential_test.lanes[0, betting.N] == 6 and sequential_test.lanes[0, betting.SUM] == 6 * (9.0 - 4.0)
    assert sequential_test.counts == {"asked": 100, "answered": 100, "unanswered": 0}
    assert sequential_test.lost == [900.0, 400.0]


def test_answers_without_overlap_are_a_unit_each():
    for horizon in (0, 10):
        sequential_test = SequentialTest(Terms(("return",), (False,), horizon))
        for moment in range(0, 100, 10):
            sequential_test.ask(moment, moment, [0.0], [1.0])
            assert moment == 0 or sequential_test.answer(moment - 10, (1.0,))
        assert sequential_test.lanes[0, betting.N] == 9


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=60), st.sampled_from([0, 25]))
def test_the_order_in_which_answers_come_changes_nothing(rows, horizon):
    """Answers are taken in the order of their questions, whenever they come: delays may depend on them."""
    rng = np.random.default_rng(5)
    moments = np.cumsum([gap for gap, _ in rows])
    p, y = rng.random((len(rows), 2)), rng.random(len(rows))
    tests = [SequentialTest(Terms(("y",), (False,), horizon)) for _ in range(2)]
    orders = [range(len(rows)), np.argsort([late for _, late in rows], kind="stable").tolist()]
    for sequential_test, order in zip(tests, orders, strict=True):
        for i, moment in enumerate(moments.tolist()):
            sequential_test.ask(i, moment, p[i, :1], p[i, 1:])
        for i in order:
            sequential_test.answer(i, y[i : i + 1])
    assert np.array_equal(tests[0].lanes, tests[1].lanes) and tests[0].lost == tests[1].lost


@pytest.mark.parametrize("late", [300, 20_000])
def test_a_delay_that_depends_on_the_label_promotes_nobody(late):
    """Fraud is known after 300 questions, its absence later; the candidate says twice the truth."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sequential_test, due = SequentialTest(Terms(("fraud",), (True,), 0)), {}
        truth = rng.beta(1, 99, 22_000)
        happened = rng.random(len(truth)) < truth
        for i, p in enumerate(truth.tolist()):
            for id in due.pop(i, ()):
                if sequential_test.answer(id, (float(happened[id]),)):
                    assert sequential_test.verdict(Rules().needed(0.9), math.inf, math.inf) != betting.WON
            sequential_test.ask(i, i, [p], [2 * p])
            due.setdefault(i + (300 if happened[i] else late), []).append(i)
        assert sequential_test.lanes[0, betting.N] > 1000


def test_coverage_counts_what_waits_behind_answers_that_came_early():
    sequential_test = SequentialTest(Terms(("fraud",), (True,), 0))
    for id in range(100):
        sequential_test.ask(id, id, [0.2], [0.9])
    assert not sequential_test.overdue
    for id in range(9, 100, 10):
        sequential_test.answer(id, (1.0,))
    assert sequential_test.overdue == 90 and Rules().early(sequential_test)
    assert Rules().broken(sequential_test, 0.0) == ["only 10% of the questions were answered, 50% are needed"]
    for id in range(100):
        sequential_test.answer(id, (0.0,))
    assert not Rules().early(sequential_test) and sequential_test.counts["answered"] == 100


def test_a_question_that_waits_for_ever_is_closed_when_too_many_wait(monkeypatch):
    monkeypatch.setattr("rtml.registry.promotion.sequential_test.WAITING", 5)
    sequential_test = SequentialTest(Terms(("up",), (True,), 0))
    for id in range(20):
        sequential_test.ask(id, id, [0.2], [0.9])
        assert id == 0 or sequential_test.answer(id, (1.0,)) == (id >= 5)
    assert sequential_test.counts == {"asked": 20, "answered": 19, "unanswered": 1}


def test_an_answer_that_stays_unknown_counts_against_the_coverage_and_moves_nothing():
    sequential_test = SequentialTest(Terms(("up",), (True,), 0))
    for id in range(10):
        sequential_test.ask(id, id, [0.2], [0.9])
        assert sequential_test.answer(id, (math.nan,)) is False
    assert sequential_test.counts == {"asked": 10, "answered": 0, "unanswered": 10} and not sequential_test.lanes.any()
    assert Rules().broken(sequential_test, 0.0) == ["only 0% of the questions were answered, 50% are needed"]
    assert sequential_test.answer(99, (1.0,)) is False  # never asked here


def driven(second, n=400, first=0.5, y=lambda x: float(x[0] > 0)):
    sequential_test, rng = SequentialTest(Terms(("up", "size"), (True, False), 0)), np.random.default_rng(7)
    for id in range(n):
        x = rng.normal(size=2)
        sequential_test.ask(id, id, [first, 1.0], second)
        sequential_test.answer(id, (y(x), 1.0 + 0.1 * x[1]))
    return sequential_test


def test_probabilities_that_are_further_from_the_truth_break_a_guard():
    sequential_test = driven([0.9, 1.0])
    assert Rules().broken(sequential_test, 0.0)[0].startswith("its probabilities are off by 0.4")
    assert not [text for text in Rules(calibration=0.5).broken(sequential_test, 0.0) if "probabilities" in text]


def test_another_target_that_is_lost_breaks_a_guard():
    assert Rules().broken(driven([0.5, 3.0]), 0.0) == ["it loses more on 'size'"]


def test_a_segment_that_is_lost_breaks_a_guard():
    rng = np.random.default_rng(7)
    sequential_test = SequentialTest(Terms(("y",), (False,), 0))
    for id in range(900):
        x = rng.uniform(-1, 1, 1)
        sequential_test.ask(id, id, x, [0.0])
        sequential_test.answer(id, (x[0] + rng.normal(0, 0.05) if x[0] > 0.4 else rng.normal(0, 0.05),))
    assert Rules().broken(sequential_test, 0.0) == ["it loses more where the champion's prediction is high"]


def test_a_newcomer_goes_on_with_the_evidence_but_must_show_something_of_its_own():
    sequential_test = driven([0.5, 1.0])
    assert sequential_test.own == [0, 400, 0.0] and sequential_test.proven
    sequential_test.renew()
    assert not sequential_test.proven and sequential_test.lanes[0, betting.N] == 400
    for id in range(1000, 1030):
        sequential_test.ask(id, id, [0.5, 1.0], [0.9, 1.0])
        sequential_test.answer(id, (0.0, 1.0))
    assert sequential_test.own[:2] == [1, 30] and not sequential_test.proven


@given(st.integers(0, 60), st.sampled_from([0, 3, 10]))
def test_a_state_round_trip_in_the_middle_changes_nothing(cut, horizon):
    from rtml.core.state import dumps, loads

    rng, terms = np.random.default_rng(3), Terms(("up", "size"), (True, False), horizon)
    X, y = rng.normal(size=(90, 2)), rng.random((90, 2))
    whole, halves = SequentialTest(terms), SequentialTest(terms)
    for i in range(90):
        if i == cut:
            blob = dumps(halves.state)
            halves = SequentialTest(terms)
            halves.load(loads(blob))
        for sequential_test in (whole, halves):
            sequential_test.ask(i, i * 2, [X[i] @ [0.5, 0.1], 1.0], [X[i] @ [0.4, 0.3], 2.0])
            for late in {i - 5, i - 9 + i % 3} & set(range(i)):
                sequential_test.answer(late, tuple(y[late]))
    assert dumps(whole.state) == dumps(halves.state) and whole.lanes[0, betting.N] > 2
