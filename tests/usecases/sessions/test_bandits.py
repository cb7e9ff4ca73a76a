"""Bandits: they leave the popularity trap, log each choice with its probability, and take late rewards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from popularity_trap import NICHE, PopularityTrap

from rtml.core.state import dumps, loads
from rtml.usecases.sessions.bandits import RULES, Bandit
from rtml.usecases.sessions.off_policy import estimate

CALL = st.tuples(st.integers(0, 8), st.booleans(), st.floats(0, 1))
HOW = {"thompson": 0.01, "ucb": 0.005, "greedy": 0.005, "boltzmann": 0.005}


@pytest.fixture(scope="module")
def trap():
    return PopularityTrap(seed=7, rounds=4000)


def bandit(rule, **how):
    return Bandit(10, how.pop("dimension", 6), rule, **({"floor": HOW[rule]} | how))


@pytest.fixture(scope="module")
def popularity(trap):
    """Regret of showing what is clicked most, and of the greedy model."""
    x, trap.x = trap.x, np.ones((len(trap.x), 1))
    blind = trap.regret(trap.play(bandit("greedy", dimension=1, floor=0.0)).arm).sum()
    trap.x = x
    return blind, trap.regret(trap.play(bandit("greedy", floor=0.0)).arm).sum()


@pytest.mark.parametrize("rule", ["thompson", "ucb", "boltzmann"])
def test_it_leaves_the_popularity_trap_in_which_greedy_stays(rule, trap, popularity):
    log = trap.play(bandit(rule))
    assert trap.regret(log.arm).sum() < 0.6 * min(popularity), popularity
    best = log.arm[-1000:] == 1 + trap.kind[-1000:]
    assert best.mean() > 0.75, f"of the last thousand visitors {best.mean():.0%} saw the best item for them"


def test_in_ten_thousand_rounds_it_loses_at_most_400_clicks_and_its_log_judges_another_policy_rightly():
    trap = PopularityTrap(seed=3)
    log = trap.play(bandit("thompson"))
    assert trap.regret(log.arm).sum() <= 400
    for target, truth in ((np.eye(10)[1 + trap.kind], NICHE), (np.full((10_000, 10), 0.1), trap.chance.mean())):
        found = estimate(*log, target)
        assert not found.refused and found.table["low"].max() <= truth <= found.table["high"].min(), found
    assert "the log is worth" in estimate(*log, np.eye(10)[np.full(10_000, 9)]).refused


@pytest.mark.parametrize("rule", RULES)
def test_what_is_logged_is_the_probability_of_the_choice(rule):
    counts, mean = np.zeros(4), np.zeros(4)
    for seed in range(1500):
        one = Bandit(4, 2, rule, floor=0.05, seed=seed, draws=20)
        for arm, reward in ((0, 1.0), (1, 0.0), (2, 0.3)):
            one._learn(arm, np.array([1.0, 0.5]), reward)
        p = one.propensities([1.0, -0.5])
        shown = one.ask("a", [1.0, -0.5])
        assert shown.propensities[0] == p[shown.arms[0]] and p.sum() == pytest.approx(1) and p.min() >= 0.05 - 1e-12
        counts[shown.arms[0]] += 1
        mean += p
    error = np.sqrt(mean * (1 - mean / 1500) + 1)
    assert (np.abs(counts - mean) < 4 * error).all(), (counts, mean)


def test_rewards_may_come_late_and_some_never(trap, popularity):
    one = bandit("thompson", waiting=300)
    log = trap.play(one, delay=200, lost=0.3)
    assert np.isnan(log.reward).mean() == pytest.approx(0.3, abs=0.03)
    assert trap.regret(log.arm).sum() < 0.7 * min(popularity)
    assert one.forgotten > 500 and one.forgotten + one.told + len(one._open) == one.asked == 4000
    assert len(one._open) <= 300 and one.told == np.isfinite(log.reward).sum()
    with pytest.raises(LookupError, match="no choice '0' waits for its reward"):
        one.tell("0", 1.0)


def test_of_a_list_what_lies_below_the_click_teaches_nothing():
    def learned(slot):
        one = Bandit(5, 1, floor=0.1)
        shown = one.ask("a", [1.0], slots=4)
        one.tell("a", 1.0, slot)
        return [(one._sums[arm, 0], round(1 / one._covariance[arm, 0, 0]) - 1) for arm in shown.arms], shown

    by_slot, shown = learned(1)
    assert by_slot == [(0.0, 1), (1.0, 1), (0.0, 0), (0.0, 0)] and len(set(shown.arms)) == 4
    assert [read for _, read in learned(None)[0]] == [1, 1, 1, 1]
    assert all(0.1 <= p <= 1 for p in shown.propensities)


@settings(max_examples=15)
@given(
    calls=st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.floats(0, 1)), max_size=30), cut=st.integers(0, 30)
)
def test_a_state_goes_on_to_the_same_bits(calls, cut):
    whole, part, ids = Bandit(3, 2, waiting=4), Bandit(3, 2, waiting=4), set()
    for k, (id, asks, value) in enumerate(calls):
        if k == cut:
            again = Bandit(3, 2, waiting=4)
            again.load(loads(dumps(part.state)))
            part = again
        if asks:
            assert whole.ask(str(id), [1.0, value]) == part.ask(str(id), [1.0, value])
            ids.add(str(id))
        elif str(id) in whole._open:
            whole.tell(str(id), value)
            part.tell(str(id), value)
    assert dumps(whole.state) == dumps(part.state)


def test_the_model_is_the_ridge_of_each_arm():
    rng, one = np.random.default_rng(1), Bandit(2, 3)
    X, y, arm = rng.normal(size=(50, 3)), rng.normal(size=50), rng.integers(2, size=50)
    for k in range(50):
        one._learn(arm[k], X[k], y[k])
    for a in (0, 1):
        own = arm == a
        want = np.linalg.solve(X[own].T @ X[own] + np.eye(3), X[own].T @ y[own])
        assert one._weights[a] == pytest.approx(want, abs=1e-12)


def test_bad_parameters_say_what_is_right():
    with pytest.raises(LookupError, match="no rule 'best'; there are: thompson"):
        Bandit(3, 1, "best")
    with pytest.raises(ValueError, match="a floor from 0 to 1/arms"):
        Bandit(3, 1, floor=0.5)
    with pytest.raises(ValueError, match="x must be 1 finite numbers"):
        Bandit(3, 1).ask("a", [np.nan])
    with pytest.raises(ValueError, match="slots must lie between 1 and the 3 arms"):
        Bandit(3, 1).ask("a", [1.0], slots=4)
