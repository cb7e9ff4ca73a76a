"""Bandits between versions: they lose less than an A/B test, on a gap and on one that turns round, and log chances."""

import numpy as np
import pytest
from trials import simulate

from rtml.registry.routing import bandit
from rtml.registry.routing.route import POLICIES

GAP = np.tile([0.80, 0.85], (150, 1))
TURNED = np.concatenate([GAP[:75], GAP[75:, ::-1]])


def regret(design, rates, **how):
    found = simulate(design, rates, np.random.default_rng(7), runs=100, late=2, **how).regret
    return found.mean(), 1.96 * found.std() / 10


def test_on_a_planted_gap_every_policy_loses_less_than_an_ab_test_to_its_end():
    to_the_end = 150 * 100 * 0.05 / 2
    for policy in POLICIES:
        lost, off = regret(policy, GAP)
        assert lost + off < to_the_end / 2, policy
    sequential, error = regret("ab", GAP)
    for how in ({}, {"discount": 0.9997}):
        lost, off = regret("thompson", GAP, **how)
        assert lost + off < sequential + error, "even than one that stops as soon as it may"


def test_on_a_gap_that_turns_round_one_that_forgets_loses_least():
    ab, _ = regret("ab", TURNED)
    remembers, _ = regret("thompson", TURNED)
    forgets, off = regret("thompson", TURNED, discount=0.9997)
    assert forgets + off < remembers < ab


@pytest.mark.parametrize("policy", POLICIES)
def test_chances_add_up_and_no_arm_is_ever_out(policy):
    state = bandit.learn(
        bandit.fresh(4, 3), np.full((4, 3), 50.0), np.tile([5.0, 20.0, 45.0], (4, 1)), np.full((4, 3), 1 / 3)
    )
    chances = bandit.chances(policy, state, np.random.default_rng(7))
    assert chances.shape == (4, 3) and np.allclose(chances.sum(-1), 1) and (chances >= bandit.FLOOR / 3 - 1e-12).all()
    assert (chances.argmax(-1) == 2).all()


def test_a_batch_of_answers_is_learned_as_one_by_one_and_a_discount_forgets():
    one, half = np.eye(2), np.full(2, 0.5)
    state = bandit.fresh(2)
    for arm, reward in ((0, 1.0), (1, 0.0), (1, 1.0)):
        state = bandit.learn(state, one[arm], reward * one[arm], half)
    whole = bandit.learn(bandit.fresh(2), np.array([1.0, 2.0]), np.array([1.0, 1.0]), half)
    assert np.allclose(state.answers, whole.answers) and np.allclose(state.rewards, whole.rewards)
    state = bandit.learn(state, one[0], one[0], half, discount=0.5)
    assert state.answers.tolist() == [1.5, 1.0] and state.rewards.tolist() == [1.5, 0.5]
    late = bandit.learn(bandit.fresh(2), one[1], 0 * one[1], np.full(2, 0.1))
    soon = bandit.learn(bandit.fresh(2), one[1], 0 * one[1], np.full(2, 0.9))
    assert late.losses[1] > soon.losses[1] > 0, "a loss weighs by the chance when it was asked"


def test_what_is_no_design_is_said():
    with pytest.raises(ValueError, match="design is one of ab, thompson, ucb, exp3-ix"):
        simulate("dice", GAP, np.random.default_rng(7))
